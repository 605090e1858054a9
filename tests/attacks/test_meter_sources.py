# SPDX-License-Identifier: Apache-2.0
"""Whoever is within reach of the radio, the broker or the bus sends what he likes.

None of it becomes a reading of a meter whose key is known, hides what is the hub's own, or fills
memory. Of a meter without a key, what was sent before cannot lower a register.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, Shown, TelegramDoor, telegram_door
from hub.meters.kinds import NO_KEYS, MeterKeys
from hub.meters.odd import Odd
from hub.meters.readers.mqtt import framed
from hub.meters.recognition import MeterKind
from hub.meters.telegram_intake import MOST_LOST, MOST_SEEN
from meter_codecs.mbus import Address, MeterKey, make_body, make_record
from meter_codecs.mbus.link import SND_NR, FrameFormat, LinkFrame
from meter_codecs.mbus.sealing import seal_mode_5, seal_mode_7
from protocols.metrology import WATER_VOLUME

NOON: Final = 1_743_500_000
OURS: Final = Address.of("ECM", "12345678", 1, 7)
SECRET: Final = bytes(range(16))
KEYS: Final = MeterKeys(SECRET)


@pytest.fixture
def clock() -> list[int]:
    return [NOON]


@pytest.fixture
def device(tmp_path: Path, clock: list[int]) -> Iterator[Device]:
    description = Description(str(OURS).encode(), (WATER_VOLUME,), "Europe/Berlin", 60)
    with Device.create(tmp_path / "hub", description, now=lambda: clock[0]) as made:
        yield made


def door(device: Device, keys: MeterKeys = NO_KEYS) -> TelegramDoor:
    return telegram_door([device], MeterKind.WIRELESS, DoorOptions(is_live=True, keys=keys))


def records(litres: int) -> bytes:
    return make_body([make_record(bytes.fromhex("0413"), litres)]).encode()


def on_air(payload: bytes, meter: Address = OURS) -> bytes:
    return LinkFrame(SND_NR, meter, payload, FrameFormat.A).encode()


def in_clear(litres: int, meter: Address = OURS) -> bytes:
    return on_air(b"\x78" + records(litres), meter)


def mode_7(litres: int, counter: int, key: bytes = SECRET, meter: Address = OURS) -> bytes:
    sealed = seal_mode_7(meter, records(litres), MeterKey(key), counter=counter, access=counter)
    return on_air(sealed, meter)


def mode_5(litres: int, access: int, key: bytes = SECRET) -> bytes:
    return on_air(seal_mode_5(OURS, records(litres), MeterKey(key), access=access))


def litres(found: list[Shown]) -> list[int]:
    return [readout.readings[WATER_VOLUME].register_wh for _, readout in found]


def test_neighbours_on_the_radio_are_neither_readings_nor_faults(
    device: Device, clock: list[int]
) -> None:
    listening, found = door(device, KEYS), []
    for step in range(10):
        clock[0] += 3600
        for number in range(50):
            other = Address.of("KAM", f"{number:08}", 1, 7)
            key = os.urandom(16)
            for frame in (in_clear(9, other), mode_7(9, step + 1, key, other)):
                assert listening.feed(frame) == []
        found += listening.feed(mode_7(5_001 + step, step + 1))
    assert litres(found + listening.close()) == list(range(5_001, 5_011))
    assert list(listening.lost) == []
    assert listening.fetch_odd() == []
    assert listening.intake.foreign == 10 * 50 * 2
    assert len(listening.intake.seen) <= MOST_SEEN


def test_nobody_speaks_for_a_meter_whose_key_is_known(device: Device, clock: list[int]) -> None:
    listening = door(device, KEYS)
    found = listening.feed(mode_7(5_000, 7))
    clock[0] += 3600
    found += listening.feed(mode_7(5_001, 8))
    forged = (in_clear(9_000), mode_7(9_000, 9, bytes(16)), mode_5(9_000, 9, bytes(16)))
    for frame in forged:
        clock[0] += 3600
        found += listening.feed(frame)
    found += listening.feed(mode_7(5_002, 9))
    assert litres(found + listening.close()) == [5_000, 5_001, 5_002]
    assert len(listening.lost) == len(forged)
    assert listening.fetch_odd() == []


def test_a_frame_with_a_counter_counts_once(device: Device, clock: list[int]) -> None:
    listening = door(device, KEYS)
    frames = [mode_7(5_000 + number, number + 1) for number in range(4)]
    found = []
    for frame in (frames[0], frames[1], frames[1], frames[0], frames[2], frames[1], frames[3]):
        clock[0] += 3600
        found += listening.feed(frame)
    assert litres(found + listening.close()) == [5_000, 5_001, 5_002, 5_003]
    assert {one.reason for one in listening.lost} == {
        "its counter is not above the last one: it was sent before"
    }


def test_without_a_counter_what_was_sent_before_is_set_aside(
    device: Device, clock: list[int]
) -> None:
    listening = door(device, KEYS)
    frames = [mode_5(5_000 + 10 * number, number + 1) for number in range(6)]
    found = []
    for frame in frames:
        clock[0] += 3600
        found += listening.feed(frame)
    for frame in frames[:5]:
        clock[0] += 3600
        assert listening.feed(frame) == []
    assert litres(found) == [5_000 + 10 * number for number in range(6)]
    assert [one.kind for one in listening.fetch_odd()] == [Odd.FELL] * 5


def test_a_flood_of_messages_takes_bounded_memory(device: Device) -> None:
    options = DoorOptions(is_live=True)
    listening = telegram_door([device], MeterKind.MQTT, options)
    nonsense = b"".join(
        framed(f"tele/{number % 400}/SENSOR", b"{" * (number % 50)) for number in range(20_000)
    )
    assert listening.feed(nonsense) == []
    assert list(listening.lost) == []  # of devices that the hub has not
    ours = framed("tele/ECM 12345678/SENSOR", b"{")
    for _ in range(3):
        listening.feed(ours * MOST_LOST)
    assert len(listening.lost) == MOST_LOST
    assert len(listening.intake.seen) <= MOST_SEEN


def test_a_message_of_another_medium_is_no_reading(device: Device) -> None:
    listening = telegram_door([device], MeterKind.MQTT, DoorOptions(is_live=True))
    payload = json.dumps({"ENERGY": {"Total": 5.0}}).encode()
    assert listening.feed(framed("tele/ECM 12345678/SENSOR", payload)) == []
    assert listening.intake.foreign == 1
