# SPDX-License-Identifier: Apache-2.0
"""Bill runs that come again: on a day of each month, at an hour (UTC).

When one is due, its run is made in the same transaction that says when it is due next, so that of
several processes one makes it. After a time when nobody served, it is made up for once.

Errors: ServiceRefused
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from protocols.canonical.stored import decode_row, encode_row
from utility_server.database import bill_schedule_table as table
from utility_server.database import reading, writing
from utility_server.errors import ServiceRefused
from utility_server.service.jobs.bill_run import KIND
from utility_server.service.jobs.store import RUNS, Facts, Jobs

MOST_SCHEDULES: Final = 100
LAST_DAY: Final = 28
"""Every month has it."""
_NAME_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Schedule:
    """A bill run that comes again."""

    identification: str
    name: str
    owner: str
    day: int
    hour: int
    order: Facts
    next: int
    last_job: str
    """The run that it made last; empty before the first."""


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules of one utility."""

    engine: Engine
    jobs: Jobs
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def create(self, name: str, owner: str, day: int, hour: int, order: Facts) -> Schedule:
        """Keep a new schedule; raise `ServiceRefused` where there are too many."""
        identification = self.randomness(_NAME_SIZE).hex()
        parameters = encode_row({"day": day, "hour": hour, "order": dict(order)})
        with writing(self.engine, RUNS) as connection:
            known = connection.execute(select(func.count()).select_from(table)).scalar_one()
            if known >= MOST_SCHEDULES:
                raise ServiceRefused(f"there are {MOST_SCHEDULES} schedules already")
            connection.execute(
                insert(table).values(
                    identification=identification,
                    name=name,
                    owner=owner,
                    parameters=parameters,
                    next=next_time(self.now(), day, hour),
                    is_on=1,
                    last_job="",
                )
            )
        found = self.find(identification)
        assert found is not None
        return found

    def find(self, identification: str) -> Schedule | None:
        """Return the schedule of that identification, or None."""
        query = select(table).where(table.c.identification == identification)
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _schedule(row)

    def page(self, after: str, limit: int) -> list[Schedule]:
        """Return schedules in the order of their identifications."""
        query = select(table).where(table.c.identification > after)
        with reading(self.engine) as connection:
            rows = connection.execute(query.order_by(table.c.identification).limit(limit)).all()
        return [_schedule(row) for row in rows]

    def remove(self, identification: str) -> bool:
        """Remove a schedule; its runs stay. Return whether there was one."""
        where = table.c.identification == identification
        with writing(self.engine, RUNS) as connection:
            return connection.execute(delete(table).where(where)).rowcount == 1

    def begin_due(self) -> None:
        """Make the runs that are due."""
        now = self.now()
        query = select(table).where(table.c.is_on == 1, table.c.next <= now)
        with reading(self.engine) as connection:
            if connection.execute(query.limit(1)).first() is None:
                return
        with writing(self.engine, RUNS) as connection:
            for row in connection.execute(query).all():
                schedule = _schedule(row)
                job = f"{schedule.identification[:16]}{schedule.next:016x}"
                try:
                    self.jobs.create_in(connection, job, KIND, schedule.owner, schedule.order)
                except ServiceRefused:
                    continue  # too many wait: it is still due afterwards
                connection.execute(
                    update(table)
                    .where(table.c.identification == schedule.identification)
                    .values(next=next_time(now, schedule.day, schedule.hour), last_job=job)
                )


def next_time(now: int, day: int, hour: int) -> int:
    """Return the next moment after `now` that is on this day of a month, at this hour (UTC)."""
    moment = datetime.fromtimestamp(now, UTC)
    year, month = moment.year, moment.month
    while True:
        due = int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())
        if due > now:
            return due
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _schedule(row: Row[Any]) -> Schedule:
    facts = decode_row(bytes(row.parameters))
    return Schedule(
        row.identification, row.name, row.owner, facts["day"], facts["hour"], facts["order"],
        row.next, row.last_job,
    )  # fmt: skip
