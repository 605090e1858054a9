# SPDX-License-Identifier: Apache-2.0
"""An exchange of meters hides no energy: what is forged of it is refused, and bills stay the same.

The hub has the certified days and not the certifier's key. It may drop the exchange, move it, copy
it, swap its registers, or say it of one register alone. Whoever has the key, and is trusted for
measuring, still cannot make energy vanish between two meters where slots are compared.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from applets.billing.statement import check_bill
from applets.common.evidence import AnswerRefused, check_days, check_registers
from hub.certifier import MeterFact, NewMeter
from hub.readings import Reading, ReadingFlag
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    DayContent,
    MalformedDay,
    MeterExchange,
    Period,
    SlotState,
)
from protocols.proofs import commit
from tariffs.source import load_toml
from tests.support import private_bills
from tests.support.private_bills import (
    KEYS,
    SERIES,
    Month,
    answered,
    certified,
    question_for,
    require_equal,
)
from utility_server.database import open_database, writing
from utility_server.errors import VerificationFailed
from utility_server.retail.chains import extend_chains

PERIOD = Period(date(2013, 3, 30), date(2013, 4, 2))  # the second day has 23 hours
BEGIN, END = PERIOD.bounds(SERIES.zone)
SLOT = 1800
TARIFF = load_toml(
    """
format = 1
name = "exchange"
revision = 1
currency = "GBP"
zone = "Europe/London"
valid_from = 2012-01-01
valid_until = 2015-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "standing"
kind = "standing"
per_day = "0.23"
[[charge]]
name = "night"
kind = "energy"
price = "0.0713"
"""
)


def month_with(
    exchanges: list[tuple[int, int]], gaps: list[range] | None = None, seed: int = 1
) -> tuple[Month, list[int]]:
    """Return days in which meters were exchanged, and what was really used in each slot.

    `exchanges` are moments and what the new meter showed first; in `gaps`, of slots, nobody read.
    """
    counted = {BEGIN: 0}
    for place, time in enumerate(range(BEGIN, END, SLOT)):
        counted[time + SLOT] = counted[time] + (place * seed * 7919) % 700
    used = [counted[time + SLOT] - counted[time] for time in range(BEGIN, END, SLOT)]

    def at(time: int) -> int:
        before = BEGIN + (time - BEGIN) // SLOT * SLOT
        share = (counted[min(before + SLOT, END)] - counted[before]) * (time - before) // SLOT
        return counted[before] + share

    unread = [place for gap in gaps or [] for place in gap]
    readings: list[Reading] = []
    facts: list[MeterFact] = []
    shift, was_unread = 5_000_000, False
    moments = sorted({*counted, *(time for time, _ in exchanges)})
    starts = dict(exchanges)
    for time in moments:
        if time in starts:
            readings.append(Reading(time - 1, at(time) + shift))
            shift = starts[time] - at(time)
            readings.append(Reading(time, starts[time], ReadingFlag.EXCHANGED))
            facts.append(NewMeter(time, b"meter %d" % len(facts)))
            was_unread = False
        elif (time - BEGIN) // SLOT in unread:
            was_unread = True
        else:
            flags = ReadingFlag.RESUMED if was_unread else ReadingFlag(0)
            readings.append(Reading(time, at(time) + shift, flags))
            was_unread = False
    return certified(readings, PERIOD, tuple(facts)), used


NOON = BEGIN + 36 * 3600
MONTH, USED = month_with([(NOON + 420, 17)])
DAYS = [one.day for one in MONTH.certified]
OTHER = [one.day for one in month_with([(NOON - 6 * 3600, 17)], seed=3)[0].certified]


def encoded(days: list[CertifiedDay]) -> list[bytes]:
    return [day.encode() for day in days]


def event_of(day: CertifiedDay) -> MeterExchange:
    content = day.content
    assert isinstance(content, DayContent)
    [event] = content.events
    assert isinstance(event, MeterExchange)
    return event


def refused(days: list[CertifiedDay]) -> str:
    with pytest.raises(AnswerRefused) as refusal:
        check_days(encoded(days), PERIOD, SERIES, KEYS.public_key)
    return refusal.value.check


def bent(place: int, change: Callable[[DayContent], DayContent]) -> list[CertifiedDay]:
    content = DAYS[place].content
    assert isinstance(content, DayContent)
    days = list(DAYS)
    days[place] = replace(DAYS[place], content=change(content))
    return days


def with_event(**changes: Any) -> list[CertifiedDay]:
    return bent(1, lambda c: replace(c, events=(replace(event_of(DAYS[1]), **changes),)))


EXCHANGE = event_of(DAYS[1])


@pytest.mark.parametrize(
    "days",
    [
        with_event(end=EXCHANGE.start, start=EXCHANGE.end),
        with_event(start=commit(0, 1)),
        with_event(end=event_of(OTHER[1]).end),
        with_event(slot=EXCHANGE.slot + 1),
        with_event(slot=0),
        with_event(new_meter=b"meter 77"),
        bent(1, lambda c: replace(c, events=())),
        bent(0, lambda c: replace(c, events=(replace(EXCHANGE, slot=3),))),
        bent(2, lambda c: replace(c, events=(replace(EXCHANGE, old_meter=c.mounted,
                                                     new_meter=SERIES.meter),))),
        bent(2, lambda c: replace(c, mounted=SERIES.meter)),
    ],
)  # fmt: skip
def test_an_exchange_whose_registers_or_place_were_changed_is_refused(
    days: list[CertifiedDay],
) -> None:
    check_days(encoded(DAYS), PERIOD, SERIES, KEYS.public_key)
    assert refused(days) == "signature"


def test_a_day_with_another_exchange_is_not_one_of_the_chain() -> None:
    assert refused([DAYS[0], OTHER[1], *DAYS[2:]]) == "chain"
    assert refused([*DAYS[:2], OTHER[2], DAYS[3]]) == "chain"


def test_an_exchange_of_another_meter_is_not_one_of_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same readings, certified for a neighbour's meter, and their exchange."""
    monkeypatch.setattr(private_bills, "SERIES", replace(SERIES, meter=b"neighbour"))
    neighbour = [one.day for one in month_with([(NOON + 420, 17)])[0].certified]
    assert refused([DAYS[0], neighbour[1], *DAYS[2:]]) == "chain"
    assert refused(with_event(end=event_of(neighbour[1]).end)) == "signature"
    signed = replace(DAYS[-1], signature=neighbour[-1].signature)
    assert refused([*DAYS[:-1], signed]) == "signature"
    signed = replace(DAYS[1], content=neighbour[1].content)
    assert refused([DAYS[0], signed, *DAYS[2:]]) == "signature"


def test_a_copy_of_an_exchange_does_not_fit_the_meter_that_is_up() -> None:
    with pytest.raises(MalformedDay, match="taken down that was not up"):
        bent(2, lambda c: replace(c, events=(EXCHANGE,)))


def test_a_bill_over_forged_days_is_refused() -> None:
    answer = require_equal(TARIFF, MONTH)
    register = SERIES.register
    for days in (with_event(start=commit(0, 1)), bent(1, lambda c: replace(c, events=()))):
        forged = replace(answer, registers={register: tuple(encoded(days))})
        with pytest.raises(AnswerRefused) as refusal:
            check_bill(
                question_for(MONTH), forged.encode(), TARIFF, PERIOD, SERIES, KEYS.public_key
            )
        assert refusal.value.check == "signature"


def test_both_registers_are_exchanged_with_the_meter() -> None:
    """One register's exchange that the other does not tell of, at that moment, is refused."""
    fed_in, _ = month_with([(NOON + 420, 0)], seed=5)
    others = [one.day for one in fed_in.certified]
    check_registers([CertifiedPeriod(tuple(DAYS)), CertifiedPeriod(tuple(others))])
    for moments in ([], [(NOON + 420 + 2 * SLOT, 0)], [(NOON + 420 + 86_400, 0)]):
        other = [one.day for one in month_with(moments)[0].certified]
        with pytest.raises(AnswerRefused, match="chain: .*not exchanged with one meter"):
            check_registers([CertifiedPeriod(tuple(DAYS)), CertifiedPeriod(tuple(other))])


def test_the_chain_follows_the_meter_from_bill_to_bill(tmp_path: Path) -> None:
    """What the certifier's key signs still has to go on with the meter of the bill before."""
    engine = open_database(tmp_path / "utility.db")
    honest = DAYS[2].content
    assert isinstance(honest, DayContent)
    for change in (
        {"mounted": SERIES.meter},
        {"step_wh": 10},
        {"start": commit(1, 1)},
    ):
        forged = CertifiedDay.sign(replace(honest, **change), KEYS.signing_key)
        forged.verify(KEYS.public_key)  # the signature is right, and so is its place in the chain
        with writing(engine) as connection:
            extend_chains(connection, DAYS[:2])
        with (
            pytest.raises(VerificationFailed, match="chain: .*meter and register") as refusal,
            writing(engine) as connection,
        ):
            extend_chains(connection, [forged])
        assert refusal.value.check == "chain"
    with writing(engine) as connection:
        extend_chains(connection, DAYS[3:])
    with (
        pytest.raises(VerificationFailed, match="chain: .*the day after it"),
        writing(engine) as connection,
    ):
        end = CertifiedDay.sign(replace(honest, end=commit(1, 1)), KEYS.signing_key)
        extend_chains(connection, [end])
    with writing(engine) as connection:
        extend_chains(connection, DAYS[2:3])
    engine.dispose()


MOMENT = st.integers(BEGIN + 1, END - 1).filter(lambda time: (time - 1 - BEGIN) % SLOT)


@settings(max_examples=12, deadline=None)
@given(
    moments=st.lists(MOMENT, max_size=3, unique_by=lambda time: (time - 1) // SLOT),
    starts=st.lists(st.integers(0, 10**9), min_size=3, max_size=3),
    gaps=st.lists(st.integers(1, 180).map(lambda at: range(at, at + 9)), max_size=2),
    seed=st.integers(1, 50),
)
def test_a_private_bill_is_the_plain_one_however_meters_are_exchanged(
    moments: list[int], starts: list[int], gaps: list[range], seed: int
) -> None:
    exchanges = list(zip(sorted(moments), starts, strict=False))
    month, used = month_with(exchanges, gaps, seed)
    require_equal(TARIFF, month)
    lost = sum(one.use.unattributed_wh for one in month.certified)
    # Nothing is lost and nothing is made: what no slot holds is unattributed.
    assert sum(month.uses) + lost == sum(used)
    if not gaps:
        assert month.uses == used
        assert not lost


def test_an_exchange_while_nobody_read_leaves_energy_unattributed() -> None:
    gap = range(70, 90)
    at = BEGIN + 80 * SLOT
    month, used = month_with([(at, 3)], [gap])
    lost = sum(one.use.unattributed_wh for one in month.certified)
    assert lost > 0
    assert sum(month.uses) + lost == sum(used)
    assert SlotState.MISSING in month.states
    answer = answered(TARIFF, month)
    verified = check_bill(
        question_for(month), answer.encode(), TARIFF, PERIOD, SERIES, KEYS.public_key
    )
    [exchange] = verified.exchanges
    assert exchange.begin == at - SLOT  # the slot that ends with it
    assert timedelta(seconds=exchange.begin - BEGIN) == timedelta(seconds=79 * SLOT)
