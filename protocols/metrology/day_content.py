# SPDX-License-Identifier: Apache-2.0
"""What the certifier signs of a day of one register: version 2.

    day      = CBOR [body, signature, points]  signature = Ed25519 over LABEL | body
    body     = CBOR [LABEL, meter, register, day, zone, slot minutes, counter, previous, restated,
                     mounted, step, states, events, vector, slots, start, end, unattributed,
                     opening]                  and of a corrected day, after these: correction
    previous = digest of the day before, 32 zero bytes for the first (whose counter is 1)
    digest   = SHA-256 (LABEL | body)
    states   = CBOR [count, state, count, state, ...], runs of equal states
    points   = the commitments to the slots' uses, 33 bytes each, or nothing

Public:  V, a commitment to the uses of all slots at once; the digest of the last slot of the
         chain of certified slots C[t] (`protocols.metrology.slot_chain`); C_start and C_end to the
         register at the day's ends; C_gap to the energy that the register shows but no slot holds
         (it went on while nobody read it, and stands for missing slots; 0 on most days, in which
         case nobody can tell); for each meter exchange C_old and C_new to the registers of the
         meter that was taken down and of the one that was put up; opening.
Claim:   V = Σ x[t]·g[t] + r·G and C[t] = x[t]·H + r[t]·G are of the same uses, and
         Σ x[t] + x_gap = x_end - x_start + Σ (x_old - x_new).
Proof:   opening = Σ r[t] + r_gap - (r_end - r_start) - Σ (r_old - r_new); whoever has the points
         checks that they are those of the chain, and Σ C[t] + C_gap - (C_end - C_start) -
         Σ (C_old - C_new) = opening·G.

V is always there: 33 bytes, over which sums of slots are proved. The points go along just where a
statement compares slots. That V and the C[t] are of the same uses no verifier sees: for that the
certifier is trusted, as for having measured them. So is that the slots sum to the register, for
whoever does not have the points.

The blinding of a register belongs to the instant and its value: the end of one day and the start of
the next are the same point, so that no energy is lost at midnight. With the counter and the hash of
the day before, no day or slot can be left out, repeated or moved. `mounted` is the id of the meter
that counts when the day begins, `step` the watt-hours in which its register counts then; events of
the day (`protocols.metrology.events`) change both. `meter` names the chain: it is the id of the
first meter, and stays.

`restated` is the digest of a day of version 1 (`protocols.metrology.version1`) that this one states
again, nothing otherwise. The day stays where it was in the chain: its `previous` is the one it had,
and the next day names the digest it had (`CertifiedDay.link`). So does a day that is corrected
(`protocols.metrology.correction`). Its slots are in a chain of their own, which was not signed slot
by slot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from typing import ClassVar, Final, Self

from protocols.canonical import cbor
from protocols.canonical.cbor import CborError, CborValue
from protocols.metrology.correction import Correction
from protocols.metrology.errors import DayRefused, GridError, MalformedDay
from protocols.metrology.events import (
    MeterEvent,
    MeterExchange,
    RegisterResolution,
    decode_event,
    require_order,
    require_step,
)
from protocols.metrology.grid import DayGrid, SlotState
from protocols.metrology.kept import KeptBytes
from protocols.metrology.slot_chain import digest_of_slots
from protocols.metrology.version1 import LARGEST_COUNTER, METER_SIZES, NO_DAY
from protocols.proofs import Malformed, Point, PointVector
from protocols.proofs.group import (
    COMPRESSED_SIZE,
    ORDER,
    decode_scalar,
    encode_scalar,
    multiply_generator,
)

LABEL: Final = "meterlet certified day 2"
DIGEST_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class DayContent:
    """What the certifier signs."""

    label: ClassVar[str] = LABEL

    meter: bytes
    register: bytes
    """The OBIS code, 6 bytes."""
    grid: DayGrid
    counter: int
    previous: bytes
    states: tuple[SlotState, ...] = field(repr=False)
    vector: Point
    """The commitment to the uses of all slots."""
    slots: bytes
    """The digest of the last certified slot."""
    start: Point
    end: Point
    unattributed: Point
    opening: int
    mounted: bytes
    """The id of the meter that counts when the day begins."""
    step_wh: int = 1
    """In which steps its register counts then."""
    events: tuple[MeterEvent, ...] = ()
    restated: bytes = b""
    """The digest of the day of version 1 that this one states again, or nothing."""
    correction: Correction | None = None
    """Of a day whose readings came late or were replaced."""
    kept: KeptBytes = field(default_factory=KeptBytes, init=False, repr=False, compare=False)
    """Its encoding and digest, once they are known; of no copy with another field."""

    def __post_init__(self) -> None:
        if len(self.meter) not in METER_SIZES or len(self.register) != 6:
            raise MalformedDay("a meter id has 1 to 64 bytes, a register's OBIS code 6")
        if len(self.mounted) not in METER_SIZES:
            raise MalformedDay("a meter id has 1 to 64 bytes")
        if not 1 <= self.counter <= LARGEST_COUNTER:
            raise MalformedDay(f"the counter {self.counter} is not in 1 to 2^32 - 1")
        if len(self.previous) != len(NO_DAY) or (self.counter == 1) != (self.previous == NO_DAY):
            raise MalformedDay("the first day, and no other, has no day before")
        if len(self.slots) != DIGEST_SIZE or len(self.restated) not in (0, DIGEST_SIZE):
            raise MalformedDay("a digest has 32 bytes")
        if len(self.states) != len(self.grid):
            raise MalformedDay(
                f"{len(self.states)} states for the {len(self.grid)} slots of {self.grid.day}"
            )
        if not 0 <= self.opening < ORDER:
            raise MalformedDay("the opening is not a reduced scalar")
        if any(p.is_infinity for p in (self.vector, self.start, self.end, self.unattributed)):
            raise MalformedDay("a commitment is the point at infinity")
        if self.correction is not None and len(self.correction.revisions) != len(self.grid):
            raise MalformedDay("a correction says for each slot when it last changed")
        require_step(self.step_wh)
        require_order(self.events, len(self.grid))
        self._require_meters()

    def _require_meters(self) -> None:
        if (self.counter == 1 or self.restated) and (
            (self.mounted, self.step_wh) != (self.meter, 1) or (self.restated and self.events)
        ):  # version 1 knew of one meter, in watt-hours, and of no events
            raise MalformedDay("a chain begins with the meter that it is named for")
        mounted = self.mounted
        for event in self.events:
            if isinstance(event, MeterExchange):
                if event.old_meter != mounted:
                    raise MalformedDay("a meter is taken down that was not up")
                mounted = event.new_meter

    @property
    def revision(self) -> int:
        """How often the day was corrected."""
        return 0 if self.correction is None else self.correction.revision

    @property
    def first_digest(self) -> bytes:
        """The digest that the day had when it was first signed; nothing where this is the first."""
        if self.restated or self.correction is None:
            return self.restated
        return self.correction.earlier[0]

    @property
    def mounted_at_end(self) -> bytes:
        """The id of the meter that counts when the day ends."""
        changes = [event for event in self.events if isinstance(event, MeterExchange)]
        return changes[-1].new_meter if changes else self.mounted

    @property
    def step_at_end(self) -> int:
        """In which steps the register counts when the day ends."""
        changes = [event for event in self.events if isinstance(event, RegisterResolution)]
        return changes[-1].step_wh if changes else self.step_wh

    @property
    def steps(self) -> tuple[int, ...]:
        """In which steps the register counts, slot by slot: above 1 Wh the slot is coarse."""
        return steps_of(len(self.grid), self.step_wh, self.events)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what is signed."""
        return self.kept.digest_of(LABEL, self.encode)

    def encode(self) -> bytes:
        """Return the body, in its only encoding; of a day that was decoded, the received bytes."""
        return self.kept.body_of(self._encoded)

    def _encoded(self) -> bytes:
        runs = [item for state, run in groupby(self.states) for item in (len(list(run)), state)]
        return cbor.encode([
            LABEL, self.meter, self.register, self.grid.day.isoformat(), self.grid.zone,
            self.grid.slot_minutes, self.counter, self.previous, self.restated, self.mounted,
            self.step_wh, runs, [event.items() for event in self.events], self.vector.encode(),
            self.slots, self.start.encode(), self.end.encode(), self.unattributed.encode(),
            encode_scalar(self.opening),
            *([] if self.correction is None else [self.correction.items()]),
        ])  # fmt: skip

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the content of exactly these bytes; raise `MalformedDay` otherwise."""
        try:
            content = cls._from_items(cbor.decode(body))
        except (CborError, GridError, Malformed, ValueError) as error:
            raise MalformedDay(f"not a certified day: {error}") from None
        content.kept.body = body  # decoding is canonical: encoding would give the same again
        return content

    @classmethod
    def _from_items(cls, items: CborValue) -> Self:
        match items:
            case [
                str(label), bytes(meter), bytes(register), str(day), str(zone), int(minutes),
                int(counter), bytes(previous), bytes(restated), bytes(mounted), int(step),
                [*runs], [*events], bytes(vector), bytes(slots), bytes(start), bytes(end),
                bytes(unattributed), bytes(opening), *more,
            ] if label == LABEL and len(more) <= 1:  # fmt: skip
                pass
            case _:
                raise MalformedDay("other fields than a certified day has")
        if {len(p) for p in (vector, start, end, unattributed)} != {COMPRESSED_SIZE}:
            raise MalformedDay("a point has not 33 bytes")
        if date.fromisoformat(day).isoformat() != day:
            raise MalformedDay("the date is not written as YYYY-MM-DD")
        grid = DayGrid(date.fromisoformat(day), zone, minutes)
        return cls(
            meter, register, grid, counter, previous, _states(runs, len(grid)),
            Point.decode(vector), slots, Point.decode(start), Point.decode(end),
            Point.decode(unattributed), decode_scalar(opening), mounted, step,
            tuple(map(decode_event, events)), restated,
            Correction.of(more[0], len(grid)) if more else None,
        )  # fmt: skip

    def require_sum(self, slots: PointVector | None) -> None:
        """Return if the points are those of the chain and sum up; raise `DayRefused` if not.

        Without points there is nothing to check.
        """
        if slots is None:
            return
        if len(slots) != len(self.grid):
            raise DayRefused(
                self.grid.day, f"{len(slots)} points come with its {len(self.grid)} slots"
            )
        head = digest_of_slots(
            self.meter, self.register, self.grid, self.states, self.steps, slots, self.previous
        )
        if head != self.slots:
            raise DayRefused(self.grid.day, "its slots are not the certified ones")
        rise = self.end - self.start
        for event in self.events:
            if isinstance(event, MeterExchange):
                rise += event.end - event.start
        if slots.sum() + self.unattributed - rise != multiply_generator(self.opening):
            raise DayRefused(self.grid.day, "the slots do not sum to the register's difference")


def steps_of(slots: int, step_wh: int, events: Sequence[MeterEvent]) -> tuple[int, ...]:
    """Return in which steps a register counts in each slot of a day that begins with `step_wh`."""
    changes = {e.slot: e.step_wh for e in events if isinstance(e, RegisterResolution)}
    steps = []
    for slot in range(slots):
        step_wh = changes.get(slot, step_wh)
        steps.append(step_wh)
    return tuple(steps)


def _states(runs: Sequence[CborValue], slots: int) -> tuple[SlotState, ...]:
    """Return the states that runs of them stand for: each of one slot or more, no two alike."""
    states: list[SlotState] = []
    for place in range(0, len(runs), 2):
        match runs[place : place + 2]:
            case [int(count), int(state)] if 0 < count <= slots - len(states):
                if states and states[-1] == state:
                    raise MalformedDay("two runs of states are one")
                states += [SlotState(state)] * count
            case _:
                raise MalformedDay(f"the states are not runs of them for {slots} slots")
    return tuple(states)
