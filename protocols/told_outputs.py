# SPDX-License-Identifier: Apache-2.0
"""What a recipient is told of a raw applet's output, by the hub and never by the applet.

    80 CA P1 P2      the output's number, as the manifest lists them
    9000             for which time it was released (8 bytes), and the value
    6286             the same with zeros for the value: the applet has never set it
    6985             nothing was released yet
    6A88             there is no such output

6286 says that there is no input data (ISO/IEC 7816-4, 5.6). Lengths are the same every time.
"""

from dataclasses import dataclass
from typing import Final

CLA: Final = 0x80
GET_DATA: Final = 0xCA
NOT_SET: Final = 0x6286
NOT_YET: Final = 0x6985
TIME_SIZE: Final = 8
YEAR_2200: Final = 7_258_118_400
"""In seconds since 1970: times are before it."""


@dataclass(frozen=True, slots=True)
class ToldOutput:
    """An output, as its recipient has it."""

    released: int
    """For which time, in seconds since 1970."""
    value: bytes | None
    """None where the applet has never set it."""

    @classmethod
    def of(cls, data: bytes, status: int) -> "ToldOutput":
        """Return what a hub's answer says; raise `ValueError` where it is none."""
        if len(data) <= TIME_SIZE or (status == NOT_SET and any(data[TIME_SIZE:])):
            raise ValueError("not an output: a time of 8 bytes and a value")
        if int.from_bytes(data[:TIME_SIZE], "big") >= YEAR_2200:
            raise ValueError("not an output: its time is not in the years 1970 to 2199")
        value = None if status == NOT_SET else data[TIME_SIZE:]
        return cls(int.from_bytes(data[:TIME_SIZE], "big"), value)
