# SPDX-License-Identifier: Apache-2.0
"""Long runs as they are kept: what is to be done, how far it is, and who works on it.

    waiting --> running --> done | failed
       |           |
       +-----------+--> cancelling --> cancelled

A run is worked on in slices. Who takes one holds it for `LEASE_SECONDS`; if he dies, another goes
on from what is kept. Between slices nobody holds it, and it says when it is due again.

Errors: ServiceRefused
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    func,
    insert,
    not_,
    or_,
    select,
    update,
)

from protocols.canonical.cbor import CborError
from protocols.canonical.stored import decode_row, encode_row
from utility_server.database import job_table as table
from utility_server.database import reading, writing
from utility_server.errors import ServiceRefused, StoreError

RUNS: Final = b"runs"
"""What whoever writes of runs locks: one at a time."""
LEASE_SECONDS: Final = 30
"""Who holds a run says so again within that time, or is taken for dead."""
MOST_OPEN: Final = 100
"""More runs than that do not wait at a time."""


class JobState(StrEnum):
    """How far a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


AGAIN: Final = "again"
"""In a run's result: when it has begun again."""
OPEN: Final = (JobState.WAITING, JobState.RUNNING, JobState.CANCELLING)
Facts = Mapping[str, Any]


class JobLost(ServiceRefused):
    """Another process has taken the run over."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run."""

    identification: str
    kind: str
    owner: str
    state: JobState
    created: int
    changed: int
    parameters: Facts
    done: int
    total: int
    """How much there is to do; 0 while it is not known."""
    result: Facts
    """Where it stands, and in the end what came of it."""
    due: int = 0
    """When it is worked on next, if nobody holds it."""

    @property
    def begun(self) -> int:
        """Since when it goes on: its beginning, or when it began again."""
        return int(self.result.get(AGAIN, self.created))

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which runs are meant: of some kinds alone, or of all but them."""

    names: tuple[str, ...] = ()
    is_all_but: bool = True

    @property
    def condition(self) -> ColumnElement[bool]:
        """What rows are so."""
        named = table.c.kind.in_(self.names)
        return not_(named) if self.is_all_but else named


ALL_KINDS: Final = Kinds()


@dataclass(frozen=True, slots=True)
class Jobs:
    """The runs of one utility."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)

    def create(self, identification: str, kind: str, owner: str, parameters: Facts) -> Job:
        """Keep a new run; the same identification again returns the one there is.

        Raises `ServiceRefused` where that one is another, or too many wait.
        """
        with writing(self.engine, RUNS) as connection:
            return self.create_in(connection, identification, kind, owner, parameters)

    def create_in(
        self,
        connection: Connection,
        identification: str,
        kind: str,
        owner: str,
        parameters: Facts,
    ) -> Job:
        """Do the same in a transaction that writes more."""
        encoded, now = encode_row(dict(parameters)), self.now()
        known = connection.execute(_of(identification)).one_or_none()
        if known is not None:
            if (known.kind, known.owner, bytes(known.parameters)) != (kind, owner, encoded):
                raise ServiceRefused("there is another run of that name")
            return _job(known)
        waiting = select(func.count()).select_from(table).where(table.c.state.in_(OPEN))
        if connection.execute(waiting).scalar_one() >= MOST_OPEN:
            raise ServiceRefused(f"{MOST_OPEN} runs are not done yet; wait, or cancel one")
        connection.execute(
            insert(table).values(
                identification=identification,
                kind=kind,
                owner=owner,
                state=JobState.WAITING,
                created=now,
                changed=now,
                parameters=encoded,
                done=0,
                total=0,
                result=encode_row({}),
                holder="",
                lease=now,
            )
        )
        return _job(connection.execute(_of(identification)).one())

    def find(self, identification: str) -> Job | None:
        """Return the run of that name, or None."""
        with reading(self.engine) as connection:
            row = connection.execute(_of(identification)).one_or_none()
        return None if row is None else _job(row)

    def page(self, before: tuple[int, str] | None, limit: int, kinds: Sequence[str]) -> list[Job]:
        """Return runs of these kinds, the newest first, from before one on."""
        query = select(table).where(table.c.kind.in_(kinds))
        query = query.order_by(table.c.created.desc(), table.c.identification.desc())
        if before is not None:
            created, name = before
            query = query.where(
                or_(
                    table.c.created < created,
                    (table.c.created == created) & (table.c.identification < name),
                )
            )
        with reading(self.engine) as connection:
            return [_job(row) for row in connection.execute(query.limit(limit)).all()]

    def counts(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        query = select(table.c.state, func.count()).group_by(table.c.state)
        with reading(self.engine) as connection:
            return {state: int(number) for state, number in connection.execute(query)}

    def cancel(self, identification: str) -> Job:
        """Ask a run to end; raise `ServiceRefused` where it is over."""
        with writing(self.engine, RUNS) as connection:
            row = connection.execute(_of(identification)).one_or_none()
            if row is None or row.state not in OPEN:
                raise ServiceRefused("the run is over")
            if row.state != JobState.CANCELLING:
                values: dict[str, Any] = {"state": JobState.CANCELLING, "changed": self.now()}
                if not row.holder:
                    values["lease"] = self.now()  # at once, not when it would be due again
                connection.execute(
                    update(table).where(table.c.identification == identification).values(**values)
                )
            return _job(connection.execute(_of(identification)).one())

    def begin_again(self, identification: str) -> Job:
        """Let a run that is over begin again; raise `ServiceRefused` where it is not over."""
        now, where = self.now(), table.c.identification == identification
        with writing(self.engine, RUNS) as connection:
            row = connection.execute(select(table).where(where)).one_or_none()
            if row is None or row.state in OPEN:
                raise ServiceRefused("the run is not over")
            values = {"state": JobState.WAITING, "changed": now, "lease": now, "holder": ""}
            result = encode_row({**_job(row).result, AGAIN: now})
            connection.execute(update(table).where(where).values(**values, result=result))
            return _job(connection.execute(select(table).where(where)).one())

    def take(self, holder: str, kinds: Kinds = ALL_KINDS) -> Job | None:
        """Return a run that is due and that nobody holds, held from now on; None: there is none."""
        now = self.now()
        with writing(self.engine, RUNS) as connection:
            row = connection.execute(
                select(table)
                .where(table.c.state.in_(OPEN), table.c.lease <= now, kinds.condition)
                .order_by(table.c.lease, table.c.created, table.c.identification)
                .limit(1)
            ).one_or_none()
            if row is None:
                return None
            state = JobState.RUNNING if row.state == JobState.WAITING else row.state
            connection.execute(
                update(table)
                .where(table.c.identification == row.identification)
                .values(holder=holder, lease=now + LEASE_SECONDS, state=state, changed=now)
            )
            return _job(connection.execute(_of(row.identification)).one())

    def has_due(self, kinds: Kinds = ALL_KINDS) -> bool:
        """Tell whether `take` would find one: a look that waits for no one who writes."""
        is_due = table.c.state.in_(OPEN), table.c.lease <= self.now(), kinds.condition
        query = select(table.c.kind).where(*is_due)
        with reading(self.engine) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def renew(self, job: Job, holder: str, done: int, total: int, result: Facts) -> JobState:
        """Note how far a run is, and hold it on; return its state, which may say to cancel.

        Raises `JobLost` where another holds it.
        """
        return self._put(job, holder, done, total, result, self.now() + LEASE_SECONDS, holder)

    def hold_on(self, job: Job, holder: str) -> bool:
        """Hold a run on while it is worked on; return whether it is still held by `holder`."""
        where = (table.c.identification == job.identification, table.c.holder == holder)
        with writing(self.engine, RUNS) as connection:
            lease = self.now() + LEASE_SECONDS
            return connection.execute(update(table).where(*where).values(lease=lease)).rowcount == 1

    def release(
        self, job: Job, holder: str, done: int, total: int, result: Facts, due: int
    ) -> None:
        """Note how far a run is, and let it go until it is due; raise `JobLost`."""
        self._put(job, holder, done, total, result, due, "")

    def finish(
        self, job: Job, holder: str, state: JobState, done: int, total: int, result: Facts
    ) -> None:
        """Note what came of a run; raise `JobLost`."""
        self._put(job, holder, done, total, result, 0, "", state)

    def _put(
        self,
        job: Job,
        holder: str,
        done: int,
        total: int,
        result: Facts,
        lease: int,
        next_holder: str,
        state: JobState | None = None,
    ) -> JobState:
        where = table.c.identification == job.identification
        with writing(self.engine, RUNS) as connection:
            row = connection.execute(select(table).where(where)).one()
            if row.holder != holder:
                raise JobLost("another process works on the run")
            if state is None and row.state == JobState.CANCELLING and not next_holder:
                lease = self.now()  # cancelled meanwhile: that is due at once
            after = JobState(row.state) if state is None else state
            connection.execute(
                update(table)
                .where(where)
                .values(
                    done=done,
                    total=total,
                    result=encode_row(dict(result)),
                    lease=lease,
                    holder=next_holder,
                    state=after,
                    changed=self.now(),
                )
            )
        return after


def _of(identification: str) -> Select[Any]:
    return select(table).where(table.c.identification == identification)


def _job(row: Row[Any]) -> Job:
    try:
        parameters, result = decode_row(bytes(row.parameters)), decode_row(bytes(row.result))
    except CborError:
        raise StoreError("a run is not what was written") from None
    return Job(
        row.identification, row.kind, row.owner, JobState(row.state), row.created, row.changed,
        parameters, row.done, row.total, result, 0 if row.holder else row.lease,
    )  # fmt: skip
