# SPDX-License-Identifier: Apache-2.0
"""Numbers that depend on a slot in ways that do not show in their slopes, bounds or shapes.

An attacker who knew the documents found each of these; all told a single slot at first.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    Number,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.disclosure.memory import MOST_CELLS, MemoryStep, Remembered, cells_of
from hub.vault.database import Database
from protocols.amounts import (
    Carried,
    Combine,
    Kept,
    Least,
    Metered,
    Most,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Total,
)
from tests.support.consented import BILLING

BEGIN, DAY, SLOTS = 1_740_783_600, 86_400, 28 * 24
SLOT, HUGE = 300, 1 << 27
ALL = Metered(0, Sum(SlotForm(((0, SLOTS, 1),))))
ONE = Metered(0, Sum(SlotForm(((SLOT, 1, 1),))))
DOWN = QuotientRule.DOWN


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    database = Database(tmp_path / "hub.db", [LOG_COMPONENT, CONSENT_COMPONENT], key=bytes(32))
    disclosure = Disclosure(database, lambda: BEGIN + 100 * DAY)
    disclosure.grant(BILLING)
    yield disclosure
    database.close()


def request(numbers: Sequence[Number]) -> ReleaseRequest:
    return ReleaseRequest(
        BILLING.applet, BILLING.package, BILLING.recipient, BILLING.purpose, 28, tuple(numbers),
        bytes(32),
    )  # fmt: skip


def step(total: Total, period: int = 0, carried: Remembered | None = None) -> MemoryStep:
    begin = BEGIN + period * 28 * DAY
    return MemoryStep([total], begin, 3600, SLOTS, [""], [()], bytes(32), carried or {})


def test_what_is_left_of_a_sum_once_its_quotient_is_taken_away(guard: Disclosure) -> None:
    """x − d·⌊x/d⌋ has the slope 1 − d/d = 0, and is x for all that x can be."""
    rest = Rounding(0, HUGE, DOWN), Combine(((0, 1), (2, -HUGE)))
    total = Total((ONE, ALL), rest, 1, DOWN, kept=(Kept("all", 1, 0, 44),))
    numbers = step(total).numbers()
    assert any(any(form.weights) for form in numbers[0].forms)
    with pytest.raises(ReleaseRefused, match="fineness"):
        guard.permit(request(numbers))


def test_what_is_kept_of_a_sum_once_its_quotient_is_taken_away(guard: Disclosure) -> None:
    rest = (
        Rounding(0, HUGE, DOWN), Combine(((0, 1), (2, -HUGE))), Combine((), 9_500),
    )  # fmt: skip
    first = Total(
        (ONE, ALL), rest, 1, DOWN, kept=(Kept("all", 1, 0, 44), Kept("left", 3, -HUGE, 29)),
    )  # fmt: skip
    kept = step(first).kept()
    assert kept["left"].traces
    second = Total((ALL,), (Combine(((1, 1),)),), 1, DOWN, (Carried("left", -HUGE, 29),),
                   (Kept("all", 0, 0, 44),))  # fmt: skip
    numbers = step(second, 1, kept).numbers()
    assert [number.is_recalled for number in numbers] == [False, True]
    with pytest.raises(ReleaseRefused, match="memory"):
        guard.permit(request(numbers))


@pytest.mark.parametrize(("low", "bits"), [(0, 9), (512, 10), (-1, 10)])
def test_whether_something_kept_is_within_its_bounds_would_be_told(low: int, bits: int) -> None:
    total = Total(
        (ONE, ALL), (Combine((), 100),), 1, DOWN,
        kept=(Kept("all", 1, 0, 44), Kept("one", 0, low, bits)),
    )  # fmt: skip
    with pytest.raises(ReleaseRefused, match="one may be beyond the bounds"):
        step(total).require_room()


def test_bounds_do_not_become_narrower_where_a_value_is_handed_on() -> None:
    first = Total((ONE, ALL), (Combine((), 100),), 1, DOWN,
                  kept=(Kept("all", 1, 0, 44), Kept("one", 0, 0, 17)))  # fmt: skip
    one = step(first)
    one.require_room()
    second = Total(
        (ALL,), (Combine((), 100),), 1, DOWN, (Carried("one", 0, 17),),
        (Kept("all", 0, 0, 44), Kept("one", 1, 0, 16)),
    )  # fmt: skip
    with pytest.raises(ReleaseRefused, match="one may be beyond the bounds"):
        step(second, 1, one.kept()).require_room()


def test_a_bundle_that_was_there_before_is_told_in_coins_or_not_at_all(guard: Disclosure) -> None:
    """One slot is a millionth dearer: a sum in coins hides it, what a million leaves does not."""
    unit = 10**6
    form = SlotForm(((0, SLOT, unit), (SLOT, 1, unit + 1), (SLOT + 1, SLOTS - SLOT - 1, unit)))
    dearer = Metered(0, Sum(form))
    harmless = Total((dearer,), (), unit * 30, QuotientRule.HALF_UP)
    remainder = Total(
        (dearer,),
        (
            Rounding(0, unit, DOWN), Combine(((0, 1), (1, -unit))), Combine((), unit),
            Least((2, 3)), Combine((), 0), Most((4, 5)),
        ),
        1,
        DOWN,
    )  # fmt: skip
    with pytest.raises(ReleaseRefused, match="fineness"):
        guard.permit(request([number_of(remainder, BEGIN, 3600, SLOTS)]))
    guard.permit(request([number_of(harmless, BEGIN, 3600, SLOTS)]))
    with pytest.raises(ReleaseRefused, match="fineness"):
        guard.permit(request([number_of(remainder, BEGIN, 3600, SLOTS)]))


def test_what_is_kept_in_mind_does_not_grow_by_powers() -> None:
    """Each value is kept as the sum of all: as many forms as there were periods, no more."""
    names = [f"v{place:02}" for place in range(24)]
    bits, known = 40, dict[str, object]()
    remembered: Remembered = {}
    for period in range(5):
        carried = tuple(Carried(name, 0, bits) for name in names) if known else ()
        places = tuple((place, 1) for place in range(1 + len(carried)))
        width = bits + 5 if carried else bits
        total = Total(
            (ALL,), (Combine(places), Combine((), 100)), 1, DOWN, carried,
            tuple(Kept(name, 1 + len(carried), 0, min(62, width)) for name in names),
        )  # fmt: skip
        one = step(total, period, remembered)
        if width > 62:
            break
        one.require_room()
        remembered, bits = one.kept(), width
        known = dict(remembered)
        assert cells_of(remembered) == (period + 1) * SLOTS


def test_what_depends_on_too_many_slots_is_not_handed_on() -> None:
    """A thousand forms of their own in each period: refused before a day is opened."""
    many = tuple(
        Metered(0, Sum(SlotForm(((place % 600, 1 + place // 600, 1),)))) for place in range(900)
    )
    total = Total(
        many, (Combine(tuple((place, 1) for place in range(900))),), 1, DOWN,
        kept=(Kept("sum", 900, 0, 44),),
    )  # fmt: skip
    assert len(many) * SLOTS > MOST_CELLS
    with pytest.raises(ReleaseRefused, match="kept in mind"):
        step(total).require_room()
