# SPDX-License-Identifier: Apache-2.0
"""Readings that come late or replace others: what they change, and what they leave as it was."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.certifier import CorrectionRefused
from hub.correcting import CorrectedRegister, correct_register
from hub.metering import MeteredRegister
from hub.readings import Reading, ReadingFlag
from hub.vault.vault import ReadingRefused, VaultTampered
from protocols.metrology import (
    CertifiedDay,
    CommitmentScheme,
    CorrectionReason,
    Period,
    SlotState,
    verify_days,
)
from tests.hub.test_certified_slots import KEYS, SERIES, ZONE, metered
from tests.support.version1 import certify_version_1

PERIOD = Period(date(2025, 3, 29), date(2025, 4, 1))  # the second day has 23 hours
BEGIN, END = PERIOD.bounds(ZONE)
NOW = END + 86_400
SLOT = 900


def shown(begin: int = BEGIN, end: int = END) -> list[Reading]:
    """What the meter shows at each slot's end."""
    places = range((begin - BEGIN) // SLOT, (end - BEGIN) // SLOT + 1)
    return [Reading(BEGIN + SLOT * place, 1000 + _used_until(place)) for place in places]


def _used_until(place: int) -> int:
    return sum(50 + 7 * (slot % 96) for slot in range(place))


def with_hole(readings: Sequence[Reading], begin: int, end: int) -> list[Reading]:
    """Leave out what lies within, and say that the time was not read."""
    kept = [one for one in readings if not begin < one.time < end]
    return [replace(one, flags=ReadingFlag.RESUMED) if one.time == end else one for one in kept]


def with_readings(path: Path, readings: Sequence[Reading]) -> MeteredRegister:
    meter = metered(path)
    meter.vault.append(meter.channel, readings)
    assert meter.certify() == 4
    return meter


def corrected(
    meter: MeteredRegister, readings: Sequence[Reading], **options: bool
) -> CorrectedRegister:
    with meter.journal.database.transaction():
        return correct_register(meter, readings, NOW, **options)


def newest(meter: MeteredRegister) -> list[CertifiedDay]:
    return [meter.certifier.with_slots(one) for one in meter.certifications(PERIOD)]


def uses(meter: MeteredRegister) -> list[int]:
    return [wh for use in meter.uses(PERIOD) for wh in use.uses]


@pytest.fixture
def holed(tmp_path: Path) -> MeteredRegister:
    """A hub that read nothing for six hours, over midnight."""
    return with_readings(tmp_path / "hub.db", with_hole(shown(), HOLE[0], HOLE[1]))


HOLE = BEGIN + 86_400 - 3 * 3600, BEGIN + 86_400 + 3 * 3600


def test_late_readings_make_the_days_what_they_would_have_been(
    holed: MeteredRegister, tmp_path: Path
) -> None:
    whole = with_readings(tmp_path / "whole.db", shown())
    assert uses(holed) != uses(whole)
    late = [one for one in shown() if HOLE[0] < one.time < HOLE[1]]
    done = corrected(holed, late)
    assert done.reason is CorrectionReason.LATE
    assert [(day.day.day, day.revision, len(day.changed)) for day in done.days] == [
        (29, 1, 12), (30, 1, 12)
    ]  # fmt: skip
    assert uses(holed) == uses(whole)
    states = [state for use in holed.uses(PERIOD) for state in use.states]
    assert set(states) == {SlotState.MEASURED}
    days = newest(holed)
    verify_days(days, PERIOD, SERIES, KEYS.public_key)
    # Days that nothing changed in are the very same, and the corrected ones decode as they were.
    assert [day.revision for day in days] == [1, 1, 0, 0]
    assert all(CertifiedDay.decode(day.encode()) == day for day in days)
    first = holed.journal.as_first_certified(PERIOD.first, PERIOD.last)
    assert [day.link for day in days] == [CertifiedDay.decode(one.certified).link for one in first]


def test_a_part_of_the_late_readings_leaves_the_rest_missing(holed: MeteredRegister) -> None:
    part = [one for one in shown() if HOLE[0] + 3600 <= one.time <= HOLE[0] + 7200]
    done = corrected(holed, part)
    # The register at midnight is known better, so that both days are signed again.
    assert (len(done.days), len(done.changed), done.slots) == (2, 1, 4)
    states = holed.uses(PERIOD)[0].states
    assert (
        states[-12:]
        == (SlotState.MISSING,) * 4 + (SlotState.MEASURED,) * 4 + (SlotState.MISSING,) * 4
    )
    rest = [one for one in shown() if HOLE[0] < one.time < HOLE[1]]
    again = corrected(holed, rest, may_replace=True)
    assert again.reason is CorrectionReason.LATE  # what was read is the same
    assert [day.revision for day in again.days] == [2, 2]
    # Slots that the second one left as they were keep the revision that they had.
    assert newest(holed)[0].revisions[-12:] == (2,) * 4 + (1,) * 4 + (2,) * 4
    assert uses(holed)[:192] == [50 + 7 * (slot % 96) for slot in range(192)]


def test_the_same_again_changes_nothing(holed: MeteredRegister) -> None:
    late = [one for one in shown() if HOLE[0] < one.time < HOLE[1]]
    corrected(holed, late)
    assert corrected(holed, late).days == ()
    assert [day.revision for day in newest(holed)] == [1, 1, 0, 0]


def test_what_was_read_is_replaced_only_where_that_is_said(tmp_path: Path) -> None:
    meter = with_readings(tmp_path / "hub.db", shown())
    shifted = [
        replace(one, register_wh=one.register_wh - 5)
        for one in shown(BEGIN + 10 * SLOT, BEGIN + 12 * SLOT)
    ]
    with pytest.raises(CorrectionRefused, match="2025-03-29T01:15:00Z was read already"):
        corrected(meter, shifted)
    assert (newest(meter)[0].revision, meter.vault.corrections(meter.channel)) == (0, [])
    done = corrected(meter, shifted, may_replace=True)
    assert done.reason is CorrectionReason.REPLACED
    assert [(d.revision, d.changed) for d in done.days] == [(1, (9, 12))]
    received = list(meter.vault.received(meter.channel, BEGIN, END))
    assert received == shown()
    assert sum(uses(meter)) == sum(50 + 7 * (slot % 96) for slot in range(len(uses(meter))))


def test_readings_that_do_not_fit_the_register_are_refused(holed: MeteredRegister) -> None:
    high = [Reading(HOLE[0] + 3600, 10**6)]
    with pytest.raises(ReadingRefused, match="the register fell"):
        corrected(holed, high)
    low = [Reading(HOLE[0] + 3600, 5)]
    with pytest.raises(ReadingRefused, match="the register fell"):
        corrected(holed, low)
    with pytest.raises(CorrectionRefused, match="is not certified yet"):
        corrected(holed, [Reading(END + 3600, 10**6)])
    with pytest.raises(CorrectionRefused, match="begin there"):
        corrected(holed, [Reading(BEGIN, 1000)])
    with pytest.raises(CorrectionRefused, match="there are no readings"):
        corrected(holed, [])


def test_the_register_at_the_last_days_end_stays(tmp_path: Path) -> None:
    meter = with_readings(tmp_path / "hub.db", shown())
    with pytest.raises(CorrectionRefused, match=r"at the end of 2025-04-01 would be"):
        corrected(meter, [Reading(END, shown()[-1].register_wh - 1)], may_replace=True)


def test_interval_data_moves_what_follows_where_the_meter_has_no_register_of_its_own(
    tmp_path: Path,
) -> None:
    # What was replayed went on where it had stopped: the register knows nothing of the hole.
    whole, gap = shown(), _used_until(100) - _used_until(90)
    holed = [
        replace(
            one,
            register_wh=one.register_wh - (gap if one.time > BEGIN + 90 * SLOT else 0),
            flags=ReadingFlag.RESUMED if one.time == BEGIN + 100 * SLOT else ReadingFlag.NONE,
        )
        for one in whole
        if not BEGIN + 90 * SLOT < one.time < BEGIN + 100 * SLOT
    ]
    meter = with_readings(tmp_path / "hub.db", holed)
    rows = [
        Reading(BEGIN + SLOT * place, _used_until(place) - _used_until(90))
        for place in range(90, 101)
    ]
    with pytest.raises(CorrectionRefused, match=r"the rows come to [\d,]+ Wh, the meter's"):
        corrected(meter, rows, is_interval_data=True)
    done = corrected(meter, rows, is_interval_data=True, has_register=False)
    assert [(day.revision, len(day.changed)) for day in done.days] == [
        (1, 6), (1, 4), (1, 0), (1, 0)
    ]  # fmt: skip
    assert uses(meter) == uses(with_readings(tmp_path / "whole.db", whole))
    verify_days(newest(meter), PERIOD, SERIES, KEYS.public_key)
    # Readings go on from what was received, and the days from what is known.
    last = meter.vault.newest_received(meter.channel)
    assert last is not None
    assert last.register_wh == whole[-1].register_wh - gap
    more = [Reading(END + SLOT * n, last.register_wh + 10 * n) for n in range(1, 97)]
    meter.vault.append(meter.channel, more)
    assert meter.certify() == 1
    days = Period(PERIOD.first, date(2025, 4, 2))
    verify_days([one.day for one in meter.certifications(days)], days, SERIES, KEYS.public_key)
    assert set(meter.uses(days)[-1].uses) == {10}


def test_slots_of_an_open_day_that_are_signed_stay(tmp_path: Path) -> None:
    meter = with_readings(tmp_path / "hub.db", shown())
    last = shown()[-1].register_wh
    # The last reading before midnight and the first one after it lie far apart.
    meter.vault.append(meter.channel, [Reading(END + SLOT * n, last + 10 * n) for n in range(1, 9)])
    meter.certify()
    signed = meter.certified_slots(date(2025, 4, 2))
    late = [replace(one, register_wh=one.register_wh + 1) for one in shown(END - 7200, END - 3600)]
    corrected(meter, late, may_replace=True)
    assert meter.certified_slots(date(2025, 4, 2)) == signed
    assert len(meter.certified_slots(date(2025, 4, 1))) == 96  # as they were signed then


def test_a_correction_that_was_changed_is_noticed(holed: MeteredRegister, tmp_path: Path) -> None:
    corrected(holed, [one for one in shown() if HOLE[0] < one.time < HOLE[1]])
    connection = holed.journal.database.connection
    for table in ("correction", "corrected_day"):
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET nonce = nonce"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.execute("DROP TRIGGER correction_is_never_changed")
    connection.execute("UPDATE correction SET reason = 'replaced'")
    meter = metered(tmp_path / "hub.db")
    with pytest.raises(VaultTampered, match="correction 1 of 0100010800ff was changed"):
        list(meter.vault.between(meter.channel, BEGIN, END))
    connection.execute("DROP TRIGGER corrected_day_is_never_changed")
    connection.execute("UPDATE corrected_day SET revision = 2 WHERE day = '2025-03-29'")
    with pytest.raises(VaultTampered, match="the day's use is not what was stored"):
        meter.certifications(PERIOD)


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_holes_that_are_filled_in_any_order_make_the_same_days(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(2, 378), min_size=2, max_size=6)))
    holes = [
        (BEGIN + SLOT * low, BEGIN + SLOT * high)
        for low, high in zip(cuts[::2], cuts[1::2], strict=False)
        if high - low > 1
    ]
    readings = shown()
    for hole in holes:
        readings = with_hole(readings, *hole)
    folder = tmp_path_factory.mktemp("holes")
    meter = with_readings(folder / "hub.db", readings)
    for low, high in data.draw(st.permutations(holes)):
        corrected(meter, [one for one in shown() if low < one.time < high])
    assert uses(meter) == uses(with_readings(folder / "whole.db", shown()))
    days = newest(meter)
    verify_days(days, PERIOD, SERIES, KEYS.public_key)
    assert all(use.unattributed_wh == 0 for use in meter.uses(PERIOD))


@pytest.mark.parametrize("scheme", CommitmentScheme)
def test_a_day_of_version_1_is_corrected_in_version_2(
    tmp_path: Path, scheme: CommitmentScheme
) -> None:
    meter = metered(tmp_path / "hub.db")
    readings = with_hole(shown(), *HOLE)
    meter.vault.append(meter.channel, readings)
    old = certify_version_1(
        meter.certifier, Period(PERIOD.first, date(2025, 3, 30)), readings, scheme
    )
    for one in old:
        meter.journal.append(
            one.day.day, one.day.content.counter, one.day.encode(), one.use.encode()
        )
    assert meter.certify() == 2
    corrected(meter, [one for one in shown() if HOLE[0] < one.time < HOLE[1]])
    stated = [meter.certifier.with_slots(one) for one in meter.statement_days(PERIOD)]
    verify_days(stated, PERIOD, SERIES, KEYS.public_key)
    assert [(day.version, day.revision) for day in stated] == [(2, 1), (2, 1), (2, 0), (2, 0)]
    assert [day.link for day in stated[:2]] == [one.day.digest for one in old]
