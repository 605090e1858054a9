# SPDX-License-Identifier: Apache-2.0
"""A hub that holds back, repeats, moves or swaps what the certifier signed gets nowhere.

The hub has the certified days, their slots and the uses, but not the certifier's keys. Whatever it
sends, the utility's verification names the day and the check, or the proof does not hold. That a
day's one commitment and its slots' are of the same uses nobody but the certifier can see: for that
it is trusted, as for measuring (`test_only_the_certifier_can_commit_to_two_uses`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.metrology import (
    CertifiedDay,
    CertifiedSlot,
    DayContent,
    DayRefused,
    FirstDayOfCustody,
    MalformedDay,
    MeterExchange,
    Period,
    RegisterResolution,
    SlotState,
    chain_slots,
    verify_days,
)
from protocols.proofs import PointVector, commit
from protocols.proofs.group import ORDER
from protocols.proofs.pedersen import H
from tests.support.days import KEY, PERIOD, SERIES, head_of, make_days

PUBLIC = KEY.public_key()
DAYS = make_days()
NEXT_YEAR = make_days(Period(date(2026, 3, 28), date(2026, 3, 31)))
NEIGHBOUR = make_days(series=replace(SERIES, meter=b"meter 2"), seed=2)

Forgery = Callable[[Sequence[CertifiedDay]], Sequence[CertifiedDay]]


def bend(place: int, change: Callable[[Any], Any]) -> Forgery:
    """Return a forgery that changes one day's content and keeps its signature."""

    def forge(days: Sequence[CertifiedDay]) -> list[CertifiedDay]:
        bent = list(days)
        bent[place] = replace(days[place], content=change(days[place].content))
        return bent

    return forge


def points_of(day: CertifiedDay) -> list[Any]:
    assert day.slots is not None
    return list(day.slots)


def with_points(place: int, change: Callable[[list[Any]], list[Any]]) -> Forgery:
    """Return a forgery that changes the slots that come with one day."""

    def forge(days: Sequence[CertifiedDay]) -> list[CertifiedDay]:
        bent = list(days)
        bent[place] = days[place].with_slots(PointVector(change(points_of(days[place]))))
        return bent

    return forge


def swapped(points: list[Any]) -> list[Any]:
    points[3], points[17] = points[17], points[3]
    return points


def repeated(points: list[Any]) -> list[Any]:
    points[3] = points[17]
    return points


def moved_between(points: list[Any]) -> list[Any]:
    """Move 500 Wh from one slot to another: the sum is the same."""
    points[3] -= H * 500
    points[4] += H * 500
    return points


EVENT = RegisterResolution(0, 1000)


@pytest.mark.parametrize(
    ("forge", "line"),
    [
        (lambda days: days[1:], "2025-03-29: the day is missing"),
        (lambda days: [*days[:2], days[3]], "2025-03-31: the day is missing"),
        (lambda days: days[:-1], "2025-04-01: the day is missing"),
        (lambda days: [*days[:2], days[1], *days[2:]], "2025-03-31: in its place is 2025-03-30"),
        (lambda days: [days[1], days[0], *days[2:]], "2025-03-29: in its place is 2025-03-30"),
        (lambda days: [*days, NEXT_YEAR[0]], "2026-03-28: the day is outside of the period"),
        (lambda days: [NEXT_YEAR[0], *days[1:]], "2025-03-29: the day is missing"),
        (lambda days: [*days[:3], NEIGHBOUR[3]], "2025-04-01: the day is of another meter"),
        (with_points(0, swapped), "2025-03-29: its slots are not the certified ones"),
        (with_points(0, repeated), "2025-03-29: its slots are not the certified ones"),
        (with_points(1, moved_between), "2025-03-30: its slots are not the certified ones"),
        (with_points(2, lambda points: points[:-1]), "2025-03-31: 23 points come with its 24"),
        (with_points(2, lambda points: [*points, points[0]]), "2025-03-31: 25 points come"),
        (with_points(2, lambda points: [*points[1:], points[0]]),
         "2025-03-31: its slots are not the certified ones"),
        (with_points(3, lambda _: points_of(NEIGHBOUR[3])),
         "2025-04-01: its slots are not the certified ones"),
        (bend(2, lambda c: replace(c, states=(SlotState.MISSING,) * 24)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, counter=c.counter + 1)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, opening=(c.opening + 1) % ORDER)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, vector=c.vector - H * 500)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, slots=bytes(32))),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, restated=bytes(32))),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, events=(EVENT,))),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, mounted=b"meter 2")),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, step_wh=1000)), "2025-03-31: the signature does not match"),
        (bend(3, lambda c: replace(c, meter=b"meter 2")),
         "2025-04-01: the signature does not match"),
    ],
)  # fmt: skip
def test_days_that_were_held_back_moved_or_bent_are_refused_by_name(
    forge: Forgery, line: str
) -> None:
    verify_days(DAYS, PERIOD, SERIES, PUBLIC)
    with pytest.raises(DayRefused) as refusal:
        verify_days(forge(DAYS), PERIOD, SERIES, PUBLIC)
    assert str(refusal.value).startswith(line)


def test_signatures_do_not_move_between_days() -> None:
    signatures = [day.signature for day in DAYS]
    moved = [
        replace(day, signature=signature)
        for day, signature in zip(DAYS, signatures[::-1], strict=True)
    ]
    with pytest.raises(DayRefused, match="2025-03-29: the signature does not match"):
        verify_days(moved, PERIOD, SERIES, PUBLIC)


def test_even_the_certifiers_key_cannot_sign_energy_away_where_slots_are_compared() -> None:
    points = points_of(DAYS[3])
    points[3] -= H * 500
    content, lowered = DAYS[3].content, PointVector(points)
    assert isinstance(content, DayContent)
    head = head_of(SERIES, content.grid, content.states, lowered, content.previous)
    signed = CertifiedDay.sign(replace(content, slots=head), KEY, lowered)
    with pytest.raises(DayRefused, match="2025-04-01: the slots do not sum to the register"):
        verify_days([*DAYS[:3], signed], PERIOD, SERIES, PUBLIC)


def test_only_the_certifier_can_commit_to_two_uses() -> None:
    content = DAYS[3].content
    assert isinstance(content, DayContent)
    lie = replace(content, vector=content.vector - H * 500)
    with pytest.raises(DayRefused, match="signature"):
        replace(DAYS[3], content=lie).verify(PUBLIC)
    CertifiedDay.sign(lie, KEY, DAYS[3].slots).verify(PUBLIC)  # nobody else would see it


# --- Slots ---------------------------------------------------------------------------------------


def slots_of(day: CertifiedDay) -> list[CertifiedSlot]:
    content = day.content
    assert isinstance(content, DayContent)
    assert day.slots is not None
    slots = chain_slots(
        SERIES.meter, SERIES.register, content.grid, content.states, content.steps, day.slots,
        content.previous,
    )  # fmt: skip
    return [CertifiedSlot.sign(slot, KEY) for slot in slots]


SLOTS = slots_of(DAYS[1])
GRID = DAYS[1].content.grid


def test_slots_are_signed_one_by_one_and_lead_from_day_to_day() -> None:
    content = DAYS[1].content
    assert isinstance(content, DayContent)
    assert SLOTS[0].content.previous == DAYS[0].digest
    for before, slot in pairwise(SLOTS):
        assert slot.content.previous == before.content.digest
    assert SLOTS[-1].content.digest == content.slots
    for slot in SLOTS:
        decoded = CertifiedSlot.decode(slot.encode())
        assert decoded == slot
        decoded.verify(PUBLIC, GRID)


@pytest.mark.parametrize(
    "change",
    [
        {"state": SlotState.ESTIMATED},
        {"commitment": commit(0, 1)},
        {"previous": bytes(32)},
        {"step_wh": 1000},
        {"meter": b"meter 2"},
        {"register": bytes(6)},
        {"begin": GRID.begin},
    ],
)
def test_a_slot_that_was_altered_is_refused(change: dict[str, Any]) -> None:
    measured = next(s for s in SLOTS if s.content.state is SlotState.MEASURED)
    bent = replace(measured, content=replace(measured.content, **change))
    with pytest.raises(DayRefused, match="the signature of a slot does not match"):
        bent.verify(PUBLIC, GRID)


def test_a_slot_of_another_day_or_key_is_refused() -> None:
    with pytest.raises(DayRefused, match="the slot is not one of the day"):
        SLOTS[3].verify(PUBLIC, DAYS[2].content.grid)
    with pytest.raises(DayRefused, match="does not match"):
        SLOTS[3].verify(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(), GRID)


def test_every_flipped_byte_of_a_slot_is_refused() -> None:
    data = SLOTS[2].encode()
    for place in range(len(data)):
        bent = bytearray(data)
        bent[place] ^= 1 << place % 8
        with pytest.raises((MalformedDay, DayRefused)):
            CertifiedSlot.decode(bytes(bent)).verify(PUBLIC, GRID)


# --- Events --------------------------------------------------------------------------------------

EXCHANGE = MeterExchange(3, SERIES.meter, b"meter 9", commit(5000, 7), commit(0, 9))


def day_with(*events: Any, **changes: Any) -> CertifiedDay:
    """Return the last day with events that its certifier signed, and slots that are marked so."""
    content = DAYS[3].content
    assert isinstance(content, DayContent)
    assert DAYS[3].slots is not None
    content = replace(content, events=events, **changes)
    slots = chain_slots(
        SERIES.meter, SERIES.register, content.grid, content.states, content.steps, DAYS[3].slots,
        content.previous,
    )  # fmt: skip
    end = content.end
    for event in events:
        if isinstance(event, MeterExchange):  # the register goes on from the new meter's start
            end += event.start - event.end
    content = replace(content, slots=slots[-1].digest, end=end)
    return CertifiedDay.sign(content, KEY, DAYS[3].slots)


def test_events_are_signed_with_the_day_and_mark_its_slots() -> None:
    events = (FirstDayOfCustody(bytes(16)), RegisterResolution(2, 1000), EXCHANGE)
    day = day_with(*events)
    decoded = CertifiedDay.decode(day.encode())
    assert decoded == day
    decoded.verify(PUBLIC)
    content = decoded.content
    assert isinstance(content, DayContent)
    assert content.events == events
    assert content.steps == (1, 1, *(1000,) * 22)
    assert (content.mounted_at_end, content.step_at_end) == (b"meter 9", 1000)


@pytest.mark.parametrize(
    "events",
    [
        (RegisterResolution(2, 1),),
        (RegisterResolution(3, 1000),),
        (RegisterResolution(2, 1000), RegisterResolution(5, 1)),
        (),
        (RegisterResolution(2, 1000), FirstDayOfCustody(bytes(16))),
    ],
)
def test_an_event_that_was_forged_moved_repeated_or_left_out_is_refused(
    events: tuple[Any, ...],
) -> None:
    day = day_with(RegisterResolution(2, 1000))
    day.verify(PUBLIC)
    content = day.content
    assert isinstance(content, DayContent)
    with pytest.raises((DayRefused, MalformedDay), match=r"signature|out of order"):
        replace(day, content=replace(content, events=events)).verify(PUBLIC)


def test_an_exchange_has_to_follow_from_the_meter_that_was_up() -> None:
    with pytest.raises(MalformedDay, match="taken down that was not up"):
        day_with(replace(EXCHANGE, old_meter=b"meter 8"))
    with pytest.raises(MalformedDay, match="out of order, or one is repeated"):
        day_with(EXCHANGE, replace(EXCHANGE, old_meter=b"meter 9", new_meter=b"meter 10"))
    with pytest.raises(MalformedDay, match="exchanged for another one"):
        replace(EXCHANGE, new_meter=EXCHANGE.old_meter)


def test_a_day_after_an_event_goes_on_from_it() -> None:
    for changes, line in (
        ({"mounted": b"meter 9"}, "2025-04-01: another meter is up than the day before"),
        ({"step_wh": 1000}, "2025-04-01: the register does not count in the steps"),
    ):
        bent = day_with(**changes)
        with pytest.raises(DayRefused, match=line):
            verify_days([*DAYS[:3], bent], PERIOD, SERIES, PUBLIC)


def test_energy_does_not_vanish_between_two_meters() -> None:
    day = day_with(EXCHANGE)
    day.verify(PUBLIC)
    content = day.content
    assert isinstance(content, DayContent)
    [event] = content.events
    assert isinstance(event, MeterExchange)
    less = replace(event, end=event.end - H * 500)
    forged = CertifiedDay.sign(replace(content, events=(less,)), KEY, day.slots)
    with pytest.raises(DayRefused, match="do not sum to the register's difference"):
        forged.verify(PUBLIC)
