# SPDX-License-Identifier: Apache-2.0
"""Times as meters write them.

| written | means |
|---|---|
| `170102192002W`, `...S` | year to second; winter (standard) or summer time. DSMR 4 and later |
| `090212160000` | year to second, local. DSMR 2 and 3 |
| `0512081415` | year to minute, local. IEC 62056-21 |
| `1170702192002` | the same as the first: 0 winter, 1 summer, 2 UTC. IEC 62056-21 |

Which offset winter time has is known by the meter's country alone; it is one hour unless said
otherwise. Times that no calendar has (`632525252525W`, a clock that was never set) are none.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

HOUR: Final = timedelta(hours=1)
_SEASONS: Final = {"W": 0, "w": 0, "S": 1, "s": 1, "0": 0, "1": 1}


def has_season(text: str) -> bool:
    """Whether a text is written as a time with its season, be it in a calendar or not."""
    return len(text) == 13 and text[12] in "WSws" and text[:12].isdecimal() and text.isascii()


def may_be_time(text: str) -> bool:
    """Whether a text may be a time where one is due; without its season it could be a number."""
    return has_season(text) or (len(text) in {10, 12, 13} and text.isdecimal() and text.isascii())


@lru_cache(maxsize=4096)
def read_time(text: str, winter: timedelta = HOUR) -> datetime | None:
    """Return the moment that a text says; local, without an offset, where it has no season."""
    offset: tzinfo | None = None
    if len(text) == 13:
        season, digits = (text[12], text[:12]) if text[12] in "WSws" else (text[0], text[1:])
        if season == "2":
            offset = UTC
        elif season in _SEASONS:
            offset = timezone(winter + _SEASONS[season] * HOUR)
        else:
            return None
    else:
        digits = text
    if len(digits) not in {10, 12} or not (digits.isdecimal() and digits.isascii()):
        return None
    parts = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    try:
        return datetime(2000 + parts[0], *parts[1:], tzinfo=offset)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
