# SPDX-License-Identifier: Apache-2.0
"""Meters of several kinds at one source: which telegram is whose, what is odd, what is stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, ListeningDoor, Shown, telegram_door
from hub.meters.odd import Odd
from hub.meters.recognition import MeterKind
from hub.meters.telegram_intake import NoTimeInTelegrams, TelegramIntake
from hub.meters.telegrams import DRAWN, GAS, Counted, Heard, MeterTelegram
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME
from tests.support.p1_port import port

BERLIN = ZoneInfo("Europe/Berlin")
MARCH = int(datetime(2025, 3, 1, 12, tzinfo=BERLIN).timestamp())
HOME = Description(
    b"E0043", (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15, None,
    {"gas": Description(b"G0039", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)},
)  # fmt: skip


@contextmanager
def hub(folder: Path, now: int = MARCH + 86_400) -> Iterator[Device]:
    with Device.create(folder, HOME, now=lambda: now) as device:
        yield device


def p1(device: Device, **options: bool) -> ListeningDoor:
    return ListeningDoor(device, device.every_meter, DoorOptions(**options))  # type: ignore[arg-type]


def names(found: list[Shown]) -> list[tuple[str, int, int]]:
    return [
        (device.name, readout.time, next(iter(readout.readings.values())).register_wh)
        for device, readout in found
    ]


def test_each_meter_of_a_port_gets_what_is_its_own(tmp_path: Path) -> None:
    with hub(tmp_path / "hub") as device:
        door = p1(device, is_file=True)
        found: list[Shown] = []
        for step in range(6):
            time = MARCH + 900 * step
            found += door.feed(port(time, 10_000 + 100 * step, 5_000 + 200 * (step // 4)))
        found += door.close()
        assert door.kind is MeterKind.P1
        shown = names(found)
        assert [one for one in shown if not one[0]] == [
            ("", MARCH + 900 * step, 10_000 + 100 * step) for step in range(6)
        ]
        assert [one for one in shown if one[0]] == [
            ("gas", MARCH, 5_000), ("gas", MARCH + 3600, 5_200),
        ]  # fmt: skip
        assert door.repeated == 4
        assert door.fetch_odd() == []


def test_an_exchanged_gas_meter_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    with hub(tmp_path / "hub") as device:
        door = p1(device, is_file=True)
        door.feed(port(MARCH, 10_000, 5_000))
        found = door.feed(port(MARCH + 900, 10_100, 7, gas_meter="G0077"))
        assert {one[0] for one in names(found)} == {""}
        [odd] = door.fetch_odd()
        assert (odd.kind, odd.meter, odd.registers) == (Odd.FOREIGN, b"G0077", {GAS_VOLUME: 7})
        assert odd.reason == "it is of meter G0077, this hub is for G0039"


@pytest.mark.parametrize(
    ("wh", "gas", "kind", "said"),
    [
        (9_000, 5_200, Odd.FELL, "fell from"),
        (900_000_000, 5_200, Odd.LEAPT, "more than flows through 3 x 250 A"),
        (10_200, 4_000, Odd.FELL, "fell from"),
        (10_200, 99_000, Odd.LEAPT, "more than flows through 25,000 l/h"),
    ],
)
def test_what_does_not_follow_is_set_aside(
    tmp_path: Path, wh: int, gas: int, kind: Odd, said: str
) -> None:
    with hub(tmp_path / "hub") as device:
        door = p1(device, is_file=True)
        for step in range(5):
            door.feed(port(MARCH + 900 * step, 10_000 + 10 * step, 5_000 + step // 4))
        door.feed(port(MARCH + 7200, wh, gas))
        [odd] = door.fetch_odd()
        assert odd.kind is kind
        assert said in odd.reason


def test_a_live_line_goes_by_the_hubs_clock(tmp_path: Path) -> None:
    with hub(tmp_path / "hub", now=MARCH + 7200) as device:
        door = p1(device, is_live=True)
        for step in range(3):
            door.feed(port(MARCH + 7200 + step, 10_000, 5_000))
        assert door.fetch_odd() == []
        door.feed(port(MARCH - 7200, 10_000, 5_000))  # its clock was put back
        assert {one.kind for one in door.fetch_odd()} <= {Odd.BEHIND}


class Given:
    """A reader that says what it is given."""

    def __init__(self) -> None:
        self.next: list[MeterTelegram] = []

    def feed(self, data: bytes) -> Heard:
        return Heard(self.next)

    def close(self) -> Heard:
        return Heard()


def intake(device: Device, options: DoorOptions) -> tuple[Given, TelegramIntake]:
    doors = telegram_door([device], MeterKind.P1, options).intake.doors
    reader = Given()
    return reader, TelegramIntake(reader, doors, device.now)


LIVE = DoorOptions(is_live=True)


def test_a_meter_that_names_itself_not_is_taken_for_the_one_that_shows_its_registers(
    tmp_path: Path,
) -> None:
    with hub(tmp_path / "hub") as device:
        reader, door = intake(device, LIVE)
        now = device.now()
        for step in range(3):
            time = now + step
            reader.next = [MeterTelegram(0, "DLMS", b"", {DRAWN: Counted(5_001 + step, 1)}, time)]
            door.feed(b"")
        assert (door.telegrams, door.foreign) == (3, 0)
        reader.next = [MeterTelegram(0, "DLMS", b"", {GAS: Counted(1, 1)}, now)]
        door.feed(b"")
        assert door.foreign == 1


def test_of_one_second_one_reading_is_taken_where_telegrams_say_no_time(tmp_path: Path) -> None:
    now = [MARCH]
    with Device.create(tmp_path / "hub", HOME, now=lambda: now[0]) as device:
        reader, door = intake(device, LIVE)
        found = []
        for step in range(9):
            now[0] = MARCH + step // 3
            reader.next = [MeterTelegram(0, "MQTT", b"E0043", {DRAWN: Counted(5_001 + step, 1)})]
            found += door.feed(b"")
        found += door.close()
        shown = [(readout.time - MARCH, readout.readings[ACTIVE_ENERGY_IMPORT].register_wh)
                 for _, readout in found]  # fmt: skip
        assert shown == [(0, 5_001), (1, 5_004), (2, 5_007)]
        assert door.doors[0].thinned == 6
        assert door.doors[0].admission.set_aside == []


def test_neighbours_on_the_radio_are_counted_and_passed_over(tmp_path: Path) -> None:
    with hub(tmp_path / "hub") as device:
        reader, door = intake(device, LIVE)
        for number in range(500):
            meter = f"KAM {number:08}".encode()
            reader.next = [MeterTelegram(0, "wireless M-Bus", meter, {DRAWN: Counted(5, 1)})]
            door.feed(b"")
        assert door.foreign == 500
        assert door.doors[0].admission.set_aside == []
        assert len(door.seen) == 100


def test_a_capture_without_times_needs_to_be_told_them(tmp_path: Path) -> None:
    with hub(tmp_path / "hub") as device:
        told = MeterTelegram(0, "DLMS", b"E0043", {DRAWN: Counted(5_001, 1)})
        reader, door = intake(device, DoorOptions(is_file=True))
        reader.next = [told]
        with pytest.raises(NoTimeInTelegrams, match="--start"):
            door.feed(b"")
        reader, door = intake(device, DoorOptions(is_file=True, start=MARCH, step=10))
        found = []
        for step in range(3):
            reader.next = [replace(told, counted={DRAWN: Counted(5_001 + step, 1)})]
            found += door.feed(b"")
        assert [readout.time - MARCH for _, readout in found] == [0, 10, 20]
