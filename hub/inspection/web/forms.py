# SPDX-License-Identifier: Apache-2.0
"""What forms and addresses send, read strictly; `BadInput` names the field and what it may be."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

from hub.errors import HubError

LONGEST_TEXT = 63


class BadInput(HubError):
    """What was sent is not what the page's form sends; the text is for the resident."""

    http_status = 400

    def __init__(self, reason: str, field: str = "") -> None:
        """`field` is the one of the form that is in fault; empty where it is none by itself."""
        super().__init__(reason)
        self.field = field


def date_of(fields: Mapping[str, str], name: str, default: date | None = None) -> date:
    """Return a field's date, which is written as 2025-03-01; the default where it is empty."""
    text = fields.get(name, "")
    if not text and default is not None:
        return default
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise BadInput(f"{text[:20]!r} is no date; write it as 2025-03-01", name) from None
    if not 1990 <= day.year <= 2100:
        raise BadInput(f"{day} is too far away", name)
    return day


def number_of(fields: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return a field's whole number, at least 1 and below 2^63; the default where it is empty."""
    text = fields.get(name, "")
    if not text and default is not None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text)):
        raise BadInput(f"{text[:20]!r} is no whole number from 1 on", name)
    return int(text)


def text_of(fields: Mapping[str, str], name: str) -> str:
    """Return a field's short line of printable characters."""
    text = fields.get(name, "").strip()
    if not 1 <= len(text) <= LONGEST_TEXT or not text.isprintable():
        raise BadInput(f"1 to {LONGEST_TEXT} printable characters are needed here", name)
    return text
