# SPDX-License-Identifier: Apache-2.0
"""Views of further meters: gas by gas days and in cubic metres, each apart from the others."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from hub.description import Description
from hub.device import Device
from hub.inspection.api.json_releases import disclosed_json
from hub.inspection.locales.catalogue import LANGUAGES, catalogue
from hub.inspection.locales.learning import learned_in_words
from hub.inspection.store import open_inspection
from hub.inspection.views.bill import Verdict, check_invoice
from hub.inspection.views.bucket_cache import BucketCache
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook, supplier_documents, tariff_book
from hub.inspection.views.meters import NoSuchMeter, meter_called
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import releases_view
from hub.readings import Reading, Readout
from protocols.metrology import GAS_VOLUME, Medium, Period
from tests.support.media_home import (
    APPLETS,
    BERLIN,
    GAS,
    HOME,
    MARCH,
    NOON,
    TARIFFS,
    WATER,
    at,
    bill,
    media_home,
    tell,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """For tests that only look."""
    with media_home(tmp_path_factory.mktemp("media") / "hub") as device:
        yield device


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with media_home(tmp_path_factory.mktemp("own") / "hub") as device:
        yield device


def test_a_meter_is_called_by_its_name(home: Device) -> None:
    assert meter_called(home, "gas") is home.meters["gas"]
    assert meter_called(home, "") is meter_called(home, "electricity") is home
    with pytest.raises(NoSuchMeter, match="no further meter 'heat'; it has gas, water"):
        meter_called(home, "heat")


def test_a_meter_has_the_tariffs_for_what_it_counts(home: Device) -> None:
    names = [[one.name for one in tariff_book(meter).tariffs] for meter in home.every_meter]
    assert names == [[], ["de-gas-2025"], ["de-water-2025"]]
    assert [len(tariff_book(meter).invoiced) for meter in home.every_meter] == [0, 1, 1]


def test_a_month_of_gas_costs_what_its_bill_says(home: Device) -> None:
    gas = home.meters["gas"]
    view = readings_view(gas, MARCH, By.DAY, tariff_book(gas))
    assert view.medium is Medium.GAS
    assert view.clock == BERLIN
    assert view.buckets[0].begin == at(1, 6)
    assert view.total.end == at(1, 6, month=4)
    documents = supplier_documents(home, APPLETS["gas"])
    checked = check_invoice(home, documents, documents.invoices[0])
    assert checked.verdict is Verdict.MATCHES
    assert checked.about == GAS
    assert view.total.cost is not None
    assert view.total.cost.rounded() == checked.invoice.total


def test_the_hours_of_a_gas_day_make_what_its_volume_costs(home: Device) -> None:
    gas = home.meters["gas"]
    day = Period(date(2025, 3, 10), date(2025, 3, 10))
    view = readings_view(gas, day, By.HOUR, tariff_book(gas))
    costs = [one.energy_cost.as_decimal() for one in view.buckets if one.energy_cost]
    assert len(costs) == 24
    assert view.total.energy_cost is not None
    assert sum(costs) == view.total.energy_cost.as_decimal() > 0


def test_meters_share_no_kept_buckets(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Both are of electricity, of the same slots and days, read up to the same moment: nothing but
    # the meter tells their buckets apart, and nothing is certified yet.
    pump = Description(b"PUMP", (bytes.fromhex("0101010800ff"),), "Europe/Berlin", 15)
    about = replace(HOME, meters={"pump": pump})
    folder = tmp_path_factory.mktemp("shared") / "hub"
    Device.create(folder, about, now=lambda: NOON).close()
    with Device.open(folder, now=lambda: NOON) as device, open_inspection(device) as database:
        for meter, gain in zip(device.every_meter, (100, 7), strict=True):
            times = range(at(1), at(1, 12) + 1, 900)
            meter.store([
                Readout({meter.description.register: Reading(time, gain * place)})
                for place, time in enumerate(times)
            ])  # fmt: skip
        day = Period(date(2025, 3, 1), date(2025, 3, 1))
        for _ in range(2):
            used = [
                readings_view(
                    meter, day, By.DAY, TariffBook(), BucketCache.of(meter, database)
                ).total.energy_wh
                for meter in device.every_meter
            ]
            assert used == [4800, 336]
        rows = database.connection.execute("SELECT count(*) FROM summary").fetchone()
        assert rows == (2,)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_known_of_one_meter_is_told_apart(home: Device, language: str) -> None:
    words = catalogue(language).for_pages(BERLIN)
    view = releases_view(home)
    gas = learned_in_words(view.known["gas supplier"], words)
    meter = words.your_meter("gas", Medium.GAS)
    assert meter in gas
    assert catalogue(language).t("learned.apart") in gas
    assert words.month(MARCH.first) in gas  # by gas days: not until 1 April
    alone = learned_in_words(view.known["supplier"], words)
    assert meter not in alone
    together = learned_in_words(view.together, words)
    assert meter in together
    assert together.count("743") == 2
    assert (view.together.numbers, len(view.together.parts)) == (2, 2)


def test_numbers_of_slots_of_different_lengths_are_not_mixed(own: Device) -> None:
    tell(own, "water", "supplier")
    known = releases_view(own).known["supplier"]
    assert [part.slot_seconds for part in known.parts] == [900, 3600]
    assert known.knowledge.numbers == known.numbers == 2
    assert known.knowledge.least_seconds == 743 * 3600


def test_an_invoice_that_asks_too_much_differs(own: Device) -> None:
    bill(own, "water", cents_too_much=1)
    documents = supplier_documents(own, APPLETS["water"])
    checked = check_invoice(own, documents, documents.invoices[-1])
    assert checked.verdict is Verdict.DIFFERS
    assert checked.about == WATER


def test_amounts_are_written_in_the_units_of_the_meter() -> None:
    words = catalogue("en").for_pages(BERLIN)
    gas = words.for_meter(GAS)
    assert (words.energy(1234), gas.energy(1234)) == ("1.234\xa0kWh", "1.234\xa0m³")
    assert (words.power(40), gas.power(40)) == ("40\xa0W", "40\xa0l/h")
    assert gas.span(at(1, 6), at(1, 6, month=4)) == "March 2025"
    assert words.span(at(1, 6), at(1, 6, month=4)) == "1 Mar 2025 – 1 Apr 2025"
    assert gas.clock(at(1, 6)) == "06:00"
    assert gas.minute(at(2, 3)) == "2 Mar 2025, 03:00"
    assert gas.day_of(at(2, 3)) == "1 Mar 2025"
    assert TARIFFS["gas"].medium.is_of(GAS_VOLUME)


@pytest.mark.parametrize(
    ("name", "medium", "said"),
    [
        ("", Medium.ELECTRICITY, "Electricity"),
        ("gas", Medium.GAS, "Gas"),
        ("water", Medium.COLD_WATER, "Water"),
        ("hot-water", Medium.HOT_WATER, "Hot water"),
        ("heat-pump", Medium.ELECTRICITY, "heat-pump (Electricity)"),
    ],
)
def test_a_meter_is_named_by_what_it_measures(name: str, medium: Medium, said: str) -> None:
    assert catalogue("en").meter(name, medium) == said


@pytest.mark.parametrize(
    ("registers", "said"),
    [
        (["1-0:1.8.0*255", "1-0:2.8.0*255"], ""),
        (["7-0:3.0.0*255"], "your gas meter"),
        (["8-0:1.0.0*255", "7-0:3.0.0*255"], "your gas meter and your water meter"),
        (["anything at all", ""], ""),
    ],
)
def test_an_applet_is_about_meters_in_words(registers: list[str], said: str) -> None:
    assert catalogue("en").meters_of(registers) == said


def test_what_left_is_of_the_meters_own_days(home: Device) -> None:
    told = disclosed_json(releases_view(home), BERLIN).as_json()["released"]
    days = {(one["recipient"], one["first_day"], one["last_day"]) for one in told}
    assert days == {
        ("supplier", "2025-03-01", "2025-03-31"), ("gas supplier", "2025-03-01", "2025-03-31"),
    }  # fmt: skip
