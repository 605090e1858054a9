# SPDX-License-Identifier: Apache-2.0
"""OBIS codes: what a value is a measure of (IEC 62056-61)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_TEXT: Final = re.compile(
    r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """The six value groups A-B:C.D.E*F.

    SML calls it an octet string and does not fix its length; names of another length are kept, and
    print as hex.
    """

    code: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the code written as `1-0:1.8.0*255`; `*255` may be left out.

        Raises ValueError for anything else.
        """
        match = _TEXT.fullmatch(text)
        groups = [] if match is None else [int(group) for group in match.groups("255")]
        if not groups or max(groups) > 255:  # each value group is a byte (IEC 62056-61)
            raise ValueError(f"not an OBIS code: {text!r}")
        return cls(bytes(groups))

    def __str__(self) -> str:
        if len(self.code) != 6:
            return self.code.hex()
        a, b, c, d, e, f = self.code
        return f"{a}-{b}:{c}.{d}.{e}*{f}"


def device_id_of(server_id: bytes | None) -> str | None:
    """Return the device identification that is printed on a meter (DIN 43863-5), as people read it.

    A server id of ten bytes has it: 0a (older meters: 09), the medium, three letters of who made
    it, a block, and a number of eight digits. None for any other.
    """
    if server_id is None or len(server_id) != 10 or server_id[0] not in (0x09, 0x0A):
        return None
    maker, number = server_id[2:5], int.from_bytes(server_id[6:], "big")
    if server_id[1] > 9 or not maker.isalpha() or not maker.isupper() or number > 99_999_999:
        return None
    digits = f"{number:08}"
    return f"{server_id[1]} {maker.decode()}{server_id[5]:02X} {digits[:4]} {digits[4:]}"


_PRINTED: Final = re.compile(
    r"([0-9]) ?([A-Z]{3}) ?([0-9A-F]{2}) ?([0-9]{4}) ?([0-9]{4})", re.ASCII
)


def server_ids_of(device_id: str) -> tuple[bytes, ...]:
    """Return the server ids that a printed device identification may stand for, newest form first.

    The other way of `device_id_of`; spaces may be left out. None for any other text.
    """
    match = _PRINTED.fullmatch(device_id.strip().upper())
    if match is None:
        return ()
    medium, maker, block, first, last = match.groups()
    number = int(first + last).to_bytes(4, "big")
    rest = bytes([int(medium)]) + maker.encode() + bytes.fromhex(block) + number
    return b"\x0a" + rest, b"\x09" + rest
