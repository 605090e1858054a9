# SPDX-License-Identifier: Apache-2.0
"""An applet under pytest: natively, with a household made up for it.

    household = Household.constant(watt_hours=100, days=31)
    card = NativeCard(BillingApplet, FakePlatform(household))
    response = card.send(Command(0x80, 0x10, data=request))

`NativeCard` treats the applet as the hub does: errors become status words, an exception that the
applet does not handle loses its memory and undoes what the command did to its store. What it does
not do is confine: that takes the machine.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.sdk.apdu import Command, Response
from applets.sdk.applet import Applet
from protocols.amounts import (
    AmountsMalformed,
    Carried,
    Total,
    decode_amounts,
    decode_numbers,
    fits,
)
from protocols.canonical.day_zone import zone_named
from protocols.carried import CarriedState, CarriedValue, StateMalformed
from protocols.platform.errors import AppletError, Refusal, Refused, StatusWord
from protocols.platform.services import (
    MAX_PEER_MESSAGE,
    BoundedEnergy,
    CarriedNumbers,
    Grid,
    OpenedAmounts,
    OpenedNumbers,
    Platform,
    Slots,
    Transactions,
    Use,
    names_of,
)

IMPORT_REGISTER: Final = "1-0:1.8.0*255"
EXPORT_REGISTER: Final = "1-0:2.8.0*255"
MISSING: Final = 3
KEPT: Final = (0x90, 0x61, 0x62, 0x63)
"""SW1 of commands that have done something: success, more to come, warnings."""


@dataclass(frozen=True, slots=True)
class Household:
    """What a made-up household used, slot by slot."""

    zone: str
    slot_minutes: int
    begin: int
    watt_hours: tuple[int, ...]
    states: bytes
    register: str = IMPORT_REGISTER
    fed_in_wh: tuple[int, ...] | None = None
    """What it fed in, in the register `EXPORT_REGISTER`; None: it has none."""

    @classmethod
    def constant(
        cls,
        watt_hours: int,
        days: int,
        *,
        first_day: date = date(2026, 3, 1),
        zone: str = "Europe/Berlin",
        slot_minutes: int = 15,
    ) -> "Household":
        """Return a household that uses the same in every slot of `days` local days."""
        begin, end = (
            int(datetime.combine(day, datetime.min.time(), zone_named(zone)).timestamp())
            for day in (first_day, first_day + timedelta(days=days))
        )
        slots = (end - begin) // (slot_minutes * 60)
        return cls(zone, slot_minutes, begin, (watt_hours,) * slots, bytes(slots))

    @property
    def end(self) -> int:
        """When the last slot ends."""
        return self.begin + len(self.watt_hours) * self.slot_minutes * 60

    def between(self, register: str, begin: int, end: int) -> Use:
        """Return what was used in the slots that start in [begin, end)."""
        width = self.slot_minutes * 60
        registers = {EXPORT_REGISTER: self.fed_in_wh, self.register: self.watt_hours}
        watt_hours = registers.get(register)
        if watt_hours is None or not self.begin <= begin < end <= self.end:
            raise Refused(Refusal.NOT_FOUND, "the household has no such register or period")
        if (begin - self.begin) % width or (end - begin) % width:
            raise Refused(Refusal.MALFORMED, "the period does not begin and end with slots")
        chosen = slice((begin - self.begin) // width, (end - self.begin) // width)
        starts = tuple(range(begin, end, width))
        return Use(starts, watt_hours[chosen], self.states[chosen])


@dataclass(slots=True)
class FakePlatform:
    """Services over a household; what they were asked is kept for the test to see."""

    household: Household
    time: int = 0
    """What the clock shows; by default the household's end."""
    store: dict[bytes, bytes] = field(default_factory=dict)
    store_bytes: int = 65_536
    released_amounts: list[OpenedAmounts] = field(default_factory=list)
    released_numbers: list[OpenedNumbers | CarriedNumbers] = field(default_factory=list)
    carried: dict[bytes, dict[str, int]] = field(default_factory=dict)
    """What numbers have handed on, by the digest of the state that they left."""
    bounded_energy: list[BoundedEnergy] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)
    output_sizes: Mapping[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    refuse: Refusal | None = None
    """Refuse every statement for this reason."""
    is_raw: bool = False
    aid: bytes = b"\xf0test"
    """What other applets know this one by."""
    peers: dict[bytes, "NativeCard"] = field(default_factory=dict)
    """The applets that can be called, by AID. Unlike in the hub, what one of them has kept stays
    when its client's command fails or aborts."""
    aggregation: Callable[..., bytes] | None = None
    """Answers the steps of a round, by name and messages; without it they are not granted."""
    _begun: dict[bytes, bytes] | None = field(default=None, init=False)
    _is_serving: bool = field(default=False, init=False)

    def platform(self) -> Platform:
        """Return what the applet is handed."""
        return Platform(
            _FakeStatements(self),
            _FakeCalendar(self),
            _FakeStore(self),
            _FakeClock(self),
            _FakeSignatures(self),
            _FakeLog(self),
            _FakeReadings(self),
            _FakeOutputs(self),
            _FakeTransactions(self),
            _FakePeers(self),
            _FakeAggregation(self),
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Take back what the block does to the store if it raises or leaves a transaction open."""
        kept = dict(self.store)
        try:
            yield
        except BaseException:
            self._begun = kept
            raise
        finally:
            if self._begun is not None:
                self.restore()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Open no statements during the block."""
        self._is_serving = True
        try:
            yield
        finally:
            self._is_serving = False

    @property
    def may_release(self) -> bool:
        """Whether what is told now is sure to stay on record."""
        return self._begun is None and not self._is_serving

    @property
    def is_open(self) -> bool:
        """Whether the applet has begun a transaction and not ended it."""
        return self._begun is not None

    def begin(self) -> None:
        """Note what a transaction may bring back."""
        self._begun = dict(self.store)

    def commit(self) -> None:
        """Forget what a transaction would have brought back."""
        self._begun = None

    def restore(self) -> None:
        """Bring back what was there when the transaction began."""
        assert self._begun is not None
        self.store.clear()
        self.store.update(self._begun)
        self._begun = None


@dataclass(frozen=True, slots=True)
class _FakeService:
    fake: FakePlatform


class _FakeStatements(_FakeService):
    def open_amounts(
        self, register: str, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedAmounts:
        fake = self.fake
        if fake.refuse is not None:
            raise Refused(fake.refuse)
        if not fake.may_release:
            raise Refused(Refusal.MALFORMED, "not within a transaction, nor for another applet")
        use = fake.household.between(register, begin, end)
        try:
            described = decode_amounts(amounts)
        except AmountsMalformed as error:
            raise Refused(Refusal.MALFORMED, str(error)) from None
        if any(form.end > len(use.starts) for one in described for form in one.forms):
            raise Refused(Refusal.MALFORMED, "an amount is of slots beyond the period")
        pairs = zip(use.watt_hours, use.states, strict=True)
        known = [0 if state == MISSING else watt_hours for watt_hours, state in pairs]
        values = tuple(amount.value_of(known) for amount in described)
        seed = f"{register} {begin} {end} {values} ".encode() + amounts + context
        days = tuple(f"day {day}".encode() for day in range((end - begin) // 86_400))
        opened = OpenedAmounts(values, _hash(b"proof", seed), days)
        fake.released_amounts.append(opened)
        return opened

    def open_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes
    ) -> OpenedNumbers:
        known = self._known_uses(registers, begin, end)
        try:
            described = decode_numbers(amounts)
        except AmountsMalformed as error:
            raise Refused(Refusal.MALFORMED, str(error)) from None
        if not fits(described, list(map(len, known))):
            raise Refused(Refusal.MALFORMED, "a number is of other registers, or of other slots")
        values = tuple(
            number.value_of(known) if isinstance(number, Total) else number.value_of(known[0])
            for number in described
        )
        seed = f"{registers.hex()} {begin} {end} {values} ".encode() + amounts + context
        opened = OpenedNumbers(values, _hash(b"proof", seed), _days_of(registers, begin, end))
        self.fake.released_numbers.append(opened)
        return opened

    def carry_numbers(
        self, registers: bytes, begin: int, end: int, amounts: bytes, context: bytes, state: bytes
    ) -> CarriedNumbers:
        fake = self.fake
        uses = self._known_uses(registers, begin, end)
        described, before = _totals_of(amounts), _state_of(state, begin)
        known = fake.carried.get(before.digest, {})
        if before.number and not known:
            raise Refused(Refusal.NOT_FOUND, "no number has left that state")
        if not fits(described, list(map(len, uses))):
            raise Refused(Refusal.MALFORMED, "a number is of other registers, or of other slots")
        values = tuple(total.value_of(uses, known) for total in described)
        kept = {
            name: value for total in described for name, value in total.kept_of(uses, known).items()
        }
        seed = f"{registers.hex()} {begin} {end} {values} ".encode() + amounts + context + state
        bounds = {
            one.name: Carried(one.name, one.low, one.bits) for t in described for one in t.kept
        }
        after = before.following(
            end,
            [
                CarriedValue(bounds[name], b"\2" + _hash(name.encode(), seed))
                for name in sorted(kept)
            ],
        )
        fake.carried[after.digest] = kept
        opened = CarriedNumbers(
            values, _hash(b"proof", seed), _days_of(registers, begin, end), after.encode()
        )
        fake.released_numbers.append(opened)
        return opened

    def _known_uses(self, registers: bytes, begin: int, end: int) -> list[list[int]]:
        """Return the uses of each register, with 0 for what is missing; raise `Refused`."""
        fake = self.fake
        if fake.refuse is not None:
            raise Refused(fake.refuse)
        if not fake.may_release:
            raise Refused(Refusal.MALFORMED, "not within a transaction, nor for another applet")
        uses = [fake.household.between(name, begin, end) for name in names_of(registers)]
        return [
            [
                0 if state == MISSING else watt_hours
                for watt_hours, state in zip(use.watt_hours, use.states, strict=True)
            ]
            for use in uses
        ]

    def bound_unattributed(
        self, register: str, begin: int, end: int, limit_wh: int, context: bytes
    ) -> BoundedEnergy:
        fake = self.fake
        if fake.refuse is not None:
            raise Refused(fake.refuse)
        if not fake.may_release:
            raise Refused(Refusal.MALFORMED, "not within a transaction, nor for another applet")
        use = fake.household.between(register, begin, end)
        pairs = zip(use.watt_hours, use.states, strict=True)
        unattributed = sum(watt_hours for watt_hours, state in pairs if state == MISSING)
        values = () if unattributed <= limit_wh else (unattributed,)
        seed = f"{register} {begin} {end} {limit_wh} {values} ".encode() + context
        days = tuple(f"day {day}".encode() for day in range((end - begin) // 86_400))
        opened = BoundedEnergy(values, _hash(b"unattributed", seed), days)
        fake.bounded_energy.append(opened)
        return opened


def _days_of(registers: bytes, begin: int, end: int) -> tuple[bytes, ...]:
    return tuple(
        f"{name} day {day}".encode()
        for name in names_of(registers)
        for day in range((end - begin) // 86_400)
    )


def _totals_of(amounts: bytes) -> list[Total]:
    try:
        described = decode_numbers(amounts)
    except AmountsMalformed as error:
        raise Refused(Refusal.MALFORMED, str(error)) from None
    totals = [one for one in described if isinstance(one, Total)]
    if len(totals) != len(described):
        raise Refused(Refusal.MALFORMED, "only totals go on from a state")
    return totals


def _state_of(data: bytes, begin: int) -> CarriedState:
    try:
        state = CarriedState.decode(data)
    except StateMalformed as error:
        raise Refused(Refusal.MALFORMED, str(error)) from None
    if state.end != begin:
        raise Refused(Refusal.MALFORMED, "the state ends at another time")
    return state


class _FakeCalendar(_FakeService):
    def grid(self) -> Grid:
        return Grid(self.fake.household.zone, self.fake.household.slot_minutes)

    def slots(self, register: str, begin: int, end: int) -> Slots:
        use = self.fake.household.between(register, begin, end)
        return Slots(use.starts, use.states)


class _FakeStore(_FakeService):
    def get(self, key: bytes) -> bytes | None:
        return self.fake.store.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        kept = {**self.fake.store, key: value}
        if sum(len(name) + len(item) for name, item in kept.items()) > self.fake.store_bytes:
            raise Refused(Refusal.TOO_MUCH)
        self.fake.store[key] = value

    def delete(self, key: bytes) -> None:
        self.fake.store.pop(key, None)

    def keys(self) -> list[bytes]:
        return sorted(self.fake.store)


class _FakeClock(_FakeService):
    def now(self) -> int:
        return self.fake.time or self.fake.household.end


class _FakeSignatures(_FakeService):
    def verify_ed25519(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class _FakeLog(_FakeService):
    def write(self, text: str) -> None:
        self.fake.log.append(text)


class _FakeReadings(_FakeService):
    def read(self, register: str, begin: int, end: int) -> Use:
        if not self.fake.is_raw:
            raise Refused(Refusal.NOT_GRANTED)
        return self.fake.household.between(register, begin, end)


class _FakeOutputs(_FakeService):
    def set(self, name: str, value: bytes) -> None:
        if not self.fake.is_raw or name not in self.fake.output_sizes:
            raise Refused(Refusal.NOT_GRANTED)
        if len(value) != self.fake.output_sizes[name]:
            raise Refused(Refusal.MALFORMED)
        self.fake.outputs[name] = value


class _FakeTransactions(_FakeService, Transactions):
    def begin(self) -> None:
        self._require(is_open=False)
        self.fake.begin()

    def commit(self) -> None:
        self._require(is_open=True)
        self.fake.commit()

    def abort(self) -> None:
        self._require(is_open=True)
        self.fake.restore()

    def _require(self, *, is_open: bool) -> None:
        if self.fake.is_open is not is_open:
            raise Refused(Refusal.MALFORMED, "out of order")


class _FakePeers(_FakeService):
    def call(self, peer: bytes, service: int, request: bytes) -> bytes:
        server = self.fake.peers.get(peer)
        answer = None if server is None else server.serve(self.fake.aid, service, request)
        if answer is None:
            raise Refused(Refusal.NOT_GRANTED)
        return answer


class _FakeAggregation(_FakeService):
    def tell_keys(self, nonce: bytes) -> bytes:
        return self._step("tell_keys", nonce)

    def contribute(self, operator: bytes, announced: bytes) -> bytes:
        return self._step("contribute", operator, announced)

    def agree(self, contributors: bytes) -> bytes:
        return self._step("agree", contributors)

    def open_sum(self, contributors: bytes, agreements: bytes) -> bytes:
        if not self.fake.may_release:
            raise Refused(Refusal.MALFORMED, "not within a transaction, nor for another applet")
        return self._step("open_sum", contributors, agreements)

    def show_points(self, contributors: bytes) -> bytes:
        return self._step("show_points", contributors)

    def show_key(self, contributors: bytes, points: bytes) -> bytes:
        return self._step("show_key", contributors, points)

    def _step(self, name: str, *messages: bytes) -> bytes:
        if self.fake.refuse is not None:
            raise Refused(self.fake.refuse)
        if self.fake.aggregation is None:
            raise Refused(Refusal.NOT_GRANTED)
        return self.fake.aggregation(name, *messages)


class NativeCard:
    """One applet, run as the hub would run it, in this Python."""

    def __init__(self, applet_class: type[Applet], fake: FakePlatform) -> None:
        self._class, self._fake = applet_class, fake
        self._applet: Applet | None = None
        self._is_busy = False
        self.failure: Exception | None = None
        """What the applet did not handle in the last call."""

    def install(self, parameters: bytes = b"") -> Response:
        """Install the applet."""
        with self._call() as (applet, answer):
            applet.install(parameters)
            answer.append(Response())
        return answer[-1]

    def select(self) -> Response:
        """Turn to the applet."""
        with self._call() as (applet, answer):
            answer.append(Response(applet.select()))
        return answer[-1]

    def send(self, command: Command) -> Response:
        """Ask the applet."""
        with self._call() as (applet, answer):
            response = applet.process(Command.decode(command.encode()))
            if not isinstance(response, Response):
                raise TypeError(f"process() must return a Response, not {type(response).__name__}")
            answer.append(response)
        return answer[-1]

    def serve(self, client: bytes, service: int, request: bytes) -> bytes | None:
        """Answer the applet of that AID as the hub would have it done; None is a refusal."""
        self.failure = None
        if self._is_busy or len(request) > MAX_PEER_MESSAGE:
            return None
        self._is_busy = True
        try:
            with self._fake.transaction(), self._fake.serving():
                applet = self._started()
                if applet.grants(client, service) is not True:
                    raise _NothingKept
                answer = applet.serve(client, service, request)
                if not isinstance(answer, bytes) or len(answer) > MAX_PEER_MESSAGE:
                    raise TypeError(f"serve() must return at most {MAX_PEER_MESSAGE} bytes")
                return answer
        except _NothingKept:
            return None
        except Exception as error:  # noqa: BLE001  (what the hub does; the test looks at it)
            self.failure = error
            self._applet = None
            return None
        finally:
            self._is_busy = False

    def update(self) -> None:
        """Let a raw applet read and set its outputs."""
        with self._call() as (applet, answer):
            applet.update()
            answer.append(Response())

    def reset(self) -> None:
        """Let the applet lose its memory."""
        self._applet = None

    @contextmanager
    def _call(self) -> Iterator[tuple[Applet, list[Response]]]:
        self.failure = None
        answer = [Response(status=StatusWord.NO_SPECIFIC_DIAGNOSIS)]
        self._is_busy = True
        try:
            with self._fake.transaction():
                yield self._started(), answer
                if answer[-1].status >> 8 not in KEPT:
                    raise _NothingKept
        except _NothingKept:
            pass
        except AppletError as error:
            answer.append(Response(status=error.status))
        except Exception as error:  # noqa: BLE001  (what the hub does; the test looks at it)
            self.failure = error
            self._applet = None
        finally:
            self._is_busy = False

    def _started(self) -> Applet:
        if self._applet is None:
            self._applet = self._class(self._fake.platform())
        return self._applet


class _NothingKept(Exception):
    """Undoes what a command that ended in an error has written."""


def _hash(label: bytes, seed: bytes) -> bytes:
    return hashlib.sha256(label + b"\0" + seed).digest()
