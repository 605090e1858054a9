# SPDX-License-Identifier: Apache-2.0
"""A register certified as its readings come: slot by slot, across versions and meters."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.certifier import (
    Certification,
    Certifier,
    CertifierKeys,
    DayUse,
    NewCustody,
    NewStep,
    ReadingsRefused,
    SignedSlots,
)
from hub.metering import FactRefused, ForeignDays, MeteredRegister, PeriodIncomplete
from hub.readings import Reading, ReadingFlag
from hub.vault.database import Database
from hub.vault.days import DAYS_COMPONENT, DayAlreadyJournalled, DayJournal
from hub.vault.vault import VAULT_COMPONENT, Channel, ReadingRefused, Vault, VaultTampered
from protocols.amounts import SlotForm, Sum
from protocols.metrology import (
    CertifiedDay,
    CommitmentScheme,
    DayContent,
    DayGrid,
    FirstDayOfCustody,
    MeterEvent,
    MeterExchange,
    Period,
    RegisterResolution,
    Series,
    SlotState,
    verify_days,
)
from protocols.proofs import StatementContext, open_amounts, verify_amounts
from tests.support.version1 import certify_version_1

ZONE = "Europe/Berlin"
SERIES = Series(b"meter 1", bytes.fromhex("0100010800ff"), ZONE, 15)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
CERTIFIER = Certifier(SERIES, KEYS)
PERIOD = Period(date(2025, 3, 29), date(2025, 4, 1))  # the second day has 23 hours
BEGIN, END = PERIOD.bounds(ZONE)


def metered(path: Path, certifier: Certifier = CERTIFIER) -> MeteredRegister:
    database = Database(path, (VAULT_COMPONENT, DAYS_COMPONENT))
    channel = Channel(SERIES.meter, SERIES.register)
    key = bytes(range(32))
    counter = iter(range(1, 10**6))

    def randomness(size: int) -> bytes:
        return next(counter).to_bytes(size, "big")

    journal = DayJournal(database, channel, key, randomness)
    return MeteredRegister(Vault(database, key, randomness), journal, certifier)


@pytest.fixture
def meter(tmp_path: Path) -> MeteredRegister:
    return metered(tmp_path / "hub.db")


def readings(begin: int = BEGIN, end: int = END, start_wh: int = 1000) -> list[Reading]:
    """A reading each five minutes, some a little late, and a gap of an hour."""
    made, register = [], start_wh
    for place, time in enumerate(range(begin, end + 1, 300)):
        register += 20 + place % 30
        if place % 500 in range(100, 112):
            continue
        late = 20 if place % 7 == 3 else 0
        made.append(Reading(time + late, register))
    return made


FIRST_DAY = CERTIFIER.certify(PERIOD.first, readings(), None)


def days_of(meter: MeteredRegister, period: Period = PERIOD) -> list[CertifiedDay]:
    return [one.day for one in meter.certifications(period)]


def test_slots_are_signed_as_they_end_and_the_day_is_the_same_as_at_once(
    meter: MeteredRegister, tmp_path: Path
) -> None:
    at_once = metered(tmp_path / "other.db")
    at_once.vault.append(at_once.channel, readings())
    assert at_once.certify() == 4
    signed = 0
    for reading in readings():
        meter.vault.append(meter.channel, [reading])
        meter.certify()
        grid = DayGrid(PERIOD.first, ZONE, 15)
        if reading.time < grid.end:
            ended = (reading.time - grid.begin) // 900
            signatures, _ = meter.journal.slots(PERIOD.first)
            assert len(signatures) == max(ended, 0)
            signed += 1
    assert signed > 200
    assert [day.encode() for day in days_of(meter)] == [day.encode() for day in days_of(at_once)]
    for day in PERIOD.days(ZONE):
        slots = meter.certified_slots(day)
        assert slots == at_once.certified_slots(day)
        for slot in slots:
            slot.verify(KEYS.public_key, DayGrid(day, ZONE, 15))
        [certified] = meter.certifications(Period(day, day))
        content = certified.day.content
        assert isinstance(content, DayContent)
        assert slots[-1].content.digest == content.slots
        points = CERTIFIER.with_slots(certified).slots
        assert points is not None
        assert [slot.content.commitment for slot in slots] == list(points)
    states = {state for one in meter.certifications(PERIOD) for state in one.use.states}
    assert {SlotState.MEASURED, SlotState.ESTIMATED} <= states


def test_signed_slots_are_only_ever_added_to(meter: MeteredRegister) -> None:
    meter.vault.append(meter.channel, readings(end=BEGIN + 7200))
    meter.certify()
    connection = meter.journal.database.connection
    for statement in ("DELETE FROM signed_slots", "UPDATE signed_slots SET first = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    assert len(meter.certified_slots(PERIOD.first)) == 8


def test_readings_that_became_others_after_their_slots_were_signed_are_noticed(
    tmp_path: Path,
) -> None:
    meter = metered(tmp_path / "hub.db")
    meter.vault.append(meter.channel, readings(end=BEGIN + 7200))
    meter.certify()
    rows = meter.journal.database.connection.execute("SELECT * FROM signed_slots").fetchall()
    other = metered(tmp_path / "other.db")
    other.vault.append(other.channel, readings(start_wh=1001))
    for row in rows:
        other.journal.database.connection.execute(
            "INSERT INTO signed_slots VALUES (?, ?, ?, ?, ?, ?)", row
        )
    # Each slot used the same, so that only what the first one began with differs: not a slot's.
    assert other.certify() == 4
    changed = metered(tmp_path / "changed.db")
    bent = [replace(r, register_wh=r.register_wh + (r.time > BEGIN + 600)) for r in readings()]
    changed.vault.append(changed.channel, bent)
    for row in rows:
        changed.journal.database.connection.execute(
            "INSERT INTO signed_slots VALUES (?, ?, ?, ?, ?, ?)", row
        )
    with pytest.raises(ReadingsRefused, match="not those that its slots were certified with"):
        changed.certify()


def test_a_signature_that_is_missing_in_between_is_noticed(meter: MeteredRegister) -> None:
    meter.journal.append_slots(PERIOD.first, 3, bytes(32), [bytes(64)])
    with pytest.raises(VaultTampered, match="not all there"):
        meter.journal.slots(PERIOD.first)
    with pytest.raises(PeriodIncomplete):
        meter.certified_slots(PERIOD.last)


# --- Version 1 -----------------------------------------------------------------------------------


def old_days(
    meter: MeteredRegister, period: Period, scheme: CommitmentScheme = CommitmentScheme.SLOTS
) -> list[Certification]:
    """Put days of release 0.1 into the journal, as that release did."""
    old = certify_version_1(CERTIFIER, period, readings(), scheme)
    for one in old:
        meter.journal.append(
            one.day.day, one.day.content.counter, one.day.encode(), one.use.encode()
        )
    return old


@pytest.mark.parametrize("scheme", CommitmentScheme)
def test_a_hub_with_days_of_version_1_goes_on_and_answers_about_them_in_version_2(
    meter: MeteredRegister, scheme: CommitmentScheme
) -> None:
    meter.vault.append(meter.channel, readings())
    old = old_days(meter, Period(PERIOD.first, date(2025, 3, 30)), scheme)
    assert meter.certify() == 2
    mixed = days_of(meter)
    assert [day.version for day in mixed] == [1, 1, 2, 2]
    verify_days(mixed, PERIOD, SERIES, KEYS.public_key)
    stated = meter.statement_days(PERIOD)
    assert [one.day.content.restated for one in stated] == [
        *(one.day.digest for one in old), b"", b"",
    ]  # fmt: skip
    assert [one.use for one in stated] == [one.use for one in meter.certifications(PERIOD)]
    context = StatementContext(
        SERIES.meter, SERIES.register, BEGIN, END, 15, bytes(32), "supplier", "bill", bytes(16)
    )
    for by_slots in (False, True):
        period, opening = meter.opened(stated, needs_slots=by_slots)
        days = [CertifiedDay.decode(day.encode()) for day in period.days]
        verified = verify_days(days, PERIOD, SERIES, KEYS.public_key)
        source = verified.source(needs_slots=by_slots)
        amount = Sum(SlotForm(((0, source.size, 7),)), by_slots=by_slots)
        known = period.source(opening, needs_slots=by_slots)
        values, proof = open_amounts(context, known, [amount], bytes(32))
        assert values == (7 * sum(wh for one in stated for wh in one.use.uses),)
        assert verify_amounts(context, source, [amount], proof, "a bill")[0] == values
    assert [one.day.encode() for one in meter.statement_days(PERIOD)] == [
        one.day.encode() for one in stated
    ]


def test_the_certifier_states_nothing_again_but_what_it_certified() -> None:
    period = Period(PERIOD.first, PERIOD.first)
    [old] = certify_version_1(CERTIFIER, period, readings())
    uses = list(old.use.uses)
    uses[0], uses[1] = uses[1] + 5, uses[0] - 5
    lies: Sequence[DayUse] = (
        replace(old.use, uses=tuple(uses)),
        replace(old.use, start_wh=old.use.start_wh + 1, end_wh=old.use.end_wh + 1),
        replace(old.use, states=(SlotState.MISSING, *old.use.states[1:])),
    )
    for lie in lies:
        with pytest.raises(ReadingsRefused, match="the stored uses are not the certified ones"):
            CERTIFIER.restate(Certification(old.day, lie))


def test_days_of_another_certifier_are_not_stated_again(tmp_path: Path) -> None:
    meter = metered(tmp_path / "hub.db")
    old_days(meter, PERIOD)
    others = CertifierKeys(bytes(range(1, 33)), bytes(range(32, 64)))
    stranger = replace(meter, certifier=Certifier(SERIES, others))
    with pytest.raises(ForeignDays):
        stranger.statement_days(PERIOD)


# --- Meters --------------------------------------------------------------------------------------

NOON = BEGIN + 43_200


def exchanged(meter: MeteredRegister, time: int = NOON) -> None:
    """A meter with 1,000 Wh an hour, and from `time` on another one that starts at 7 Wh."""
    before = [Reading(t, 250 * n) for n, t in enumerate(range(BEGIN, time, 900))]
    meter.vault.append(meter.channel, before)
    meter.exchange_meter(time, b"meter 9", before[-1].register_wh + 200, 7)
    after = [Reading(t, 7 + 250 * n) for n, t in enumerate(range(time, END + 901, 900))]
    meter.vault.append(meter.channel, after[1:])


def test_a_new_meter_goes_on_where_the_old_one_ended(meter: MeteredRegister) -> None:
    exchanged(meter)
    assert meter.certify() == 4
    done = meter.certifications(PERIOD)
    uses = [wh for one in done for wh in one.use.uses]
    assert uses[:50] == [250] * 47 + [200, 250, 250]
    assert set(uses[50:]) == {250}
    content = done[0].day.content
    assert isinstance(content, DayContent)
    [event] = content.events
    assert isinstance(event, MeterExchange)
    assert (event.slot, event.old_meter, event.new_meter) == (47, b"meter 1", b"meter 9")
    days = [CERTIFIER.with_slots(one) for one in done]
    verify_days(days, PERIOD, SERIES, KEYS.public_key)
    mounted = [d.content.mounted for d in days if isinstance(d.content, DayContent)]
    assert mounted == [b"meter 1", *(b"meter 9",) * 3]
    assert meter.mounted_meter == b"meter 9"
    assert DayUse.decode(done[0].use.encode()) == done[0].use


def test_a_meter_is_exchanged_at_midnight_or_within_a_slot(tmp_path: Path) -> None:
    midnight = DayGrid(PERIOD.first, ZONE, 15).end
    for name, time, slot in (("midnight", midnight, 95), ("within", NOON + 300, 48)):
        meter = metered(tmp_path / name)
        exchanged(meter, time)
        assert meter.certify() == 4
        days = [CERTIFIER.with_slots(one) for one in meter.certifications(PERIOD)]
        verify_days(days, PERIOD, SERIES, KEYS.public_key)
        content = days[0].content
        assert isinstance(content, DayContent)
        assert [event.slot for event in content.events] == [slot]


def test_an_exchange_is_told_before_its_time_is_certified(meter: MeteredRegister) -> None:
    meter.vault.append(meter.channel, readings(end=NOON))
    meter.certify()
    last = meter.vault.latest(meter.channel)
    assert last is not None
    with pytest.raises(FactRefused, match="certified already"):
        meter.exchange_meter(BEGIN + 3600, b"meter 9", 10**6, 0)
    with pytest.raises(ReadingRefused, match="fell from"):
        meter.exchange_meter(NOON + 600, b"meter 9", last.register_wh - 1, 0)
    assert meter.mounted_meter == b"meter 1"  # nothing of it was stored
    meter.exchange_meter(NOON + 600, b"meter 9", last.register_wh + 1, 0)
    with pytest.raises(FactRefused, match="exchanged in that slot already"):
        meter.exchange_meter(NOON + 700, b"meter 10", 1, 0)
    meter.exchange_meter(NOON + 901, b"meter 10", 1, 0)  # in the slot after it
    assert meter.mounted_meter == b"meter 10"


def test_a_register_that_falls_without_a_new_meter_is_refused(meter: MeteredRegister) -> None:
    meter.vault.append(meter.channel, [Reading(BEGIN, 500)])
    with pytest.raises(ReadingRefused, match="fell from 500"):
        meter.vault.append(meter.channel, [Reading(BEGIN + 900, 0)])


def test_readings_of_a_new_meter_that_nobody_told_of_are_not_certified() -> None:
    made = [
        Reading(BEGIN, 500),
        Reading(BEGIN + 900, 0, ReadingFlag.EXCHANGED),
        Reading(BEGIN + 86_400, 900),
    ]
    with pytest.raises(ReadingsRefused, match="the record of new meters differ"):
        CERTIFIER.certify(PERIOD.first, made, None)
    with pytest.raises(ReadingsRefused, match="the record of new meters differ"):
        CERTIFIER.certify_slots(PERIOD.first, made[:2], None, (), SignedSlots())


def test_coarse_slots_are_marked_and_a_custody_begins_with_a_day(meter: MeteredRegister) -> None:
    grids = PERIOD.grids(ZONE, 15)
    meter.record(NewStep(grids[0].begin + 900 * 10, 1000))
    meter.record(NewCustody(grids[1].begin, bytes(range(16))))
    for fact in (NewStep(grids[2].begin + 1, 10), NewCustody(grids[2].begin + 900, bytes(16))):
        with pytest.raises(FactRefused, match="where a"):
            meter.record(fact)
    meter.vault.append(meter.channel, readings())
    assert meter.certify() == 4
    contents = [one.day.content for one in meter.certifications(PERIOD)]
    assert all(isinstance(content, DayContent) for content in contents)
    first, second, *_ = [content for content in contents if isinstance(content, DayContent)]
    assert first.events == (RegisterResolution(10, 1000),)
    assert first.steps == (1,) * 10 + (1000,) * 86
    assert second.events == (FirstDayOfCustody(bytes(range(16))),)
    assert set(second.steps) == {1000}
    steps = [slot.content.step_wh for slot in meter.certified_slots(PERIOD.first)]
    assert tuple(steps) == first.steps
    with pytest.raises(FactRefused, match="certified already"):
        meter.record(NewStep(grids[0].begin + 900 * 20, 1))
    days = [CERTIFIER.with_slots(one) for one in meter.certifications(PERIOD)]
    verify_days(days, PERIOD, SERIES, KEYS.public_key)


def test_what_is_recorded_of_a_meter_is_sealed_and_added_to_only(meter: MeteredRegister) -> None:
    begin = PERIOD.grids(ZONE, 15)[1].begin
    meter.record(NewStep(begin, 1000))
    meter.record(NewCustody(begin, bytes(16)))
    with pytest.raises(DayAlreadyJournalled):
        meter.record(NewStep(begin, 1000))
    assert len(meter.facts(DayGrid(date(2025, 3, 30), ZONE, 15))) == 2
    connection = meter.journal.database.connection
    assert b"custody" not in b"".join(row[5] for row in connection.execute(
        "SELECT * FROM meter_fact"))  # fmt: skip
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM meter_fact")
    connection.execute("DROP TRIGGER fact_is_never_changed")
    connection.execute("UPDATE meter_fact SET time = time + 900 WHERE place = 0")
    with pytest.raises(VaultTampered, match="recorded of the meter was changed"):
        meter.facts(DayGrid(date(2025, 3, 30), ZONE, 15))


@given(
    st.lists(st.sampled_from(SlotState), min_size=96, max_size=96),
    st.dictionaries(st.integers(0, 95), st.integers(1, 10**6), max_size=4),
    st.binary(min_size=16, max_size=16) | st.none(),
)
@settings(max_examples=60, deadline=None)
def test_any_day_is_reproduced_from_its_bytes(
    states: list[SlotState], steps: dict[int, int], custody: bytes | None
) -> None:
    content = FIRST_DAY.day.content
    assert isinstance(content, DayContent)
    events: list[MeterEvent] = [RegisterResolution(*step) for step in steps.items()]
    events += [] if custody is None else [FirstDayOfCustody(custody)]
    events.sort(key=lambda event: (event.slot, event.kind))
    one = replace(content, states=tuple(states), events=tuple(events))
    data = one.encode()
    assert DayContent.decode(data) == one
    assert replace(DayContent.decode(data)).encode() == data  # encoded anew: a copy keeps nothing
    assert len(one.steps) == 96
