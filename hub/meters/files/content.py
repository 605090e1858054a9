# SPDX-License-Identifier: Apache-2.0
"""A file's text: unpacked, and decoded by what its bytes say.

A byte-order mark decides. Without one it is UTF-8; text that alternates with zero bytes is UTF-16,
and what is no UTF-8 is Windows-1252, which is said.
"""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from hub.meters.files.errors import ReplayError, wrong_line

LARGEST_BYTES: Final = 1 << 28
"""More than ten years of readings every ten seconds; what is larger is cut into files."""
_SAMPLE: Final = 4096
_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def read_text(path: Path, notes: list[str]) -> str:
    """Return the file's text; what is not plain UTF-8 is added to `notes`."""
    data = _read_bytes(path)
    if data.startswith(_ZIP):
        raise ReplayError(
            f"{path}: a ZIP archive or an Excel workbook; unpack it, or save the sheet as CSV"
        )
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise wrong_line(path, 1, f"no {encoding.upper()} from {_byte(error)} on") from None
        text = _western(path, data)
        notes.append("read as Windows-1252, since it is not UTF-8")
    else:
        if encoding.startswith("utf-16"):
            notes.append("read as UTF-16")
    if "\0" in text:
        raise ReplayError(f"{path}: not a text file")
    return text


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == _GZIP or path.suffix == ".gz"  # a pipe has no way back
            data = _unpacked(path, file) if packed else file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror or error}") from None
    if len(data) > LARGEST_BYTES:
        raise ReplayError(f"{path}: larger than {LARGEST_BYTES >> 20} MiB; cut it into files")
    return data


def _unpacked(path: Path, file: BinaryIO) -> bytes:
    try:
        with gzip.open(file) as packed:
            return packed.read(LARGEST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = "it breaks off" if isinstance(error, EOFError) else "it is damaged, or not packed so"
        raise wrong_line(path, 1, f"not unpacked with gzip: {what}") from None


def _encoding(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:_SAMPLE]
    pairs = len(sample) // 2
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = sample[place::2].count(0)
        if pairs > 1 and zeros > pairs * 0.9 and sample[1 - place :: 2].count(0) == 0:
            return encoding
    return "utf-8"


def _western(path: Path, data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise wrong_line(
            path, 1, f"neither UTF-8 nor Windows-1252 from {_byte(error)} on: not a text file"
        ) from None


def _byte(error: UnicodeDecodeError) -> str:
    return f"byte {error.start:,} ({error.object[error.start]:02x})"
