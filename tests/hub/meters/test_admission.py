# SPDX-License-Identifier: Apache-2.0
"""One policy for odd telegrams: set aside with the reason, and the line goes on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.meters.admission import Admission
from hub.meters.clocks import ClockAnchor, TwoClocks
from hub.meters.fuse import DEFAULT_FUSE, Fuse
from hub.meters.odd import Odd, OddTelegram
from hub.meters.sml_intake import NoTimeOfDay, SmlIntake
from hub.readings import ReadingFlag, Readout
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support.field import MARCH, METER, NEIGHBOUR, telegram

LATER = MARCH + 90 * 86_400
TRUE = [telegram(5_000_001 + 80 * n, MARCH + 900 * n) for n in range(40)]


def capture(now: int = LATER, fuse: Fuse = DEFAULT_FUSE) -> SmlIntake:
    admission = Admission(fuse, lambda _: None, None)
    return SmlIntake(
        METER, [ACTIVE_ENERGY_IMPORT], lambda: now, admission=admission, is_capture=True
    )


class Line:
    """A live line, its clock under the test's thumb."""

    def __init__(self, clocks: TwoClocks | None = None) -> None:
        self.now = MARCH
        self.door = SmlIntake(
            METER,
            [ACTIVE_ENERGY_IMPORT],
            lambda: self.now,
            admission=Admission(DEFAULT_FUSE, lambda _: None, None, is_live=True),
            clocks=clocks or TwoClocks(),
        )
        self.wh = 5_000_001

    def send(self, count: int, passed: int = 10) -> list[Readout]:
        self.now, self.wh = self.now + passed, self.wh + 1
        return self.door.feed(telegram(self.wh, count=count))


def odd(door: SmlIntake) -> list[Odd]:
    assert door.admission is not None
    return [one.kind for one in door.admission.set_aside]


def taken(door: SmlIntake, frames: list[bytes]) -> list[Readout]:
    return door.feed(b"".join(frames)) + door.close()


def moments(readouts: list[Readout]) -> list[int]:
    return [one.time for one in readouts]


ODD_ONES = {
    "zero": (telegram(0, MARCH + 900 * 20 + 1), Odd.FELL),
    "leap": (telegram(429e6, MARCH + 900 * 20 + 1), Odd.LEAPT),
    "1970": (telegram(5_001_601, 3600), Odd.BEHIND),
    "ahead": (telegram(5_001_601, MARCH + 30 * 86_400), Odd.AHEAD),
    "the future": (telegram(5_001_601, LATER + 3601), Odd.AHEAD),
    "foreign": (telegram(77, MARCH + 900 * 20 + 1, meter=NEIGHBOUR), Odd.FOREIGN),
    "late": (telegram(5_000_500, MARCH + 900 * 5 + 1), Odd.LATE),
}


@pytest.mark.parametrize("name", ODD_ONES)
def test_an_odd_telegram_is_set_aside_and_all_others_are_taken(name: str) -> None:
    frame, kind = ODD_ONES[name]
    door = capture()
    readouts = taken(door, [*TRUE[:21], frame, *TRUE[21:]])
    assert moments(readouts) == [MARCH + 900 * n for n in range(40)]
    assert odd(door) == [kind]
    assert all(not one.flags for one in readouts)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(7, 39), st.sampled_from(sorted(ODD_ONES))), max_size=6),
    st.integers(1, 3000),
)
def test_whatever_comes_in_between_every_true_telegram_is_taken_once(
    between: list[tuple[int, str]], cut: int
) -> None:
    frames: list[bytes] = []
    for number, frame in enumerate(TRUE):
        frames += [ODD_ONES[name][0] for place, name in between if place == number]
        frames.append(frame)
    stream, door = b"".join(frames), capture()
    pieces = (stream[at : at + cut] for at in range(0, len(stream), cut))
    readouts = [one for piece in pieces for one in door.feed(piece)]
    readouts += door.close()
    assert door.admission is not None
    aside = len(door.admission.set_aside) + door.admission.repeated
    assert len(readouts) + aside == len(frames)
    assert moments(readouts) == sorted(set(moments(readouts)))
    assert set(moments(readouts)) >= {MARCH + 900 * n for n in range(40)}


def test_the_same_telegram_again_counts_as_repeated() -> None:
    door = capture()
    assert len(taken(door, [one for frame in TRUE for one in (frame, frame)])) == 40
    assert door.admission is not None
    assert (door.admission.repeated, odd(door)) == (40, [])


def test_a_first_telegram_that_nothing_follows_from_is_set_aside() -> None:
    for first, kind in (
        (telegram(429e6, MARCH - 900), Odd.LEAPT),
        (telegram(0, MARCH - 900), Odd.LEAPT),
        (telegram(5_000_000, MARCH - 300 * 86_400), Odd.BEHIND),
        (telegram(5_000_000, MARCH + 20 * 86_400), Odd.AHEAD),
    ):
        door = capture()
        assert len(taken(door, [first, *TRUE])) == 40, kind
        assert odd(door) == [kind]


def test_a_clock_that_is_ahead_at_the_end_certifies_no_empty_days() -> None:
    door = capture()
    assert len(taken(door, [*TRUE, telegram(5_009_000, MARCH + 40 * 86_400)])) == 40
    assert odd(door) == [Odd.AHEAD]


def test_a_gap_that_goes_on_is_one() -> None:
    door, month = capture(), 30 * 86_400
    later = [telegram(5_009_001 + 80 * n, MARCH + month + 900 * n) for n in range(10)]
    assert len(taken(door, [*TRUE, *later])) == 50
    assert odd(door) == []


def test_what_no_fuse_lets_through_is_set_aside() -> None:
    frames = [telegram(1 + 9_000 * n, MARCH + 900 * n) for n in range(5)]  # 36 kW
    assert len(taken(capture(), frames)) == 5
    door = capture(fuse=Fuse(35, 1))
    assert len(taken(door, frames)) < 5
    assert Odd.LEAPT in odd(door)


def test_a_fuse_carries_what_it_carries() -> None:
    assert Fuse(63, 3).watts == 59_771
    assert Fuse(63, 3).lets_through(59_800, 3600)
    assert not Fuse(63, 3).lets_through(61_000, 3600)
    for wrong in ((0, 3), (63, 0), (63, 4), (10_001, 1)):
        with pytest.raises(ValueError, match="phases"):
            Fuse(*wrong)


# Resolution


def flags(door: SmlIntake, frames: list[bytes]) -> list[bool]:
    return [bool(one.flags & ReadingFlag.COARSE) for one in taken(door, frames)]


def test_a_register_of_whole_kilowatt_hours_is_said_to_be_one() -> None:
    by_scaler = [telegram(5_000_000 + 1000 * (n // 3), MARCH + 900 * n, scaler=3) for n in range(9)]
    assert flags(capture(), by_scaler) == [True] * 9
    by_zeros = [telegram(5_000_000 + 1000 * (n // 3), MARCH + 900 * n) for n in range(9)]
    assert flags(capture(), by_zeros) == [True] * 9


def test_a_meter_that_is_unlocked_is_measured_from_then_on() -> None:
    whole = [telegram(5_000_000, MARCH + 900 * n) for n in range(3)]
    fine = [telegram(5_000_123 + n, MARCH + 900 * (3 + n)) for n in range(3)]
    assert flags(capture(), [*whole, *fine]) == [True] * 3 + [False] * 3


def test_a_round_number_alone_is_no_coarse_register() -> None:
    frames = [telegram(4_999_500 + 500 * n, MARCH + 900 * n) for n in range(4)]
    assert flags(capture(), frames) == [False] * 4
    assert flags(capture(), [telegram(0, MARCH + 900 * n) for n in range(4)]) == [False] * 4


# Time


def test_an_entrys_own_stamp_is_not_hidden_by_a_lists_count() -> None:
    frames = [telegram(5_000_001 + n, count=7 + n, own_time=MARCH + 900 * n) for n in range(3)]
    assert moments(taken(capture(), frames)) == [MARCH + 900 * n for n in range(3)]


def test_a_capture_without_a_time_of_day_says_what_to_give() -> None:
    door = capture()
    door.feed(telegram(5, count=10))
    with pytest.raises(NoTimeOfDay, match=r"a count of seconds: say when .* --start"):
        door.close()
    door = capture()
    door.feed(telegram(5))
    with pytest.raises(NoTimeOfDay, match=r"no time at all: .* --step"):
        door.close()


def test_a_count_of_seconds_agrees_with_the_clock_or_nothing_is_stamped() -> None:
    line = Line()
    for n in range(6):
        line.send(1000 + 10 * n)
    line.now += 3000  # the hub's clock steps
    assert line.send(1060) == []
    assert odd(line.door) == [Odd.STEPPED]
    assert line.door.admission is not None
    assert "ahead of the meter's count" in line.door.admission.set_aside[0].reason
    line.now -= 3000  # and is set right
    assert len(line.send(1070)) == 1
    assert odd(line.door) == [Odd.STEPPED]


def test_a_step_of_an_hour_is_believed_once_it_has_stood() -> None:
    line = Line()
    for n in range(3):
        line.send(1000 + 10 * n)
    line.now += 3600
    got = [bool(line.send(1030 + 10 * n)) for n in range(95)]
    assert got.index(True) == 90
    assert all(got[90:])


def test_a_step_of_a_year_is_never_believed_by_itself() -> None:
    line = Line()
    for n in range(3):
        line.send(1000 + 10 * n)
    line.now += 365 * 86_400
    assert not any(line.send(1030 + 10 * n) for n in range(300))
    assert set(odd(line.door)) == {Odd.STEPPED}


def test_a_step_is_seen_after_a_restart_and_one_backwards_is_too() -> None:
    clocks = TwoClocks(ClockAnchor(1000, MARCH - 500_000))
    line = Line(clocks)
    assert line.send(1010) == []
    assert odd(line.door) == [Odd.STEPPED]
    back = Line(TwoClocks(ClockAnchor(1000, MARCH + 100)))
    back.send(1010)
    assert back.door.admission is not None
    assert "behind the meter's count" in back.door.admission.set_aside[0].reason


def test_a_meter_that_was_without_power_counts_anew() -> None:
    line = Line(TwoClocks(ClockAnchor(9_000_000, MARCH - 600)))
    line.send(3)
    assert len(line.send(13)) == 2
    assert odd(line.door) == []


def test_a_count_that_stands_still_is_no_clock() -> None:
    line = Line()
    got = [bool(line.send(77)) for _ in range(120)]
    assert not all(got)
    assert all(got[-20:])


# What is kept


@given(
    st.sampled_from(Odd),
    st.text(max_size=40),
    st.integers(0, 2**40),
    st.binary(max_size=10),
    st.none() | st.integers(0, 2**40),
    st.integers(0, 2**63 - 1),
)
def test_what_was_set_aside_is_read_as_it_was_written(
    kind: Odd, reason: str, offset: int, meter: bytes, time: int | None, wh: int
) -> None:
    one = OddTelegram(kind, reason, offset, offset, meter, time, {ACTIVE_ENERGY_IMPORT: wh})
    assert OddTelegram.decode(one.encode()) == one
    for wrong in (one.encode() + b" ", one.encode().replace(b"kind", b"sort"), b"{}", b"[]"):
        with pytest.raises(ValueError, match=r"."):
            OddTelegram.decode(wrong)
