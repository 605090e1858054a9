# SPDX-License-Identifier: Apache-2.0
"""A total's scenarios: each that can happen is there, and those that contradict themselves are not.

A guard that overlooked one that can happen would take a total for coarser than it is.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocols.amounts import (
    Carried,
    Combine,
    Least,
    Metered,
    Most,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Total,
    TotalStep,
)
from protocols.amounts.total import LEAST_SLOPE
from tests.protocols.amounts.test_codec import totals

USE = Sum(SlotForm.of({0: 1, 1: 1}))
SO_FAR = Carried("so far", 0, 44)


def slopes_of(total: Total, inputs: Sequence[int]) -> tuple[Fraction, ...] | None:
    """Return how the number changes with each input, where they are just these.

    None where two values are the same of which one is chosen: there it changes in several ways.
    """
    values, slopes = list(inputs), list[dict[int, Fraction]]()
    slopes += [{place: Fraction(1)} for place in range(total.inputs)]
    for step in total.steps:
        match step:
            case Combine(terms):
                made: dict[int, Fraction] = {}
                for place, factor in terms:
                    for by, slope in slopes[place].items():
                        made[by] = made.get(by, Fraction(0)) + slope * factor
            case Least(places) | Most(places) if _is_tied(values, step):
                return None
            case Least(places):
                made = slopes[min(places, key=values.__getitem__)]
            case Most(places):
                made = slopes[max(places, key=values.__getitem__)]
            case Rounding(place, divisor):
                made = {by: slope / divisor for by, slope in slopes[place].items()}
        values.append(step.of(values))
        slopes.append(made)
    return tuple(slopes[-1].get(by, Fraction(0)) / total.divisor for by in range(total.inputs))


def _is_tied(values: Sequence[int], step: Least | Most) -> bool:
    chosen = step.of(values)
    return sum(values[place] == chosen for place in step.places) > 1


@given(totals(), st.data())
def test_what_happens_is_one_of_the_scenarios(total: Total, data: st.DataObject) -> None:
    uses = [data.draw(st.lists(st.integers(0, 9000), min_size=202, max_size=202))] * 8
    inputs = [one.amount.value_of(uses[one.register]) for one in total.metered]
    inputs += [data.draw(st.integers(*one.bounds)) for one in total.carried]
    found = total.scenarios()
    if found[0] != (LEAST_SLOPE,) * total.inputs:  # too many to work out
        assert slopes_of(total, inputs) in {*found, None}


PRICES, LIMITS = (10_154, 6_937, 3_868), (10_000_000, 50_000_000)


def counted_on() -> Total:
    """Return what a period costs, of energy that counts on over the Dutch tax's limits."""
    steps: list[TotalStep] = [Combine(((0, 1), (1, 1))), Combine((), 0)]

    def above(energy: int, limit: int) -> int:
        steps.append(Combine(((energy, 1),), -limit))
        place = 1 + len(steps)
        steps.append(Most((3, place)))
        return 1 + len(steps)

    changes = [high - low for low, high in pairwise(PRICES)]
    terms = [(0, PRICES[0])]
    for limit, change in zip(LIMITS, changes, strict=True):
        terms += [(above(2, limit), change), (above(1, limit), -change)]
    steps.append(Combine(tuple(sorted(terms))))
    return Total((Metered(0, USE),), tuple(steps), 1, QuotientRule.DOWN, (SO_FAR,))


def test_what_was_above_a_limit_before_is_so_after() -> None:
    """So the change of each limit counts, or of both together, and never their difference."""
    low, high = PRICES[1] - PRICES[0], PRICES[2] - PRICES[1]
    carried = {each[1] for each in counted_on().scenarios()}
    assert carried == {Fraction(0), Fraction(low), Fraction(high), Fraction(low + high)}
    assert {each[0] for each in counted_on().scenarios()} == set(map(Fraction, PRICES))


@given(st.integers(0, 1 << 27), st.integers(0, 1 << 27))
def test_energy_that_counts_on_costs_what_its_scenarios_say(so_far: int, own: int) -> None:
    total = counted_on()
    assert slopes_of(total, [own, so_far]) in {*total.scenarios(), None}
