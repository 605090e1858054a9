# SPDX-License-Identifier: Apache-2.0
"""A hub that holds back, repeats, moves or swaps what the certifier signed gets nowhere: version 1.

The hub has the certified days and the uses, but not the certifier's keys. Whatever it sends, the
utility's verification names the day and the check, or the opening does not fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from protocols.metrology import (
    CertifiedDay,
    DayContentVersion1,
    DayRefused,
    Period,
    SlotState,
    verify_days,
)
from protocols.proofs import PointVector
from protocols.proofs.group import GENERATOR, ORDER
from protocols.proofs.pedersen import H
from tests.support.days import KEY, PERIOD, SERIES
from tests.support.days import make_days_of_version_1 as make_days

PUBLIC = KEY.public_key()
DAYS = make_days()
NEXT_YEAR = make_days(Period(date(2026, 3, 28), date(2026, 3, 31)))
NEIGHBOUR = make_days(series=replace(SERIES, meter=b"meter 2"), seed=2)

Forgery = Callable[[Sequence[CertifiedDay]], Sequence[CertifiedDay]]


def bend(place: int, change: Callable[[Any], Any]) -> Forgery:
    """Return a forgery that changes one day's content and keeps its signature."""

    def forge(days: Sequence[CertifiedDay]) -> list[CertifiedDay]:
        bent = list(days)
        bent[place] = CertifiedDay(change(days[place].content), days[place].signature)
        return bent

    return forge


def swap_slots(content: DayContentVersion1) -> DayContentVersion1:
    points = list(content.commitments)
    points[3], points[17] = points[17], points[3]
    return replace(content, commitments=PointVector(points))


def repeat_slot(content: DayContentVersion1) -> DayContentVersion1:
    points = list(content.commitments)
    points[3] = points[17]
    return replace(content, commitments=PointVector(points))


def lower_slot(content: DayContentVersion1) -> DayContentVersion1:
    """Take 500 Wh out of a slot and out of the register, as if they had not been used."""
    points = list(content.commitments)
    points[3] -= H * 500
    return replace(content, commitments=PointVector(points), end=content.end - H * 500)


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
        (bend(1, lambda c: replace(c, grid=DAYS[2].content.grid, states=c.states + c.states[:1],
                                   commitments=PointVector([*c.commitments, GENERATOR]))),
         "2025-03-30: the day is missing"),
        (bend(0, swap_slots), "2025-03-29: the signature does not match"),
        (bend(0, repeat_slot), "2025-03-29: the signature does not match"),
        (bend(2, lower_slot), "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, states=(SlotState.MISSING,) * 24)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, counter=c.counter + 1)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, opening=(c.opening + 1) % ORDER)),
         "2025-03-31: the signature does not match"),
        (bend(2, lambda c: replace(c, point_size=65)), "2025-03-31: the signature does not match"),
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
        CertifiedDay(day.content, signature)
        for day, signature in zip(DAYS, signatures[::-1], strict=True)
    ]
    with pytest.raises(DayRefused, match="2025-03-29: the signature does not match"):
        verify_days(moved, PERIOD, SERIES, PUBLIC)


def test_even_the_certifiers_key_cannot_sign_energy_away() -> None:
    # A certifier with a fault (or a hub with its key) takes 500 Wh out of a slot alone.
    signed_content = DAYS[3].content
    assert isinstance(signed_content, DayContentVersion1)
    content = lower_slot(signed_content)
    lowered = replace(content, end=DAYS[3].content.end)
    signed = CertifiedDay.sign(lowered, KEY)
    with pytest.raises(DayRefused, match="2025-04-01: the slots do not sum to the register"):
        verify_days([*DAYS[:3], signed], PERIOD, SERIES, PUBLIC)
