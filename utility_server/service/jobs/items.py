# SPDX-License-Identifier: Apache-2.0
"""What a bill run has to do for each customer, and how far that is.

new --> asked --> billed | refused
 |        +--> unreachable, not-ready: tried again when due --> given-up
 |        |    (a hub that dials in and is not ready: when it dials again)
 +--> declined      the hub said no: no consent, too often, too few days
 +--> refused       there is nothing to ask, or the answer was wrong
 +--> given-up      not reached as often as the run tries, or until its end
 +--> cancelled
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Engine, Row, and_, func, insert, not_, or_, select, update

from utility_server.database import bill_run_item_table as table
from utility_server.database import question_failure_table as failures
from utility_server.database import question_table, reading, writing
from utility_server.retail.questions import State

LONGEST_WHY: Final = 500


class ItemState(StrEnum):
    """How far one customer's bill is."""

    NEW = "new"
    ASKED = "asked"
    UNREACHABLE = "unreachable"
    NOT_READY = "not-ready"
    BILLED = "billed"
    REFUSED = "refused"
    DECLINED = "declined"
    GIVEN_UP = "given-up"
    CANCELLED = "cancelled"


TO_TRY: Final = (ItemState.NEW, ItemState.UNREACHABLE, ItemState.NOT_READY)
TO_RETRY: Final = (ItemState.GIVEN_UP, ItemState.REFUSED, ItemState.CANCELLED)
"""What a run that begins again tries anew; nobody who has declined is asked again by it."""
FOLLOWED: Final = (
    ItemState.ASKED, ItemState.UNREACHABLE, ItemState.NOT_READY, ItemState.DECLINED,
)  # fmt: skip
"""Whose question may go on without the run, whatever was said before: another process has asked."""
OPEN: Final = (*TO_TRY, ItemState.ASKED)
"""What is not at its end."""


@dataclass(frozen=True, slots=True)
class BillRunItem:
    """One customer and period of a run."""

    job: str
    meter: bytes
    begin: int
    end: int
    state: ItemState = ItemState.NEW
    nonce: bytes = b""
    """Of the question; empty before there is one."""
    address: str = ""
    """Where the hub is asked, HOST:PORT; empty: it is waited for."""
    tries: int = 0
    due: int = 0
    """When it is tried again."""
    reason: str = ""
    """Why it stands as it does, in a word."""
    why: str = ""
    """The same in a sentence."""
    entry: int = 0
    """The number of its ledger entry, which is that of its invoice; 0 before there is one."""


@dataclass(frozen=True, slots=True)
class BillRunItems:
    """The items of all runs."""

    engine: Engine

    def add(self, items: Sequence[BillRunItem]) -> None:
        """Keep new items; those that are there stay as they are."""
        if not items:
            return
        with writing(self.engine, *{item.job.encode() for item in items}) as connection:
            for item in items:
                if connection.execute(select(table.c.state).where(*_is(item))).first() is None:
                    connection.execute(insert(table).values(**_values(item)))

    def put(self, item: BillRunItem, **changes: Any) -> BillRunItem:
        """Keep how far an item is; return it."""
        changed = replace(item, **changes)
        changed = replace(changed, why=changed.why[:LONGEST_WHY])
        with writing(self.engine, item.job.encode()) as connection:
            connection.execute(update(table).where(*_is(item)).values(**_values(changed)))
        return changed

    def begin_again(self, job: str, states: Sequence[ItemState]) -> int:
        """Let items in these states be tried anew; return how many."""
        where = (table.c.job == job, table.c.state.in_(states), table.c.end > 0)
        anew = {"state": ItemState.NEW, "tries": 0, "due": 0, "reason": "", "why": "", "entry": 0}
        with writing(self.engine, job.encode()) as connection:
            return connection.execute(update(table).where(*where).values(**anew)).rowcount

    def to_try(self, job: str, now: int, limit: int) -> list[BillRunItem]:
        """Return items that are due to be asked for."""
        query = (
            select(table)
            .where(table.c.job == job, _is_tried(), table.c.due <= now)
            .order_by(table.c.due, table.c.meter, table.c.begin)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [_item(row) for row in connection.execute(query).all()]

    def next_due(self, job: str) -> int | None:
        """Return when the next one is to be tried; None where none is."""
        query = select(func.min(table.c.due)).where(table.c.job == job, _is_tried())
        with reading(self.engine) as connection:
            found: int | None = connection.execute(query).scalar_one()
        return found

    def in_state(self, job: str, states: Sequence[ItemState], limit: int) -> list[BillRunItem]:
        """Return some items in these states."""
        query = select(table).where(table.c.job == job, table.c.state.in_(states)).limit(limit)
        with reading(self.engine) as connection:
            return [_item(row) for row in connection.execute(query).all()]

    def failed(self, job: str, since: int, limit: int) -> list[tuple[BillRunItem, str, str]]:
        """Return items whose hub has refused what it was asked when it dialled in, and why.

        What was refused before `since`, or is noted so already, is left out.
        """
        query = (
            select(table, failures.c.kind, failures.c.why.label("because"))
            .join(failures, failures.c.nonce == table.c.nonce)
            .join(question_table, question_table.c.nonce == table.c.nonce)
            .where(
                table.c.job == job,
                _is_waited_for(),
                failures.c.time >= since,
                question_table.c.state == failures.c.state,
                question_table.c.state == State.ASKED,
                or_(table.c.reason != failures.c.kind, table.c.why != failures.c.why),
            )
            .limit(limit)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [(_item(row), row.kind, row.because) for row in rows]

    def moved(self, job: str, limit: int) -> list[tuple[BillRunItem, str, int]]:
        """Return asked items whose question has gone on, its state and its ledger entry.

        Of those that a hub has declined, too: its resident may have consented since. And of those
        that are to be tried again: they may have dialled in meanwhile.
        """
        query = (
            select(table, question_table.c.state.label("now"), question_table.c.entry.label("at"))
            .join(question_table, question_table.c.nonce == table.c.nonce)
            .where(
                table.c.job == job,
                table.c.state.in_(FOLLOWED),
                question_table.c.state.in_(("entered", "delivered", "refused", "withdrawn")),
            )
            .limit(limit)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [(_item(row), row.now, row.at) for row in rows]

    def counts(self, job: str) -> dict[str, int]:
        """Return how many items of a run are in each state."""
        query = select(table.c.state, func.count()).where(table.c.job == job)
        with reading(self.engine) as connection:
            found = connection.execute(query.group_by(table.c.state)).all()
        return {state: int(number) for state, number in found}

    def page(
        self, job: str, after: tuple[bytes, int] | None, limit: int, states: Sequence[str] = ()
    ) -> list[BillRunItem]:
        """Return items in the order of their meters, from after one on."""
        query = select(table).where(table.c.job == job).order_by(table.c.meter, table.c.begin)
        if states:
            query = query.where(table.c.state.in_(states))
        if after is not None:
            query = query.where(_is_after(*after))
        with reading(self.engine) as connection:
            return [_item(row) for row in connection.execute(query.limit(limit)).all()]


def _is_after(meter: bytes, begin: int) -> Any:
    return or_(table.c.meter > meter, (table.c.meter == meter) & (table.c.begin > begin))


def _is_early() -> Any:
    """Tell which hubs were not ready when they dialled in: they are asked when they do again."""
    return (table.c.state == ItemState.NOT_READY) & (table.c.address == "")


def _is_tried() -> Any:
    """Tell whom the run itself asks."""
    return and_(table.c.state.in_(TO_TRY), not_(_is_early()))


def _is_waited_for() -> Any:
    """Tell whose hub is asked when it dials in."""
    return or_(table.c.state.in_((ItemState.ASKED, ItemState.DECLINED)), _is_early())


def _is(item: BillRunItem) -> tuple[Any, ...]:
    key = (table.c.job, table.c.meter, table.c.begin, table.c.end)
    at = (item.job, item.meter, item.begin, item.end)
    return tuple(column == value for column, value in zip(key, at, strict=True))


def _values(item: BillRunItem) -> dict[str, Any]:
    return {name: getattr(item, name) for name in BillRunItem.__slots__}


def _item(row: Row[Any]) -> BillRunItem:
    return BillRunItem(
        row.job, bytes(row.meter), row.begin, row.end, ItemState(row.state), bytes(row.nonce),
        row.address, row.tries, row.due, row.reason, row.why, row.entry,
    )  # fmt: skip
