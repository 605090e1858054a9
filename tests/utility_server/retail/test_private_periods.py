# SPDX-License-Identifier: Apache-2.0
"""Any real period, privately: what a hub answers of months, quarters, years and cycles, and why."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from applets.billing.statement import require_provable
from hub.machine.machine import AppletMachine
from protocols.metrology import Period
from tariffs import Tariff, TariffError
from tariffs.source import load_toml
from tests.support.year_home import NotTold, YearHome, make_year_home, opened
from utility_server.errors import AlreadyBilled, CannotVerify, NoContract
from utility_server.retail.claims import BILL
from utility_server.retail.contracts import Cycle

pytestmark = pytest.mark.one_database

HEAD: Final = """
format = 1
name = "home"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2027-01-01
rounding = { rule = "half-up", decimals = 2 }
"""
VALID: Final = "valid_from = 2025-01-01\nvalid_until = 2027-01-01\n"
ENERGY: Final = """
[[charge]]
name = "energy"
kind = "energy"
price = "0.31"
"""
YEARLY: Final = """
[[charge]]
name = "tax"
kind = "blocks"
interval = "year"
block = [{ up_to = "1000", price = "0.10" }, { up_to = "2900", price = "0.08" }, { price = "0.05" }]

[[charge]]
name = "high load"
kind = "demand"
interval = "year"
per = "year"
[[charge.band]]
name = "winter evenings"
price_per_kw = "52.60"
when = { dates = "11-01 to 12-31", days = "Mon-Fri", times = "17:00-20:00" }
[[charge.band]]
name = "all other times"
price_per_kw = "0"

[[step]]
name = "at least"
kind = "minimum"
on = ["energy"]
per_year = "1500"
"""
EVERY_HOUR: Final = """
[[charge]]
name = "demand"
kind = "demand"
interval = "year"
per = "year"
price_per_kw = "40"
"""
CHANGING: Final = """
[[version]]
valid_from = 2025-01-01
valid_until = 2025-03-16
[[version.charge]]
name = "energy"
kind = "energy"
price = "0.31"

[[version]]
valid_from = 2025-03-16
valid_until = 2027-01-01
[[version.charge]]
name = "energy"
kind = "energy"
price = "0.37"
"""
FLAT: Final = load_toml(HEAD + ENERGY)


@pytest.fixture(scope="module")
def make(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> Iterator[Callable[[Path], YearHome]]:
    template = tmp_path_factory.mktemp("year") / "home"
    enrolment = make_year_home(template, machine)
    with ExitStack() as stack:

        def copy(folder: Path) -> YearHome:
            shutil.copytree(template, folder / "home")
            return stack.enter_context(opened(folder / "home", machine, enrolment))

        yield copy


@pytest.fixture
def home(make: Callable[[Path], YearHome], tmp_path: Path) -> YearHome:
    return make(tmp_path)


def agrees(home: YearHome, tariff: Tariff, period: str) -> Decimal:
    """Return what the hub tells, which is what the same bill comes to in the open."""
    told = home.told(tariff, Period.parse(period))
    assert str(told) == home.plain(tariff, Period.parse(period)).total
    return told


def refused(home: YearHome, tariff: Tariff, period: str) -> str:
    with pytest.raises(NotTold) as caught:
        home.told(tariff, Period.parse(period))
    assert (caught.value.refused.status_word, caught.value.refused.exit_code) == (0x6985, 5)
    return caught.value.why


def too_few(home: YearHome, tariff: Tariff, period: str) -> str:
    """Return what a supplier reads who asks for fewer days than the applet may."""
    with pytest.raises(NotTold) as caught:
        home.told(tariff, Period.parse(period))
    assert (caught.value.refused.status_word, caught.value.refused.exit_code) == (0x6982, 5)
    return str(caught.value.refused)


def test_a_quarter_is_told_beside_its_months_and_is_billed_once(home: YearHome) -> None:
    months = [agrees(home, FLAT, f"2025-0{month}") for month in (1, 2, 3)]
    assert abs(agrees(home, FLAT, "2025-Q1") - sum(months)) <= Decimal("0.02")  # each is rounded
    home.bill(FLAT, Period.quarter(2025, 1))
    with pytest.raises(AlreadyBilled, match="invoice 1 bills a part"):
        home.bill(FLAT, Period.month(2025, 3))
    assert home.bill(FLAT, Period.quarter(2025, 1)).invoice.replaces == 1


def test_a_year_is_one_proof_with_the_years_own_blocks_peak_and_minimum(home: YearHome) -> None:
    tariff, year = load_toml(HEAD + ENERGY + YEARLY), Period.year(2025)
    agrees(home, FLAT, "2025-12")
    billed, plain = home.bill(tariff, year), home.plain(tariff, year)
    assert str(billed.invoice.total) == plain.total
    assert home.seconds < 5  # some 0.2 s of the processor; others want it, too
    BILL.verify(billed.bundle)
    lines = {item.component: item for item in plain.items}
    blocks = [item.quantity or 0 for item in plain.items if item.component == "tax"]
    assert blocks[:2] == [1_000_000, 1_900_000]  # whole limits, and no share of them
    peak = max(
        use
        for day in home.device.main.uses(Period.parse("2025-11-01..2025-12-31"))
        if day.grid.day.weekday() < 5
        for use in day.uses[17:20]
    )
    assert lines["high load"].quantity == peak
    energy = Decimal(sum(blocks)) * Decimal("0.31") / 1000
    assert Decimal(lines["at least"].amount_exact).scaleb(-plain.exact_decimals) == 1500 - energy


def test_a_yearly_peak_of_all_hours_is_more_than_a_proof_holds_and_no_hub_is_asked(
    home: YearHome,
) -> None:
    tariff = load_toml(HEAD + ENERGY + EVERY_HOUR)
    with pytest.raises(CannotVerify, match=r"comparisons to prove, 4096 are possible: bill a sh"):
        home.bill(tariff, Period.year(2025))
    assert not list(home.device.disclosure.log.entries("release"))
    agrees(home, tariff, "2025-03")  # its share of the year, as tariffs have it


def test_peaks_over_more_slots_than_a_hub_hands_over_are_refused_by_both_sides() -> None:
    tariff = load_toml(HEAD + ENERGY + YEARLY)
    half, more = map(Period.parse, ("2025-07-01..2025-12-31", "2025-06-01..2025-12-31"))
    require_provable(tariff, *half.bounds("Europe/Berlin"), 900)
    with pytest.raises(TariffError, match="compares some of 20548 slots, of which 17856 are"):
        require_provable(tariff, *more.bounds("Europe/Berlin"), 900)


def test_a_cycle_from_the_tenth_is_told_and_no_month_beside_it(home: YearHome) -> None:
    agrees(home, FLAT, "2025-03-10..2025-04-09")
    agrees(home, FLAT, "2025-04-10..2025-05-09")
    why = refused(home, FLAT, "2025-03")
    assert why.startswith("window: the total of 9 days from 2025-02-28 23:00 UTC could be worked")
    agrees(home, FLAT, "2025-03-10..2025-05-09")  # both of them together tell nothing new
    agrees(home, FLAT, "2025-02-01..2025-03-09")


def test_few_days_are_told_with_the_days_beside_them_only(home: YearHome) -> None:
    said = too_few(home, FLAT, "2025-04-01..2025-04-09")
    assert said == (
        "the hub refused: 6982 (it may not tell: the resident has not consented to it, or not for"
        " these days; ask the resident, the reasons stay at home; 9 days are asked for, and"
        " consents are to 28 or more as a rule: ask for them together with the days before or"
        " after)"
    )
    agrees(home, FLAT, "2025-03-01..2025-04-09")
    assert refused(home, FLAT, "2025-03").startswith("window: the total of 9 days")
    agrees(home, FLAT, "2025-05")
    assert refused(home, FLAT, "2025-05-01..2025-06-09").startswith("window: the total of 9 days")


def test_a_resident_may_say_that_bills_are_of_more_days(home: YearHome) -> None:
    for consent in home.device.disclosure.consents():
        narrower = replace(consent.terms, least_days=80)
        home.device.disclosure.narrow(consent.number, narrower)
    assert refused(home, FLAT, "2025-05") == (
        "period: 31 days, the consent says at least 80: ask for them together with the days before"
        " or after"
    )
    agrees(home, FLAT, "2025-Q2")


def test_a_price_that_changes_in_mid_month_is_one_bill_over_both_versions(home: YearHome) -> None:
    tariff = load_toml(HEAD.replace(VALID, "") + CHANGING)
    assert "15 days are asked for" in too_few(home, tariff, "2025-03-01..2025-03-15")
    agrees(home, tariff, "2025-03")
    # The halves are no bills of their own any more, however long the other days are.
    assert refused(home, tariff, "2025-03-16..2025-04-30").startswith("window: the total of 15 day")


def test_a_price_that_changes_in_mid_month_is_two_bills_if_both_are_long(home: YearHome) -> None:
    tariff = load_toml(HEAD.replace(VALID, "") + CHANGING)
    first = agrees(home, tariff, "2025-02-01..2025-03-15")
    second = agrees(home, tariff, "2025-03-16..2025-04-30")
    whole = agrees(home, tariff, "2025-02-01..2025-04-30")
    assert abs(first + second - whole) <= Decimal("0.01")


def test_who_moves_is_billed_up_to_the_last_day_and_the_next_one_from_the_first(
    home: YearHome,
) -> None:
    contracts, new_year = home.utility.contracts, date(2025, 1, 1)
    home.bill(FLAT, Period.quarter(2025, 1))
    old = contracts.close(home.meter, date(2025, 5, 9))
    new = contracts.open(home.meter, date(2025, 5, 10))
    assert old.first == date(2025, 1, 1)
    for contract, wanted in (
        (old, ["2025-04-01..2025-05-09"]),
        (new, ["2025-05-10..2025-06-30", "2025-Q3"]),
    ):
        for period in wanted:
            due = contracts.progress(contract, date(2025, 10, 1)).due(Cycle.QUARTER, new_year)
            assert due == Period.parse(period)
            assert str(home.bill(FLAT, due).invoice.total) == home.plain(FLAT, due).total
    assert contracts.progress(old, date(2025, 10, 1)).due(Cycle.QUARTER, new_year) is None
    told = len(list(home.device.disclosure.log.entries()))
    for period in ("2025-05", "2025-04-12..2025-05-12", "2025-Q2"):
        with pytest.raises(NoContract):
            home.bill(FLAT, Period.parse(period))
    assert len(list(home.device.disclosure.log.entries())) == told
