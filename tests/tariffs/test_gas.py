# SPDX-License-Identifier: Apache-2.0
"""Gas by the kilowatt-hour, water by the cubic metre: reckoned by hand, in fractions."""

from datetime import datetime
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.metrology import Period
from tariffs import GasCharge, MalformedTariff, Medium, Tariff, UnpricedSlot, compute_bill
from tariffs.arithmetic import WHOLE
from tariffs.describe import charge_rows, quantity_texts
from tariffs.source import load_toml

EXAMPLES = Path(__file__).parents[2] / "examples" / "tariffs"
GAS = load_toml((EXAMPLES / "de-gas-2025.toml").read_text())
WATER = load_toml((EXAMPLES / "de-water-2025.toml").read_text())
VALUES = {1: "11.243", 2: "11.251", 3: "11.318", 4: "11.297", 7: "11.204", 10: "11.262"}
USES = st.lists(st.integers(0, 30_000), min_size=8, max_size=40)


def half_up(exact: Fraction) -> int:
    return int((2 * exact.numerator + exact.denominator) // (2 * exact.denominator))


def starts_of(tariff: Tariff, month: int, step: int = 3600) -> range:
    begin, end = Period.month(2025, month).bounds(tariff.zone)
    return range(begin, end, step)


def spread(uses: list[int], starts: range) -> list[int]:
    return [uses[place % len(uses)] for place in range(len(starts))]


def cents(exact: Fraction) -> str:
    whole = half_up(exact * 100)
    return f"{whole // 100}.{whole % 100:02}"


@given(USES, st.sampled_from(sorted(VALUES)))
def test_a_month_of_gas_is_volume_by_state_by_calorific_value(uses: list[int], month: int) -> None:
    starts = starts_of(GAS, month)
    litres = spread(uses, starts)
    bill = compute_bill(GAS, starts, 3600, litres)
    energy = half_up(sum(litres) * Fraction("0.9534") * Fraction(VALUES[month]))  # Wh
    kwh = Fraction(energy, 1000)
    days = Period.month(2025, month).day_count
    # A share of a yearly charge is made whole in 10^-9 of the currency.
    standing = Fraction(half_up(Fraction("134.40") * days / 365 * 10**9), 10**9)
    net = kwh * Fraction("0.0642") + kwh * Fraction("0.009982") + standing
    assert bill.total == cents(net * Fraction("1.19"))
    line = bill.items[0]
    assert (line.quantity, line.unit, line.rate) == (energy, "Wh", 64_200)
    assert line.label == f"{VALUES[month]} kWh/m3 x 0.9534"


@given(USES)
def test_a_quarter_has_a_line_for_each_calorific_value(uses: list[int]) -> None:
    begin, end = Period.quarter(2025, 1).bounds(GAS.zone)
    starts = range(begin, end, 3600)
    litres = spread(uses, starts)
    bill = compute_bill(GAS, starts, 3600, litres)
    shown = {item.label: item.quantity for item in bill.items if item.component == "energy"}
    at = 0
    for month in (1, 2, 3):
        hours = len(starts_of(GAS, month))
        energy = half_up(
            sum(litres[at : at + hours]) * Fraction("0.9534") * Fraction(VALUES[month])
        )
        assert shown.get(f"{VALUES[month]} kWh/m3 x 0.9534", 0) == energy
        at += hours


def test_the_gas_day_begins_at_six() -> None:
    starts = starts_of(GAS, 3)
    local = [datetime.fromtimestamp(start, ZoneInfo("Europe/Berlin")) for start in starts]
    assert (local[0].month, local[0].day, local[0].hour) == (3, 1, 6)
    assert (local[-1].month, local[-1].day, local[-1].hour) == (4, 1, 5)
    assert len(starts) == 31 * 24 - 1
    # The hours before six on 1 February have January's calorific value.
    january = starts_of(GAS, 1)
    bill = compute_bill(GAS, january, 3600, [0] * (len(january) - 1) + [1_000_000])
    assert bill.items[0].label.startswith("11.243")


@given(USES)
def test_water_is_priced_by_the_cubic_metre(uses: list[int]) -> None:
    starts = starts_of(WATER, 5)
    litres = spread(uses, starts)
    bill = compute_bill(WATER, starts, 3600, litres)
    cubic = Fraction(sum(litres), 1000)
    meter = Fraction(half_up(Fraction(48) * 31 / 365 * 10**9), 10**9)
    net = cubic * Fraction("1.81") + meter
    assert bill.total == cents(net * Fraction("1.07") + cubic * Fraction("2.39"))
    assert quantity_texts(bill.items[0], "EUR") == (f"{sum(litres) / 1000:.3f} m3", "1.81 EUR/m3")
    assert {item.unit for item in bill.items} == {"l", "year", ""}


def test_documents_are_the_same_again_and_electricity_says_no_medium() -> None:
    for tariff in (GAS, WATER):
        assert Tariff.decode(tariff.encode()) == tariff
        assert Tariff.decode(tariff.encode()).digest == tariff.digest
    flat = (EXAMPLES / "it-bioraria-2025.toml").read_text()
    assert load_toml(flat).medium is Medium.ELECTRICITY
    assert b"medium" not in load_toml(flat).encode()


def test_energy_may_be_rounded_to_whole_kilowatt_hours() -> None:
    text = (EXAMPLES / "de-gas-2025.toml").read_text()
    whole = load_toml(text.replace('kind = "gas"', 'kind = "gas"\nwhole = "kWh"'))
    starts = starts_of(GAS, 1)
    bill = compute_bill(whole, starts, 3600, [1_234] * len(starts))
    exact = sum([1_234] * len(starts)) * Fraction("0.9534") * Fraction("11.243") / 1000
    assert bill.items[0].quantity == 1000 * half_up(exact)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"0.9534"', '"0.95345"', "more than 4 decimals"),
        ('"0.9534"', '"0"', "state number"),
        ('"0.9534"', '"2.1"', "state number"),
        ('value = "11.251"', 'value = "0"', "calorific value is above 0"),
        ('value = "11.251"', 'value = "99"', "at most 40"),
        ("from = 2025-02-01", "from = 2024-02-01", "not in order"),
        ('medium = "gas"\n', "", "a tariff for electricity has no such charge"),
        ('medium = "gas"', 'medium = "steam"', "medium"),
        ("@06:00", "@6:00", "time zone"),
    ],
)
def test_what_makes_no_gas_tariff(old: str, new: str, what: str) -> None:
    text = (EXAMPLES / "de-gas-2025.toml").read_text()
    assert old in text
    with pytest.raises(MalformedTariff, match=what):
        load_toml(text.replace(old, new))


@pytest.mark.parametrize(
    "charge",
    [
        'kind = "feed-in"\nprice = "0.08"',
        'kind = "demand"\nprice_per_kw = "1"',
        'kind = "capacity"\nkw = "5"\nprice_per_kw = "1"\nper = "year"',
        'kind = "net"\ninterval = "period"\nprice = "1"',
        'kind = "blocks"\nblock = [{ up_to_kw = "3", price = "0" }, { price = "0.05" }]',
    ],
)
def test_what_makes_no_water_tariff(charge: str) -> None:
    text = (EXAMPLES / "de-water-2025.toml").read_text()
    with pytest.raises(MalformedTariff, match="a tariff for water has no such charge"):
        load_toml(f'{text}\n[[charge]]\nname = "another"\n{charge}\n')


def test_no_calorific_value_is_no_bill() -> None:
    text = (EXAMPLES / "de-gas-2025.toml").read_text()
    late = load_toml(text.replace("    { from = 2025-01-01", "    { from = 2025-01-15"))
    with pytest.raises(UnpricedSlot, match="first calorific value holds from 2025-01-15"):
        compute_bill(late, starts_of(GAS, 1), 3600, [1] * len(starts_of(GAS, 1)))


def test_times_of_day_are_those_of_the_wall_clock() -> None:
    text = (EXAMPLES / "de-gas-2025.toml").read_text()
    bands = """
[[charge]]
name = "by day"
kind = "energy"
[[charge.band]]
name = "morning"
price = "1"
when = { times = "06:00-07:00" }
[[charge.band]]
name = "rest"
price = "0"
"""
    tariff = load_toml(text + bands)
    starts = starts_of(GAS, 3)
    used = [1000 if place == 0 else 0 for place in range(len(starts))]
    found = compute_bill(tariff, starts, 3600, used)
    lines = {item.label: item.quantity for item in found.items if item.component == "by day"}
    assert lines == {"morning": 1000, "rest": 0}


def test_it_is_described_in_its_units() -> None:
    [row] = charge_rows(GAS.versions[0].charges[0], "EUR", GAS.medium.unit)
    assert row[1] == "0.0642 EUR/kWh"
    assert "state number 0.9534; 11.243 kWh/m3 from 2025-01-01" in row[2]
    [row] = charge_rows(WATER.versions[0].charges[0], "EUR", WATER.medium.unit)
    assert row[1] == "1.81 EUR/m3"


def test_a_medium_is_of_registers_by_their_first_value_group() -> None:
    assert Medium.GAS.is_of(bytes.fromhex("0700030000ff"))
    assert not Medium.GAS.is_of(bytes.fromhex("0100010800ff"))
    assert Medium.WATER.is_of(bytes.fromhex("0900010000ff"))


@given(st.integers(0, 10**9), st.integers(1, 20_000), st.integers(1, 40_000))
def test_energy_is_rounded_once(litres: int, state: int, value: int) -> None:
    charge = GasCharge("gas", 10**6, state, ((0, value),))
    energy = charge._energy(litres, value, WHOLE)
    exact = Fraction(litres * state * value, 10**7)
    assert energy == half_up(exact)


@given(USES)
def test_what_each_slot_adds_is_the_charge_together(uses: list[int]) -> None:
    begin, end = Period.quarter(2025, 3).bounds(GAS.zone)  # with a change of the calorific value
    starts = range(begin, end, 3600)
    litres = [*spread(uses, starts)[:200], *[0] * (len(starts) - 200)]
    bill = compute_bill(GAS, starts, 3600, litres, by_slot=True)
    energy = sum(item.amount_exact for item in bill.items if item.kind == "gas")
    assert sum(slot.amount_exact for slot in bill.slots) == energy
    assert all(slot.amount_exact >= 0 for slot in bill.slots)
