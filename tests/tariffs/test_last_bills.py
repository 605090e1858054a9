# SPDX-License-Identifier: Apache-2.0
"""The last bill of a contract, on any day: each kind of memory reckoned again in fractions."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import Bill, BillMemory, MemoryRefused, compute_bill
from tests.support.memory_year import example, memory_of, moment, use_of
from tests.tariffs.memory_pieces import (
    BANDS,
    ENERGY,
    LOOK_BACK,
    SLOT,
    ZONE,
    in_pieces,
    tariff_of,
)

FIVE_MONTHS = [
    date(2025, 1, 10), date(2025, 2, 1), date(2025, 3, 1), date(2025, 4, 1), date(2025, 5, 1),
    date(2025, 5, 20),
]  # fmt: skip
"""A contract from 10 January; the customer moves out on 19 May."""
INSTALMENT = '[[step]]\nname = "plan"\nkind = "instalment"\nper_month = "95"\ntrue_up = "year"\n'
PREPAID = '[[step]]\nname = "c"\nkind = "credit"\n'
SETTLED = f'{PREPAID}settled = "year"\n'
CARRY = '[[charge]]\nname = "n"\nkind = "net"\ncarry = true\n'
SEEDS = range(4)


def energies(days: Sequence[date], seed: int) -> list[tuple[int, int]]:
    """What was drawn and fed in from each of the days to the next, in Wh."""
    use = use_of(ZONE, days[0], days[-1], SLOT, Random(seed), 9000, 9000)
    places = [use.starts.index(moment(ZONE, day)) for day in days[:-1]] + [len(use.starts)]
    return [(sum(use.drawn[a:b]), sum(use.fed[a:b])) for a, b in pairwise(places)]


def cents(amount: Fraction) -> Fraction:
    """Round half up, away from zero."""
    half = Fraction(1, 2)
    whole = int(abs(amount) * 100 + half)
    return Fraction(whole if amount >= 0 else -whole, 100)


def costs(days: Sequence[date], seed: int) -> list[Fraction]:
    return [cents(Fraction(drawn, 1000) * Fraction("0.30")) for drawn, _ in energies(days, seed)]


def totals(bills: Sequence[Bill]) -> list[Fraction]:
    return [Fraction(bill.total) for bill in bills]


def leaves_nothing(bill: Bill) -> bool:
    return bill.is_last and bill.memory == BillMemory(bill.end, {})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("begins", ["", 'year_begins = "04-01"\n'])
def test_who_moves_out_in_the_fifth_month_gets_the_true_up_of_the_instalments(
    seed: int, begins: str
) -> None:
    bills = in_pieces(tariff_of(ENERGY + INSTALMENT + begins), FIVE_MONTHS, seed, ends=True)
    own = costs(FIVE_MONTHS, seed)
    shares = [cents(Fraction(95 * 22, 31)), Fraction(95), Fraction(95), Fraction(95)]
    trued_up = 3 if begins else 0  # the bills that a year's end has settled before
    if begins:
        shares[2] = own[2] + sum(own[:2]) - sum(shares[:2])
    assert totals(bills)[:-1] == shares
    assert Fraction(bills[-1].total) == own[-1] + sum(own[trued_up:-1]) - sum(shares[trued_up:])
    assert sum(totals(bills)) == sum(own)
    assert leaves_nothing(bills[-1])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("credit", [PREPAID, SETTLED])
@pytest.mark.parametrize("euros", [0, 300, 20_000])
def test_the_rest_of_a_credit_is_paid_back(seed: int, credit: str, euros: int) -> None:
    paid = [0, euros * 10**6, 0, 1_234_567, 0]
    bills = in_pieces(tariff_of(ENERGY + credit), FIVE_MONTHS, seed, paid=paid, ends=True)
    own, left = costs(FIVE_MONTHS, seed), Fraction(0)
    for bill, cost, advance in list(zip(bills, own, paid, strict=True))[:-1]:
        owed = cost - left - Fraction(advance, 10**6)
        left = max(-owed, Fraction(0))
        assert Fraction(bill.total_exact, 10**bill.exact_decimals) == max(owed, 0)
    last = bills[-1]
    assert Fraction(last.total_exact, 10**last.exact_decimals) == own[-1] - left
    assert (own[-1] < left) is last.total.startswith("-")
    assert leaves_nothing(last)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fed", ["0", "0.11"])
def test_a_surplus_is_paid_for_what_is_left_of_it(seed: int, fed: str) -> None:
    days = [date(2025, 5, 3), date(2025, 6, 1), date(2025, 7, 1), date(2025, 8, 1)]
    tariff = tariff_of(f'{CARRY}price = "0.29"\ncredit_price = "{fed}"\n')
    bills = in_pieces(tariff, days, seed, ends=True)
    surplus = 0
    for bill, (drawn, sun) in zip(bills, energies(days, seed), strict=True):
        owed = drawn - sun - surplus
        surplus = max(-owed, 0)
        amount = Fraction(max(owed, 0), 1000) * Fraction("0.29")
        if bill is bills[-1]:
            amount -= Fraction(surplus, 1000) * Fraction(fed)
        assert Fraction(bill.total_exact, 10**bill.exact_decimals) == amount
    assert leaves_nothing(bills[-1])


def test_a_surplus_of_a_band_that_the_last_bill_lacks_is_paid_all_the_same() -> None:
    prices = 'price = "0.3"\ncredit_price = "0.1"'
    tariff = tariff_of(CARRY + BANDS.format(day=prices, night=prices))
    days = [date(2025, 6, 1), date(2025, 7, 1), date(2025, 7, 2)]
    first = in_pieces(tariff, days[:2], 1)[0]
    left = memory_of(first)
    kept = dict.fromkeys(left.values, 5000)
    use = use_of(ZONE, days[1], days[2], 3600, Random(1))
    # the hours of one night, of which the band of the day has nothing
    bill = compute_bill(
        tariff, use.starts[:6], 3600, [0] * 6, export_wh=[0] * 6,
        memory=BillMemory(left.end, kept), is_last=True,
    )  # fmt: skip
    assert bill.total == "-1.00"
    assert leaves_nothing(bill)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["minimum", "cap"])
@pytest.mark.parametrize("year", [730, 40_000])
def test_a_yearly_limit_is_for_the_days_of_the_contract(seed: int, kind: str, year: int) -> None:
    step = f'[[step]]\nname = "s"\nkind = "{kind}"\nper_year = "{year}"\ncumulative = true\n'
    bills = in_pieces(tariff_of(ENERGY + step), FIVE_MONTHS, seed, ends=True)
    used = sum(drawn for drawn, _ in energies(FIVE_MONTHS, seed))
    energy, limit = Fraction(used, 1000) * Fraction("0.30"), Fraction(year * 130, 365)
    expected = max(energy, limit) if kind == "minimum" else min(energy, limit)
    asked = sum(Fraction(bill.total_exact, 10**bill.exact_decimals) for bill in bills)
    # each bill's sum is carried to 10^-6, the limit's share is to 10^-9
    assert abs(asked - expected) <= Fraction(len(bills), 2 * 10**6)
    assert [item.amount_exact for bill in bills[:-1] for item in bill.items if item.kind == kind] \
        == [0] * 4  # fmt: skip
    assert leaves_nothing(bills[-1])


def test_a_contract_of_one_bill_has_its_days_share_of_a_leap_year() -> None:
    step = '[[step]]\nname = "s"\nkind = "minimum"\nper_year = "366000"\ncumulative = true\n'
    days = [date(2024, 2, 10), date(2024, 3, 1)]
    [bill] = in_pieces(tariff_of(ENERGY + step), days, 1, ends=True)
    assert bill.total == "20000.00"
    assert leaves_nothing(bill)


def test_what_is_no_one_s_money_is_charged_as_in_any_bill_and_dropped() -> None:
    blocks = (
        '[[charge]]\nname = "b"\nkind = "blocks"\ninterval = "year"\ncumulative = true\n'
        'block = [{ up_to = "1000", price = "0.5" }, { price = "0.1" }]\n'
    )
    net = '[[charge]]\nname = "n"\nkind = "net"\ninterval = "year"\ncumulative = true\n'
    body = LOOK_BACK + blocks + net + 'price = "0.3"\ncredit_price = "0.1"\n'
    last = in_pieces(tariff_of(body), FIVE_MONTHS, 1, ends=True)
    open_ = in_pieces(tariff_of(body), FIVE_MONTHS, 1)
    assert [bill.total_exact for bill in last] == [bill.total_exact for bill in open_]
    assert leaves_nothing(last[-1])
    assert len(memory_of(open_[-1]).values) > 5


def test_a_last_bill_across_the_end_of_a_year_is_refused_as_any() -> None:
    days = [date(2025, 12, 1), date(2026, 1, 10)]
    for step in (INSTALMENT, SETTLED):
        with pytest.raises(MemoryRefused, match="its year ends before 2026-01-01, within the bill"):
            in_pieces(tariff_of(ENERGY + step), days, 1, ends=True)
    assert leaves_nothing(in_pieces(tariff_of(ENERGY + PREPAID), days, 1, ends=True)[0])


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([INSTALMENT, SETTLED, PREPAID]),
    st.integers(0, 99),
    st.sets(st.integers(1, 320), min_size=1, max_size=8),
    st.integers(0, 10**9),
)
def test_all_bills_of_a_contract_come_to_what_was_used_less_what_was_paid(
    step: str, seed: int, cuts: set[int], advance: int
) -> None:
    days = [date.fromordinal(date(2025, 2, 1).toordinal() + n) for n in (0, *sorted(cuts))]
    paid = [0 if step == INSTALMENT else advance] * (len(days) - 1)
    plain = in_pieces(tariff_of(ENERGY), days, seed)
    bills = in_pieces(tariff_of(ENERGY + step), days, seed, paid=paid, ends=True)
    asked = sum(Fraction(bill.total_exact, 10**bill.exact_decimals) for bill in bills)
    assert asked == sum(totals(plain)) - Fraction(sum(paid), 10**6)
    assert leaves_nothing(bills[-1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.dates(date(2025, 1, 2), date(2025, 12, 31)))
def test_who_moves_out_is_charged_for_no_more_sun_than_the_one_bill_of_all(
    seed: int, end: date
) -> None:
    """A surplus that is carried and paid for is worth the same, however the days are cut."""
    tariff = tariff_of(f'{CARRY}price = "0.2"\ncredit_price = "0.2"\n')
    first = date(2025, 1, 1)
    days = sorted({first, end, *(date(2025, month, 1) for month in range(2, 13))})
    bills = in_pieces(tariff, [day for day in days if day <= end], seed, ends=True)
    [whole] = in_pieces(tariff, [first, end], seed, ends=True)
    assert sum(bill.total_exact for bill in bills) == whole.total_exact


def test_json_says_last_where_it_is_so() -> None:
    tariff = example("de-prepaid-2025")
    days = [date(2025, 1, 1), date(2025, 2, 1), date(2025, 2, 3)]
    before, last = in_pieces(tariff, days, 1, seconds=900, paid=[10**9, 0], ends=True)
    assert "last" not in before.as_json()
    assert last.as_json()["last"] is True
    assert last.as_json()["memory"] == {"until": "2025-02-02T23:00:00Z", "values": {}}
