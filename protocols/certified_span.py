# SPDX-License-Identifier: Apache-2.0
"""From which day to which a hub has certified days, as it tells an applet's recipient.

    DAYS   80 5E 02 00   the register's OBIS code (6 bytes)
           answer        the first and the last certified day, YYYYMMDD each; nothing if none is

The command goes over the applet's own channel, and the platform answers it, as those of
`protocols.log_head`. It tells what an answer with status word 6A83 leaves open: which days of the
period are missing. That a day is certified is no secret to whoever may ask about it. Hubs of before
answer 6A86.

Errors: CertifiedSpanError
"""

import re
from datetime import date
from typing import Final

from protocols.errors import MeterletError
from protocols.metrology import GridError, Period

P1_DAYS: Final = 0x02
_DAY: Final = 8
_SPAN: Final = re.compile(rb"[0-9]{16}")


class CertifiedSpanError(MeterletError):
    """Bytes are not the first and the last day."""


def encode_span(span: Period | None) -> bytes:
    """Return the answer."""
    return b"" if span is None else f"{span.first:%Y%m%d}{span.last:%Y%m%d}".encode()


def decode_span(data: bytes) -> Period | None:
    """Return what `encode_span` wrote; raise `CertifiedSpanError`."""
    if not data:
        return None
    if not _SPAN.fullmatch(data):
        raise CertifiedSpanError("not two days")
    try:
        first, last = (date.fromisoformat(data[at : at + _DAY].decode()) for at in (0, _DAY))
        return Period(first, last)
    except (ValueError, GridError):
        raise CertifiedSpanError("not two days in order") from None


def span_in_words(span: Period | None) -> str:
    """Return which days are certified, for whoever asked about others."""
    if span is None:
        return "no day is certified yet"
    return f"certified are {span.first} to {span.last}, no other days"
