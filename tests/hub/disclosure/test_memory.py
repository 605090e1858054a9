# SPDX-License-Identifier: Apache-2.0
"""What the guard makes of numbers that go on from earlier ones."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.disclosure.cells import refine
from hub.disclosure.memory import MemoryStep, decode_remembered, encode_remembered
from hub.disclosure.numbers import Number
from hub.disclosure.records import number_facts
from protocols.amounts import (
    Above,
    Bucket,
    Carried,
    Combine,
    Excess,
    Group,
    Kept,
    Least,
    Metered,
    MeteredAmount,
    Most,
    Peaks,
    QuotientRule,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
)

SLOTS, BEGIN, HOUR = 12, 1_740_783_600, 3_600
LATER = BEGIN + SLOTS * HOUR
VALUE = Carried("a", -(1 << 40), 41)
USES = st.lists(st.integers(0, 40), min_size=SLOTS, max_size=SLOTS)
PLACES = st.sets(st.integers(0, SLOTS - 1), min_size=1, max_size=SLOTS)
WEIGHTS = st.sampled_from([1, 1, 2, 3])


def form(places: Sequence[int], weight: int = 1) -> SlotForm:
    return SlotForm.of(dict.fromkeys(places, weight))


@st.composite
def amounts(draw: st.DrawFn) -> MeteredAmount:
    places = sorted(draw(PLACES))
    match draw(st.integers(0, 3)):
        case 0:
            return Sum(SlotForm.of({place: draw(WEIGHTS) for place in places}))
        case 1:
            return Tiered((Bucket(form(places), (draw(st.integers(1, 200)),), (1, 3)),))
        case 2:
            return Peaks((Group(tuple(form([place]) for place in places), 5),))
        case _:
            return Excess(form(places), (Above(draw(st.integers(1, 30)), form(places[:1])),))


@st.composite
def steps(draw: st.DrawFn, inputs: int) -> tuple[Combine | Least | Most | Rounding, ...]:
    """Return steps of which the last one is made of all inputs."""
    whole = Combine(tuple((place, draw(WEIGHTS)) for place in range(inputs)), draw(WEIGHTS))
    match draw(st.integers(0, 3)) if inputs > 1 else 0:
        case 0:
            return (whole,)
        case 1:
            return (Least(tuple(range(inputs))),)
        case 2:
            return (Most(tuple(range(inputs))),)
        case _:
            return (whole, Rounding(inputs, draw(st.integers(2, 5)), QuotientRule.HALF_UP))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Total, Total]:
    """Return a total that keeps something, and one that goes on from it."""
    told, kept = Metered(0, draw(amounts())), Metered(0, draw(amounts()))
    made = draw(steps(2))
    first = Total(
        (told, kept), (*made, Combine(((0, 1),))), draw(st.integers(1, 3)), QuotientRule.DOWN,
        kept=(Kept("a", 1 + len(made), VALUE.low, VALUE.bits),),
    )  # fmt: skip
    second = Total(
        (Metered(0, draw(amounts())),), draw(steps(2)), draw(st.integers(1, 3)), QuotientRule.DOWN,
        (VALUE,),
    )  # fmt: skip
    return first, second


def told(first: Total, second: Total) -> tuple[list[Number], list[Number]]:
    one = MemoryStep([first], BEGIN, HOUR, SLOTS, [""], [()], b"0", {})
    other = MemoryStep([second], LATER, HOUR, SLOTS, [""], [()], b"1", one.kept())
    return one.numbers(), other.numbers()


def values(first: Total, second: Total, early: Sequence[int], late: Sequence[int]) -> list[int]:
    kept = first.kept_of([early])
    return [first.value_of([early]), second.value_of([late], kept)]


@settings(deadline=None)
@given(pairs(), USES, USES, st.data())
def test_use_that_trades_places_within_a_cell_changes_no_number(
    totals: tuple[Total, Total], early: list[int], late: list[int], data: st.DataObject
) -> None:
    """The theorem's heart: all numbers, memory included, are functions of the cells' sums."""
    first, second = totals
    one, other = told(first, second)
    numbers = [*one, *other]
    refinement = refine([number.forms for number in numbers])
    columns = [
        tuple(
            (n, f, row.weights[place], row.is_peak)
            for n, number in enumerate(numbers)
            for f, row in enumerate(number.forms)
            if row.begin == BEGIN and row.weights[place]
        )
        for place in range(SLOTS)
    ]
    alike = [
        (a, b)
        for a in range(SLOTS)
        for b in range(a)
        if [(n, f, 1 if peak else w) for n, f, w, peak in columns[a]]
        == [(n, f, 1 if peak else w) for n, f, w, peak in columns[b]]
    ]
    assert refinement.bundles
    if not alike:
        return
    a, b = data.draw(st.sampled_from(alike))
    moved = list(early)
    moved[a], moved[b] = moved[b], moved[a]
    assert values(first, second, moved, late) == values(first, second, early, late)


@settings(deadline=None)
@given(pairs(), USES, st.integers(0, SLOTS - 1))
def test_what_a_number_depends_on_of_an_earlier_time_is_recalled(
    totals: tuple[Total, Total], early: list[int], place: int
) -> None:
    first, second = totals
    late = [7] * SLOTS
    _, other = told(first, second)
    weighed = {
        at
        for number in other
        if number.is_recalled
        for row in number.forms
        for at, weight in enumerate(row.weights)
        if weight
    }
    changed = list(early)
    changed[place] += 13
    if values(first, second, changed, late)[1] != values(first, second, early, late)[1]:
        assert place in weighed


@given(pairs())
def test_what_is_remembered_comes_back_as_it_was_kept(totals: tuple[Total, Total]) -> None:
    step = MemoryStep([totals[0]], BEGIN, HOUR, SLOTS, [""], [()], b"0", {})
    assert decode_remembered(encode_remembered(step.kept())) == step.kept()
    for value in step.kept().values():
        low, high = value.bounds
        assert VALUE.low <= low <= high < VALUE.low + (1 << VALUE.bits)


@settings(deadline=None)
@given(pairs(), USES)
def test_a_kept_value_lies_within_what_the_guard_knows_of_it(
    totals: tuple[Total, Total], early: list[int]
) -> None:
    step = MemoryStep([totals[0]], BEGIN, HOUR, SLOTS, [""], [()], b"0", {})
    low, high = step.kept()["a"].bounds
    assert low <= totals[0].kept_of([early])["a"] <= high


def test_what_is_kept_and_not_told_is_no_number() -> None:
    """An instalment: a constant is told, the balance is carried."""
    total = Total(
        (Metered(0, Sum(form(range(SLOTS), 3))),),
        (Combine((), 50), Combine(((0, 1), (1, -1))), Combine(((1, 1),))),
        1,
        QuotientRule.DOWN,
        kept=(Kept("a", 2, VALUE.low, VALUE.bits),),
    )
    step = MemoryStep([total], BEGIN, HOUR, SLOTS, [""], [()], b"0", {})
    [number] = step.numbers()
    assert not any(any(row.weights) for row in number.forms)
    assert number.bits == 1
    [trace] = step.kept()["a"].traces
    assert [cases for _, cases in trace.parts] == [(Fraction(1),)]


def test_prices_of_what_is_recalled_are_those_that_come_out_in_the_end() -> None:
    """So many units of the later number a watt-hour of the earlier time counts for."""
    first = Total(
        (Metered(0, Sum(form(range(SLOTS), 30))),), (Combine(((0, 1),)),), 1, QuotientRule.DOWN,
        kept=(Kept("a", 0, VALUE.low, VALUE.bits),),
    )  # fmt: skip
    second = Total(
        (Metered(0, Sum(form(range(SLOTS)))),), (Combine(((0, 5), (1, 2))),), 100,
        QuotientRule.DOWN, (VALUE,),
    )  # fmt: skip
    _, (own, recalled) = told(first, second)
    assert own.prices == (Fraction(5, 100),) * 2
    assert recalled.prices == (Fraction(60, 100),) * 2
    assert recalled.bits == own.bits
    facts = number_facts([own, recalled])
    assert facts["bits"] == own.bits
    assert facts["numbers"][1]["recalled"] == BEGIN
