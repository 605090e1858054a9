# SPDX-License-Identifier: Apache-2.0
"""A hub that is for an electricity meter, a gas meter with gas days, and a water meter."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.applet_host.registers import granted_registers
from hub.custody import hand_over
from hub.description import Description
from hub.device import Device, DeviceError
from hub.machine.manifest import Manifest
from hub.meters.fuse import FlowLimit
from hub.meters.odd import Odd, OddTelegram
from hub.quarantining import accept
from hub.readings import Reading, Readout
from hub.vault.vault import ReadingRefused
from protocols.metrology import (
    ACTIVE_ENERGY_IMPORT,
    GAS_VOLUME,
    WATER_VOLUME,
    GridError,
    Medium,
    Period,
    verify_days,
)
from sml_codec import Obis

BERLIN = ZoneInfo("Europe/Berlin")
GAS = Description(b"LGB 22150101", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)
WATER = Description(b"EFE 12345678", (WATER_VOLUME,), "Europe/Berlin", 60, largest_flow=5_000)
HOME = Description(
    b"\x0a\x01HOME", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15, None,
    {"gas": GAS, "water": WATER},
)  # fmt: skip
BEGIN = datetime(2025, 3, 1, tzinfo=BERLIN)
DAYS = 3


def at(day: int, hour: int = 0, minute: int = 0) -> int:
    """Return a moment of March 2025."""
    return int(datetime(2025, 3, day, hour, minute, tzinfo=BERLIN).timestamp())


def fill(device: Device, days: int = DAYS, *, hour: int = 6) -> None:
    """Store readings of all meters, up to some hour after so many days."""
    for meter, step, gain in ((device, 900, 100), (device.meters["gas"], 3600, 250),
                              (device.meters["water"], 3600, 12)):  # fmt: skip
        [code] = meter.registers
        times = range(at(1), at(1 + days, hour) + 1, step)
        meter.store(
            [Readout({code: Reading(time, 1000 + gain * n)}) for n, time in enumerate(times)]
        )


def certified(device: Device) -> tuple[date, date]:
    """Return the first and the last day that a meter has."""
    span = device.main.journal.span()
    assert span is not None
    return span[:2]


def manifest(*registers: str) -> Manifest:
    return Manifest.from_toml(
        f"""
        aid = "F04D544C010177"
        name = "some"
        version = "1.0.0"
        vendor = "Somebody"
        recipient = "supplier"
        purpose = "billing"
        confinement = "statement"
        expires = 2035-12-31
        [code]
        runtime = "python"
        package = "some"
        [[statements]]
        kind = "linear"
        registers = {list(registers)}
        minimum_days = 28
        at_most = 6
        within_days = 31
        value_bits = 32
        """.replace("'", '"')
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of a hub with readings of three days."""
    folder = tmp_path / "hub"
    with Device.create(folder, HOME, now=lambda: at(10)) as device:
        fill(device)
        device.certify()
    return folder


def test_each_meter_has_days_of_its_own(home: Path) -> None:
    with Device.open(home, now=lambda: at(10)) as device:
        gas, water = device.meters["gas"], device.meters["water"]
        assert certified(device) == (date(2025, 3, 1), date(2025, 3, 3))
        # The readings begin at midnight, in the gas day of the last of February.
        assert certified(gas) == (date(2025, 2, 28), date(2025, 3, 3))
        assert certified(water) == (date(2025, 3, 1), date(2025, 3, 3))
        [day] = gas.main.uses(Period(date(2025, 3, 1), date(2025, 3, 1)))
        assert day.grid.begin == at(1, 6)
        assert list(day.uses) == [250] * 24
        keys = {one.main.certifier.keys.signing_public_key for one in device.every_meter}
        assert len(keys) == 3
        for one in device.every_meter:
            period = Period(date(2025, 3, 1), date(2025, 3, 3))
            days = [entry.day for entry in one.main.certifications(period)]
            certifier = one.main.certifier
            verify_days(days, period, certifier.series, certifier.keys.public_key)


def test_a_description_is_written_and_read_again(tmp_path: Path) -> None:
    assert Description.from_toml(HOME.to_toml()) == HOME
    alone = replace(HOME, meters={})
    assert "format = 2" in alone.to_toml()
    assert Description.from_toml(alone.to_toml()) == alone
    for text, what in (
        (HOME.to_toml().replace("format = 3", "format = 2"), "just format 3"),
        (alone.to_toml().replace("format = 2", "format = 3"), "just format 3"),
        (HOME.to_toml().replace("[meters.gas]", "[meters.Gas]"), "names no meter"),
        (HOME.to_toml().replace("8-0:1.0.0", "7-0:3.0.0"), "two meters have the register"),
        (HOME.to_toml().replace("largest_flow = 5000", "fuse_amperes = 5"), "it may have"),
        (HOME.to_toml().replace("5000", "0"), "a flow is"),
        (HOME.to_toml().replace("@06:00", "@23:00"), "no time zone"),
        (HOME.to_toml().replace(WATER.meter.hex(), GAS.meter.hex()), "the same identification"),
    ):
        with pytest.raises((ValueError, GridError), match=what):
            Description.from_toml(text)


def test_a_meter_is_added_and_there_from_the_next_opening(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    with Device.create(folder, replace(HOME, meters={}), now=lambda: at(10)) as device:
        device.add_meter("gas", GAS)
        assert not device.meters
    with Device.open(folder, now=lambda: at(10)) as device:
        assert device.meters["gas"].description == GAS
        with pytest.raises(DeviceError, match="there is a meter gas already"):
            device.add_meter("gas", WATER)
        with pytest.raises(DeviceError, match="same identification"):
            device.add_meter("other", replace(WATER, meter=GAS.meter))
        assert [entry.kind for entry in device.disclosure.log.entries()] == ["new meter"]


def test_a_readout_of_one_meter_is_none_of_another(home: Path) -> None:
    with Device.open(home, now=lambda: at(10)) as device:
        later = Readout({GAS_VOLUME: Reading(at(9), 10**6)})
        for meter in (device, device.meters["water"]):
            with pytest.raises(ReadingRefused, match="not the registers"):
                meter.store([later])
        assert device.meters["gas"].store([later]) == 1
        assert device.meter_of(GAS_VOLUME) is device.meters["gas"]
        with pytest.raises(DeviceError, match="no register"):
            device.meter_of(b"\x01\x00\x63\x08\x00\xff")


def test_what_flows_is_bounded_by_the_medium() -> None:
    assert HOME.limit.lets_through(40_000, 3600)
    assert GAS.limit.lets_through(20_000, 3600)
    assert not GAS.limit.lets_through(30_000, 3600)
    assert str(GAS.limit) == "25,000 l/h"
    assert WATER.limit == FlowLimit(5_000, Medium.COLD_WATER)
    assert not WATER.limit.lets_through(6_000, 3600)


def test_an_applet_is_of_the_meter_whose_registers_it_names(home: Path) -> None:
    electricity, gas = (str(Obis(code)) for code in (ACTIVE_ENERGY_IMPORT, GAS_VOLUME))
    with Device.open(home, now=lambda: at(10)) as device:
        every = device.every_register
        assert list(granted_registers(every, manifest(electricity))) == [electricity]
        assert list(granted_registers(every, manifest(gas))) == [gas]
        assert list(granted_registers(every, manifest(gas, electricity))) == [electricity, gas]
        assert list(granted_registers(every, manifest("1-0:2.8.0*255"))) == [electricity]


def test_the_key_of_one_meter_is_replaced(home: Path) -> None:
    with Device.open(home, now=lambda: at(10)) as device:
        announcement = device.meters["gas"].rotate_certifier_key()
        assert announcement.meter == GAS.meter
        assert announcement.first_day == date(2025, 3, 4)
    with Device.open(home, now=lambda: at(10)) as device:
        kept = [len(one.main.certifier.keys.announcements) for one in device.every_meter]
        assert kept == [0, 1, 0]
        code = GAS_VOLUME
        gas = device.meters["gas"]
        gas.store([Readout({code: Reading(at(5, 7), 50_000)})])
        gas.certify()
        assert certified(gas) == (date(2025, 2, 28), date(2025, 3, 4))


def test_a_hand_over_is_of_all_meters(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    with Device.create(folder, HOME, now=lambda: at(10)) as device:
        fill(device, hour=7)
        device.certify()
    done = hand_over(folder, now=lambda: at(10))
    assert done.first_day == date(2025, 3, 4)
    with Device.open(folder, now=lambda: at(10)) as device:
        for meter in device.every_meter:
            assert meter.main.journal.span() is None
            assert meter.main.custody_begins == date(2025, 3, 4)
            [code] = meter.registers
            last = meter.last_readout()
            assert last is not None
            later = Reading(at(6, 7), last.readings[code].register_wh + 900)
            meter.store([Readout({code: later})])
        device.certify()
        assert certified(device.meters["gas"]) == (date(2025, 3, 4), date(2025, 3, 5))


def test_what_was_set_aside_becomes_a_reading_of_its_meter(home: Path) -> None:
    odd = OddTelegram(Odd.LEAPT, "it rose", 0, at(9), WATER.meter, at(5), {WATER_VOLUME: 90_000})
    with Device.open(home, now=lambda: at(10)) as device:
        device.quarantine.add([odd])
        done = accept(device, [one.number for one in device.quarantine.all()])
        assert (done.stored, device.quarantine.count()) == (1, 0)
        last = device.meters["water"].last_readout()
        assert last is not None
        assert last.readings[WATER_VOLUME].register_wh == 90_000


def test_days_of_the_gas_meter_are_certified_when_the_gas_day_ends(home: Path) -> None:
    with Device.open(home, now=lambda: at(10)) as device:
        gas = device.meters["gas"]
        last = gas.last_readout()
        assert last is not None
        gas.store([Readout({GAS_VOLUME: Reading(at(5, 5, 59), 60_000)})])
        gas.certify()
        assert certified(gas) == (date(2025, 2, 28), date(2025, 3, 3))
        gas.store([Readout({GAS_VOLUME: Reading(at(5, 6), 60_001)})])
        gas.certify()
        assert certified(gas) == (date(2025, 2, 28), date(2025, 3, 4))
        begin, end = Period.month(2025, 3).bounds(gas.description.zone)
        assert datetime.fromtimestamp(begin, UTC).hour == 5
        assert end - begin == int(timedelta(days=31, hours=-1).total_seconds())
