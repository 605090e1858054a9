# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the SML decoder with atheris for a bounded time.

    python -m tests.fuzz.sml -max_total_time=60

Any bytes are refused with the package's own error or reproduced; a stream is decoded the same
however it is cut, and by a reader that has learned layouts as by one that has not.
"""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.captures import NAMES, capture

atheris: Any = import_module("atheris")  # has no types

with atheris.instrument_imports(include=["sml_codec"]):
    from sml_codec import (
        FileReader,
        Frame,
        SmlError,
        StreamDecoder,
        decode_file,
        decode_stream,
        encode_file,
        encode_frame,
        read_file,
    )
    from sml_codec.crc import Crc

LEARNED = FileReader()


def check(data: bytes) -> None:
    """Raise AssertionError, or what should never leave the package, if something is wrong."""
    sealed = data + b"\x63" + Crc.X25.of(data).to_bytes(2, "big") + b"\0"
    for candidate in (data, sealed):
        file = read_file(candidate)
        assert repr(LEARNED.read(candidate)) == repr(FileReader().read(candidate))
        if file.error is None and not file.rejected:
            assert encode_file(file) == candidate
        try:
            decode_file(candidate)
        except SmlError:
            continue
    stream = data + encode_frame(sealed) + data
    whole, cut = StreamDecoder(), StreamDecoder()
    expected = whole.feed(stream) + whole.close()
    middle = len(data) // 2
    pieces = cut.feed(stream[:middle]) + cut.feed(stream[middle:]) + cut.close()
    assert [telegram.frame for telegram in pieces] == [telegram.frame for telegram in expected]
    for telegram in expected:
        if isinstance(telegram.frame, Frame) and telegram.file.error is None:
            assert encode_file(telegram.file) == telegram.frame.payload or telegram.file.rejected


def sow(folder: Path) -> None:
    """Fill a folder with a message of each kind and size from the shared captures, if any."""
    for name in NAMES:
        data = capture(name)
        files = [telegram.file for telegram in decode_stream(data)] or [read_file(data)]
        for message in (message for file in files for message in file.messages):
            seed = folder / f"{type(message.body).__name__}-{len(message.wire)}"
            seed.write_bytes(message.wire[:-4])


def main() -> None:
    """Run the fuzzer with the arguments of the command line."""
    with TemporaryDirectory() as folder:
        sow(Path(folder))
        atheris.Setup([*sys.argv, folder], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
