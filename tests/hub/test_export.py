# SPDX-License-Identifier: Apache-2.0
import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from hub.device import Description, Device
from hub.disclosure import ReleaseRefused, UnknownConsent
from hub.inspection.errors import InspectionError
from hub.inspection.export.by_consent import consent_to_export, export_readings
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, Period

WEEK = Period(date(2025, 3, 24), date(2025, 3, 30))
NOW = 1_743_500_000


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    description = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        house = SyntheticHousehold("Europe/Berlin")
        readings = house.readings(date(2025, 3, 20), date(2025, 3, 31))
        device.main.vault.append(device.main.channel, readings)
        device.main.certify()
        yield device


def test_readings_leave_by_a_consent_to_just_that_and_are_on_record(device: Device) -> None:
    consent = consent_to_export(device, "doctor", "sleep", 60, WEEK, date(2026, 1, 1))
    export = export_readings(device, consent.number)
    rows = list(csv.DictReader(export.content.decode().splitlines()))
    assert export.readings == len(rows) == 7 * 24 - 1  # the clock goes forward on the 30th
    total = sum(sum(use.uses) for use in device.main.uses(WEEK))
    assert sum(int(row["energy_wh"]) for row in rows) == total
    assert rows[0]["start_local"] == "2025-03-24T00:00:00+01:00"
    assert rows[-1]["start_local"] == "2025-03-30T23:00:00+02:00"
    (entry,) = device.disclosure.log.entries("export")
    assert (entry.facts["recipient"], entry.facts["readings"]) == ("doctor", 167)
    assert device.disclosure.exported_readings() == 167
    assert device.disclosure.exported_readings(["supplier"]) == 0


def test_a_finer_export_than_the_consent_is_refused(device: Device) -> None:
    consent = consent_to_export(device, "doctor", "sleep", 60, WEEK, date(2026, 1, 1))
    with pytest.raises(ReleaseRefused, match="fineness: readings of 15 min"):
        export_readings(device, consent.number, 15)
    assert export_readings(device, consent.number, 1440).readings == 8  # days in UTC
    assert device.disclosure.exported_readings() == 8


def test_a_revoked_or_expired_consent_exports_nothing(device: Device) -> None:
    late = consent_to_export(device, "doctor", "sleep", 60, WEEK, date(2025, 3, 31))
    with pytest.raises(ReleaseRefused, match="consent: number 1 has expired"):
        export_readings(device, late.number)
    consent = consent_to_export(device, "nurse", "sleep", 60, WEEK, date(2026, 1, 1))
    device.disclosure.revoke(consent.number)
    with pytest.raises(ReleaseRefused, match="consent: number 2 was revoked"):
        export_readings(device, consent.number)
    assert device.disclosure.exported_readings() == 0


def test_what_cannot_be_exported_is_named(device: Device) -> None:
    with pytest.raises(UnknownConsent, match="no consent 5"):
        export_readings(device, 5)
    empty = Period(date(2024, 1, 1), date(2024, 1, 2))
    consent = consent_to_export(device, "doctor", "sleep", 60, empty, date(2026, 1, 1))
    with pytest.raises(InspectionError, match="no day of that period"):
        export_readings(device, consent.number)
    with pytest.raises(InspectionError, match="7 minutes"):
        consent_to_export(device, "doctor", "sleep", 7, WEEK, date(2026, 1, 1))


def test_any_register_can_be_exported_by_a_consent_to_just_that(tmp_path: Path) -> None:
    registers = ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT
    description = Description(emulated_meter_id(1), registers, "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as device:
        house = SyntheticHousehold("Europe/Berlin", solar_watts_peak=8000)
        device.store(list(house.readouts(date(2025, 3, 24), date(2025, 3, 31))))
        device.certify()
        consent = consent_to_export(
            device, "operator", "feed-in", 60, WEEK, date(2026, 1, 1), ACTIVE_ENERGY_EXPORT
        )
        export = export_readings(device, consent.number)
        rows = list(csv.DictReader(export.content.decode().splitlines()))
        fed_in = device.registers[ACTIVE_ENERGY_EXPORT]
        total = sum(sum(use.uses) for use in fed_in.uses(WEEK))
        assert sum(int(row["energy_wh"]) for row in rows) == total > 0
        (entry,) = device.disclosure.log.entries("export")
        assert entry.facts["register"] == "1-0:2.8.0*255"
        gas = bytes.fromhex("0700030000ff")
        with pytest.raises(InspectionError, match=r"7-0:3\.0\.0\*255: the hub has no such"):
            consent_to_export(device, "operator", "x", 60, WEEK, date(2026, 1, 1), gas)
