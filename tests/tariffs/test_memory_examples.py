# SPDX-License-Identifier: Apache-2.0
"""Every example with memory, month by month, by a calculation in fractions of its own, to the cent.

The calculation reads no tariff and shares no code with the package: prices and rules are written
here once more.
"""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from tests.support.memory_year import MonthOfUse, bills_of, example, months_of_use
from tests.tariffs.oracle import nano_rounded

CENT, WATT, MICRO = Fraction(1, 100), Fraction(1), Fraction(1, 10**6)


def f(text: str) -> Fraction:
    return Fraction(text)


def cents(amount: Fraction) -> str:
    rounded = nano_rounded(amount, "half-up", CENT)
    return f"{float(rounded):.2f}" if rounded else "0.00"


def kwh(uses: Sequence[int]) -> Fraction:
    return Fraction(sum(uses), 1000)


def shared(price: Fraction, use: MonthOfUse) -> Fraction:
    """A year's price for a whole month, by days; no year here has 366."""
    return nano_rounded(price * Fraction(use.days, 365), "half-up")


def quarter_hour_peak(use: MonthOfUse) -> int:
    return max(use.drawn) * 4 if use.seconds == 900 else max(use.drawn)


def tiered(total: Fraction, tiers: Sequence[tuple[int | None, str]]) -> Fraction:
    cost, at = Fraction(0), Fraction(0)
    for limit, price in tiers:
        top = total if limit is None else min(Fraction(limit), total)
        if top > at:
            cost += (top - at) * f(price)
            at = top
    return cost


def test_flemish_capacity_is_the_mean_of_twelve_months() -> None:
    uses = months_of_use("Europe/Brussels", date(2025, 1, 1), 14, seconds=900, most=1500)
    expected, peaks = [], list[int]()
    for use in uses:
        energy = Fraction(0)
        for local, drawn in use.local():
            day = local.weekday() < 5 and 7 <= local.hour < 22
            energy += Fraction(drawn, 1000) * f("0.1421" if day else "0.1198")
        peaks.append(max(2500, quarter_hour_peak(use)))
        last = peaks[-12:]
        mean = nano_rounded(Fraction(sum(last), len(last)), "half-up", WATT)
        capacity = shared(f("46.88") * mean / 1000, use)
        expected.append(cents((energy + capacity + shared(f("18.56"), use)) * f("1.06")))
    assert min(peaks) == 2500 < max(peaks)  # the floor held in some months, and in some not
    assert [bill.total for bill in bills_of(example("be-capacity-rolling-2025"), uses)] == expected


def test_a_ratchet_bills_four_fifths_of_the_highest_month_before() -> None:
    uses = months_of_use("America/Chicago", date(2025, 1, 1), 16, most=90_000, seed=2)
    expected, peaks, ratchets = [], list[int](), 0
    for use in uses:
        own, before = quarter_hour_peak(use), peaks[-11:]
        least = nano_rounded(Fraction(max(before, default=0) * 4, 5), "half-up", WATT)
        ratchets += least > own
        demand = nano_rounded(f("11.37") * max(Fraction(own), least) / 1000, "half-up")
        peaks.append(own)
        expected.append(cents(kwh(use.drawn) * f("0.0612") + demand + f("42.50")))
    assert 0 < ratchets < len(uses)
    assert [bill.total for bill in bills_of(example("us-ratchet-2025"), uses)] == expected


def test_danish_heating_pays_the_low_duty_beyond_4000_kwh_of_the_year() -> None:
    uses = months_of_use("Europe/Copenhagen", date(2025, 1, 1), 14, most=2600, seed=3)
    tiers = [(4000, "0.720"), (None, "0.008")]
    expected, so_far = [], Fraction(0)
    for use in uses:
        if use.first.month == 1:
            so_far = Fraction(0)
        energy = sum(
            (
                Fraction(drawn, 1000) * f("1.3150" if 17 <= local.hour < 21 else "0.8720")
                for local, drawn in use.local()
            ),
            Fraction(0),
        )
        own = kwh(use.drawn)
        duty = tiered(so_far + own, tiers) - tiered(so_far, tiers)
        so_far += own
        expected.append(cents((energy + duty) * f("1.25")))
    assert sum(kwh(use.drawn) for use in uses[:12]) > 4000
    assert [bill.total for bill in bills_of(example("dk-electric-heating-2025"), uses)] == expected


def test_dutch_energy_tax_goes_through_its_bands_in_a_year() -> None:
    uses = months_of_use("Europe/Amsterdam", date(2025, 1, 1), 13, most=24_000, seed=4)
    tiers = [(10_000, "0.10154"), (50_000, "0.06937"), (None, "0.03868")]
    expected, so_far = [], Fraction(0)
    for use in uses:
        if use.first.month == 1:
            so_far = Fraction(0)
        own = kwh(use.drawn)
        tax = tiered(so_far + own, tiers) - tiered(so_far, tiers)
        so_far += own
        net = own * f("0.1180") + tax + shared(f("-524.95"), use)
        expected.append(cents(net * f("1.21")))
    assert sum(kwh(use.drawn) for use in uses[:12]) > 50_000
    assert [bill.total for bill in bills_of(example("nl-energy-tax-2025"), uses)] == expected


def test_dutch_saldering_runs_over_the_year_of_the_contract() -> None:
    uses = months_of_use("Europe/Amsterdam", date(2025, 4, 1), 14, most=1000, sun=1100, seed=5)
    signs = set[bool]()

    def cost(net: Fraction) -> Fraction:
        return net * (f("0.2471") if net > 0 else f("0.0550"))

    expected, so_far = [], Fraction(0)
    for use in uses:
        if use.first.month == 4:
            so_far = Fraction(0)
        after = so_far + kwh(use.drawn) - kwh(use.fed)
        signs.add(after > 0)
        expected.append(cents((cost(after) - cost(so_far) + f("6.99")) * f("1.21")))
        so_far = after
    assert signs == {True, False}
    assert [bill.total for bill in bills_of(example("nl-saldering-2025"), uses)] == expected


def test_american_surplus_pays_later_bills_and_the_year_costs_its_minimum() -> None:
    uses = months_of_use("America/Denver", date(2025, 3, 1), 14, most=700, sun=900, seed=6)
    expected, surplus, year, kinds = [], Fraction(0), Fraction(0), set[str]()
    for use in uses:
        net = kwh(use.drawn) - kwh(use.fed) - surplus
        amount, surplus = max(net, Fraction(0)) * f("0.1475"), max(-net, Fraction(0))
        kinds.add("surplus" if surplus else "drawn")
        if use.first.month == 2:
            amount -= surplus * f("0.0290")
            expected.append(cents(amount + max(Fraction(0), f("120") - year - amount)))
            kinds.add("asked" if year + amount < 120 else "enough")
            surplus = year = Fraction(0)
        else:
            expected.append(cents(amount))
            year += nano_rounded(amount, "half-up", MICRO)
    assert kinds == {"surplus", "drawn", "asked"}
    assert [bill.total for bill in bills_of(example("us-net-metering-2025"), uses)] == expected


def test_prepaid_credit_is_used_up_and_goes_on() -> None:
    uses = months_of_use("Europe/Berlin", date(2025, 1, 1), 13, most=900, seed=7)
    expected, left, owing = [], Fraction(0), set[bool]()
    for use in uses:
        net = kwh(use.drawn) * f("0.3045") + use.days * f("0.36")
        owed = nano_rounded(net * f("1.19"), "half-up", CENT) - left - 115
        owing.add(owed > 0)
        left = max(-owed, Fraction(0))
        expected.append(cents(max(owed, Fraction(0))))
    assert owing == {True, False}
    bills = bills_of(example("de-prepaid-2025"), uses, paid=115 * 10**6)
    assert [bill.total for bill in bills] == expected


def test_a_budget_plan_asks_the_same_every_month_and_settles_in_march() -> None:
    uses = months_of_use("Europe/London", date(2025, 4, 1), 14, most=900, seed=8)
    expected, balance = [], Fraction(0)
    for use in uses:
        net = kwh(use.drawn) * f("0.2470") + use.days * f("0.5396")
        balance += nano_rounded(net * f("1.05"), "half-up", CENT)
        due = balance if use.first.month == 3 else Fraction(95)
        balance -= due
        expected.append(cents(due))
    assert len(set(expected)) == 2
    bills = bills_of(example("gb-budget-2025"), uses)
    assert [bill.total for bill in bills] == expected
    year = [Fraction(bill.total) for bill in bills[:12]]
    assert sum(year) == sum(
        nano_rounded(
            (kwh(use.drawn) * f("0.2470") + use.days * f("0.5396")) * f("1.05"), "half-up", CENT
        )
        for use in uses[:12]
    )
