# SPDX-License-Identifier: Apache-2.0
"""What a capture of a meter's line holds: frames, or one SML file without a frame."""

from dataclasses import dataclass

from sml_codec import (
    Limits,
    ListEntry,
    PeriodEntry,
    SmlFile,
    Telegram,
    decode_stream,
    entries,
    read_file,
)
from sml_codec.frames import START


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


def decode_sml(data: bytes, *, longest_frame: int | None = None) -> SmlCapture:
    """Return what is in a capture of a meter's line, whatever its bytes are.

    Nothing is raised: what cannot be decoded is in the capture as damage. A frame has at most
    `longest_frame` bytes, by default as many as the data.
    """
    longest = longest_frame or len(data)
    limits = Limits(frame=longest, octets=longest)
    if START not in data and data.lstrip(b"\0")[:1] == b"\x76":
        return SmlCapture(bare=read_file(data, limits=limits))
    return SmlCapture(tuple(decode_stream(data, limits=limits)))
