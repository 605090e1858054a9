# SPDX-License-Identifier: Apache-2.0
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Above,
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Excess,
    Group,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
    decode_amounts,
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


AMOUNTS = st.lists(
    st.one_of(
        FORMS.map(Sum),
        st.lists(buckets(), max_size=4).map(tuple).map(Tiered),
        peaks(),
        st.lists(FORMS, min_size=2, max_size=4).map(tuple).map(Best),
        st.integers(0, 10**6).map(Reading),
        excesses(),
    ),
    min_size=1,
    max_size=4,
)  # fmt: skip


def packed(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


@given(AMOUNTS)
def test_amounts_come_back_as_they_went_out(amounts: list[Amount]) -> None:
    assert decode_amounts(encode_amounts(amounts)) == tuple(amounts)


@given(st.binary(max_size=400) | st.lists(st.integers(0, 7), max_size=40).map(lambda n: packed(*n)))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    try:
        amounts = decode_amounts(data)
    except AmountsMalformed:
        return
    assert encode_amounts(amounts) == data


@settings(max_examples=60)
@given(AMOUNTS, st.data())
def test_what_is_cut_short_or_goes_on_is_refused(
    amounts: list[Amount], data: st.DataObject
) -> None:
    whole = encode_amounts(amounts)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for wrong in (whole[:cut], whole + bytes(8)):
        with pytest.raises(AmountsMalformed):
            decode_amounts(wrong)


ONE_RUN = (1, 0, 1, 1)


@pytest.mark.parametrize(
    "numbers",
    [
        (0,),
        (-1,),
        (1 << 62,),
        (1, 3, *ONE_RUN),
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
    ],
    ids=[
        "none", "fewer than none", "count beyond the end", "unknown kind", "form of nothing",
        "place below 0", "run of nothing", "weight 0", "runs out of order", "runs overlap",
        "runs not merged", "equal limits", "limit 0", "bucket takes off", "limits below none",
        "no group", "no window", "floor below 0", "window twice", "weights differ", "sizes differ",
        "negative window", "slot in two groups", "no limit", "fewer limits than none",
        "above 0", "above a negative limit", "above for no slot", "the same limit twice",
        "limits that fall", "fewer runs than none",
        "whole rate", "rate of 1", "rate not in lowest terms", "rate 0", "rate below 0",
        "highest of too few", "kind 8",
    ],
)  # fmt: skip
def test_nonsense_is_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(AmountsMalformed):
        decode_amounts(packed(*numbers))


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
