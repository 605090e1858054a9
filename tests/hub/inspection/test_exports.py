# SPDX-License-Identifier: Apache-2.0
import csv
from datetime import date, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest

from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.export.copies import CopyForm, copy_readings
from hub.inspection.export.green_button import dst_rules
from hub.inspection.views.calendar import By
from hub.inspection.views.readings import readings_view
from hub.inspection.views.releases import releases_view
from hub.inspection.views.slots import slots_between
from protocols.metrology import Period, SlotState
from tests.hub.inspection.conftest import NOON
from tests.support.green_button import ESPI, number, resources

DAYS = Period(date(2025, 3, 24), date(2025, 4, 1))


def test_a_green_button_file_is_read_back_to_the_slots_it_was_made_from(device: Device) -> None:
    copy = copy_readings(device, DAYS, CopyForm.GREEN_BUTTON)
    found = list(resources(copy.content))
    names = [resource.tag.removeprefix(ESPI) for resource in found]
    assert names[:4] == ["UsagePoint", "LocalTimeParameters", "MeterReading", "ReadingType"]
    assert names[4:] == ["IntervalBlock"] * 9
    assert (number(found[3], "intervalLength"), number(found[3], "uom")) == (900, 72)
    slots = slots_between(device, *DAYS.bounds("Europe/Berlin"))
    read = [
        (number(one, "timePeriod/start"), number(one, "value"))
        for block in found[4:]
        for one in block.iter(f"{ESPI}IntervalReading")
    ]
    known = [
        (start, use)
        for start, use, state in zip(slots.starts, slots.use_wh, slots.states, strict=True)
        if state is not SlotState.MISSING
    ]
    assert read == known
    view = readings_view(device, DAYS, By.DAY)
    assert sum(value for _, value in read) == view.total.energy_wh
    lengths = [number(block, "interval/duration") for block in found[4:]]
    assert lengths == [86_400] * 6 + [82_800, 86_400, 43_200]


def test_what_is_not_certified_or_not_measured_is_marked_so(device: Device) -> None:
    copy = copy_readings(device, DAYS, CopyForm.GREEN_BUTTON)
    *_, march, april = resources(copy.content)
    assert {number(one, "quality") for one in march.iter(f"{ESPI}ReadingQuality")} == {0}
    assert {number(one, "quality") for one in april.iter(f"{ESPI}ReadingQuality")} == {14}


@pytest.mark.parametrize(
    ("zone", "rules"),
    [
        ("America/New_York", ("B40E2000", 3600, "360E2000", -18_000)),
        ("Europe/Berlin", ("AE0E3000", 3600, "3E0E2000", 3600)),
        ("Asia/Kolkata", ("FFFFFFFF", 0, "FFFFFFFF", 19_800)),
    ],
)
def test_daylight_saving_rules_are_those_of_the_zone(
    zone: str, rules: tuple[str, int, str, int]
) -> None:
    assert dst_rules(ZoneInfo(zone), 2025) == rules


def test_a_copy_as_csv_has_utc_and_local_time_and_leaves_gaps_empty(device: Device) -> None:
    copy = copy_readings(device, DAYS, CopyForm.CSV)
    rows = list(csv.DictReader(copy.content.decode().splitlines()))
    assert len(rows) == copy.readings == 8 * 96 - 4 + 48
    for row in rows:
        utc, local = (datetime.fromisoformat(row[name]) for name in ("start_utc", "start_local"))
        assert utc == local
        assert (row["energy_wh"] == "") == (row["state"] == "missing")
    assert sum(row["state"] == "missing" for row in rows) == 12
    total = sum(int(row["energy_wh"] or 0) for row in rows)
    assert total == readings_view(device, DAYS, By.DAY).total.energy_wh


@pytest.mark.parametrize("form", list(CopyForm))
def test_each_copy_is_in_the_log_with_its_digest(device: Device, form: CopyForm) -> None:
    copy = copy_readings(device, DAYS, form)
    view = releases_view(device)
    [record] = view.copies
    facts = record.facts
    assert facts["form"] == form.value
    assert (facts["begin"], facts["end"]) == DAYS.bounds("Europe/Berlin")
    assert (facts["readings"], facts["size"]) == (copy.readings, len(copy.content))
    assert facts["copy"] == sha256(copy.content).digest()
    assert record.time == NOON
    assert view.readings_left_house == 0  # nobody else was told


def test_where_there_is_nothing_to_copy_nothing_is_on_record(device: Device) -> None:
    with pytest.raises(InspectionError, match="no readings of 2024-01-01 to 2024-01-31"):
        copy_readings(device, Period.month(2024, 1), CopyForm.CSV)
    assert releases_view(device).copies == ()
