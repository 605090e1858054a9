# SPDX-License-Identifier: Apache-2.0
"""What a capture of a meter's line holds: frames, or one SML file without a frame."""

from dataclasses import dataclass

from sml_codec import (
    FileReader,
    Limits,
    ListEntry,
    PeriodEntry,
    SignFaults,
    SmlFile,
    StreamDecoder,
    Telegram,
    decode_stream,
    entries,
)
from sml_codec.frames import START
from sml_codec.hextext import as_bytes


@dataclass(frozen=True, slots=True)
class SmlCapture:
    """The frames in a capture, damaged ones included, or the one bare file."""

    telegrams: tuple[Telegram, ...] = ()
    bare: SmlFile | None = None
    """The SML file that came without a frame."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of SML in it."""
        return self.bare is None and not self.telegrams

    @property
    def damaged(self) -> int:
        """How many frames are damaged; their values are left out."""
        return sum(not telegram.is_intact for telegram in self.telegrams)

    @property
    def values(self) -> tuple[ListEntry | PeriodEntry, ...]:
        """The values of all intact frames: each has `obis`, `value`, `scaled` and `unit_symbol`."""
        files = [telegram.file for telegram in self.telegrams if telegram.is_intact]
        files += [] if self.bare is None else [self.bare]
        return tuple(entry for file in files for entry in entries(file))


def decode_sml(
    data: bytes, *, longest_frame: int | None = None, sign_faults: SignFaults | None = None
) -> SmlCapture:
    """Return what is in a capture of a meter's line, whatever its bytes are.

    `sign_faults` says which DZG meters send wrong signs of power.

    Nothing is raised: what cannot be decoded is in the capture as damage. A frame has at most
    `longest_frame` bytes, by default as many as the data. Hex is read as the bytes that it spells.
    """
    data = as_bytes(data)
    longest = longest_frame or len(data)
    limits = Limits(frame=longest, octets=longest)
    if START not in data and data.lstrip(b"\0")[:1] == b"\x76":
        reader = FileReader(limits=limits, sign_faults=sign_faults)
        return SmlCapture(bare=reader.read(data))
    if sign_faults is None:
        return SmlCapture(tuple(decode_stream(data, limits=limits)))
    decoder = StreamDecoder(limits=limits, sign_faults=sign_faults)
    return SmlCapture((*decoder.feed(data), *decoder.close()))
