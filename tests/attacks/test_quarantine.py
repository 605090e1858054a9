# SPDX-License-Identifier: Apache-2.0
"""Whoever holds the line sends what he likes; whoever holds the file reads and changes it.

Neither makes a reading of what is odd, ends the line, fills the disk, or sees what was set aside.
"""

import json
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.custody import hand_over
from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, sml_door
from hub.intake import Intake
from hub.metering import FactRefused
from hub.meters import quarantine
from hub.meters.admission import Admission
from hub.meters.fuse import DEFAULT_FUSE
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import SmlIntake
from hub.quarantining import NotAcceptable, accept, drop
from hub.readings import Reading, Readout
from hub.vault.sealing import SealBroken
from meterlet.commands.main import main
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.field import MARCH, METER, NEIGHBOUR, telegram

NOW: Final = MARCH + 40 * 86_400
SECRET_WH: Final = 31_337_031_337


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    description = Description(METER, (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as made:
        made.store([readout(n) for n in range(100)])
        yield made


def readout(number: int) -> Readout:
    reading = Reading(MARCH + 900 * number, 5_000_001 + 80 * number)
    return Readout({ACTIVE_ENERGY_IMPORT: reading})


def odd(number: int = 0, wh: int = SECRET_WH, meter: bytes = METER) -> OddTelegram:
    time = MARCH + 900 * 100 + number
    return OddTelegram(Odd.LEAPT, "it leapt", 0, NOW, meter, time, {ACTIVE_ENERGY_IMPORT: wh})


def swallow(device: Device, *frames: bytes) -> Intake:
    intake = Intake(device, sml_door(device, DoorOptions(is_file=True)))
    intake.swallow(iter(frames))
    return intake


def test_what_was_set_aside_is_not_in_the_file_in_clear(device: Device) -> None:
    device.quarantine.add([odd(meter=NEIGHBOUR)])
    device.database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = b"".join(path.read_bytes() for path in device.folder.glob("hub.db*"))
    for clear in (str(SECRET_WH).encode(), NEIGHBOUR, NEIGHBOUR.hex().encode(), b"leapt"):
        assert clear not in data


def test_a_row_that_was_changed_or_moved_is_found(device: Device) -> None:
    device.quarantine.add([odd(1), odd(2)])
    with sqlite3.connect(device.folder / "hub.db") as other:
        rows = other.execute("SELECT number, name, sealed FROM odd_telegram").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            other.execute("UPDATE odd_telegram SET number = 9 WHERE number = 1")
        other.execute("DELETE FROM odd_telegram")
        [first, second] = rows
        other.execute("INSERT INTO odd_telegram VALUES (?, ?, ?)", (1, first[1], second[2]))
    other.close()
    with pytest.raises(SealBroken):
        device.quarantine.all()


def test_it_is_there_after_the_vaults_key_was_replaced(device: Device) -> None:
    device.quarantine.add([odd(1), odd(2)])
    before = device.quarantine.all()
    device.rotate_vault_key()
    with Device.open(device.folder, now=lambda: NOW) as again:
        assert again.quarantine.all() == before
        assert again.quarantine.add([odd(1), odd(3)]) == [odd(3)], "the same is known as the same"


def test_the_next_resident_finds_nothing_of_it(device: Device) -> None:
    device.certify()
    device.quarantine.add([odd(1)])
    folder = device.folder
    device.close()
    done = hand_over(folder, now=lambda: NOW)
    assert done.goes["set_aside"] == 1
    with Device.open(folder, now=lambda: NOW) as again:
        assert again.quarantine.all() == []


def test_a_flood_fills_no_disk(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST", 5)
    for number in range(0, 30, 3):
        device.quarantine.add([odd(number + n) for n in range(3)])
    assert (device.quarantine.count(), device.quarantine.beyond()) == (5, 25)
    assert [one.telegram for one in device.quarantine.all()] == [odd(n) for n in range(5)]
    assert drop(device, [1]) == 1
    assert device.quarantine.add([odd(77)]) == [odd(77)]
    assert device.quarantine.count() == 5


def test_a_neighbours_telegram_becomes_no_reading_by_any_word(device: Device) -> None:
    intake = swallow(device, telegram(5_009_000, MARCH + 900 * 100, meter=NEIGHBOUR))
    assert (intake.stored, intake.set_aside) == (0, 1)
    with pytest.raises(NotAcceptable, match="does not count here"):
        accept(device, [1])
    assert device.last_readout() == readout(99)
    assert device.quarantine.count() == 1


def test_a_register_that_began_anew_is_recorded_as_the_refusal_says(device: Device) -> None:
    begins = MARCH + 900 * 100
    frames = [telegram(12 + n, begins + 900 * n) for n in range(3)]
    assert (swallow(device, *frames).set_aside, device.quarantine.count()) == (3, 3)
    with pytest.raises(NotAcceptable, match="record that the meter counts anew: ") as refused:
        accept(device, [1])
    command = str(refused.value).partition("anew: meterlet ")[2].split()
    device.close()
    options = ["--hub", str(device.folder)]
    recorded = CliRunner().invoke(main, [*command, *options, "--json"])
    assert json.loads(recorded.stdout)["readings"] == 3 - 1, "the first is the exchange itself"
    with Device.open(device.folder, now=lambda: NOW) as again:
        assert (again.mounted_meter, again.quarantine.count()) == (METER, 0)
        assert again.last_readout() is not None
        intake = swallow(again, telegram(99, begins + 900 * 3))
        assert (intake.stored, intake.set_aside) == (1, 0)
        with pytest.raises(FactRefused, match="counts already"):
            again.exchange_meter(begins + 86_400, METER, {ACTIVE_ENERGY_IMPORT: (99, 99)})


def test_all_are_accepted_or_none(device: Device) -> None:
    device.quarantine.add([odd(1, wh=6_000_000), odd(2, wh=6_000_000, meter=NEIGHBOUR)])
    with pytest.raises(NotAcceptable):
        accept(device, [1, 2])
    assert device.last_readout() == readout(99)
    assert accept(device, [1]).stored == 1
    assert device.quarantine.count() == 1


def test_no_clock_step_certifies_empty_days(device: Device) -> None:
    device.certify()
    span = device.main.journal.span()
    for time in (3600, MARCH + 30 * 86_400, NOW + 86_400):
        assert swallow(device, telegram(5_009_000, time)).set_aside == 1
    assert device.main.journal.span() == span


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.builds(
                telegram,
                st.integers(0, 2**40).map(lambda tenth: tenth / 10),
                st.none() | st.integers(0, 2**32 - 1),
                count=st.none() | st.integers(0, 2**32 - 1),
                meter=st.sampled_from([METER, NEIGHBOUR, b"", bytes(40)]),
                own_time=st.none() | st.integers(0, 2**32 - 1),
            ),
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_whatever_comes_the_line_goes_on_and_time_and_register_only_grow(
    pieces: list[bytes], is_live: bool
) -> None:
    admission = Admission(DEFAULT_FUSE, lambda _: None, readout(0), is_live=is_live)
    door = SmlIntake(METER, [ACTIVE_ENERGY_IMPORT], lambda: NOW, admission=admission)
    found = [readout(0), *(one for piece in pieces for one in door.feed(piece)), *door.close()]
    for before, after in pairwise(found):
        assert before.time < after.time <= NOW + 3600
        old, new = (one.readings[ACTIVE_ENERGY_IMPORT] for one in (before, after))
        rise = new.register_wh - old.register_wh
        assert rise >= 0
        assert DEFAULT_FUSE.lets_through(rise, after.time - before.time, 1000)
