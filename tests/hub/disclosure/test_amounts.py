# SPDX-License-Identifier: Apache-2.0
"""What the guard makes of blocks and peaks: consents by kind, buckets as sums, peaks by class."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import (
    CONSENT_COMPONENT,
    LOG_COMPONENT,
    Disclosure,
    Form,
    ReleaseRefused,
    ReleaseRequest,
    number_of,
)
from hub.vault.database import Database
from protocols.amounts import Bucket, Group, Peaks, SlotForm, Sum, Tiered
from tests.support.consented import BILLING, guarding
from tests.support.releases import in_coins, sum_request

MARCH = 1_740_787_200
SLOTS = 2976
DAY = 96
TERMS = replace(BILLING, answers=3)
KINDS = ("linear", "blocks", "demand")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, MARCH + 40 * 86_400) as disclosure:
        for kind in KINDS:
            disclosure.grant(replace(TERMS, statement=kind))
        yield disclosure


def slots(places: Sequence[int], weight: int = 1) -> SlotForm:
    return SlotForm.of(dict.fromkeys(places, weight))


def blocks(places: Sequence[int], prices: tuple[int, ...] = (200_000, 300_000)) -> Bucket:
    return Bucket(slots(places), (100_000,), prices)


def peak(places: Sequence[int]) -> Peaks:
    return Peaks((Group(tuple(slots([place]) for place in places), 0),))


EVENING = [slot for slot in range(SLOTS) if 68 <= slot % DAY < 84]
REST = [slot for slot in range(SLOTS) if not 68 <= slot % DAY < 84]
MONTH = Tiered((blocks(range(SLOTS)),))


def ask(
    *amounts: Sum | Tiered | Peaks, recipient: str = "supplier", days: int = 31
) -> ReleaseRequest:
    """Each amount is a number of its own, sums and blocks in cents."""
    numbers = tuple(
        number_of(one if isinstance(one, Peaks) else in_coins(one), MARCH, 900, SLOTS)
        for one in amounts
    )
    return ReleaseRequest(
        b"\xf0bill", b"package", recipient, "billing", days, numbers, b"tariff"
    )  # fmt: skip


def test_a_bill_of_all_kinds_is_permitted_and_put_on_record(guard: Disclosure) -> None:
    request = ask(Sum(slots(EVENING, 300_000)), MONTH, peak(EVENING))
    guard.permit(request)
    (release,) = guard.releases()
    assert release.statement == "blocks+demand+linear"
    assert [n.forms for n in release.numbers] == [n.forms for n in request.numbers]
    assert [n.identity for n in release.numbers] == [n.identity for n in request.numbers]
    assert release.bits == sum(number.bits for number in request.numbers)
    known = guard.knowledge()
    assert (known.slots, known.numbers, known.bundles, known.peaks) == (SLOTS, 3, 2, 1)
    assert known.bits == release.bits
    assert known.shortest_window == (MARCH, MARCH + SLOTS * 900)


def test_each_kind_of_number_needs_a_consent_of_its_own(tmp_path: Path) -> None:
    amounts: dict[str, Sum | Tiered | Peaks] = {
        "linear": Sum(slots(EVENING)),
        "blocks": MONTH,
        "demand": peak(EVENING),
    }
    for kind, amount in amounts.items():
        with Database(
            tmp_path / kind, [CONSENT_COMPONENT, LOG_COMPONENT], key=bytes(32)
        ) as database:
            disclosure = Disclosure(database, lambda: MARCH)
            for other in KINDS:
                if other != kind:
                    disclosure.grant(replace(TERMS, statement=other))
            with pytest.raises(ReleaseRefused, match="consent: none"):
                disclosure.permit(ask(Sum(slots(REST)), MONTH, peak(REST), amount))
            assert disclosure.releases() == []
            assert [e.facts["statement"] for e in disclosure.log.entries("refusal")]


@pytest.mark.parametrize(
    ("amounts", "rule"),
    [
        ((Tiered((blocks(range(31)), blocks(range(31, SLOTS)))), MONTH), "fineness: the use of 46"),
        ((Tiered(tuple(blocks(range(d, d + DAY)) for d in range(0, SLOTS, DAY))), MONTH), "window"),
        ((Tiered((blocks(range(SLOTS), (1, 1 << 40)),)),), "price: a watt-hour counts for 1.1e.05"),
        ((Tiered((blocks(range(SLOTS), (1, 1_000)),)),), "price: its prices differ"),
        ((peak([40]),), "fineness: the use of 15 min"),
        ((peak(range(31)),), "fineness: the use of 465 min"),
        ((peak(EVENING), peak(EVENING[:-1])), "fineness: the use of 15 min"),
        ((peak(range(SLOTS)), Sum(slots(range(1, SLOTS)))), "fineness: the use of 15 min"),
        ((MONTH, Sum(slots(range(1, SLOTS)))), "fineness: the use of 15 min"),
        ((Sum(slots(range(SLOTS))), Tiered((blocks(range(30 * DAY)),))), "window: the total of 1"),
    ],
    ids=[
        "small bucket", "daily buckets", "steep prices", "prices apart", "peak of one slot",
        "peak of few",
        "peaks that differ by a slot", "peak and sum", "bucket and sum", "bucket and period",
    ],
)  # fmt: skip
def test_what_would_tell_too_much_is_refused(
    guard: Disclosure, amounts: tuple[Sum | Tiered | Peaks, ...], rule: str
) -> None:
    with pytest.raises(ReleaseRefused, match=rule):
        guard.permit(ask(*amounts))
    assert guard.releases() == []


def test_peaks_of_halves_do_not_close_in_on_when_it_was(guard: Disclosure) -> None:
    """The search for the peak's slot by halves: it ends where a half is less than 28 days."""
    for kind in KINDS:
        guard.grant(replace(TERMS, statement=kind, recipient="grid", answers=50))
    first, asked = list(range(SLOTS)), 0
    with pytest.raises(ReleaseRefused, match="fineness|window"):
        while True:
            guard.permit(ask(peak(first), recipient="grid"))
            first, asked = first[: len(first) // 2], asked + 1
    assert asked == 1
    assert guard.knowledge(["grid"]).least_seconds >= 480 * 60


def test_a_peak_after_a_sum_to_somebody_else_is_held_against_both(guard: Disclosure) -> None:
    guard.permit(
        sum_request(
            b"\xf0bill", b"package", "supplier", "billing", 31,
            Form(MARCH, 900, tuple(1 + (68 <= s % DAY < 84) for s in range(SLOTS))), b"tariff",
        )
    )  # fmt: skip
    guard.grant(replace(TERMS, statement="demand", recipient="grid"))
    guard.permit(ask(Sum(slots(range(SLOTS)))))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(peak(EVENING[1:]), recipient="grid"))
    guard.permit(ask(peak(EVENING), recipient="grid"))


def test_blocks_are_counted_and_their_period_is_long_enough(
    guard: Disclosure,
) -> None:
    for step in range(3):
        guard.permit(ask(Tiered((blocks(range(SLOTS), (200_000, 300_000 + step)),))))
    with pytest.raises(ReleaseRefused, match="count"):
        guard.permit(ask(Tiered((blocks(range(SLOTS), (200_000, 400_000)),))))
    with pytest.raises(ReleaseRefused, match="period: 27 days"):
        guard.permit(ask(MONTH, days=27))


def pairs(places: Sequence[tuple[int, int]]) -> Peaks:
    return Peaks((Group(tuple(slots(pair) for pair in places), 0),))


def test_a_slot_is_not_paired_with_ever_other_ones(guard: Disclosure) -> None:
    """Whoever knows when the peak was would read the partner's use off each pairing's peak."""
    even = pairs([(place, place + 1) for place in range(0, SLOTS, 2)])
    shifted = pairs([(place, place + 1) for place in range(1, SLOTS - 1, 2)])
    guard.permit(ask(even))
    for other in (shifted, peak(range(SLOTS))):
        with pytest.raises(ReleaseRefused, match="fineness: the windows of two peaks overlap"):
            guard.permit(ask(other))
        with pytest.raises(ReleaseRefused, match="fineness: the windows of two peaks overlap"):
            guard.permit(ask(even, other))
    guard.permit(ask(even))


def test_a_window_unlike_all_others_is_no_place_to_hide(guard: Disclosure) -> None:
    even = pairs([(place, place + 1) for place in range(0, SLOTS, 2)])
    one_window_apart = Sum(SlotForm.of({s: 1 + (s <= 1000) for s in range(SLOTS)}))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        guard.permit(ask(even, one_window_apart))
    guard.permit(ask(even, Sum(SlotForm.of({s: 1 + s // DAY % 2 for s in range(SLOTS)}))))
