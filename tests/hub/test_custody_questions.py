# SPDX-License-Identifier: Apache-2.0
"""After a hand-over every way to ask about a former day is refused by name, and on record."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from hub.applet_host.custody import CustodyGate
from hub.applet_host.desk import StatementDesk
from hub.applet_host.jobs import ProofJobs
from hub.applet_host.registers import granted_registers
from hub.applet_host.services import HubCalendar, HubReadings
from hub.applet_host.statements import HubStatements
from hub.custody import HandOverRefused, hand_over
from hub.device import Device
from hub.inspection.views.meters import swaps_between
from hub.inspection.views.slots import slots_between
from hub.machine.manifest import Manifest
from hub.machine.meter import WorkMeter
from hub.meters.emulated import emulated_meter_id
from hub.readings import Reading, ReadingFlag
from hub.restoring import restore
from protocols.amounts import encode_amounts
from protocols.carried import CarriedState
from protocols.metrology import ACTIVE_ENERGY_IMPORT, DayGrid, Period
from protocols.platform.errors import Refusal, Refused
from tests.support.applet_commands import at_work
from tests.support.rotating import NOW, ZONE, fill, make_hub

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = Manifest.from_toml((ROOT / "applets" / "billing" / "manifest.toml").read_text())
MAIN = "1-0:1.8.0*255"
FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)
TAKEN = LAST + timedelta(days=1)
CONTEXT = bytes(48)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with make_hub(tmp_path / "hub", FIRST, LAST):
        pass
    hand_over(tmp_path / "hub", now=lambda: NOW)
    with Device.open(tmp_path / "hub", now=lambda: NOW) as device:
        fill(device, TAKEN, TAKEN)
        yield device


Ask = Callable[[HubStatements, HubCalendar, int, int], object]


@pytest.mark.parametrize(
    "ask",
    [
        lambda statements, _, begin, end: statements.open_amounts(MAIN, begin, end, b"", CONTEXT),
        lambda statements, _, begin, end: statements.open_numbers(
            ACTIVE_ENERGY_IMPORT, begin, end, encode_amounts([]), CONTEXT
        ),
        lambda statements, _, begin, end: statements.carry_numbers(
            ACTIVE_ENERGY_IMPORT, begin, end, encode_amounts([]), CONTEXT,
            CarriedState.opening(emulated_meter_id(1), b"an account of 16", begin).encode(),
        ),
        lambda statements, _, begin, end: statements.bound_unattributed(
            MAIN, begin, end, 100, CONTEXT
        ),
        lambda _, calendar, begin, end: calendar.slots(MAIN, begin, end),
    ],
)  # fmt: skip
@pytest.mark.parametrize("period", [Period(FIRST, LAST), Period(LAST, TAKEN)])
def test_an_applets_question_about_a_former_day_is_refused(
    device: Device, ask: Ask, period: Period
) -> None:
    registers = granted_registers(device.registers, MANIFEST)
    begin, end = period.bounds(ZONE)
    with at_work(device.database) as stack:
        desk = StatementDesk.of(
            device, MANIFEST, b"package", stack, WorkMeter(), ProofJobs(device.now)
        )
        statements = HubStatements(
            MANIFEST.aid,
            b"package",
            MANIFEST,
            registers,
            next(iter(registers)),
            device.disclosure,
            stack,
            desk,
        )
        gate = CustodyGate(MANIFEST.aid, b"package", MANIFEST, device.disclosure, stack)
        with pytest.raises(Refused) as refusal:
            ask(statements, HubCalendar(registers, WorkMeter(), gate), begin, end)
        assert refusal.value.refusal is Refusal.NO_CONSENT
        [(facts, refused)] = stack.record.refused
        assert (refused.rule, facts["begin"]) == ("custody", begin)
    [entry] = device.disclosure.log.entries("refusal")
    assert entry.facts["why"] == (
        f"custody: the custody of this meter began on {TAKEN}; no day before it is told"
    )
    assert entry.facts["recipient"] == "supplier"


def test_raw_applets_and_pages_find_no_former_reading(device: Device) -> None:
    readings = HubReadings(granted_registers(device.registers, MANIFEST), 15, WorkMeter())
    with pytest.raises(Refused) as refusal:
        readings.read(MAIN, *Period(FIRST, LAST).bounds(ZONE))
    assert refusal.value.refusal is Refusal.INCOMPLETE
    begin = DayGrid(TAKEN, ZONE, 15).begin
    slots = slots_between(device, *Period(FIRST, TAKEN).bounds(ZONE))
    assert slots.starts[0] == begin
    assert len(slots) == 96


def test_slots_that_hang_on_a_reading_before_midnight_are_not_handed_over(tmp_path: Path) -> None:
    """Nobody read the meter at midnight: who takes over has not what the slots were made of."""
    folder, midnight = tmp_path / "hub", DayGrid(TAKEN, ZONE, 15).begin
    with make_hub(folder, FIRST, LAST - timedelta(days=1)) as device:
        last = device.main.vault.latest(device.main.channel)
        assert last is not None
        shown = last.register_wh
        times = [*range(last.time + 900, midnight - 1800, 900), midnight + 2700, midnight + 3600]
        device.main.vault.append(
            device.main.channel,
            [Reading(time, shown + 3 * place) for place, time in enumerate(times, start=1)],
        )
        device.certify()
        assert len(device.main.journal.slots(TAKEN)[0]) == 4
    with pytest.raises(HandOverRefused, match=f"hand over on {TAKEN + timedelta(days=1)}"):
        hand_over(folder, now=lambda: NOW)
    with Device.open(folder, now=lambda: NOW) as device:  # and it is as it was
        assert device.main.journal.span() == (FIRST, LAST, 3)
        assert device.main.vault.count(device.main.channel) > 200


def test_an_exchange_outlives_a_snapshot_and_a_hand_over(tmp_path: Path) -> None:
    folder, new = tmp_path / "hub", emulated_meter_id(7)
    snapshot = tmp_path / "snapshot.db"
    with make_hub(folder, FIRST, LAST) as device:
        with closing(sqlite3.connect(snapshot)) as target:
            device.database.connection.backup(target)
        last = device.main.vault.latest(device.main.channel)
        assert last is not None
        at = last.time + 3 * 3600 + 77
        device.exchange_meter(at, new, {ACTIVE_ENERGY_IMPORT: (last.register_wh + 400, 5)})
        fill(device, TAKEN, TAKEN)
        signed = device.main.journal.slots(TAKEN)[0]
        [day] = device.main.certifications(Period(TAKEN, TAKEN))
        restore(device, snapshot, 1.0)
    with Device.open(folder, now=lambda: NOW) as device:
        assert device.mounted_meter == new
        assert device.main.journal.slots(TAKEN)[0] == signed
        [swap] = swaps_between(device, *Period(TAKEN, TAKEN).bounds(ZONE))
        assert (swap.time, swap.old_meter, swap.start_wh) == (at, emulated_meter_id(1), 5)
    hand_over(folder, now=lambda: NOW)
    with Device.open(folder, now=lambda: NOW) as device:
        assert device.mounted_meter == new  # known without the day that said so
        assert device.description.meter == emulated_meter_id(1)
        fill(device, TAKEN + timedelta(days=1), TAKEN + timedelta(days=1))
        [after] = device.main.certifications(
            Period(TAKEN + timedelta(days=1), TAKEN + timedelta(days=1))
        )
        assert after.day.content.previous == day.day.link
        assert after.day.content.mounted == new  # type: ignore[union-attr]  # of version 2


def test_an_exchange_on_the_day_of_a_hand_over_goes_along(tmp_path: Path) -> None:
    folder, new = tmp_path / "hub", emulated_meter_id(7)
    with make_hub(folder, FIRST, LAST) as device:
        last = device.main.vault.latest(device.main.channel)
        assert last is not None
        device.exchange_meter(
            last.time + 100, new, {ACTIVE_ENERGY_IMPORT: (last.register_wh + 1, 5)}
        )
        begin = DayGrid(TAKEN, ZONE, 15).begin
        fill(device, TAKEN, TAKEN, until=begin + 7200)
    hand_over(folder, now=lambda: NOW)
    with Device.open(folder, now=lambda: NOW) as device:
        fill(device, TAKEN, TAKEN)
        [day] = device.main.certifications(Period(TAKEN, TAKEN))
        kinds = [type(event).__name__ for event in day.day.content.events]  # type: ignore[union-attr]  # of version 2
        assert kinds == ["MeterExchange", "FirstDayOfCustody"]
        assert device.main.vault.earliest(device.main.channel) == replace(
            last, flags=ReadingFlag(0)
        )
