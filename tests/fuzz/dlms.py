# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the DLMS decoder with atheris for a bounded time.

    python -m tests.fuzz.dlms -max_total_time=60

Any bytes are refused with the package's own error or reproduced; a stream is decoded the same
however it is cut; a push is read the same by a reader that knows its shape as by one that does not.
"""

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.meter_captures import captures_of, meter_capture

atheris: Any = import_module("atheris")  # has no types

with atheris.instrument_imports(include=["dlms_codec"]):
    from dlms_codec import (
        DlmsError,
        Keys,
        Message,
        MessageDecoder,
        PushReader,
        Transport,
        decode_apdu,
        decode_data,
        decode_messages,
        decode_telegram,
        encode_data,
        recognise,
    )

TAUGHT = PushReader()
KEYS = Keys(bytes(16), bytes(16))


def outcome(reader: PushReader, data: bytes) -> str:
    """Return what comes of reading a push, as text."""
    try:
        return repr(reader.read(data))
    except DlmsError as error:
        return f"{type(error).__name__}: {error}"


def check(data: bytes) -> None:
    """Raise AssertionError, or what should never leave the package, if something is wrong."""
    with suppress(DlmsError):
        assert encode_data(decode_data(data)) == data
    with suppress(DlmsError):
        assert decode_apdu(data).encode() == data
    assert outcome(PushReader(), data) == outcome(TAUGHT, data)
    decode_telegram(data, keys=KEYS)
    middle = len(data) // 2
    for transport in Transport:
        decoder = MessageDecoder(transport)
        pieces = decoder.feed(data[:middle]) + decoder.feed(data[middle:]) + decoder.close()
        assert pieces == decode_messages(transport, data)


def sow(folder: Path) -> None:
    """Fill a folder with the shared captures and the messages in them, if there are any."""
    for name in captures_of("dlms"):
        data = meter_capture(name)
        transport = recognise(data)
        events = [] if transport is None else decode_messages(transport, data)
        messages = [event.apdu for event in events if isinstance(event, Message)]
        for number, seed in enumerate([data[:2000], *messages[:3]]):
            (folder / f"{Path(name).name}-{number}").write_bytes(seed)


def main() -> None:
    """Run the fuzzer with the arguments of the command line."""
    with TemporaryDirectory() as folder:
        sow(Path(folder))
        atheris.Setup([*sys.argv, folder], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
