# SPDX-License-Identifier: Apache-2.0
"""Telegrams of meters that others have published with what they say (`published.txt`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meter_codecs.mbus import (
    NO_KEYS,
    KeyRing,
    LongFrame,
    MeterKey,
    Telegram,
    decode_frame,
    decode_link,
    read_wired,
    read_wireless,
)

FILE: Final = Path(__file__).parents[1] / "meter_codecs" / "mbus" / "published.txt"


@dataclass(frozen=True)
class Published:
    name: str
    wire: bytes
    keys: KeyRing
    number: str
    values: tuple[str, ...]
    """`m3=7.704`; `time=` and the beginning of a time, `text=` and a part of a text."""

    def read(self) -> Telegram:
        return read_published(self.wire, self.keys)


def read_published(wire: bytes, keys: KeyRing = NO_KEYS) -> Telegram:
    """Return what a frame of a wire or of a radio says."""
    if wire[:1] == wire[3:4] == b"\x68":
        frame = decode_frame(wire)
        assert isinstance(frame, LongFrame)
        return read_wired(frame, keys=keys)
    return read_wireless(decode_link(wire), keys=keys)


def _published(line: str) -> Published:
    name, wire, key, number, *values = line.split()
    keys = NO_KEYS if key == "-" else KeyRing({number: MeterKey.from_hex(key)})
    return Published(name, bytes.fromhex(wire), keys, number, tuple(values))


PUBLISHED: Final = {
    one.name: one
    for line in FILE.read_text().splitlines()
    if line and not line.startswith("#")
    for one in [_published(line)]
}
