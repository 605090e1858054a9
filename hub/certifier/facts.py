# SPDX-License-Identifier: Apache-2.0
"""What the hub knows to have happened to its meter, for the certifier to sign with the day."""

from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from hub.certifier.errors import ReadingsRefused
from hub.certifier.slots import DayUse, MeterChange
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.metrology import (
    DayGrid,
    FirstDayOfCustody,
    MeterEvent,
    MeterExchange,
    RegisterResolution,
)
from protocols.proofs import Point


@dataclass(frozen=True, slots=True)
class NewMeter:
    """Another meter counts; its first reading, at this moment, is flagged `EXCHANGED`."""

    time: int
    meter: bytes


@dataclass(frozen=True, slots=True)
class NewStep:
    """The register counts in other steps, from the begin of a slot on."""

    time: int
    step_wh: int


@dataclass(frozen=True, slots=True)
class NewCustody:
    """The meter is in another custody, from the begin of a day on."""

    time: int
    custody: bytes


MeterFact: TypeAlias = NewMeter | NewStep | NewCustody


def encode_fact(fact: MeterFact) -> bytes:
    """Return a fact without its time, as CBOR: what it is, and to what it changes."""
    match fact:
        case NewMeter(meter=meter):
            return encode_array(["meter", meter])
        case NewStep(step_wh=step_wh):
            return encode_array(["step", step_wh])
        case NewCustody(custody=custody):
            return encode_array(["custody", custody])


def decode_fact(time: int, encoded: bytes) -> MeterFact:
    """Return the fact that `encode_fact` wrote; raise `ReadingsRefused` if it did not."""
    try:
        match decode_array(encoded):
            case ["meter", bytes(meter)]:
                return NewMeter(time, meter)
            case ["step", int(step_wh)]:
                return NewStep(time, step_wh)
            case ["custody", bytes(custody)]:
                return NewCustody(time, custody)
    except CborError:
        pass
    raise ReadingsRefused("a stored fact about the meter is damaged")


def day_of(fact: MeterFact, grid: DayGrid) -> bool:
    """Tell whether a fact belongs to the day: an exchange at midnight to the one that ends."""
    if isinstance(fact, NewMeter):
        return grid.begin < fact.time <= grid.end
    return grid.begin <= fact.time < grid.end


def steps_at(facts: tuple[MeterFact, ...], grid: DayGrid) -> tuple[RegisterResolution, ...]:
    """Return the day's changes of the register's steps; raise `ReadingsRefused` within a slot."""
    changes = [fact for fact in facts if isinstance(fact, NewStep) and day_of(fact, grid)]
    for fact in changes:
        if fact.time not in grid.boundaries():
            raise ReadingsRefused(f"{grid.day}: a register's steps change where a slot begins")
    return tuple(RegisterResolution(grid.slot_at(fact.time), fact.step_wh) for fact in changes)


def meters_of(facts: tuple[MeterFact, ...], use: DayUse) -> list[NewMeter]:
    """Return the day's new meters; raise `ReadingsRefused` unless its readings are of just these.

    Otherwise a register that starts over would pass for one that goes on.
    """
    meters = [fact for fact in facts if isinstance(fact, NewMeter) and day_of(fact, use.grid)]
    if [fact.time for fact in meters] != [change.time for change in use.changes]:
        raise ReadingsRefused(f"{use.grid.day}: the readings and the record of new meters differ")
    return meters


def events_of(
    facts: tuple[MeterFact, ...],
    use: DayUse,
    mounted: bytes,
    registers: dict[MeterChange, tuple[Point, Point]],
) -> tuple[MeterEvent, ...]:
    """Return what the day's content says of them; `registers` has the commitments.

    Raises `ReadingsRefused` where readings and facts do not say the same of a meter exchange.
    """
    grid, day = use.grid, use.grid.day
    events: list[MeterEvent] = [*steps_at(facts, grid)]
    meters = meters_of(facts, use)
    for fact, change in zip(meters, use.changes, strict=True):
        slot = grid.slot_at(change.time - 1)
        events.append(MeterExchange(slot, mounted, fact.meter, *registers[change]))
        mounted = fact.meter
    events += [
        _custody(one, grid.begin, day)
        for one in facts
        if isinstance(one, NewCustody) and day_of(one, grid)
    ]
    return tuple(sorted(events, key=lambda event: (event.slot, event.kind)))


def _custody(fact: NewCustody, begin: int, day: date) -> FirstDayOfCustody:
    if fact.time != begin:
        raise ReadingsRefused(f"{day}: a custody begins with a day")
    return FirstDayOfCustody(fact.custody)
