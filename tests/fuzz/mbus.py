# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the M-Bus decoders with atheris for a bounded time.

    python -m tests.fuzz.mbus -max_total_time=60

Any bytes are refused with the package's own error or reproduced; a stream is decoded the same
however it is cut; what is shown of any bytes is made without an exception.
"""

import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meter_codecs.mbus import (
    KeyRing,
    LongFrame,
    MbusError,
    MeterKey,
    StreamDecoder,
    decode_body,
    decode_fixed,
    decode_frame,
    decode_link,
    decode_stream,
    read_wired,
)
from meterlet.meter_views.mbus import view
from tests.support.mbus_captures import NAMES, capture

KEYS = KeyRing(default=MeterKey(bytes(16)))


def check(data: bytes) -> None:
    """Raise AssertionError, or what should never leave the package, if something is wrong."""
    for decode in (decode_body, decode_fixed, decode_frame, decode_link):
        with suppress(MbusError):
            assert decode(data).encode() == data
    view(data, keys=KEYS)
    content = data[:250]
    if content:
        frame = LongFrame(8, 1, content[0], content[1:])
        telegram = read_wired(frame, keys=KEYS)
        assert (telegram.content is None) == (telegram.error is not None)
        stream = data + frame.encode() + data
    else:
        stream = data
    middle = len(data) // 2
    decoder = StreamDecoder()
    pieces = decoder.feed(stream[:middle]) + decoder.feed(stream[middle:]) + decoder.close()
    assert pieces == decode_stream(stream)


def sow(folder: Path) -> None:
    """Fill a folder with the shared captures, if any, whole and without their frames."""
    for name in NAMES:
        data = capture(name)
        (folder / name).write_bytes(data)
        (folder / f"{name}-content").write_bytes(data[6:-2])
        (folder / f"{name}-records").write_bytes(data[19:-2])


def main() -> None:
    """Run the fuzzer with the arguments of the command line."""
    atheris: Any = import_module("atheris")  # has no types
    with TemporaryDirectory() as folder:
        sow(Path(folder))
        atheris.instrument_all()
        atheris.Setup([*sys.argv, folder], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
