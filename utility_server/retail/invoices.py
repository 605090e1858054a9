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

from sqlalchemy import ColumnElement, Engine, Row, Select, and_, func, or_, select

from protocols.metrology import date_at, find_zone
from utility_server.database import invoice_table, ledger_table, question_table, reading
from utility_server.retail.questions import KeptInvoice, State
from utility_server.retail.standings import STANDS, Standing
from utility_server.retail.utility import Utility

MOST_LOOKED_AT: Final = 1_000
_BATCH: Final = 200
_EASTERNMOST, _DATE_LINE = timedelta(hours=14), timedelta(hours=12)
"""Days begin so long before those of UTC at the most. From `_DATE_LINE` on, the same moment begins
the day before in zones on the other side of the date line."""


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
        in_month = _in_month(utility, wanted.month)
        bounds = _bounds(utility.engine, in_month)
        if bounds is None:
            return [], None
        query = query.where(in_month, invoice_table.c.number.between(*bounds))
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


def _bounds(engine: Engine, in_month: ColumnElement[bool]) -> tuple[int, int] | None:
    """Return between which numbers a month's invoices are, by an index; None where it has none."""
    entry = question_table.c.entry
    query = select(func.min(entry), func.max(entry)).where(in_month, entry > 0)
    with reading(engine) as connection:
        low, high = connection.execute(query).one()
    return None if low is None else (low, high)


def _in_month(utility: Utility, month: date) -> ColumnElement[bool]:
    """Return the condition that days begin in a month, by their meter's zone.

    For the database alone, which knows moments and no zones: local days begin at midnight, and a
    moment is midnight in zones of two days only across the date line. Which day it is there, a
    meter says that has it: a utility is taken to be on one side.
    """
    begin = question_table.c.begin
    first, following = _utc(month), _utc(_next(month))
    early = _begun(utility, first - _EASTERNMOST, first - _DATE_LINE)
    late = _begun(utility, following - _EASTERNMOST, following - _DATE_LINE)
    sure = begin.between(_seconds(first - _DATE_LINE), _seconds(following - _DATE_LINE) - 1)
    return or_(
        and_(sure, begin.not_in([one for one, its in late.items() if its != month])),
        begin.in_([one for one, its in early.items() if its == month]),
    )


def _begun(utility: Utility, since: datetime, until: datetime) -> dict[int, date]:
    """Return the moments in a span at which asked days begin, and the month of each."""
    begin, at = question_table.c.begin, _seconds(since)
    found = dict[int, date]()
    while True:
        query = select(begin, question_table.c.meter).where(begin >= at, begin < _seconds(until))
        with reading(utility.engine) as connection:
            row = connection.execute(query.order_by(begin).limit(1)).one_or_none()
        if row is None:
            return found
        meter, at = bytes(row.meter), row.begin + 1
        found[row.begin] = _month(row.begin, utility.customers.zone(meter))


def _utc(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


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
