# SPDX-License-Identifier: Apache-2.0
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Above,
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Carried,
    Combine,
    Count,
    Excess,
    Group,
    Kept,
    Least,
    Metered,
    Most,
    NumberAmount,
    Peaks,
    QuotientRule,
    Reading,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    TotalStep,
    decode_amounts,
    decode_numbers,
    encode_amounts,
)

WEIGHTS = st.integers(-(10**9), 10**9).filter(bool)
FORMS = st.dictionaries(st.integers(0, 200), WEIGHTS, min_size=1).map(SlotForm.of)
COUNTS = st.dictionaries(st.integers(0, 200), st.integers(1, 3), min_size=1).map(SlotForm.of)


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    limits = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    prices = draw(st.lists(WEIGHTS, min_size=len(limits) + 1, max_size=len(limits) + 1))
    return Bucket(draw(COUNTS), tuple(limits), tuple(prices))


@st.composite
def peaks(draw: st.DrawFn) -> Peaks:
    places = draw(st.lists(st.integers(0, 100), unique=True, min_size=2, max_size=20))
    windows = [SlotForm.of({2 * place: 1, 2 * place + 1: 1}) for place in places]
    cut = draw(st.integers(1, len(windows) - 1))
    floor = draw(st.integers(0, 5000))
    groups = Group(tuple(windows[:cut]), floor), Group(tuple(windows[cut:]), floor)
    rate = draw(st.sampled_from([(1, 1), (4, 3), (1, 2), (2, 3)]))
    return Peaks(groups, draw(st.integers(0, 1)), rate)


@st.composite
def excesses(draw: st.DrawFn) -> Excess:
    limits = sorted(draw(st.sets(st.integers(1, 10**6), min_size=1, max_size=4)))
    everything = draw(st.one_of(st.just(SlotForm(())), FORMS))
    return Excess(everything, tuple(Above(limit, draw(FORMS)) for limit in limits))


@st.composite
def counts(draw: st.DrawFn) -> Count:
    places = draw(st.lists(st.integers(0, 100), unique=True, min_size=1, max_size=20))
    windows = tuple(SlotForm.of({2 * place: 1, 2 * place + 1: 1}) for place in places)
    return Count(windows, draw(st.integers(1, (1 << 24) - 2)))


METERED = st.one_of(
    FORMS.map(Sum),
    counts(),
    st.lists(buckets(), max_size=4).map(tuple).map(Tiered),
    peaks(),
    excesses(),
)
WIDE = st.integers(-(1 << 127) + 1, (1 << 127) - 1)
RULES = st.sampled_from(QuotientRule)


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
LOWS, BITS = st.integers(-(2**61), 2**61), st.integers(1, 62)
CARRIED = st.sets(NAMES, max_size=3).flatmap(
    lambda names: st.tuples(*(st.builds(Carried, st.just(n), LOWS, BITS) for n in sorted(names)))
)


@st.composite
def totals(draw: st.DrawFn) -> Total:
    """A total of some amounts, whose last step takes in whatever no other one did."""
    registers = st.integers(0, 7)
    metered = draw(st.lists(st.builds(Metered, registers, METERED), min_size=1, max_size=3))
    carried = draw(CARRIED)
    inputs = len(metered) + len(carried)
    steps, unused = list[TotalStep](), set(range(inputs))
    for here in range(inputs, inputs + draw(st.integers(0, 3))):
        places = tuple(sorted(draw(st.sets(st.integers(0, here - 1), min_size=1, max_size=3))))
        kind = draw(st.integers(0, 3)) if len(places) > 1 else 3 * draw(st.integers(0, 1))
        match kind:
            case 0:
                terms = tuple((place, draw(WIDE.filter(bool))) for place in places)
                steps.append(Combine(terms, draw(WIDE)))
            case 1:
                steps.append(Least(places))
            case 2:
                steps.append(Most(places))
            case _:
                places = places[:1]
                steps.append(Rounding(places[0], draw(st.integers(2, 10**9)), draw(RULES)))
        unused = unused - set(places) | {here}
    if len(unused) > 1:
        steps.append(Combine(tuple((place, 1) for place in sorted(unused))))
    place = st.integers(0, inputs + len(steps) - 1)
    names = sorted(draw(st.sets(NAMES, max_size=3)))
    kept = tuple(Kept(name, draw(place), draw(LOWS), draw(BITS)) for name in names)
    divisor, rule = draw(st.integers(1, 10**30)), draw(RULES)
    return Total(tuple(metered), tuple(steps), divisor, rule, carried, kept)


OTHERS = st.one_of(
    st.lists(FORMS, min_size=2, max_size=4).map(tuple).map(Best),
    st.integers(0, 10**6).map(Reading),
)
AMOUNTS = st.lists(st.one_of(METERED, OTHERS), min_size=1, max_size=4)
NUMBERS = st.lists(st.one_of(totals(), OTHERS), min_size=1, max_size=4)

Decode = Callable[[bytes], Sequence[Amount | NumberAmount]]


def packed(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


@given(AMOUNTS)
def test_amounts_come_back_as_they_went_out(amounts: list[Amount]) -> None:
    assert decode_amounts(encode_amounts(amounts)) == tuple(amounts)


@given(NUMBERS)
def test_numbers_come_back_as_they_went_out(amounts: list[NumberAmount]) -> None:
    assert decode_numbers(encode_amounts(amounts)) == tuple(amounts)


@given(AMOUNTS, NUMBERS)
def test_each_call_takes_its_own_kinds_alone(
    amounts: list[Amount], numbers: list[NumberAmount]
) -> None:
    shared = Best, Reading
    if not all(isinstance(one, shared) for one in amounts):
        with pytest.raises(AmountsMalformed):
            decode_numbers(encode_amounts(amounts))
    if not all(isinstance(one, shared) for one in numbers):
        with pytest.raises(AmountsMalformed):
            decode_amounts(encode_amounts(numbers))


@pytest.mark.parametrize("decode", [decode_amounts, decode_numbers])
@given(st.binary(max_size=400) | st.lists(st.integers(0, 8), max_size=40).map(lambda n: packed(*n)))
def test_any_bytes_are_refused_or_reproduced(decode: Decode, data: bytes) -> None:
    try:
        amounts = decode(data)
    except AmountsMalformed:
        return
    assert encode_amounts(amounts) == data


@settings(max_examples=60)
@given(AMOUNTS | NUMBERS, st.data())
def test_what_is_cut_short_or_goes_on_is_refused(
    amounts: list[Amount | NumberAmount], data: st.DataObject
) -> None:
    whole = encode_amounts(amounts)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + bytes(8)):
        for decode in (decode_amounts, decode_numbers):
            with pytest.raises(AmountsMalformed):
                decode(wrong)


ONE_RUN = (1, 0, 1, 1)
SUM = (0, *ONE_RUN)
ONE = (1, 1)
TWO = (1, 2)


@pytest.mark.parametrize(
    "numbers",
    [
        (0,),
        (-1,),
        (1 << 62,),
        (1, 3, *ONE_RUN),
        (1, 10, 5, 0),  # a count of no windows,
        (1, 10, 0, 1, *ONE_RUN),  # above nothing,
        (1, 10, (1 << 24) - 1, 1, *ONE_RUN),  # above more than is proved,
        (1, 10, -5, 1, *ONE_RUN),
        (1, 10, 5, 1, 1, 0, 1, 2),  # of slots that count twice,
        (1, 10, 5, 2, *ONE_RUN, *ONE_RUN),  # of one window twice,
        (1, 10, 5, 2, *ONE_RUN, 1, 1, 2, 1),  # of windows of two sizes
        (1, 0, 0),
        (1, 0, 1, -1, 1, 1),
        (1, 0, 1, 0, 0, 1),
        (1, 0, 1, 0, 1, 0),
        (1, 0, 2, 4, 1, 1, 0, 1, 1),
        (1, 0, 2, 0, 2, 1, 1, 2, 5),
        (1, 0, 2, 0, 2, 7, 2, 2, 7),
        (1, 1, 1, *ONE_RUN, 2, 5, 5, 1, 1, 1),
        (1, 1, 1, *ONE_RUN, 1, 0, 1, 1),
        (1, 1, 1, 1, 0, 1, -1, 0, 1),
        (1, 1, 1, *ONE_RUN, -1, 1),
        (1, 2, 0),
        (1, 2, 1, 0, 0),
        (1, 2, 1, -1, 1, *ONE_RUN),
        (1, 2, 1, 0, 2, *ONE_RUN, *ONE_RUN),
        (1, 2, 1, 0, 2, 1, 0, 1, 1, 1, 1, 1, 2),
        (1, 2, 1, 0, 2, 1, 0, 1, 1, 1, 1, 2, 1),
        (1, 2, 1, 0, 1, 1, 0, 1, -1),
        (1, 2, 2, 0, 1, *ONE_RUN, 0, 1, *ONE_RUN),
        (1, 6, *ONE_RUN, 0),
        (1, 6, *ONE_RUN, -1),
        (1, 6, *ONE_RUN, 1, 0, *ONE_RUN),
        (1, 6, *ONE_RUN, 1, -5, *ONE_RUN),
        (1, 6, *ONE_RUN, 1, 5, 0),
        (1, 6, *ONE_RUN, 2, 5, *ONE_RUN, 5, *ONE_RUN),
        (1, 6, *ONE_RUN, 2, 6, *ONE_RUN, 5, *ONE_RUN),
        (1, 6, -1, 1, 5, *ONE_RUN),
        (1, 7, 4, 1, 0, 1, 0, 1, *ONE_RUN),
        (1, 7, 1, 1, 0, 1, 0, 1, *ONE_RUN),
        (1, 7, 4, 2, 0, 1, 0, 1, *ONE_RUN),
        (1, 7, 0, 3, 0, 1, 0, 1, *ONE_RUN),
        (1, 7, -4, 3, 0, 1, 0, 1, *ONE_RUN),
        (1, 7, 4, 3, 1, 1, 0, 1, *ONE_RUN),
        (1, 8, *ONE_RUN),
        (1, 9, *ONE_RUN),
        (1, 8, 0, 0, *ONE, 0),
        (1, 8, 1, 8, *SUM, 0, *ONE, 0),
        (1, 8, 1, -1, *SUM, 0, *ONE, 0),
        (1, 8, 1, 0, 4, 5, 0, *ONE, 0),
        (1, 8, 1, 0, 8, 1, 0, *SUM, 0, *ONE, 0, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 0, 1, 0, 0),
        (1, 8, 1, 0, *SUM, 0, 1, -1, 0),
        (1, 8, 1, 0, *SUM, 0, *ONE, 3),
        (1, 8, 1, 0, *SUM, 0, *ONE, -1),
        (1, 8, 1, 0, *SUM, 0, 2, 1, 0, 0),
        (1, 8, 1, 0, *SUM, 0, 0, 0),
        (1, 8, 1, 0, *SUM, 0, 3, 1, 0, 0, 0),
        (1, 8, 2, 0, *SUM, 1, *SUM, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 4, 0, *ONE, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 0, 1, 1, *ONE, *ONE, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 0, 1, -1, *ONE, *ONE, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 0, 1, 0, 1, 0, *ONE, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 0, 2, 0, *ONE, 0, *ONE, *ONE, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 1, 1, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 2, 2, 0, 0, *ONE, 0),
        (1, 8, 2, 0, *SUM, 1, *SUM, 1, 2, 2, 1, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 3, 0, *ONE, 0, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 3, 0, *TWO, 3, *ONE, 0),
        (1, 8, 1, 0, *SUM, 1, 0, 0, *ONE, *ONE, 0),
    ],
)  # fmt: skip
def test_nonsense_is_refused(numbers: tuple[int, ...]) -> None:
    for decode in (decode_amounts, decode_numbers):
        with pytest.raises(AmountsMalformed):
            decode(packed(*numbers))


@given(excesses(), st.lists(st.integers(0, 10**6), min_size=201, max_size=201))
def test_an_excess_is_what_it_says(amount: Excess, uses: list[int]) -> None:
    total = sum(w * u for w, u in zip(amount.form.spread(201), uses, strict=True))
    for one in amount.above:
        for weight, use in zip(one.form.spread(201), uses, strict=True):
            total += weight * max(0, use - one.limit)
    assert amount.value_of(uses) == total
    assert amount.comparisons * 4 >= sum(one.form.size for one in amount.above)


def test_a_number_beyond_64_bits_is_refused() -> None:
    with pytest.raises(AmountsMalformed):
        encode_amounts([Sum(SlotForm.of({0: 1 << 63}))])


REMEMBERING = Total(
    (Metered(0, Sum(SlotForm(((0, 1, 1),)))),), (Combine(((0, 1), (1, 1))),), 1, QuotientRule.DOWN,
    (Carried("a", 0, 8),), (Kept("a", 2, 0, 8),),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-8],
        lambda data: data + bytes(8),
        lambda data: data.replace(b"a" + bytes(7), b"a" + bytes(6) + b"x"),
        lambda data: data.replace(b"a" + bytes(7), b"\xff" + bytes(7)),
        lambda data: data.replace(b"a" + bytes(7), b"\n" + bytes(7)),
    ],
)
def test_a_total_with_memory_has_one_encoding(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(AmountsMalformed):
        decode_numbers(change(encode_amounts([REMEMBERING])))


@pytest.mark.parametrize(
    "changes",
    [
        {"carried": (Carried("a", 0, 8), Carried("a", 0, 8))},
        {"carried": (Carried("b", 0, 8), Carried("a", 0, 8))},
        {"kept": (Kept("a", 3, 0, 8),)},
        {"kept": (Kept("b", 2, 0, 8), Kept("a", 2, 0, 8))},
        {"steps": ()},
    ],
)
def test_what_is_carried_and_kept_is_in_order_and_used(changes: dict[str, Any]) -> None:
    with pytest.raises(AmountsMalformed):
        replace(REMEMBERING, **changes)
