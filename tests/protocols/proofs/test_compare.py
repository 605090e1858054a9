# SPDX-License-Identifier: Apache-2.0
"""Comparisons, tiers and roundings: what is proved is what plain arithmetic says."""

from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import QuotientRule
from protocols.proofs import FalseStatement, ProofRefused, Transcript
from protocols.proofs.batch import verify_all
from protocols.proofs.compare import (
    largest,
    largest_few,
    maximum,
    minimum,
    piecewise_linear,
    positive_part,
    require_at_most,
    require_largest,
    rounded,
    tiers,
)
from protocols.proofs.quantity import Quantity
from protocols.proofs.session import Prover, Session, Verifier

numbers = st.integers(-5000, 5000)
few = settings(max_examples=12, deadline=None)

Statement = Callable[[Session, list[Quantity]], list[Quantity]]


def run(values: list[int], statement: Statement) -> list[int]:
    """Prove and verify a statement about hidden `values`; return what it gives, opened."""
    offset = 10**6  # fresh commitments are to numbers that are not negative

    def whole(session: Session) -> list[int]:
        hidden = [session.commit("x", lambda v=v: v + offset, 32) - offset for v in values]  # type: ignore[misc]  # binds v
        return [session.open("result", result) for result in statement(session, hidden)]

    prover = Prover(Transcript("t", 1), bytes(32))
    proved = whole(prover)
    verifier = Verifier(Transcript("t", 1), prover.finish())
    assert whole(verifier) == proved
    verify_all([verifier.finish("the statement")])
    return proved


@given(numbers, numbers)
@few
def test_the_smaller_and_the_larger_of_two_are_found(a: int, b: int) -> None:
    def statement(session: Session, hidden: list[Quantity]) -> list[Quantity]:
        return [
            minimum(session, "min", hidden[0], hidden[1], 14),
            maximum(session, "max", hidden[0], hidden[1], 14),
            positive_part(session, "positive", hidden[0], 13),
        ]

    assert run([a, b], statement) == [min(a, b), max(a, b), max(a, 0)]


@given(st.lists(numbers, min_size=1, max_size=11))
@few
def test_the_largest_of_many_is_found(values: list[int]) -> None:
    assert run(values, lambda s, hidden: [largest(s, "peak", hidden, 14)]) == [max(values)]


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=7), st.data())
@few
def test_the_sum_of_the_largest_few_is_found(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values) - 1))
    found = run(values, lambda s, hidden: [largest_few(s, "few", hidden, count, 13)])
    assert found == [sum(sorted(values)[-count:])]


@given(st.integers(0, 5000), st.sets(st.integers(1, 5000), max_size=3))
@few
def test_tiers_split_a_total_at_their_limits(total: int, limits: set[int]) -> None:
    rising = sorted(limits)
    parts = run([total], lambda s, hidden: tiers(s, "tiers", hidden[0], rising, 13))
    edges = [0, *rising, 10**9]
    expected = [max(0, min(total, upper) - lower) for lower, upper in pairwise(edges)]
    assert parts == expected
    assert sum(parts) == total


@given(
    numbers,
    st.lists(st.integers(-9, 9), min_size=1, max_size=4),
    st.sets(st.integers(-4000, 4000), min_size=3, max_size=3),
)
@few
def test_a_piecewise_linear_function_is_the_integral_of_its_slopes(
    x: int, slopes: list[int], places: set[int]
) -> None:
    breaks = sorted(places)[: len(slopes) - 1]

    def slope_at(t: int) -> int:
        return slopes[sum(place <= t for place in breaks)]

    expected = sum(map(slope_at, range(x))) if x >= 0 else -sum(map(slope_at, range(x, 0)))
    result = run([x], lambda s, hidden: [piecewise_linear(s, "f", hidden[0], slopes, breaks, 14)])
    assert result == [expected]


@given(st.integers(0, 10**6), st.integers(1, 3000), st.sampled_from(QuotientRule))
@settings(max_examples=25, deadline=None)
def test_roundings_are_those_of_the_decimal_module(
    number: int, divisor: int, rounding: QuotientRule
) -> None:
    rules = {
        QuotientRule.DOWN: ROUND_DOWN,
        QuotientRule.HALF_UP: ROUND_HALF_UP,
        QuotientRule.HALF_EVEN: ROUND_HALF_EVEN,
    }
    exact = Decimal(number) / Decimal(divisor)
    expected = int(exact.quantize(Decimal(1), rounding=rules[rounding]))
    result = run([number], lambda s, hidden: [rounded(s, "r", hidden[0], divisor, rounding, 22)])
    assert result == [expected]


@pytest.mark.parametrize("rounding", QuotientRule)
@pytest.mark.parametrize("number", [0, 1, 5, 10, 15, 25, 35, 39])
def test_ties_are_rounded_by_the_rule(number: int, rounding: QuotientRule) -> None:
    rules = {"down": ROUND_DOWN, "half-up": ROUND_HALF_UP, "half-even": ROUND_HALF_EVEN}
    expected = int((Decimal(number) / 10).quantize(Decimal(1), rounding=rules[rounding.value]))
    assert run([number], lambda s, h: [rounded(s, "r", h[0], 10, rounding, 8)]) == [expected]


def test_a_public_best_match_is_shown_to_be_the_best() -> None:
    def statement(session: Session, hidden: list[Quantity]) -> list[Quantity]:
        require_largest(session, "best", hidden, 1, 14)
        return []

    run([3, 9, 9, -4], statement)
    with pytest.raises(FalseStatement):
        run([3, 9, 10, -4], statement)


def test_a_range_of_one_or_two_bits_is_proved_bit_by_bit() -> None:
    def statement(session: Session) -> None:
        session.commit("switch", lambda: 1, 1)
        session.commit("other", lambda: 0, 1)

    prover = Prover(Transcript("t", 1), bytes(32))
    statement(prover)
    proof = prover.finish()
    assert len(proof) == 2 * 33 + 2 * 162
    verifier = Verifier(Transcript("t", 1), proof)
    statement(verifier)
    verify_all([verifier.finish("switches")])


def test_a_false_comparison_is_not_proved() -> None:
    def statement(session: Session, hidden: list[Quantity]) -> list[Quantity]:
        require_at_most(session, "order", hidden[0], hidden[1], 14)
        return []

    run([4, 4], statement)
    with pytest.raises(FalseStatement):
        run([5, 4], statement)


@pytest.mark.parametrize(
    "statement",
    [
        lambda s, h: tiers(s, "t", h[0], [5, 5], 8),
        lambda s, h: tiers(s, "t", h[0], [9, 5], 8),
        lambda s, h: tiers(s, "t", h[0], [0, 5], 8),
        lambda s, h: [piecewise_linear(s, "f", h[0], [1, 2], [], 8)],
        lambda s, h: [piecewise_linear(s, "f", h[0], [1, 2, 3], [4, 4], 8)],
        lambda s, h: [rounded(s, "r", h[0], 0, QuotientRule.DOWN, 8)],
    ],
)
def test_statements_that_make_no_sense_are_refused(statement: Statement) -> None:
    with pytest.raises(ValueError):
        run([3], statement)


class LyingProver(Prover):
    """Claims ranges of numbers that are out of range, with the bits that fit."""

    def require_range(self, label: str, quantity: Quantity, width: int) -> Quantity:
        assert quantity.secret is not None
        value, blinding = quantity.secret
        lie = Quantity(quantity.point, quantity.limit, (value % (1 << width), blinding))
        return Session.require_range(self, label, lie, width)


@pytest.mark.parametrize("wrong", [1, 2])
def test_a_prover_that_picks_the_larger_one_as_minimum_is_refused(wrong: int) -> None:
    def statement(session: Session, pick: int) -> int:
        a, b = Quantity.constant(10), Quantity.constant(20)
        chosen = session.choose("min", (a, b), lambda: pick)
        require_at_most(session, "min", chosen, a, 8)
        require_at_most(session, "min", chosen, b, 8)
        return session.open("min", chosen)

    prover = LyingProver(Transcript("t", 1), bytes(32))
    statement(prover, wrong - 1)
    verifier = Verifier(Transcript("t", 1), prover.finish())
    claimed = statement(verifier, 0)
    check = verifier.finish("the statement")
    if wrong == 1:
        verify_all([check])  # the liar told the truth
        assert claimed == 10
        return
    with pytest.raises(ProofRefused, match="the ranges of min"):
        verify_all([check])
