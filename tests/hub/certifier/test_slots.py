# SPDX-License-Identifier: Apache-2.0
"""Readings at any time become slots that sum to the register, with honest states."""

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.certifier import DayUse, ReadingsRefused, default_tolerance, slot_uses
from hub.readings import Reading, ReadingFlag
from protocols.metrology import DayGrid, SlotState
from tests.support.soak import examples

GRID = DayGrid(date(2025, 3, 1), "UTC", 60)
BEGIN = GRID.begin
HOUR = 3600
MEASURED, ESTIMATED, SUBSTITUTED, MISSING = SlotState

RESUMED = ReadingFlag.RESUMED


def hourly(first: int, last: int, step_wh: int = 100) -> list[Reading]:
    return [Reading(BEGIN + n * HOUR, 5000 + n * step_wh) for n in range(first, last + 1)]


def without(readings: list[Reading], *hours: int) -> list[Reading]:
    return [r for r in readings if (r.time - BEGIN) // HOUR not in hours]


def test_readings_at_the_slots_ends_are_measured() -> None:
    use = slot_uses(GRID, hourly(0, 24))
    assert use.uses == (100,) * 24
    assert use.states == (MEASURED,) * 24
    assert (use.start_wh, use.end_wh, use.unattributed_wh) == (5000, 7400, 0)
    assert slot_uses(GRID, hourly(-30, 60)) == use


def test_the_latest_reading_within_the_tolerance_stands_for_the_slots_end() -> None:
    late = [Reading(r.time - 60, r.register_wh) for r in hourly(0, 25)]
    assert slot_uses(GRID, late).states == (MEASURED,) * 24
    older = [Reading(r.time - 61, r.register_wh) for r in hourly(0, 25)]
    assert slot_uses(GRID, older).states == (ESTIMATED,) * 24
    assert slot_uses(GRID, older, tolerance=61).states == (MEASURED,) * 24


def test_the_tolerance_is_a_fifteenth_of_the_slot_and_at_most_a_minute() -> None:
    assert [default_tolerance(60 * m) for m in (5, 15, 30, 60)] == [20, 60, 60, 60]


def test_a_stretch_between_two_readings_is_apportioned_exactly() -> None:
    readings = without(hourly(0, 24), 5, 6)
    readings = [Reading(r.time, r.register_wh + (7 if r.time > BEGIN + 6 * HOUR else 0))
                for r in readings]  # fmt: skip
    use = slot_uses(GRID, readings)
    assert use.states[3:8] == (MEASURED, ESTIMATED, ESTIMATED, ESTIMATED, MEASURED)
    assert use.uses[4:7] == (102, 102, 103)
    assert sum(use.uses) == use.end_wh - use.start_wh == 2407


def test_time_that_is_not_in_the_register_is_missing_with_a_use_of_nought() -> None:
    readings = without(hourly(0, 24, 0), 5, 6)
    readings[5] = Reading(readings[5].time, readings[5].register_wh, RESUMED)
    use = slot_uses(GRID, readings)
    assert use.states[3:8] == (MEASURED, MISSING, MISSING, MISSING, MEASURED)
    assert use.uses == (0,) * 24
    assert use.unattributed_wh == 0


def test_energy_the_register_shows_for_missing_slots_is_kept_apart() -> None:
    readings = without(hourly(0, 24), 5, 6)
    readings[5] = Reading(readings[5].time - 600, readings[5].register_wh - 20, RESUMED)
    use = slot_uses(GRID, readings)
    # Unread from 04:00 to 06:50; then 17 Wh, estimated, until 07:00, and 103 Wh until 08:00.
    assert use.states[3:8] == (MEASURED, MISSING, MISSING, MISSING, ESTIMATED)
    assert use.uses[3:8] == (100, 0, 0, 0, 103)
    assert use.unattributed_wh == 297


def test_a_gap_within_the_tolerance_leaves_the_slots_measured() -> None:
    readings = hourly(0, 24)
    readings.insert(6, Reading(BEGIN + 5 * HOUR + 40, 5500, RESUMED))
    assert slot_uses(GRID, readings).states == (MEASURED,) * 24
    readings[6] = Reading(BEGIN + 5 * HOUR + 61, 5500, RESUMED)
    assert slot_uses(GRID, readings).states[4:7] == (MEASURED, MISSING, MEASURED)


def test_a_gap_that_ends_just_after_a_slots_end_does_not_spoil_the_next_slot() -> None:
    readings = without(hourly(0, 24), 5)
    readings.insert(5, Reading(BEGIN + 5 * HOUR + 30, 5430, RESUMED))
    use = slot_uses(GRID, readings)
    assert use.states[3:6] == (MEASURED, MISSING, MEASURED)
    assert (use.uses[4], use.uses[5], use.unattributed_wh) == (0, 170, 30)


def test_slots_that_end_in_a_suspect_reading_are_substituted() -> None:
    readings = hourly(0, 24)
    readings[5] = Reading(readings[5].time, readings[5].register_wh, ReadingFlag.SUSPECT)
    use = slot_uses(GRID, readings)
    assert use.states[3:7] == (MEASURED, SUBSTITUTED, MEASURED, MEASURED)
    assert use.uses == (100,) * 24


def test_time_before_the_first_and_after_the_last_reading_is_missing() -> None:
    use = slot_uses(GRID, hourly(6, 20))
    assert use.states == (MISSING,) * 6 + (MEASURED,) * 14 + (MISSING,) * 4
    assert (use.start_wh, use.end_wh, use.unattributed_wh) == (5600, 7000, 0)


def test_a_day_without_readings_after_one_with_some_is_missing_throughout() -> None:
    for use in (slot_uses(GRID, hourly(-30, -20)), slot_uses(GRID, [], start_wh=4000)):
        assert set(use.states) == {MISSING}
        assert use.start_wh == use.end_wh


def test_the_certified_register_of_the_day_before_is_where_the_day_starts() -> None:
    use = slot_uses(GRID, hourly(2, 24), start_wh=4900)
    assert use.states == (ESTIMATED, ESTIMATED) + (MEASURED,) * 22
    assert (use.uses[0], use.uses[1]) == (150, 150)
    # The day before ended at 4900 without knowing of what came later.
    late = slot_uses(GRID, hourly(0, 24), start_wh=4900)
    assert (late.start_wh, late.unattributed_wh, late.uses) == (4900, 100, (100,) * 24)
    with pytest.raises(ReadingsRefused, match="2025-03-01T00:00:00Z: the register is below"):
        slot_uses(GRID, hourly(0, 24), start_wh=5001)


@pytest.mark.parametrize(
    ("readings", "reason"),
    [
        ([], "no reading on or before"),
        (hourly(25, 26), "no reading on or before"),
        ([Reading(BEGIN, 10), Reading(BEGIN + 60, 9)], "2025-03-01T00:01:00Z: the register runs"),
        ([Reading(BEGIN, 10), Reading(BEGIN, 11)], "T00:00:00Z: the reading is not after"),
        ([Reading(BEGIN, 10), Reading(BEGIN - 9, 11)], "2025-02-28T23:59:51Z: the reading is not"),
        ([Reading(BEGIN, 0), Reading(BEGIN + HOUR, 2**32)], "a use is not in 0"),
        ([Reading(BEGIN, 2**63)], "the register is out of range"),
    ],
)
def test_readings_of_which_no_day_can_be_made_are_refused(
    readings: list[Reading], reason: str
) -> None:
    with pytest.raises(ReadingsRefused, match=reason):
        slot_uses(GRID, readings)


steps = st.tuples(
    st.integers(1, 3 * HOUR), st.integers(0, 5000), st.sampled_from([0, 0, 0, 0, 1, 2, 3])
)


@given(st.lists(steps, min_size=1, max_size=60), st.integers(-5 * HOUR, HOUR))
@examples(75, soak=300)
def test_uses_sum_to_the_register_and_days_join_whatever_the_readings(
    moves: list[tuple[int, int, int]], offset: int
) -> None:
    time, register = BEGIN + offset, 1000
    readings = [Reading(time, register)]
    for seconds, used, flags in moves:
        time, register = time + seconds, register + used
        readings.append(Reading(time, register, ReadingFlag(flags)))
    first = slot_uses(GRID, readings)  # which checks its sum itself
    following = DayGrid(date(2025, 3, 2), "UTC", 15)
    second = slot_uses(following, readings, start_wh=first.end_wh)
    assert second.start_wh == first.end_wh
    assert all(use == 0 for use, s in zip(first.uses, first.states, strict=True) if s is MISSING)
    measured_total = sum(first.uses) + first.unattributed_wh
    assert measured_total <= readings[-1].register_wh - readings[0].register_wh
    for before, after in pairwise(readings):
        covered = [
            slot
            for slot, opens in enumerate(GRID.boundaries()[:-1])
            if before.time <= opens and opens + HOUR <= after.time
        ]
        for slot in covered:
            expected = {MISSING} if after.flags & RESUMED else {ESTIMATED, SUBSTITUTED, MEASURED}
            assert first.states[slot] in expected


def test_uses_are_stored_and_read_back_unchanged() -> None:
    use = slot_uses(GRID, hourly(3, 22))
    assert DayUse.decode(use.encode()) == use
    for damaged in [b"", b"[]", b"null", use.encode()[:-1], use.encode().replace(b"100", b"101", 1),
                    use.encode().replace(b",", b", ", 1), b"\xff"]:  # fmt: skip
        with pytest.raises(ReadingsRefused):
            DayUse.decode(damaged)


def test_uses_do_not_show_in_a_representation() -> None:
    assert "5000" not in repr(slot_uses(GRID, hourly(0, 24)))
    assert "uses" not in repr(slot_uses(GRID, hourly(0, 24)))
