# SPDX-License-Identifier: Apache-2.0
"""What the guard makes of what lies above limits: classes like sums', and how many limits."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import Disclosure, ReleaseRefused, ReleaseRequest, number_of
from protocols.amounts import Above, Excess, Group, Peaks, SlotForm, Sum
from tests.support.consented import BILLING, guarding
from tests.support.releases import in_coins

MARCH = 1_740_787_200
SLOTS, DAY = 2976, 96
ALL = range(SLOTS)
EVENING = [slot for slot in ALL if 68 <= slot % DAY < 84]
REST = [slot for slot in ALL if not 68 <= slot % DAY < 84]
TERMS = BILLING


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, MARCH + 40 * 86_400) as disclosure:
        for kind in ("linear", "demand", "excess"):
            for recipient in ("supplier", "grid"):
                disclosure.grant(replace(TERMS, statement=kind, recipient=recipient))
        yield disclosure


def slots(places: Sequence[int], weight: int = 1) -> SlotForm:
    return SlotForm.of(dict.fromkeys(places, weight))


def above(places: Sequence[int], *limits: int, price: int = 300) -> Excess:
    return Excess(slots(ALL, 250), tuple(Above(limit, slots(places, price)) for limit in limits))


def ask(
    *amounts: Sum | Excess | Peaks, recipient: str = "supplier", begin: int = MARCH
) -> ReleaseRequest:
    """Each amount is a number of its own, sums and what lies above limits in coins of 10,000."""
    numbers = tuple(
        number_of(one if isinstance(one, Peaks) else in_coins(one, 10_000), begin, 900, SLOTS)
        for one in amounts
    )
    return ReleaseRequest(b"\xf0bill", b"package", recipient, "billing", 31, numbers, b"tariff")


def test_what_lies_above_limits_is_told_and_put_on_record(guard: Disclosure) -> None:
    request = ask(Sum(slots(ALL, 100)), above(EVENING, 500, 1_050))
    guard.permit(request)
    (release,) = guard.releases()
    assert release.statement == "excess+linear"
    # Limits and weights as they were.
    assert [n.forms for n in release.numbers] == [n.forms for n in request.numbers]
    assert [form.above for form in release.forms] == [0, 0, 500, 1_050]
    known = guard.knowledge()
    assert (known.slots, known.numbers, known.bundles, known.peaks) == (SLOTS, 2, 2, 0)
    assert known.least_seconds == len(EVENING) * 900
    assert known.bits == release.bits


def test_it_needs_a_consent_of_its_own(guard: Disclosure) -> None:
    consent = next(one for one in guard.consents() if one.terms.statement == "excess")
    guard.revoke(consent.number)
    with pytest.raises(ReleaseRefused, match="consent"):
        guard.permit(ask(above(EVENING, 1_050)))
    guard.permit(ask(Sum(slots(ALL))))


@pytest.mark.parametrize(
    ("amounts", "rule"),
    [
        ((above([40], 1_050),), "fineness: the use of 15 min"),
        ((above(range(31), 1_050),), "fineness: the use of 465 min"),
        ((above(EVENING, 500), above(EVENING[1:], 500)), "fineness: the use of 15 min"),
        ((above(EVENING, 500), above(EVENING[1:], 900)), "fineness: the use of 15 min"),
        ((above(EVENING, 500), Sum(slots(EVENING[1:])), Sum(slots(ALL))), "fineness"),
        ((above(range(32), 1), Sum(slots(ALL))), "window: the total of 0.333 days"),
        ((above(range(DAY), 60_000), Sum(slots(ALL))), "window: the total of 1 days"),
        ((above(ALL, 500, price=1 << 60),), "size"),
        ((above(ALL, 500, price=1 << 30),), "price: a watt-hour counts for 1.07e.05 units"),
        ((above(EVENING, 500, price=9_000),), "price: its prices differ by a factor"),
        (tuple(above(EVENING, n) for n in range(1, 8)), "count: 0 numbers .* 7 more are asked"),
    ],
    ids=[
        "one slot", "few slots", "sets that differ by a slot", "with other limits",
        "excess and sum", "a third of a day, as good as a sum", "a day", "too many bits",
        "steep prices", "prices apart", "limits of several",
    ],
)  # fmt: skip
def test_what_would_tell_too_much_is_refused(
    guard: Disclosure, amounts: tuple[Sum | Excess | Peaks, ...], rule: str
) -> None:
    with pytest.raises(ReleaseRefused, match=rule):
        guard.permit(ask(*amounts))
    assert guard.releases() == []


def test_a_peak_and_an_excess_of_nearly_the_same_slots_are_held_together(
    guard: Disclosure,
) -> None:
    peak = Peaks((Group(tuple(slots([place]) for place in EVENING), 0),))
    guard.permit(ask(above(EVENING, 1_050)))
    guard.permit(ask(peak))
    with pytest.raises(ReleaseRefused, match="fineness"):
        guard.permit(ask(above(EVENING[:-1], 1_050)))


def test_numbers_about_limits_are_counted_over_whatever_overlaps(guard: Disclosure) -> None:
    """Ever other limits would draw the curve of how much was used how often."""
    for limit in range(1, 7):
        guard.permit(ask(above(ALL, 100 * limit)))
    guard.permit(ask(above(ALL, 600)))  # nothing new
    with pytest.raises(ReleaseRefused, match="count: 6 numbers about the same time"):
        guard.permit(ask(above(ALL, 700)))
    next_month = MARCH + SLOTS * 900
    guard.permit(ask(above(ALL, 700, 800), begin=next_month))


def test_a_histogram_is_not_drawn_limit_by_limit(guard: Disclosure) -> None:
    """The attack: second differences of the sums above 0, 1, 2, ... count the slots of each use."""
    uses = [5, 7, 7, 9] * (SLOTS // 4)
    sums = [above(ALL, limit).value_of(uses) for limit in range(1, 12)]
    thirds = [a - 2 * b + c for a, b, c in zip(sums, sums[1:], sums[2:], strict=False)]
    assert thirds[3:8] == [300 * 744, 0, 300 * 1488, 0, 300 * 744]  # with nobody to guard it
    told = 0
    with pytest.raises(ReleaseRefused, match="count"):
        for limit in range(1, 12):
            guard.permit(ask(above(ALL, limit)))
            told += 1
    assert told == 6  # and each of them in coins
