# SPDX-License-Identifier: Apache-2.0
"""The invoices as lists show them: of a meter, a month or a state, from either end.

What the database knows of itself, it looks for: meter, month, whether the hub has it. Whether an
invoice stands follows from the ledger's entries of its meter. So a list of those that stand, or do
not, looks at `MOST_LOOKED_AT` at a time, and says where it goes on.

Errors: StoreError, LedgerTampered
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Engine, Row, Select, func, select

from protocols.metrology import date_at, find_zone
from utility_server.database import invoice_table, ledger_table, question_table, reading
from utility_server.retail.questions import KeptInvoice, State
from utility_server.retail.standings import STANDS, Standing
from utility_server.retail.utility import Utility

MOST_LOOKED_AT: Final = 2_000
_BATCH: Final = 200
_FURTHEST: Final = timedelta(hours=26)
"""No zone's midnight is further from that of UTC."""


class InvoiceFilter(StrEnum):
    """Which invoices a list has."""

    STANDING = "standing"
    """Those that are to be paid."""
    VOID = "void"
    """Those that were replaced, or went on from one that was."""
    DELIVERED = "delivered"
    """Those that their hubs have."""
    WAITING = "waiting"
    """Those that wait for their hubs, or to be handed over."""


@dataclass(frozen=True, slots=True)
class InvoiceSearch:
    """What a list of invoices has."""

    meter: bytes | None = None
    month: date | None = None
    """The first of the month in which the billed days begin, by the meter's zone."""
    state: InvoiceFilter | None = None
    is_corrected: bool = False
    """Only those that correct another."""
    is_newest_first: bool = False


@dataclass(frozen=True, slots=True)
class ListedInvoice:
    """An invoice, and what became of it."""

    kept: KeptInvoice
    meter: bytes
    begin: int
    state: State
    """Entered, until its hub has it; then delivered."""
    changed: int
    """Since when it is in that state, in epoch seconds."""
    standing: Standing = STANDS


def listed_invoices(
    utility: Utility, wanted: InvoiceSearch, after: int | None, limit: int
) -> tuple[list[ListedInvoice], int | None]:
    """Return invoices from after a number on, or from the end they begin at, `limit` at most.

    And after which number the list goes on; None where there is no more. It may go on though there
    are fewer than `limit`: so many were looked at, and the others are not among those wanted.
    """
    found, at, looked = list[ListedInvoice](), after, 0
    by_python = wanted.is_corrected or wanted.state in (InvoiceFilter.STANDING, InvoiceFilter.VOID)
    batch = max(limit + 1, _BATCH) if by_python else limit + 1
    query = _query(wanted)
    if wanted.month is not None:
        bounds = _bounds(utility.engine, wanted.month)
        if bounds is None:
            return [], None
        query = query.where(invoice_table.c.number.between(*bounds))
    while True:
        with reading(utility.engine) as connection:
            rows = connection.execute(_from(query, wanted, at).limit(batch)).all()
        for one in _shown(utility, rows, wanted):
            if len(found) == limit:
                return found, found[-1].kept.number
            found.append(one)
        looked += len(rows)
        if len(rows) < batch:
            return found, None
        at = rows[-1].number
        if looked >= MOST_LOOKED_AT:
            return found, at


def listed_invoice(utility: Utility, number: int) -> ListedInvoice | None:
    """Return one invoice, and what became of it; None where there is none of that number."""
    query = _query(InvoiceSearch()).where(invoice_table.c.number == number)
    with reading(utility.engine) as connection:
        rows = connection.execute(query).all()
    found = _shown(utility, rows, InvoiceSearch())
    return found[0] if found else None


def numbers_like(engine: Engine, digits: str, limit: int) -> list[int]:
    """Return invoices by their number, and those whose number begins so; `limit` at most.

    One short look at the index for each length that a number may have.
    """
    found, number = list[int](), invoice_table.c.number
    with reading(engine) as connection:
        last = connection.execute(select(func.max(number))).scalar_one() or 0
        low, high = int(digits), int(digits) + 1
        while 0 < low <= last and len(found) < limit:
            query = select(number).where(number >= low, number < high).order_by(number)
            found += connection.execute(query.limit(limit - len(found))).scalars().all()
            low, high = 10 * low, 10 * high
    return found


def _query(wanted: InvoiceSearch) -> Select[Any]:
    about = question_table.c
    query = select(invoice_table, about.meter, about.begin, about.state, about.changed).join(
        question_table, question_table.c.nonce == invoice_table.c.nonce
    )
    if wanted.meter is not None:  # the ledger has an index of meters
        own = select(ledger_table.c.sequence).where(ledger_table.c.meter == wanted.meter)
        query = query.where(invoice_table.c.number.in_(own))
    if wanted.month is not None:
        first, last = _around(wanted.month)
        query = query.where(about.begin.between(first, last))
    match wanted.state:
        case InvoiceFilter.DELIVERED:
            query = query.where(about.state == State.DELIVERED)
        case InvoiceFilter.WAITING:
            query = query.where(about.state == State.ENTERED)
    return query


def _from(query: Select[Any], wanted: InvoiceSearch, at: int | None) -> Select[Any]:
    number = invoice_table.c.number
    if wanted.is_newest_first:
        return (query if at is None else query.where(number < at)).order_by(number.desc())
    return (query if at is None else query.where(number > at)).order_by(number)


def _bounds(engine: Engine, month: date) -> tuple[int, int] | None:
    """Return between which numbers a month's invoices are, by an index; None where it has none."""
    first, last = _around(month)
    entry = question_table.c.entry
    query = select(func.min(entry), func.max(entry)).where(
        question_table.c.begin.between(first, last), entry > 0
    )
    with reading(engine) as connection:
        low, high = connection.execute(query).one()
    return None if low is None else (low, high)


def _around(month: date) -> tuple[int, int]:
    """Return moments between which all is that begins in a month, in whatever zone."""
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    last = first + timedelta(days=31)
    return int((first - _FURTHEST).timestamp()), int((last + _FURTHEST).timestamp())


def _shown(
    utility: Utility, rows: Sequence[Row[Any]], wanted: InvoiceSearch
) -> list[ListedInvoice]:
    """Return what rows say, as far as it is wanted, in their order."""
    found = [
        ListedInvoice(
            KeptInvoice(row.number, bytes(row.document), bytes(row.void)),
            bytes(row.meter), row.begin, State(row.state), row.changed,
        )
        for row in rows
    ]  # fmt: skip
    if wanted.month is not None:
        zones = utility.customers.zones({one.meter for one in found})
        found = [one for one in found if _month(one.begin, zones[one.meter]) == wanted.month]
    if wanted.is_corrected:
        entries = utility.ledger.numbered(one.kept.number for one in found)
        found = [one for one in found if "difference" in entries[one.kept.number].content]
    known = utility.standings(one.meter for one in found)
    shown = []
    for one in found:
        standing = known.get(one.kept.number, STANDS)
        if wanted.state is InvoiceFilter.STANDING and standing.is_void:
            continue
        if wanted.state is InvoiceFilter.VOID and not standing.is_void:
            continue
        shown.append(
            ListedInvoice(one.kept, one.meter, one.begin, one.state, one.changed, standing)
        )
    return shown


def _month(moment: int, zone: str) -> date:
    return date_at(moment, find_zone(zone)).replace(day=1)
