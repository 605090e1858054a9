# SPDX-License-Identifier: Apache-2.0
"""Pages of collections, and the days and bodies of requests."""

import base64
import binascii
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query, Request

from protocols.metrology import GridError, Period
from utility_server.errors import ServiceRefused
from utility_server.service.api.models import Days, Page
from utility_server.service.api.operation import parts_of
from utility_server.service.api.problems import Problem

RowT = TypeVar("RowT")
ItemT = TypeVar("ItemT")
MOST: Final = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
Cursor = Annotated[
    str | None, Query(max_length=1024, description="Where the page begins: `next` of another.")
]
OLDEST: Final = "oldest"
Order = Annotated[str, Query(pattern="^(oldest|newest)$", description="Which entries come first.")]


async def _body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(_body)]
"""The body as it is: the operation says in its description what it takes."""


def page_of(
    request: Request,
    collection: Sequence[Any],
    cursor: str | None,
    limit: int,
    rows: Callable[[list[Any] | None, int], Sequence[RowT]],
    position: Callable[[RowT], Sequence[Any]],
    item: Callable[[RowT], ItemT],
) -> Page[ItemT]:
    """Return a page.

    `rows` gives as many as it is told, from after a position on; `collection` names the collection
    and its filters, which a cursor is bound to.
    """
    cursors = parts_of(request).cursors
    after = None if cursor is None else cursors.read(collection, cursor)
    found = rows(after, limit + 1)
    more = len(found) > limit
    shown = found[:limit]
    following = cursors.make(collection, position(shown[-1])) if more else None
    return Page[Any](items=[item(row) for row in shown], next=following)


def content_of(text: str, what: str) -> bytes:
    """Return what was sent in Base64, in its one form; raise a `Problem` for another."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        content = b""
    if base64.b64encode(content).decode() != text:
        raise Problem(422, "invalid-request", f"the {what} is not Base64 (RFC 4648, section 4)")
    return content


def period_of(days: Days) -> Period:
    """Return the days as the domain has them; raise a `Problem` where they are none."""
    try:
        return Period(days.first, days.last)
    except GridError as error:
        raise Problem(422, "invalid-period", str(error)) from None


def period_or_month(days: Days | None, month: str | None) -> Period | None:
    """Return the days that a run is about, which may be said as a month; None where neither is."""
    if month is None:
        return None if days is None else period_of(days)
    if days is not None:
        raise ServiceRefused("say a month or a period, not both")
    year, number = map(int, month.split("-"))
    try:
        last = date(year, number, monthrange(year, number)[1])
    except ValueError:
        raise Problem(422, "invalid-period", "there is no such month") from None
    return period_of(Days.model_validate({"from": last.replace(day=1), "until": last}))


def day_of(day: date) -> date:
    """Return a day that the domain can have; raise a `Problem` for another."""
    period_of(Days.model_validate({"from": day, "until": day}))
    return day


def days_model(period: Period) -> Days:
    """Return a period as the interface shows it."""
    return Days.model_validate({"from": period.first, "until": period.last})
