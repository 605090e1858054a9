# SPDX-License-Identifier: Apache-2.0
"""What the guard makes of counts above limits: nights of a month, windows and limits."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import Disclosure, ReleaseRefused, ReleaseRequest, number_of
from protocols.amounts import (
    Combine,
    Count,
    Group,
    Metered,
    NumberAmount,
    Peaks,
    QuotientRule,
    SlotForm,
    Sum,
    Total,
)
from tests.support.consented import BILLING, guarding
from tests.support.releases import in_coins

MARCH = 1_740_787_200
DAY, DAYS = 96, 31
SLOTS = DAY * DAYS


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, MARCH + 40 * 86_400) as disclosure:
        for kind in ("linear", "demand", "count"):
            for recipient in ("supplier", "grid"):
                disclosure.grant(replace(BILLING, statement=kind, recipient=recipient))
        yield disclosure


def window(day: int, first: int = 0, slots: int = 32) -> SlotForm:
    return SlotForm(((day * DAY + first, slots, 1),))


def nights(limit: int, days: Sequence[int] = range(DAYS), first: int = 0, slots: int = 32) -> Count:
    return Count(tuple(window(day, first, slots) for day in days), limit)


SINGLE = Count(tuple(SlotForm(((place, 1, 1),)) for place in range(SLOTS)), 1_000)
"""Each slot of the month by itself."""


def total(*amounts: Count | Sum | Peaks, steps: tuple[Combine, ...] = (), by: int = 1) -> Total:
    return Total(tuple(Metered(0, one) for one in amounts), steps, by, QuotientRule.HALF_UP)


def ask(*amounts: Count | Sum | NumberAmount, recipient: str = "supplier") -> ReleaseRequest:
    numbers = tuple(
        number_of(
            total(one) if isinstance(one, Count) else one,
            MARCH,
            900,
            SLOTS,
        )
        for one in amounts
    )
    return ReleaseRequest(b"\xf0bill", b"package", recipient, "billing", DAYS, numbers, b"tariff")


def test_nights_above_a_limit_are_told_beside_the_bill_and_put_on_record(
    guard: Disclosure,
) -> None:
    guard.permit(ask(in_coins(Sum(SlotForm(((0, SLOTS, 300),))), 10_000)))
    guard.permit(ask(nights(5_000)))
    bill, count = guard.releases()
    assert (bill.statement, count.statement) == ("linear", "count")
    [form] = count.forms
    assert form.is_count
    assert form.above == 5_000
    assert count.bits == 5  # 0 to 31
    known = guard.knowledge()
    assert (known.counts, known.peaks, known.bundles) == (1, 0, 2)
    # A month of nights is one bundle: which of them it was is not known.
    assert known.least_seconds == DAYS * 32 * 900


def test_it_needs_a_consent_of_its_own(guard: Disclosure) -> None:
    for consent in guard.consents():
        if consent.terms.statement == "count":
            guard.revoke(consent.number)
    with pytest.raises(ReleaseRefused, match="consent"):
        guard.permit(ask(nights(5_000)))


def test_a_search_by_halves_ends_at_a_kilowatt_hour_and_at_six_limits(guard: Disclosure) -> None:
    """Whoever asks, and whatever the answers are: the limits that were told before bound it."""
    for limit in (8_000, 4_000, 6_000, 5_000):
        guard.permit(ask(nights(limit)))
    for limit in (5_500, 5_001, 4_999, 999, 1):
        with pytest.raises(ReleaseRefused, match="limits: "):
            guard.permit(ask(nights(limit), recipient="grid"))
    for limit in (10_000, 12_000):
        guard.permit(ask(nights(limit), recipient="grid"))
    with pytest.raises(ReleaseRefused, match="limits: more than 6 counts .* all recipients"):
        guard.permit(ask(nights(14_000), recipient="grid"))
    guard.permit(ask(nights(5_000), recipient="grid"))  # what one knows already is no new limit
    assert len({form.above for one in guard.releases() for form in one.forms}) == 6


def test_limits_that_are_packed_into_one_number_count_one_by_one(guard: Disclosure) -> None:
    counts = [nights(1_000 * limit) for limit in range(1, 8)]
    digits = Combine(tuple((place, 32**place) for place in range(7)))
    with pytest.raises(ReleaseRefused, match="limits: more than 6"):
        guard.permit(ask(total(*counts, steps=(digits,))))
    near = Combine(((0, 1), (1, 32)))
    with pytest.raises(ReleaseRefused, match="limits of 5000 and 5400 Wh"):
        guard.permit(ask(total(nights(5_000), nights(5_400), steps=(near,))))


@pytest.mark.parametrize(
    ("amounts", "rule"),
    [
        ((nights(5_000, range(1)),), "window: the total of 0.333 days"),
        ((nights(5_000), nights(5_000, range(1, DAYS))), "window: the total of 0.333 days"),
        ((nights(5_000), nights(9_000, range(1, DAYS))), "window: the total of 0.333 days"),
        ((SINGLE,), "fineness: the use of 15 min"),
        ((nights(5_000, slots=31),), "fineness: the use of 465 min"),
        ((nights(5_000), nights(5_000, first=1)), "fineness: the windows of two peaks overlap"),
        ((nights(5_000, slots=33), in_coins(Sum(window(3)), 10)), "fineness|window"),
    ],
    ids=[
        "one night by itself", "a night less", "a night less, another limit", "single slots",
        "windows a little short", "windows moved", "a night of a known sum",
    ],
)  # fmt: skip
def test_what_would_tell_too_much_is_refused(
    guard: Disclosure, amounts: tuple[Count | NumberAmount, ...], rule: str
) -> None:
    with pytest.raises(ReleaseRefused, match=rule):
        guard.permit(ask(*amounts))
    assert guard.releases() == []


def test_windows_that_are_partly_known_to_who_asks_are_held_to_what_is_left(
    guard: Disclosure,
) -> None:
    """Of a window of eight hours, whoever was handed seven of them would search the last one."""
    peak = Peaks((Group(tuple(window(day) for day in range(DAYS)), 0),))
    guard.permit(ask(nights(5_000), total(peak)))
    missing = number_of(total(nights(5_000)), MARCH, 900, SLOTS, missing=[range(28)])
    request = replace(ask(nights(5_000), recipient="grid"), numbers=(missing,))
    with pytest.raises(ReleaseRefused, match="fineness"):
        guard.permit(request)


def test_slots_that_are_counted_hide_no_others_by_their_price() -> None:
    price = in_coins(Sum(SlotForm(((0, SLOTS, 300),))), 10_000)
    both = Total(
        (*price.metered, Metered(0, nights(5_000))),
        (Combine(((0, 1), (1, -300))),),
        10_000,
        QuotientRule.HALF_UP,
    )
    [plain] = number_of(price, MARCH, 900, SLOTS).covers
    [left] = number_of(both, MARCH, 900, SLOTS).covers
    assert sum(plain.weights) == SLOTS
    assert sum(left.weights) == SLOTS - DAYS * 32
