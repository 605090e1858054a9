# SPDX-License-Identifier: Apache-2.0
"""A meter whose key the hub has: what that key did not open is none of its readings.

Whatever the language, the framing or the form of its name. And a line goes on: after an exchange,
and after noise that looks like another language.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, ListeningDoor, Shown, TelegramDoor, telegram_door
from hub.meters.emulated import telegrams
from hub.meters.kinds import MeterKeys
from hub.meters.readers.mqtt import framed
from hub.meters.recognition import MeterKind
from hub.meters.telegram_intake import TelegramIntake
from hub.meters.telegrams import (
    DRAWN,
    GAS,
    IN_CLEAR,
    NAMELESS,
    OTHER_KEY,
    Counted,
    Heard,
    MeterTelegram,
    Quantity,
    key_mark,
)
from hub.readings import Reading, Readout
from meter_codecs.mbus import Address, KeyRing, MeterKey, make_body, make_record
from meter_codecs.mbus.link import SND_NR, FrameFormat, LinkFrame
from meter_codecs.mbus.sealing import seal_mode_5, seal_session
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, WATER_VOLUME
from tests.support.p1_port import port

NOON: Final = 1_740_826_800
KEY, GAS_KEY, WATER_KEY = bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))
WATER: Final = Address.of("KAM", "22222222", 1, 7)
NEIGHBOUR: Final = Address.of("ACW", "11111111", 1, 7)


class Given:
    """A reader that says what it is given."""

    def __init__(self) -> None:
        self.next: list[MeterTelegram] = []

    def feed(self, data: bytes) -> Heard:
        return Heard(self.next)

    def close(self) -> Heard:
        return Heard()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    zone = "Europe/Berlin"
    home = Description(
        b"E0043", (ACTIVE_ENERGY_IMPORT,), zone, 15, None,
        {
            "gas": Description(b"G0039", (GAS_VOLUME,), zone, 60),
            "water": Description(str(WATER).encode(), (WATER_VOLUME,), zone, 60),
        },
    )  # fmt: skip
    with Device.create(tmp_path / "hub", home, now=lambda: NOON) as made:
        yield made


def given(device: Device, *, live: bool = True) -> tuple[Given, TelegramIntake]:
    options = DoorOptions(is_live=live)
    doors = telegram_door(device.every_meter, MeterKind.P1, options).intake.doors
    reader = Given()
    return reader, TelegramIntake(reader, doors, device.now)


def reasons(intake: TelegramIntake) -> list[str]:
    return [one.reason for one in intake.lost]


def told(quantity: Quantity, meter: bytes, step: int, key: bytes | None = None) -> MeterTelegram:
    mark = None if key is None else key_mark(key)
    counts = {quantity: Counted(5_001 + step, 1)}
    return MeterTelegram(0, "DLMS", meter, counts, NOON + step, key_mark=mark)


def test_each_meter_takes_what_its_own_key_opened(device: Device) -> None:
    device.meter_keys.put("gas", MeterKeys(GAS_KEY))
    reader, intake = given(device)
    assert key_mark(MeterKey(KEY)) == key_mark(KEY) != key_mark(GAS_KEY)
    taken: list[Readout] = []
    for step in range(3):
        clear, others = told(GAS, b"G0039", step), told(GAS, b"G0039", step, KEY)
        reader.next = [clear, others, told(GAS, b"G0039", step, GAS_KEY)]
        taken += [one for _, one in intake.feed(b"")]
    assert [one.time - NOON for one in taken] == [0, 1, 2]
    assert reasons(intake) == [IN_CLEAR, OTHER_KEY] * 3
    assert KEY.hex() not in repr(intake.doors)


def test_a_port_in_clear_says_nothing_of_further_meters_with_keys(device: Device) -> None:
    device.meter_keys.put("gas", MeterKeys(GAS_KEY))
    door = ListeningDoor(device, device.every_meter, DoorOptions(is_file=True))
    found: list[Shown] = []
    for step in range(6):
        found += door.feed(port(NOON - 9000 + 900 * step, 10_000 + step, 5_000 + step))
    found += door.close()
    assert {one.name for one, _ in found} == {""}
    assert {one.reason for one in door.lost} == {IN_CLEAR}


def test_another_language_is_no_way_round_a_key(device: Device) -> None:
    device.meter_keys.put("", MeterKeys(KEY, GAS_KEY))
    readouts = [
        Readout({ACTIVE_ENERGY_IMPORT: Reading(NOON - 9000 + 900 * n, 5_000 + n)}) for n in range(5)
    ]
    broker = b"".join(framed("tele/E0043/SENSOR", b'{"ENERGY":{"Total":5.0}}') for _ in range(5))
    for data, said in (
        (b"".join(telegrams(b"E0043", iter(readouts))), "SML comes in clear"),
        (broker, IN_CLEAR),
    ):
        door = ListeningDoor(device, device.every_meter, DoorOptions(is_live=True))
        assert door.feed(data) + door.close() == []
        assert door.telegrams == 5
        assert said in door.lost[0].reason
    assert device.meter_keys.forget("")
    door = ListeningDoor(device, device.every_meter, DoorOptions(is_file=True))
    found = door.feed(b"".join(telegrams(b"E0043", iter(readouts)))) + door.close()
    assert len(found) == 5


def test_sml_of_a_meter_with_a_key_is_refused_with_one_line(device: Device) -> None:
    device.meter_keys.put("", MeterKeys(KEY))
    readouts = [Readout({ACTIVE_ENERGY_IMPORT: Reading(NOON + n, 5_000 + n)}) for n in range(9)]
    door = ListeningDoor(device, (device,), DoorOptions(is_live=True))
    door.feed(b"".join(telegrams(b"E0043", iter(readouts))))
    [lost] = door.lost
    assert "`meterlet hub meters key --forget`" in lost.reason


def water(litres: int) -> bytes:
    return make_body([make_record(bytes.fromhex("0413"), litres)]).encode()


def radio(device: Device) -> TelegramDoor:
    ring = {WATER.number: WATER_KEY, NEIGHBOUR.number: KEY}
    options = DoorOptions(is_live=True, keys=MeterKeys(by_number=ring))
    return telegram_door(device.every_meter, MeterKind.WIRELESS, options)


def test_a_neighbours_session_does_not_speak_for_a_meter_with_a_key(device: Device) -> None:
    device.meter_keys.put("water", MeterKeys(WATER_KEY))
    inner = b"\x72" + WATER.encode_header() + b"\x01\x00\x00\x00" + water(9_000)
    session = seal_session(NEIGHBOUR, inner, MeterKey(KEY), control=0x20, access=5, session=0x1234)
    door = radio(device)
    door.feed(LinkFrame(SND_NR, NEIGHBOUR, session, FrameFormat.A).encode())
    assert reasons(door.intake) == [OTHER_KEY]
    own = seal_mode_5(WATER, water(5_000), MeterKey(WATER_KEY), access=1)
    door.feed(LinkFrame(SND_NR, WATER, own, FrameFormat.A).encode())
    assert (reasons(door.intake), door.telegrams) == ([OTHER_KEY], 1)


def test_fixed_data_of_a_meter_with_a_key_is_not_believed(tmp_path: Path) -> None:
    description = Description(b"11490378", (WATER_VOLUME,), "Europe/Berlin", 60)
    with Device.create(tmp_path / "hub", description, now=lambda: NOON) as device:
        device.meter_keys.put("", MeterKeys(KEY))
        body = bytes.fromhex("080573780349110100e97e0100000035010000")
        frame = b"\x68" + bytes([len(body)] * 2) + b"\x68" + body + bytes([sum(body) & 255, 0x16])
        for keys in (MeterKeys(by_number={"11490378": KEY}), MeterKeys(by_number={})):
            options = DoorOptions(is_live=True, keys=keys)
            door = telegram_door([device], MeterKind.MBUS, options)
            assert door.feed(frame) == []
            assert reasons(door.intake) == [IN_CLEAR]
    assert KeyRing(default=MeterKey(KEY)).find_number("11490378") is not None


def test_a_telegram_without_a_name_is_of_no_further_meter(device: Device) -> None:
    reader, intake = given(device)
    for step in range(3):
        reader.next = [told(GAS, b"", step), told(DRAWN, b"", step)]
        for door, _ in intake.feed(b""):
            assert door.name == ""
    assert reasons(intake) == [NAMELESS] * 3
    # With --of the source is that meter's.
    options = DoorOptions(is_live=True)
    [alone] = telegram_door([device.meters["gas"]], MeterKind.P1, options).intake.doors
    assert alone.doubt(told(GAS, b"", 1)) == ""


def test_a_line_that_is_running_goes_on_after_an_exchange(device: Device) -> None:
    reader, intake = given(device)
    mounted, stored = [b"E0043"], list[Readout]()
    [door] = [one for one in intake.doors if not one.name]
    door.mounted, door.latest = lambda: mounted[0], lambda: stored[-1]
    door.former = lambda: frozenset({b"E0043"})
    for step in range(3):
        reader.next = [told(DRAWN, b"E0043", step)]
        stored += [one for _, one in intake.feed(b"")]
    mounted[0] = b"E0044"
    stored.append(Readout({ACTIVE_ENERGY_IMPORT: Reading(NOON + 3, 100)}))
    new = [
        MeterTelegram(0, "P1", b"E0044", {DRAWN: Counted(100 + step, 1)}, NOON + step)
        for step in range(4, 7)
    ]
    found: list[int] = []
    for reader.next in ([one] for one in new):
        found += [one.readings[ACTIVE_ENERGY_IMPORT].register_wh for _, one in intake.feed(b"")]
    assert found == [104, 105, 106]
    assert door.admission.set_aside == []


@pytest.mark.parametrize(
    "noise",
    [
        os.urandom(70_000),
        b"<msg>\r\n",
        b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01",
        b"2E4493157856341203336363\r\n",
    ],
    ids=["long", "display", "sml", "radio"],
)
def test_noise_that_looks_like_another_language_does_not_deafen_a_line(
    device: Device, noise: bytes
) -> None:
    door = ListeningDoor(device, device.every_meter, DoorOptions(is_live=True))
    door.feed(noise)
    found: list[Shown] = []
    for step in range(40):
        found += door.feed(port(NOON - 400 + 10 * step, 10_000 + step, 5_000))
    assert door.kind is MeterKind.P1
    times = [readout.time for one, readout in found if not one.name]
    assert times[-1] == NOON - 10
    assert len(times) > 10
