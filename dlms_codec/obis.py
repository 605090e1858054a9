# SPDX-License-Identifier: Apache-2.0
"""OBIS codes: what a value is a measure of (IEC 62056-61)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from dlms_codec.errors import EncodingError

_TEXT: Final = re.compile(
    r"(\d{1,3})-(\d{1,3}):(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\*(\d{1,3}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """The six value groups A-B:C.D.E*F, a byte each."""

    code: bytes

    def __post_init__(self) -> None:
        if len(self.code) != 6:
            raise EncodingError(f"an OBIS code has 6 bytes, not {len(self.code)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the code written as `1-0:1.8.0*255`; `*255` may be left out.

        Raises ValueError for anything else.
        """
        match = _TEXT.fullmatch(text)
        groups = [] if match is None else [int(group) for group in match.groups("255")]
        if not groups or max(groups) > 255:
            raise ValueError(f"not an OBIS code: {text!r}")
        return cls(bytes(groups))

    def __str__(self) -> str:
        a, b, c, d, e, f = self.code
        return f"{a}-{b}:{c}.{d}.{e}*{f}"
