# SPDX-License-Identifier: Apache-2.0
"""No telegram says how much the hub believes: neither its scaler, nor its pace, nor its clock.

A false telegram that is believed locks the hub, since all true ones then show less; a false time
has the hub certify years of empty days.
"""

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.description import Description
from hub.device import Device
from hub.doors import DoorOptions, sml_door
from hub.errors import HubError
from hub.intake import Intake
from hub.meters.admission import COARSE_WH, Admission
from hub.meters.fuse import JITTER_SECONDS, Fuse
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import SmlIntake
from hub.quarantining import MOST_EMPTY_DAYS, NotAcceptable, accept
from hub.readings import Reading, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from protocols.told_outputs import ToldOutput
from tests.support.field import MARCH, METER, telegram

DAY = 86_400
NOW = MARCH + 40 * DAY
FUSE = Fuse(63, 3)
START_WH = 5_000_001


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    description = Description(METER, (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
    with Device.create(tmp_path / "hub", description, now=lambda: NOW) as made:
        yield made


def swallow(device: Device, *frames: bytes) -> Intake:
    intake = Intake(device, sml_door(device, DoorOptions(is_file=True)))
    intake.swallow(iter(frames))
    return intake


def true(number: int) -> bytes:
    return telegram(START_WH + 80 * number, MARCH + 900 * number)


def shown(readout: Readout) -> int:
    return readout.readings[ACTIVE_ENERGY_IMPORT].register_wh


# The telegram's own scaler


@pytest.mark.parametrize("scaler", range(4, 10))
@pytest.mark.parametrize("whole", [0, 1])
def test_a_scaler_makes_no_leap_believed(device: Device, scaler: int, whole: int) -> None:
    frames = [true(n) for n in range(100)]
    power = 10**scaler
    wh = (START_WH // power + 1 + whole) * power
    false = telegram(wh, MARCH + 900 * 50 + 10, scaler=scaler)
    intake = swallow(device, *frames[:51], false, *frames[51:])
    assert (intake.stored, intake.set_aside) == (100, 1)
    assert [one.telegram.kind for one in device.quarantine.all()] == [Odd.LEAPT]


def test_a_register_of_whole_kilowatt_hours_goes_on_by_one_and_no_more(device: Device) -> None:
    begins = MARCH + 900 * 10
    frames = [telegram(5_000_000, MARCH + 900 * n, scaler=3) for n in range(10)]
    frames.append(telegram(5_001_000, begins, scaler=3))
    assert swallow(device, *frames).stored == 11
    assert swallow(device, telegram(5_004_000, begins + 10, scaler=3)).set_aside == 1
    assert swallow(device, telegram(5_001_999, begins + 11)).stored == 1  # it was unlocked
    assert swallow(device, telegram(5_002_000, begins + 12)).stored == 1


# Over time


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 1_500)), min_size=20, max_size=100),
    st.sampled_from([0, 3]),
)
def test_in_no_time_does_more_come_through_than_the_fuse_lets(
    pieces: list[tuple[int, int]], scaler: int
) -> None:
    """Each telegram adds to what was taken as much as a single one may; or a bit more."""
    admission = Admission(FUSE, lambda _: None, start(5_000_000), is_live=True)
    time, taken = MARCH, [start(5_000_000)]
    door = SmlIntake(METER, [ACTIVE_ENERGY_IMPORT], lambda: time, admission=admission)
    for seconds, extra in pieces:
        time += seconds
        wh = shown(taken[-1]) + FUSE.watts * seconds // 3600 + extra
        taken += door.feed(telegram(wh - wh % 10**scaler, time, scaler=scaler))
    most = FUSE.watts * JITTER_SECONDS // 3600 + COARSE_WH + 1
    for first in range(0, len(taken), 7):
        for after in taken[first + 1 :]:
            passed = after.time - taken[first].time
            assert shown(after) - shown(taken[first]) <= FUSE.watts * passed // 3600 + most


def test_a_second_of_jitter_in_each_telegram_is_no_open_fuse(device: Device) -> None:
    frames = [telegram(START_WH + 99 * n, MARCH + n) for n in range(900)]  # 356 kW
    door = SmlIntake(
        METER, [ACTIVE_ENERGY_IMPORT], lambda: NOW,
        admission=Admission(FUSE, lambda _: None, start()), is_capture=True,
    )  # fmt: skip
    taken = door.feed(b"".join(frames[1:])) + door.close()
    assert shown(taken[-1] if taken else start()) - START_WH <= FUSE.watts // 4 + 84 + 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 100)), min_size=5, max_size=80),
    st.sampled_from([0, 1, 2, 3]),
    st.integers(0, 2),
)
def test_a_true_line_at_the_fuses_limit_loses_no_telegram(
    pieces: list[tuple[int, int]], scaler: int, jitter: int
) -> None:
    """A register of any step that rises as fast as the fuse lets it, by stamps that waver."""
    meter_wh = [
        START_WH + one for one in accumulate(FUSE.watts * s * p / 360_000 for s, p in pieces)
    ]
    times = [MARCH + one for one in accumulate(seconds for seconds, _ in pieces)]
    power = 10**scaler
    first = START_WH - START_WH % power
    before = MARCH
    admission = Admission(FUSE, lambda _: None, start(first), is_live=True)
    door = SmlIntake(METER, [ACTIVE_ENERGY_IMPORT], lambda: before, admission=admission)
    for number, (wh, time) in enumerate(zip(meter_wh, times, strict=True)):
        stamp = time - (jitter if number % 2 else 0)
        if stamp <= before:
            continue
        before = stamp
        assert door.feed(telegram(int(wh) - int(wh) % power, stamp, scaler=scaler))
    assert admission.set_aside == []


def start(wh: int = START_WH) -> Readout:
    return Readout({ACTIVE_ENERGY_IMPORT: Reading(MARCH, wh)})


# Times that nothing confirms


def test_one_old_telegram_does_not_begin_a_hubs_life(device: Device) -> None:
    old = telegram(START_WH, 1_200_000_000)  # 2008
    intake = swallow(device, old)
    assert (intake.stored, intake.set_aside) == (0, 1)
    assert swallow(device, *map(true, range(97))).days <= 2
    first = next(iter(device.main.vault.between(device.main.channel, 0, NOW)))
    assert first.time == MARCH


def test_the_first_telegram_is_confirmed_by_one_of_a_later_file(device: Device) -> None:
    assert swallow(device, true(0)).stored == 0
    assert swallow(device, true(0)).repeated == 1
    assert swallow(device, true(1)).stored == 2
    assert device.quarantine.count() == 0
    last = device.last_readout()
    assert last is not None
    assert (last.time, shown(last)) == (MARCH + 900, START_WH + 80)


def test_a_gap_is_confirmed_by_a_telegram_of_a_later_file(device: Device) -> None:
    """A hub that was off for a month goes on, a file with one telegram after the other."""
    swallow(device, *map(true, range(3)))
    month = 96 * 30
    assert swallow(device, true(month)).set_aside == 1
    assert swallow(device, true(month + 96)).stored == 2
    assert device.quarantine.count() == 0
    assert device.last_readout() is not None


def test_what_contradicts_it_confirms_nothing(device: Device) -> None:
    swallow(device, *map(true, range(3)))
    assert swallow(device, telegram(8_000_000, MARCH + 30 * DAY)).set_aside == 1
    assert swallow(device, telegram(5_100_000, MARCH + 31 * DAY)).set_aside == 1
    assert (device.quarantine.count(), device.main.journal.span()) == (2, None)


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (0, "before there were such meters: drop it"),
        (1_199_145_599, "before there were such meters: drop it"),
        (NOW - (MOST_EMPTY_DAYS + 1) * DAY, "would have 1,001 days certified as empty: drop it"),
    ],
)
def test_no_word_makes_a_reading_of_a_time_that_cannot_be(
    device: Device, time: int, why: str
) -> None:
    swallow(device, telegram(START_WH, time))
    with pytest.raises(NotAcceptable, match=why):
        accept(device, [1])
    assert (device.last_readout(), device.quarantine.count()) == (None, 1)
    assert swallow(device, *map(true, range(3))).stored == 3
    with pytest.raises(HubError):
        accept(device, [1])


def test_no_word_leaps_over_years(device: Device) -> None:
    swallow(device, *map(true, range(3)))
    late = MARCH + 1_100 * DAY
    device.quarantine.add(
        [OddTelegram(Odd.AHEAD, "x", 0, late, METER, late, {ACTIVE_ENERGY_IMPORT: START_WH + 500})]
    )
    later = Device.open(device.folder, now=lambda: late)
    with later, pytest.raises(NotAcceptable, match="1,099 days certified as empty"):
        accept(later, [1])


# Nothing ends a line


def test_another_hand_at_the_hub_ends_no_line(device: Device) -> None:
    """What was stored meanwhile is gone on from; what does not follow from it is set aside."""
    intake = Intake(device, sml_door(device, DoorOptions(is_file=True)))
    intake.swallow(iter(map(true, range(3))))
    with Device.open(device.folder, now=lambda: NOW) as other:
        ahead = Reading(MARCH + 900 * 4 + 5, START_WH + 80 * 5)
        other.store([Readout({ACTIVE_ENERGY_IMPORT: ahead})])
    intake.swallow(iter([true(4), true(5), true(6)]))
    assert (intake.stored, intake.set_aside) == (3 + 2, 1)
    [one] = device.quarantine.all()
    assert (one.telegram.kind, one.telegram.time) == (Odd.LATE, MARCH + 900 * 4)


@given(st.integers(0, 2**64 - 1))
def test_a_told_output_is_of_a_time_that_there_is(time: int) -> None:
    data = time.to_bytes(8, "big") + b"\1"
    if time < 7_258_118_400:
        assert ToldOutput.of(data, 0x9000).released == time
    else:
        with pytest.raises(ValueError, match="years 1970 to 2199"):
            ToldOutput.of(data, 0x9000)


def test_the_first_and_last_told_moments() -> None:
    for time in (7_258_118_400, 2**63 - 1, 2**64 - 1):
        with pytest.raises(ValueError, match="years 1970 to 2199"):
            ToldOutput.of(time.to_bytes(8, "big") + b"\1", 0x9000)
    assert ToldOutput.of((7_258_118_399).to_bytes(8, "big") + b"\1", 0x9000).value == b"\1"
