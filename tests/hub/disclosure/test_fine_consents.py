# SPDX-License-Identifier: Apache-2.0
"""Prices that differ in every slot: by a consent that says so, counted, and beside coarser ones."""

import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hub.disclosure import Disclosure, ReleaseRefused, ReleaseRequest, knowledge_of, number_of
from protocols.amounts import (
    Best,
    Metered,
    NumberAmount,
    QuotientRule,
    Reading,
    SlotForm,
    Sum,
    Total,
)
from tests.hub.disclosure.test_disclosure import MARCH, NOW, TERMS, ask, day_and_night
from tests.support.consented import guarding

FINE = replace(
    TERMS,
    applet=b"\xf0grid",
    purpose="settlement",
    least_minutes=15,
    answers=2,
    bits=24,
    slot_bits=48,
)
DAY = 86_400
MONTH = range(2976)


@pytest.fixture
def disclosure(tmp_path: Path) -> Iterator[Disclosure]:
    with guarding(tmp_path, NOW, TERMS, FINE) as disclosure:
        yield disclosure


def prices(seed: int, days: int = 31) -> tuple[int, ...]:
    dice = random.Random(seed)
    return tuple(dice.randrange(-50_000, 400_000) for _ in range(96 * days))


def fine(weights: tuple[int, ...], *, begin: int = MARCH, days: int = 31) -> ReleaseRequest:
    asked = ask(weights, begin=begin, days=days)
    return replace(asked, applet=b"\xf0grid", purpose="settlement")


def test_a_price_for_every_slot_takes_a_consent_to_just_that(disclosure: Disclosure) -> None:
    with pytest.raises(ReleaseRefused, match="price: its prices differ by a factor"):
        disclosure.permit(ask(prices(1)))
    disclosure.permit(fine(prices(1)))
    (release,) = disclosure.releases()
    assert [number.least_minutes for number in release.numbers] == [15]
    disclosure.permit(fine(prices(2)))
    known = disclosure.knowledge()
    assert (known.numbers, known.least_seconds) == (2, 900)
    assert known.exposed_slots > 2_900  # what the resident is shown


def test_a_consent_by_bits_counts_those_about_any_one_slot(disclosure: Disclosure) -> None:
    disclosure.grant(replace(FINE, answers=10))
    for seed, begin in ((1, MARCH), (2, MARCH + 20 * DAY), (3, MARCH + 40 * DAY)):
        disclosure.permit(fine(prices(seed), begin=begin))  # two at a time: 20 + 20 bits
    with pytest.raises(ReleaseRefused, match="bits: 40 bits about the same slots .* 20 more"):
        disclosure.permit(fine(prices(4), begin=MARCH + 10 * DAY))
    disclosure.permit(fine(prices(3), begin=MARCH + 40 * DAY))  # told already


def test_a_fine_consent_counts_whatever_overlaps(disclosure: Disclosure) -> None:
    for shift in range(2):
        begin = MARCH + shift * DAY
        disclosure.permit(fine(prices(shift), begin=begin))
    with pytest.raises(ReleaseRefused, match="count: 2 numbers about the same time"):
        disclosure.permit(fine(prices(3, 29), begin=MARCH + 3 * DAY, days=29))
    disclosure.permit(fine(prices(4, 28), begin=MARCH + 40 * DAY, days=28))  # is apart


def test_what_was_told_finely_does_not_stand_in_the_way_of_an_ordinary_bill(
    disclosure: Disclosure,
) -> None:
    disclosure.permit(fine(prices(1)))
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[40] = bent[0]
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(tuple(bent)))  # is held against the earlier bill, still


def test_a_fine_sum_less_an_ordinary_one_tells_no_slot(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[40] += 1
    # To all together, as fine a consent as a slot's was given: they are told 41 bits.
    disclosure.permit(fine(tuple(bent)))
    disclosure.grant(replace(FINE, least_minutes=30))
    bent = list(day_and_night())
    bent[41] += 1
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(fine(tuple(bent)))


def test_an_older_record_counts_as_told_under_an_ordinary_consent(disclosure: Disclosure) -> None:
    disclosure.permit(ask())
    (entry,) = disclosure.log.entries("release")
    facts = {name: value for name, value in entry.facts.items() if name not in ("slots", "numbers")}
    facts["weights"] = struct.pack("<2976q", *day_and_night())
    disclosure.log.append(NOW, "release", facts)
    old = disclosure.releases()[-1]
    assert (old.numbers[0].least_minutes, old.numbers[0].least_days) == (480, 28)
    assert knowledge_of(old.numbers).bundles == 1


SAMPLE = replace(
    FINE, statement="sample", purpose="profiling", least_minutes=150, bits=20, slot_bits=0
)
MATCH = replace(FINE, statement="match", purpose="profiling", least_minutes=60, slot_bits=0)


def amounts(*described: NumberAmount, begin: int = MARCH, days: int = 31) -> ReleaseRequest:
    slots = 96 * days
    numbers = tuple(number_of(amount, begin, 900, slots) for amount in described)
    return ReleaseRequest(
        b"\xf0grid", b"package", "Stadtwerke", "profiling", days, numbers, b"profiles"
    )


def coins(weights: Mapping[int, int]) -> Total:
    """A sum told in units of a kilowatt-hour."""
    return Total((Metered(0, Sum(SlotForm.of(weights))),), (), 1000, QuotientRule.HALF_UP)


def test_one_reading_in_ten_is_told_and_no_more(disclosure: Disclosure) -> None:
    disclosure.grant(replace(SAMPLE, answers=9))
    tenth = [Reading(place) for place in range(3, 2976, 10)]
    disclosure.permit(amounts(*tenth))
    assert disclosure.releases()[-1].forms == [
        form for number in amounts(*tenth).numbers for form in number.forms
    ]
    disclosure.permit(amounts(*tenth))  # tells nothing new
    for other in (Reading(4), Reading(2), Reading(12)):
        with pytest.raises(ReleaseRefused, match="fineness: two samples would be 15 min apart"):
            disclosure.permit(amounts(other))
    with pytest.raises(ReleaseRefused, match="fineness: two samples would be 30 min apart"):
        # of another period, whose slots are next to those of this one
        disclosure.permit(amounts(Reading(0), begin=MARCH + (2973 + 2) * 900))
    known = disclosure.knowledge()
    assert (known.numbers, known.exposed_slots) == (298, 298)


def test_samples_do_not_help_to_single_out_their_neighbours(disclosure: Disclosure) -> None:
    disclosure.grant(replace(SAMPLE, answers=9))
    disclosure.grant(replace(FINE, purpose="profiling", answers=9, least_minutes=60))
    disclosure.permit(amounts(Reading(100), Reading(110)))
    # An hour in all, of which one quarter was sampled: 45 minutes are left.
    disclosure.permit(amounts(coins(dict.fromkeys(MONTH, 1))))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 45 min"):
        disclosure.permit(amounts(coins({p: 1 + (p in (100, 900, 1_700, 2_500)) for p in MONTH})))
    # All but a sampled slot: that one, to all who do not know it, would be a difference.
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(amounts(coins({p: 1 for p in MONTH if p != 100})))


def test_what_one_was_opened_frees_nothing_for_another(disclosure: Disclosure) -> None:
    """The grid knows the sampled slot: to the supplier, the sum of it alone is still too fine."""
    disclosure.grant(replace(SAMPLE, recipient="grid"))
    sample = replace(amounts(Reading(100)), recipient="grid")
    disclosure.permit(sample)
    disclosure.permit(ask())
    bent = list(day_and_night())
    bent[100] += 100_000
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(ask(tuple(bent)))


def test_a_sample_is_refused_where_it_leaves_too_little_of_a_sum(disclosure: Disclosure) -> None:
    disclosure.grant(replace(SAMPLE, answers=9))
    disclosure.grant(replace(FINE, purpose="profiling", answers=9, least_minutes=60))
    hours = [{p: 1 + (p in range(4 * h, 2976, 96)) for p in range(2976)} for h in range(2)]
    disclosure.permit(amounts(*map(coins, hours)))
    few = {p: 1 + (p in (400, 500, 600, 700)) for p in range(2976)}
    disclosure.permit(amounts(coins(few)))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 45 min"):
        disclosure.permit(amounts(Reading(500)))
    disclosure.permit(amounts(Reading(501)))


def test_an_ordinary_bill_is_possible_beside_samples(disclosure: Disclosure) -> None:
    disclosure.grant(SAMPLE)
    disclosure.permit(amounts(*(Reading(place) for place in range(0, 2976, 10))))
    disclosure.permit(ask())


def test_the_best_of_several_tells_no_cell_shorter_than_it_may(
    disclosure: Disclosure,
) -> None:
    disclosure.grant(MATCH)
    dice = random.Random(1)
    shapes = [
        SlotForm.of({p: 1 + s[p // 4 % 24] for p in range(2976)})
        for s in ([dice.randrange(9) for _ in range(24)] for _ in range(3))
    ]
    disclosure.permit(amounts(Best(tuple(shapes))))
    (release,) = disclosure.releases()
    assert (release.bits, len(release.forms)) == (2, 3)
    assert disclosure.knowledge().numbers == 1
    single = SlotForm(((5, 1, 1),))
    with pytest.raises(ReleaseRefused, match="fineness: the use of 15 min"):
        disclosure.permit(amounts(Best((shapes[0], single)), begin=MARCH + 50 * DAY))


def test_a_kind_of_number_needs_a_consent_of_its_own(disclosure: Disclosure) -> None:
    disclosure.grant(MATCH)
    with pytest.raises(ReleaseRefused, match="consent: none"):
        disclosure.permit(amounts(Reading(5)))


def test_many_fine_numbers_in_one_answer_count_each(disclosure: Disclosure) -> None:
    """Or one question could take thousands of bits: enough to solve for every reading."""
    disclosure.grant(replace(FINE, purpose="profiling", answers=5, slot_bits=200))
    forms = [SlotForm.of_each(prices(seed)) for seed in range(6)]
    sums = [Total((Metered(0, Sum(form)),), (), 10**7, QuotientRule.HALF_UP) for form in forms]
    with pytest.raises(ReleaseRefused, match="count: 0 numbers .* 6 more are"):
        disclosure.permit(amounts(*sums))
    disclosure.permit(amounts(*sums[:4]))
    with pytest.raises(ReleaseRefused, match="count: 4 numbers .* 2 more are asked for"):
        disclosure.permit(amounts(*sums[4:]))
    disclosure.permit(amounts(sums[4]))
    assert disclosure.knowledge().bits <= 5 * FINE.bits


def test_clever_weights_get_no_more_bits_than_a_fine_consent_says(disclosure: Disclosure) -> None:
    """What it does not promise: a number of so many bits can hold a single reading."""
    packed = [0] * 2976
    packed[40] = 4 * 10**7
    disclosure.permit(fine(tuple(packed)))
    packed[41] = 10**7 // 1_000
    disclosure.permit(fine(tuple(packed)))
    for shift in range(4):
        packed[42 + shift] = 10**7
        with pytest.raises(ReleaseRefused, match="count|size"):
            disclosure.permit(fine(tuple(packed), begin=MARCH + shift * DAY))
    assert disclosure.knowledge().bits <= FINE.slot_bits
