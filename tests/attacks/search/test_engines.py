# SPDX-License-Identifier: Apache-2.0
"""Each engine finds a break that was planted, and none where there is none.

What the engines are held against here is trying all readings, in homes so small that one can.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.attacks.search.algebra import Contradiction, Span
from tests.attacks.search.attack import FEW, Picture
from tests.attacks.search.facts import (
    Above,
    Combined,
    Expression,
    Extreme,
    Fact,
    Highest,
    Quotient,
    Rule,
    Steps,
    Weighed,
    straightened,
)
from tests.attacks.search.lattice import Row, solve
from tests.attacks.search.programs import Values, values_of
from tests.attacks.search.world import World

BOUNDS = ((0, 48_000),) * 4
TRUE = (8_905, 37_403, 4_235, 16_816)


def told(expression: Expression, uses: Sequence[int]) -> Fact:
    value = expression.value(uses)
    return Fact(expression, value, value)


def row(weights: Sequence[int], slack: int = 0) -> Row:
    value = sum(weight * use for weight, use in zip(weights, TRUE, strict=True))
    return Row(dict(enumerate(weights)), value - slack, value + slack)


def possible(rows: Sequence[Row], target: Sequence[int]) -> Values | None:
    solutions = solve(BOUNDS, rows)
    assert solutions is not None
    return solutions.values_of(target, FEW)


# Linear algebra.


def test_algebra_finds_a_difference() -> None:
    span = Span(3, [({0: 3, 1: 3, 2: 3}, 3 * 60), ({0: 7, 1: 7}, 7 * 20)])
    assert span.value_of([2]) == 40
    assert span.value_of([0, 1]) == 20
    assert span.rank == 2


def test_algebra_finds_nothing_where_nothing_follows() -> None:
    span = Span(3, [({0: 3, 1: 3, 2: 3}, 3 * 60), ({0: 7, 1: 7}, 7 * 20)])
    assert span.value_of([0]) is None
    assert Span(2, []).value_of([1]) is None


def test_algebra_sees_that_answers_contradict_each_other() -> None:
    with pytest.raises(Contradiction):
        Span(2, [({0: 1}, 5), ({0: 2}, 11)])


# Lattices.


def test_a_lattice_unpacks_digits() -> None:
    digits = row([1, 1 << 16, 1 << 32, 1 << 48])
    for place, use in enumerate(TRUE):
        assert possible([digits], [place]) == Values((use,))


def test_a_lattice_unpacks_prices_that_are_nearly_the_same() -> None:
    q = 1 << 50
    near = row([q, q + 1, q + (1 << 16), q + (1 << 32)])
    assert possible([near], [1]) == Values((TRUE[1],))
    assert possible([near], [0, 1, 2, 3]) == Values((sum(TRUE),))


def test_a_lattice_takes_apart_weights_that_are_no_digits() -> None:
    dice = random.Random(5)
    odd = row([dice.getrandbits(60) for _ in TRUE])
    assert [possible([odd], [place]) for place in range(4)] == [Values((use,)) for use in TRUE]


def test_a_lattice_joins_two_answers_of_which_neither_says_it() -> None:
    dice = random.Random(6)
    rows = [row([dice.getrandbits(32) for _ in TRUE]) for _ in range(2)]
    assert possible(rows[:1], [2]) is None
    assert possible(rows, [2]) == Values((TRUE[2],))


def test_a_lattice_gives_every_value_that_is_left() -> None:
    # The third digit is cut off by the fourth: what is left of both is a few values.
    found = possible([row([1, 1 << 17, 1 << 33, 1 << 46])], [2])
    assert found is not None
    assert TRUE[2] in found.all
    assert 1 < found.count < 10


def test_a_lattice_finds_nothing_where_weights_are_small() -> None:
    assert all(possible([row([1, 3, 5, 7])], [place]) is None for place in range(4))


def test_a_lattice_finds_nothing_of_what_was_rounded_off() -> None:
    digits = [1, 1 << 16, 1 << 32, 1 << 48]
    rounded = row(digits, slack=1 << 20)
    assert possible([rounded], [0]) is None
    assert possible([rounded], [3]) == Values((TRUE[3],))


# Integer programs, where answers are no weighed sums.


def any_use(_: int) -> tuple[int, int]:
    return 0, 6_000


HOME = (1_200, 450, 3_000, 80)


def test_a_program_reads_a_peak_off_two_maxima() -> None:
    facts = [told(Highest(((0,), (1,), (2,))), HOME), told(Highest(((0,), (1,))), HOME)]
    assert values_of(facts, any_use, [2], FEW) == Values((3_000,))
    assert values_of(facts, any_use, [0], FEW) is None


def test_a_program_reads_a_slot_off_limits() -> None:
    facts = [told(Above({0: 5, 1: 5}, 500), HOME), told(Above({1: 3}, 400), HOME)]
    assert values_of(facts, any_use, [1], FEW) == Values((450,))
    assert values_of(facts, any_use, [0], FEW) == Values((1_200,))
    assert values_of(facts[:1], any_use, [0], FEW) is None


def test_a_program_reads_buckets_off_what_blocks_come_to() -> None:
    blocks = [
        Steps(Weighed.of([0, 1]), (1_000,), (1, 2)),
        Steps(Weighed.of([2]), (9,), (1, 1 << 15)),
    ]
    facts = [told(Combined(tuple((1, one) for one in blocks)), HOME)]
    assert values_of(facts, any_use, [2], FEW) == Values((3_000,))
    assert values_of(facts, any_use, [0, 1], FEW) == Values((1_650,))
    assert values_of(facts, any_use, [1], FEW) is None


def test_a_program_closes_in_by_comparisons() -> None:
    lead = Weighed.of([0]).plus(Weighed.of([3], 15), -1)
    facts = [Fact(lead, 0, 0), Fact(Weighed.of([3]), 70, 90)]
    found = values_of(facts, any_use, [3], FEW)
    assert found == Values(tuple(range(70, 91)))
    assert values_of(facts, any_use, [1], FEW) is None


@pytest.mark.parametrize("rule", Rule)
def test_a_program_knows_what_a_quotient_leaves_open(rule: Rule) -> None:
    found = values_of([told(Quotient(Weighed.of([0]), 7, rule), HOME)], any_use, [0], FEW)
    assert found is not None
    assert HOME[0] in found.all
    assert 7 <= found.count <= 15


def test_numbers_beyond_the_solver_are_left_out_and_not_guessed() -> None:
    facts = [told(Weighed({0: 1 << 70}), HOME), told(Weighed({1: 2}), HOME)]
    assert values_of(facts, any_use, [0], FEW) is None
    assert values_of(facts, any_use, [1], FEW) == Values((450,))


# Everything together, against trying all readings.


class Tiny(World):
    """Six slots, none of which uses more than 3 Wh."""

    def bounds(self, unknown: int) -> tuple[int, int]:
        return 0, 3


TINY = Tiny(slot_minutes=240, days=1)
EVERY_HOUSE = list(product(range(4), repeat=TINY.slots))
ANY_WEIGHTS = st.dictionaries(
    st.integers(0, TINY.slots - 1), st.sampled_from((-2, 1, 1, 1, 2, 3, 4, 5, 16, 100)), min_size=1
)
SOME = st.lists(st.integers(0, TINY.slots - 1), min_size=1, unique=True)


@st.composite
def weighed(draw: st.DrawFn) -> Weighed:
    return Weighed(draw(ANY_WEIGHTS), draw(st.integers(-3, 3)))


@st.composite
def curved(draw: st.DrawFn) -> Expression:
    sums = weighed().map(lambda one: Weighed({u: abs(w) for u, w in one.weights.items()}))
    blocks = st.builds(Steps, sums, st.just((3,)), st.tuples(st.integers(1, 4), st.integers(1, 4)))
    peaks = SOME.map(lambda slots: Highest(tuple((slot,) for slot in slots)))
    above = st.builds(Above, ANY_WEIGHTS, st.integers(1, 2))
    one = draw(st.one_of(blocks, peaks, above))
    return draw(
        st.sampled_from(
            (one, Combined(((2, one), (1, Weighed.of([0])))), Quotient(one, 2, Rule.DOWN))
        )
    )


def consistent(facts: Sequence[Fact]) -> Iterator[tuple[int, ...]]:
    for house in EVERY_HOUSE:
        if all(fact.low <= fact.expression.value(house) <= fact.high for fact in facts):
            yield house


def targets() -> Iterator[frozenset[int]]:
    for size in (1, 2, 3, 6):
        yield from map(frozenset, combinations(range(TINY.slots), size))


@settings(max_examples=25)
@given(st.lists(weighed(), min_size=1, max_size=3), st.sampled_from(EVERY_HOUSE))
def test_of_weighed_sums_all_that_follows_is_found_and_nothing_else(
    expressions: list[Weighed], house: tuple[int, ...]
) -> None:
    facts = [told(expression, house) for expression in expressions]
    picture = Picture(TINY, facts)
    houses = list(consistent(facts))
    for target in targets():
        found = picture.values_of(target)
        true = {sum(house[u] for u in target) for house in houses}
        if found is not None:
            assert true <= set(found.all)
        if picture.cells_in(target):
            assert found is not None
            assert set(found.all) == true


@settings(max_examples=25)
@given(st.lists(curved(), min_size=1, max_size=2), st.sampled_from(EVERY_HOUSE))
def test_of_whatever_else_is_told_nothing_is_claimed_that_does_not_follow(
    expressions: list[Expression], house: tuple[int, ...]
) -> None:
    facts = [told(expression, house) for expression in expressions]
    picture = Picture(TINY, facts)
    houses = list(consistent(facts))
    for target in targets():
        found = picture.values_of(target)
        if found is not None:
            assert {sum(house[u] for u in target) for house in houses} <= set(found.all)


@settings(max_examples=25)
@given(st.lists(weighed(), min_size=1, max_size=2), st.sampled_from(EVERY_HOUSE))
def test_no_sum_that_cuts_a_cell_follows(
    expressions: list[Weighed], house: tuple[int, ...]
) -> None:
    """Why cells are enough: what cuts one has more values, unless a bound is reached."""
    facts = [told(expression, house) for expression in expressions]
    picture = Picture(TINY, facts)
    for cell in picture.cells:
        inner = sum(house[u] for u in cell)
        if len(cell) > 1 and 0 < inner < 3 * len(cell):
            target = frozenset(cell[:1])
            assert len({sum(h[u] for u in target) for h in consistent(facts)}) > 1


@given(st.one_of(weighed(), curved()), st.sampled_from(EVERY_HOUSE))
def test_what_is_made_straight_says_nothing_wrong(
    expression: Expression, house: tuple[int, ...]
) -> None:
    straight = straightened(told(expression, house), TINY.bounds)
    if straight is not None:
        assert straight.low <= straight.expression.value(house) <= straight.high
    low, high = expression.bounds(TINY.bounds)
    assert low <= expression.value(house) <= high


def test_opened_slots_are_known_and_the_rest_follows() -> None:
    house = (1, 2, 3, 0, 1, 2)
    facts = [told(Weighed.of([0, 1, 2]), house)]
    assert Picture(TINY, facts).values_of(frozenset([2])) is None
    opened = Picture(TINY, facts, {0: 1, 1: 2})
    assert opened.values_of(frozenset([2])) == Values((3,))


def test_the_largest_of_several_is_a_sum_where_one_is_always_the_largest() -> None:
    fixed = Weighed({}, 4)
    sure = Extreme((Weighed({0: 1}, 4), fixed), is_largest=True)
    open_ = Extreme((Weighed({0: 2}), fixed), is_largest=True)
    house = (1,) * 6
    assert straightened(told(sure, house), TINY.bounds) is not None
    assert straightened(told(open_, house), TINY.bounds) is None
