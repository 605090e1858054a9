# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.aggregation.decryption import decrypt_sum
from protocols.aggregation.errors import MalformedMessage, PackingRefused, RoundRefused
from protocols.aggregation.packing import Layout
from protocols.aggregation.round import Round
from protocols.aggregation.weighting import Weighting
from tests.support.aggregation import announce, collect, homes, private_key, terms
from tests.support.weighted_aggregation import plain_worth, weighted_terms, weighting

PRICES = [12_345 * hour - 90_000 for hour in range(24)]
"""Eight of them negative."""
SIGNED_32 = st.integers(-(1 << 31), (1 << 31) - 1)


@pytest.mark.parametrize("dropped", [(), (3,), (0, 6)])
def test_the_opened_number_is_the_worth_of_who_is_in_the_sum(dropped: tuple[int, ...]) -> None:
    members = homes(7, 24)
    announced = announce(members, weighted_terms(PRICES))
    opened = decrypt_sum(announced, collect(announced, members, dropped).batch(), private_key())
    present = [home for home in members if home.number not in dropped]
    assert opened.values == (plain_worth(PRICES, present),)
    assert len(opened.meters) == len(present)


def test_a_sum_below_zero_comes_out_below_zero() -> None:
    members = homes(5, 24)
    prices = [-price for price in range(1, 25)]
    announced = announce(members, weighted_terms(prices))
    opened = decrypt_sum(announced, collect(announced, members).batch(), private_key())
    assert opened.values == (plain_worth(prices, members),)
    assert opened.values[0] < 0


def test_a_household_sends_one_ciphertext_whatever_the_period() -> None:
    members = homes(5, 24)
    announced = announce(members, weighted_terms(PRICES))
    (one, *_) = collect(announced, members).evidence()
    assert len(one.ciphertexts) == announced.terms.key.ciphertext_size
    assert announced.terms.value_count() == 1


def test_ranges_are_proved_of_the_one_number() -> None:
    members = homes(5, 24)
    announced = announce(members, weighted_terms(PRICES, are_ranges_proved=True))
    batch = collect(announced, members).batch()
    assert all(batch.range_proofs)
    assert decrypt_sum(announced, batch, private_key()).values == (plain_worth(PRICES, members),)


@given(
    prices=st.lists(SIGNED_32, min_size=1, max_size=12),
    bits=st.integers(1, 20),
    data=st.data(),
)
@settings(max_examples=60)
def test_whatever_the_prices_numbers_fit_their_room_and_come_back(
    prices: list[int], bits: int, data: st.DataObject
) -> None:
    weighed, most = weighting(prices), (1 << bits) - 1
    group = data.draw(st.lists(
        st.lists(st.integers(0, most), min_size=len(prices), max_size=len(prices)),
        min_size=1, max_size=5,
    ))  # fmt: skip
    lifted = [weighed.lifted(uses, bits) for uses in group]
    assert all(0 <= number < 1 << weighed.bits(bits) for number in lifted)
    layout = Layout.for_key(2048, weighed.bits(bits), 16)
    limbs = [layout.limbs_of([number]) for number in lifted]
    [total] = layout.values_of([sum(column) for column in zip(*limbs, strict=True)], 1)
    worth = sum(p * u for uses in group for p, u in zip(prices, uses, strict=True))
    assert total + len(group) * weighed.low(bits) == worth


@given(prices=st.lists(SIGNED_32, min_size=1, max_size=40), revision=st.integers(1, 2**32 - 1))
def test_weightings_come_back_as_they_went(prices: list[int], revision: int) -> None:
    one = Weighting(bytes(range(32)), "agile", revision, "GBP", tuple(prices))
    assert Weighting.decode(one.encode()) == one


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_reproduced(data: bytes) -> None:
    for candidate in (data, weighting(PRICES).encode()[:40] + data):
        try:
            found = Weighting.decode(candidate)
        except MalformedMessage:
            continue
        assert found.encode() == candidate


def test_a_round_with_prices_comes_back_and_is_another_message_than_one_without() -> None:
    members = homes(5, 24)
    announced = announce(members, weighted_terms(PRICES))
    assert Round.decode(announced.encode()) == announced
    plain = announce(members)
    assert Round.decode(plain.encode()) == plain
    assert plain.terms.weighting is None
    assert b"round 3" in plain.message
    assert b"round 4" in announced.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": bytes(31)},
        {"series": ""},
        {"series": "x" * 65},
        {"series": "a\nb"},
        {"revision": 0},
        {"revision": 1 << 32},
        {"currency": "eur"},
        {"currency": "EURO"},
        {"prices": ()},
        {"prices": (1 << 31,)},
    ],
)
def test_what_is_no_weighting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage):
        replace(weighting(PRICES), **wrong)  # type: ignore[arg-type]


def test_prices_that_are_not_one_for_each_slot_make_no_round() -> None:
    for prices in (PRICES[:-1], [*PRICES, 1]):
        with pytest.raises(MalformedMessage, match="prices for 24 slots"):
            weighted_terms(prices)
    with pytest.raises(MalformedMessage, match="slots or hours"):
        weighted_terms([1], resolution=1440)


@pytest.mark.parametrize("bits", [0, 33, 1 << 40])
def test_a_use_of_no_sensible_size_makes_no_round(bits: int) -> None:
    with pytest.raises(PackingRefused, match="1 to 32 bits"):
        weighted_terms(PRICES, value_bits=bits)


def test_prices_that_need_more_room_than_there_is_make_no_round() -> None:
    """Super-increasing weights of 20-bit uses would need 480 bits; 64 is what a slot has."""
    weighted_terms([1 << 30] * 24, value_bits=20)
    with pytest.raises(PackingRefused, match="64 bits"):
        weighted_terms([(1 << 31) - 1] * 24, value_bits=32)


def test_a_use_that_is_larger_than_announced_is_not_contributed() -> None:
    with pytest.raises(PackingRefused, match="value 3 does not fit 20 bits"):
        weighted_terms(PRICES).contributed([0, 0, 0, 1 << 20, *[0] * 20])
    with pytest.raises(RoundRefused, match="23 values, but 24 prices"):
        weighted_terms(PRICES).contributed([0] * 23)
    assert terms().contributed([5] * 24) == [5] * 24
