# SPDX-License-Identifier: Apache-2.0
"""Roll-outs as they are kept: planned, begun, stopped, gone on with, rolled back.

All is in the database, and each change is one transaction; so a process that dies leaves nothing
half done, and another goes on. A hub is noted as begun before anything is said to it, and from then
on it is looked at first: what is in place there, not what was thought to be, decides what is said.

A wave opens when enough hubs of the one before have answered. Where too many hubs of an open wave
have failed, the roll-out stops in the same transaction that notes the last of them. No hub is begun
after that; with those that are begun the conversation of the moment is finished.

Errors: RolloutRefused, StoreError
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, insert, select, update

from utility_server.database import reading, writing
from utility_server.database import rollout_answer_table as answers
from utility_server.database import rollout_hub_table as hubs
from utility_server.database import rollout_load_table as loads
from utility_server.database import rollout_table as table
from utility_server.errors import RolloutRefused
from utility_server.fleet.card_state import PackageVersion
from utility_server.fleet.conversations import BroughtPackage
from utility_server.fleet.plans import (
    ACTIVE,
    ANSWERED,
    BACKWARD,
    FORWARD,
    HubAnswer,
    HubFacts,
    HubState,
    Kind,
    RolloutFacts,
    RolloutState,
    Share,
    Waves,
    in_waves,
)

SEED_SIZE: Final = 16
LONGEST_DETAIL: Final = 500
MOST_ATTEMPTS: Final = 3
"""So often in a row a hub may fail in a way that may pass."""
MOST_ANSWERS: Final = 100
"""Of one hub to one roll-out; from then on the newest takes the place of the one before."""

GONE: Final = (RolloutState.PLANNED, RolloutState.ROLLED_BACK)
"""States of a roll-out that has left no version on hubs."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of speaking to a hub."""

    state: HubState
    """`FAILED` where it failed; whether it is tried again is for `Rollouts.settle` to say."""
    detail: str
    status: int = 0
    """The status word of a refusal, or 0."""
    is_final: bool = False
    """Of a failure: whether it would fail again in just the same way."""
    before: bytes = b""
    """The version and digest that was in place when it was first looked at, where that is known."""
    not_before: int = 0
    """When it may be spoken to again."""


@dataclass(frozen=True, slots=True)
class Due:
    """A hub that a roll-out has something to do with."""

    rollout: RolloutFacts
    hub: HubFacts
    is_back: bool
    """Whether the hub is to go back."""
    before: bytes = b""
    """The version and digest that was in place when it was first looked at; empty: not known."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """The roll-outs of one utility."""

    engine: Engine
    now: Callable[[], int] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    # An operator's decisions

    def plan(
        self,
        kind: Kind,
        name: str,
        applet: bytes,
        meters: Sequence[bytes],
        waves: Waves,
        package: BroughtPackage | None = None,
        package_aid: bytes = b"",
    ) -> RolloutFacts:
        """Keep a plan; nothing is said to any hub before it is started.

        Raises `RolloutRefused` where there are no hubs, or where a version is not newer than one
        that was rolled out before: an old one comes back by `roll_back` alone.
        """
        if not meters:
            raise RolloutRefused("there is no hub that it could be for")
        sizes = waves.sizes(len(meters))
        now = self.now()
        with writing(self.engine) as connection:
            if package is not None:
                self._require_newer(connection, package.aid, package.target.version)
                self._keep_load(connection, package)
            last = connection.execute(select(func.max(table.c.number))).scalar_one()
            number = (last or 0) + 1
            connection.execute(
                insert(table).values(
                    number=number,
                    kind=kind,
                    name=name,
                    state=RolloutState.PLANNED,
                    why="",
                    applet=applet,
                    package=package_aid if package is None else package.aid,
                    version=b"" if package is None else bytes(package.target.version),
                    digest=b"" if package is None else package.target.digest,
                    sizes=json.dumps(sizes),
                    stop_at=str(waves.stop_at),
                    enough=waves.enough,
                    rest=waves.rest,
                    wave=0,
                    opened=0,
                    made=now,
                    changed=now,
                )
            )
            rows = [
                {
                    "number": number, "meter": meter, "wave": wave, "state": HubState.PLANNED,
                    "counts": 1, "attempts": 0, "before": b"", "not_before": 0, "changed": now,
                    "detail": "",
                }
                for wave, meter in in_waves(meters, sizes, self.randomness(SEED_SIZE))
            ]  # fmt: skip
            connection.execute(insert(hubs), rows)
            return self._find(connection, number)

    def start(self, number: int) -> RolloutFacts:
        """Open the first wave; raise `RolloutRefused` unless it is planned.

        Another one of the same package ends with that. One that is being rolled back has to be
        rolled back first. A version must still be newer than any that was rolled out, and none of
        the package that was planned later may have begun: what began last is what goes back.
        """
        with writing(self.engine) as connection:
            rollout = self._find(connection, number)
            _require(rollout, RolloutState.PLANNED, word="started")
            if rollout.kind is Kind.VERSION:
                self._require_newer(connection, rollout.package, rollout.version)
                self._require_last(connection, rollout, "has begun: plan this one again")
            for other in self._active_of(connection, rollout):
                if other.state is RolloutState.ROLLING_BACK:
                    raise RolloutRefused(
                        f"roll-out {other.number} of the same package is being rolled back"
                    )
                self._move(connection, other, RolloutState.SUPERSEDED, f"by {number}")
            connection.execute(
                _the(number).values(
                    state=RolloutState.RUNNING, wave=1, opened=self.now(), changed=self.now()
                )
            )
            return self._find(connection, number)

    def stop(self, number: int) -> RolloutFacts:
        """Begin with no more hubs; raise `RolloutRefused` unless it is running."""
        with writing(self.engine) as connection:
            rollout = self._find(connection, number)
            _require(rollout, RolloutState.RUNNING, word="stopped")
            self._move(connection, rollout, RolloutState.STOPPED, "by the operator")
            return self._find(connection, number)

    def resume(self, number: int, *, leaves_failed: bool = False) -> RolloutFacts:
        """Go on with one that has stopped; raise `RolloutRefused` unless it has.

        Hubs that have failed are tried again. With `leaves_failed` they stay as they are, and
        their failures count no more.
        """
        with writing(self.engine) as connection:
            rollout = self._find(connection, number)
            _require(rollout, RolloutState.STOPPED, word="gone on with")
            failed = update(hubs).where(
                hubs.c.number == number, hubs.c.state == HubState.FAILED, hubs.c.counts == 1
            )
            if leaves_failed:
                connection.execute(failed.values(counts=0))
            else:
                connection.execute(failed.values(state=HubState.BEGUN, attempts=0, not_before=0))
            self._move(connection, rollout, RolloutState.RUNNING, "")
            self._advance(connection, number)
            return self._find(connection, number)

    def roll_back(self, number: int) -> RolloutFacts:
        """Have every hub go back to the version that was there before; raise `RolloutRefused`.

        Hubs that were never spoken to are left alone. Said again of one that is rolled back, it
        tries the hubs again that have failed.
        """
        with writing(self.engine) as connection:
            rollout = self._find(connection, number)
            if rollout.kind is not Kind.VERSION:
                raise RolloutRefused(f"a roll-out of {rollout.kind} cannot be rolled back")
            states = (
                RolloutState.RUNNING, RolloutState.STOPPED, RolloutState.DONE,
                RolloutState.ROLLED_BACK,
            )  # fmt: skip
            _require(rollout, *states, word="rolled back")
            self._require_last(connection, rollout)
            own = hubs.c.number == number
            for before, after in (
                (HubState.PLANNED, HubState.NOT_BEGUN),
                # Whatever failed there, a hub that was spoken to may have the version.
                (HubState.FAILED, HubState.BEGUN),
            ):
                connection.execute(
                    update(hubs).where(own, hubs.c.state == before).values(state=after)
                )
            connection.execute(update(hubs).where(own).values(not_before=0, attempts=0))
            self._move(connection, rollout, RolloutState.ROLLING_BACK, "")
            self._advance(connection, number)
            return self._find(connection, number)

    def ask_again(self, number: int) -> RolloutFacts:
        """Speak to all hubs that wait for something when they dial next, not only later.

        Raises `RolloutRefused` unless it is running or rolled back at the moment.
        """
        with writing(self.engine) as connection:
            rollout = self._find(connection, number)
            _require(rollout, *ACTIVE, word="asked about")
            connection.execute(update(hubs).where(hubs.c.number == number).values(not_before=0))
            return rollout

    # What the gateway asks and tells

    def due_meters(self) -> frozenset[bytes]:
        """Return the meters that something is due for; waves that may open by now are opened."""
        self.advance_all()
        with reading(self.engine) as connection:
            rows = connection.execute(select(hubs.c.meter).where(self._is_due()).distinct())
            return frozenset(bytes(meter) for meter in rows.scalars())

    def due(self, meter: bytes) -> list[Due]:
        """Return what is due for a meter, roll-outs in order."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                select(hubs).where(self._is_due(), hubs.c.meter == meter).order_by(hubs.c.number)
            ).all()
            found = []
            for row in rows:
                rollout = self._find(connection, row.number)
                is_back = rollout.state is RolloutState.ROLLING_BACK
                found.append(Due(rollout, _hub(row), is_back, bytes(row.before)))
        return found

    def _is_due(self) -> ColumnElement[bool]:
        running = (
            select(table.c.number)
            .where(
                table.c.number == hubs.c.number,
                table.c.state == RolloutState.RUNNING,
                table.c.wave >= hubs.c.wave,
            )
            .exists()
        )
        back = (
            select(table.c.number)
            .where(table.c.number == hubs.c.number, table.c.state == RolloutState.ROLLING_BACK)
            .exists()
        )
        is_time = hubs.c.not_before <= self.now()
        return is_time & (
            (hubs.c.state.in_(FORWARD) & running) | (hubs.c.state.in_(BACKWARD) & back)
        )

    def begin(self, due: Due) -> bool:
        """Note that a hub is spoken to from now on; False where it is not to be, by now."""
        number, meter = due.rollout.number, due.hub.meter
        with writing(self.engine, _scope(number)) as connection:
            where = self._is_due(), hubs.c.number == number, hubs.c.meter == meter
            row = connection.execute(select(hubs).where(*where)).one_or_none()
            rollout = self._find(connection, number)
            if row is None or (rollout.state is RolloutState.ROLLING_BACK) != due.is_back:
                return False
            if row.state == HubState.PLANNED:
                connection.execute(_one(number, meter).values(state=HubState.BEGUN))
        return True

    def load(self, rollout: RolloutFacts) -> BroughtPackage:
        """Return what a roll-out brings."""
        with reading(self.engine) as connection:
            block = bytes(
                connection.execute(
                    select(loads.c.block).where(loads.c.digest == rollout.digest)
                ).scalar_one()
            )
        target = PackageVersion(rollout.version, rollout.digest)
        return BroughtPackage(rollout.package, target, block, sha256(block).digest())

    def settle(self, due: Due, outcome: Outcome) -> None:
        """Keep what came of speaking to a hub, open the next wave or stop, all at once.

        Where the roll-out goes the other way by now, the answer is kept and the hub is looked at
        again.
        """
        number, meter = due.rollout.number, due.hub.meter
        detail = outcome.detail[:LONGEST_DETAIL]
        with writing(self.engine, _scope(number)) as connection:
            rollout = self._find(connection, number)
            goal = "back" if due.is_back else "forward"
            self._keep_answer(connection, number, meter, goal, outcome, detail)
            where = hubs.c.number == number, hubs.c.meter == meter
            row = connection.execute(select(hubs).where(*where)).one()
            before = bytes(row.before) or outcome.before
            values: dict[str, Any] = {"before": before}
            if (rollout.state is RolloutState.ROLLING_BACK) == due.is_back:
                attempts = row.attempts + 1 if outcome.state is HubState.FAILED else 0
                state = outcome.state
                if attempts and attempts < MOST_ATTEMPTS and not outcome.is_final:
                    state = HubState.BEGUN
                values |= {
                    "state": state,
                    "attempts": attempts,
                    "not_before": outcome.not_before,
                    "changed": self.now(),
                    "detail": detail,
                }
            connection.execute(_one(number, meter).values(**values))
            self._advance(connection, number)

    def advance_all(self) -> None:
        """Open the waves whose rest is over."""
        with reading(self.engine) as connection:
            numbers = connection.execute(
                select(table.c.number).where(table.c.state.in_(ACTIVE))
            ).scalars().all()  # fmt: skip
            may_move = [one for one in numbers if self._next(connection, one) is not None]
        for number in may_move:
            with writing(self.engine, _scope(number)) as connection:
                self._advance(connection, number)

    # What is shown

    def find(self, number: int) -> RolloutFacts:
        """Return a roll-out; raise `RolloutRefused` where there is none of that number."""
        with reading(self.engine) as connection:
            return self._find(connection, number)

    def all(self) -> list[RolloutFacts]:
        """Return all roll-outs, oldest first."""
        with reading(self.engine) as connection:
            return [_facts(row) for row in connection.execute(select(table).order_by("number"))]

    def known(self, number: int) -> RolloutFacts | None:
        """Return the roll-out of that number, or None."""
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.number == number)).one_or_none()
        return None if row is None else _facts(row)

    def page(self, before: int | None, limit: int) -> list[RolloutFacts]:
        """Return roll-outs, the newest first, from before one on."""
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.number < before)
        with reading(self.engine) as connection:
            return [_facts(row) for row in connection.execute(query)]

    def hub_page(
        self,
        number: int,
        after: tuple[int, bytes] | None,
        limit: int,
        states: Sequence[HubState] = (),
    ) -> list[HubFacts]:
        """Return hubs of a roll-out, by wave and meter, from after one on; in these states."""
        query = select(hubs).where(hubs.c.number == number).order_by(hubs.c.wave, hubs.c.meter)
        if states:
            query = query.where(hubs.c.state.in_(states))
        if after is not None:
            wave, meter = after
            is_later = (hubs.c.wave == wave) & (hubs.c.meter > meter)
            query = query.where((hubs.c.wave > wave) | is_later)
        with reading(self.engine) as connection:
            return [_hub(row) for row in connection.execute(query.limit(limit))]

    def newest_of(
        self, kind: Kind, applet: bytes, after: bytes = b"", limit: int | None = None
    ) -> list[HubFacts]:
        """Return how each hub is in the newest roll-out of that kind and applet, by meter."""
        newest = (
            select(hubs.c.meter, func.max(hubs.c.number).label("number"))
            .join(table, table.c.number == hubs.c.number)
            .where(table.c.kind == kind, table.c.applet == applet, hubs.c.meter > after)
            .group_by(hubs.c.meter)
            .order_by(hubs.c.meter)
            .limit(limit)
            .subquery()
        )
        is_newest = (newest.c.meter == hubs.c.meter) & (newest.c.number == hubs.c.number)
        query = select(hubs).join(newest, is_newest).order_by(hubs.c.meter)
        with reading(self.engine) as connection:
            return [_hub(row) for row in connection.execute(query)]

    def hubs(self, number: int) -> list[HubFacts]:
        """Return the hubs of a roll-out, by wave and meter."""
        query = select(hubs).where(hubs.c.number == number).order_by(hubs.c.wave, hubs.c.meter)
        with reading(self.engine) as connection:
            return [_hub(row) for row in connection.execute(query)]

    def counts(self, number: int) -> dict[int, dict[HubState, int]]:
        """Return how many hubs are in each state, by wave."""
        with reading(self.engine) as connection:
            return self._counts(connection, number)

    def answers(self, number: int, meter: bytes) -> list[HubAnswer]:
        """Return what a hub has answered to a roll-out, oldest first."""
        query = select(answers).where(answers.c.number == number, answers.c.meter == meter)
        with reading(self.engine) as connection:
            return [
                HubAnswer(row.time, row.goal, HubState(row.state), row.status, row.detail)
                for row in connection.execute(query.order_by(answers.c.place))
            ]

    # Inside a transaction

    def _advance(self, connection: Connection, number: int) -> None:
        """Stop, open the next wave or end, as what is known asks for."""
        step = self._next(connection, number)
        if step is not None:
            connection.execute(_the(number).values(**step, changed=self.now()))

    def _next(self, connection: Connection, number: int) -> Mapping[str, Any] | None:
        """Return what changes in a roll-out by now; None where nothing does."""
        rollout = self._find(connection, number)
        if rollout.state not in ACTIVE:
            return None
        counts = self._counts(connection, number)
        if rollout.state is RolloutState.ROLLING_BACK:
            left = sum(_sum(wave, BACKWARD) for wave in counts.values())
            return None if left else {"state": RolloutState.ROLLED_BACK}
        failed = self._failed(connection, number)
        for wave in range(1, rollout.wave + 1):
            limit = rollout.stop_at.of(rollout.sizes[wave - 1])
            if failed.get(wave, 0) >= limit:
                why = f"{failed[wave]} of {rollout.sizes[wave - 1]} hubs of wave {wave} have failed"
                return {"state": RolloutState.STOPPED, "why": why}
        if rollout.wave < len(rollout.sizes):
            size = rollout.sizes[rollout.wave - 1]
            # Rounded up: of a small wave, all have to answer before the next one opens.
            enough = -(-rollout.enough * size // 100)
            answered = _sum(counts.get(rollout.wave, {}), ANSWERED)
            if answered >= enough and self.now() >= rollout.opened + rollout.rest:
                return {"wave": rollout.wave + 1, "opened": self.now()}
            return None
        left = sum(_sum(wave, FORWARD) for wave in counts.values())
        return None if left else {"state": RolloutState.DONE}

    def _counts(self, connection: Connection, number: int) -> dict[int, dict[HubState, int]]:
        query = select(hubs.c.wave, hubs.c.state, func.count()).where(hubs.c.number == number)
        counts: dict[int, dict[HubState, int]] = {}
        for wave, state, count in connection.execute(query.group_by(hubs.c.wave, hubs.c.state)):
            counts.setdefault(wave, {})[HubState(state)] = count
        return counts

    def _failed(self, connection: Connection, number: int) -> dict[int, int]:
        """Return how many failures count towards the limit, by wave."""
        query = select(hubs.c.wave, func.count()).where(
            hubs.c.number == number, hubs.c.state == HubState.FAILED, hubs.c.counts == 1
        )
        rows = connection.execute(query.group_by(hubs.c.wave)).all()
        return {row[0]: row[1] for row in rows}

    def _keep_answer(
        self, connection: Connection, number: int, meter: bytes, goal: str, outcome: Outcome,
        detail: str,
    ) -> None:  # fmt: skip
        own = answers.c.number == number, answers.c.meter == meter
        last = connection.execute(select(func.max(answers.c.place)).where(*own)).scalar_one()
        place = min((last or 0) + 1, MOST_ANSWERS)
        values = {
            "time": self.now(), "goal": goal, "state": outcome.state, "status": outcome.status,
            "detail": detail,
        }  # fmt: skip
        if last == MOST_ANSWERS:
            connection.execute(
                update(answers).where(*own, answers.c.place == place).values(**values)
            )
            return
        connection.execute(
            insert(answers).values(number=number, meter=meter, place=place, **values)
        )

    def _keep_load(self, connection: Connection, package: BroughtPackage) -> None:
        """Keep what is loaded; plans of another file with the same signed part end.

        No hub gets a file that its roll-out was not planned with. Raises `RolloutRefused` where
        hubs may have the other one.
        """
        digest = package.target.digest
        query = select(loads.c.block).where(loads.c.digest == digest)
        known = connection.execute(query).scalar_one_or_none()
        if known is None:
            connection.execute(insert(loads).values(digest=digest, block=package.block))
        elif bytes(known) != package.block:
            query = select(table).where(table.c.digest == digest)
            for other in [_facts(row) for row in connection.execute(query)]:
                if other.state not in (*GONE, RolloutState.SUPERSEDED):
                    raise RolloutRefused(
                        f"roll-out {other.number} has brought another file with the same signed"
                        " part: roll that one back"
                    )
                if other.state is RolloutState.PLANNED:
                    why = "by another file with the same signed part"
                    self._move(connection, other, RolloutState.SUPERSEDED, why)
            connection.execute(
                update(loads).where(loads.c.digest == digest).values(block=package.block)
            )

    def _require_newer(
        self, connection: Connection, package: bytes, wanted: tuple[int, int]
    ) -> None:
        query = select(table.c.number, table.c.version, table.c.state).where(
            table.c.kind == Kind.VERSION,
            table.c.package == package,
            table.c.state.not_in(GONE),
            table.c.wave > 0,
        )
        for number, version, state in connection.execute(query):
            # One that was superseded cannot go back; once its successor has, it may come again.
            is_same = tuple(version) == wanted and state == RolloutState.SUPERSEDED
            if tuple(version) >= wanted and not is_same:
                raise RolloutRefused(
                    f"roll-out {number} has brought version {version[0]}.{version[1]} of the"
                    f" package, which is no older than {wanted[0]}.{wanted[1]}: roll that one back"
                )

    def _require_last(
        self, connection: Connection, rollout: RolloutFacts, why: str = "came later: roll it back"
    ) -> None:
        """Hubs keep one version before: only the newest roll-out of a package goes back."""
        query = select(func.max(table.c.number)).where(
            table.c.kind == Kind.VERSION,
            table.c.package == rollout.package,
            table.c.state.not_in(GONE),
            table.c.wave > 0,
        )
        newest = connection.execute(query).scalar_one()
        if newest is not None and newest > rollout.number:
            raise RolloutRefused(f"roll-out {newest} of the same package {why}")

    def _active_of(self, connection: Connection, rollout: RolloutFacts) -> list[RolloutFacts]:
        query = select(table).where(
            table.c.number != rollout.number,
            table.c.kind == rollout.kind,
            table.c.applet == rollout.applet,
            table.c.state.in_((*ACTIVE, RolloutState.STOPPED)),
        )
        return [_facts(row) for row in connection.execute(query)]

    def _move(
        self, connection: Connection, rollout: RolloutFacts, state: RolloutState, why: str
    ) -> None:
        connection.execute(_the(rollout.number).values(state=state, why=why, changed=self.now()))

    def _find(self, connection: Connection, number: int) -> RolloutFacts:
        row = connection.execute(select(table).where(table.c.number == number)).one_or_none()
        if row is None:
            raise RolloutRefused(f"there is no roll-out {number}")
        return _facts(row)


def _require(rollout: RolloutFacts, *states: RolloutState, word: str) -> None:
    if rollout.state not in states:
        raise RolloutRefused(f"roll-out {rollout.number} is {rollout.state} and cannot be {word}")


def _scope(number: int) -> bytes:
    """Name what hubs of one roll-out change: those of another, and bills, need not wait for it."""
    return b"rollout %d" % number


def _the(number: int) -> Any:
    return update(table).where(table.c.number == number)


def _one(number: int, meter: bytes) -> Any:
    return update(hubs).where(hubs.c.number == number, hubs.c.meter == meter)


def _sum(counts: Mapping[HubState, int], states: Sequence[HubState]) -> int:
    return sum(counts.get(state, 0) for state in states)


def _facts(row: Row[Any]) -> RolloutFacts:
    version = bytes(row.version)
    return RolloutFacts(
        row.number,
        Kind(row.kind),
        row.name,
        RolloutState(row.state),
        row.why,
        bytes(row.applet),
        bytes(row.package),
        (version[0], version[1]) if version else (0, 0),
        bytes(row.digest),
        tuple(json.loads(row.sizes)),
        Share.parse(row.stop_at),
        row.enough,
        row.rest,
        row.wave,
        row.opened,
        row.made,
        row.changed,
    )


def _hub(row: Row[Any]) -> HubFacts:
    return HubFacts(
        bytes(row.meter),
        row.wave,
        HubState(row.state),
        bool(row.counts),
        row.attempts,
        row.not_before,
        row.changed,
        row.detail,
    )
