# SPDX-License-Identifier: Apache-2.0
"""A household's certified month, and what a billing applet answers for it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pytest

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT, check_bill
from applets.common.evidence import AnswerRefused
from applets.common.questions import About
from hub.certifier import Certification, Certifier, CertifierKeys, MeterFact
from hub.meters.replay import CsvReplay, EnergyUnit, parse_zone
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, Series
from protocols.proofs import NumbersContext, open_numbers
from tariffs import Tariff, compute_bill
from tariffs.source import load_toml
from tests.support.shared import LONDON, require_shared
from tests.support.statements import stated_numbers

SERIES = Series(b"LCL", bytes.fromhex("0100010800ff"), "Europe/London", 30)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
NONCE = bytes(16)


@dataclass(frozen=True)
class Month:
    period: Period
    certified: tuple[Certification, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        return self.period.bounds(SERIES.zone)

    @property
    def starts(self) -> list[int]:
        return [t for one in self.certified for t in one.use.grid.boundaries()[:-1]]

    @property
    def uses(self) -> list[int]:
        return [wh for one in self.certified for wh in one.use.uses]

    @property
    def states(self) -> list[int]:
        return [int(state) for one in self.certified for state in one.use.states]


def certified(
    readings: Sequence[Reading], period: Period, facts: tuple[MeterFact, ...] = ()
) -> Month:
    certifier, previous, done = Certifier(SERIES, KEYS), None, []
    for day in period.days(SERIES.zone):
        previous = certifier.certify(day, readings, previous, facts)
        done.append(previous)
    return Month(period, tuple(done))


def real_month(column: str, period: Period) -> Month:
    replay = CsvReplay(
        require_shared(LONDON), {ACTIVE_ENERGY_IMPORT: column}, EnergyUnit.KWH, 1800,
        parse_zone("UTC"), None,
    )  # fmt: skip
    begin, end = period.bounds(SERIES.zone)
    return certified(list(replay.readings(begin, end)), period)


def drawn_month(seed: int, gaps: Sequence[range] = ()) -> Month:
    """A short month, so that many tariffs can be tried."""
    dice, period = random.Random(seed), Period(date(2013, 3, 25), date(2013, 4, 8))
    begin, end = period.bounds(SERIES.zone)
    register, readings = 0, []
    for place, time in enumerate(range(begin, end + 1, 1800)):
        if not any(place in gap for gap in gaps):
            readings.append(Reading(time, register))
        register += dice.choice((40, 90, 700)) + dice.randrange(300)
    return certified(readings, period)


def plan_of(tariff: Tariff, month: Month) -> Plan:
    return plan_bill(tariff, month.starts, 1800, month.states, *month.bounds)


def question_for(month: Month) -> BillQuestion:
    begin, end = month.bounds
    return BillQuestion(About(SERIES.meter, begin, end, NONCE), b"signed")


def answered(tariff: Tariff, month: Month) -> BillAnswer:
    begin, end = month.bounds
    plan = plan_of(tariff, month)
    context = NumbersContext(
        SERIES.meter, (SERIES.register,), begin, end, 30, tariff.digest, RECIPIENT, PURPOSE, NONCE
    )
    source, days = stated_numbers(Certifier(SERIES, KEYS), month.certified, [plan.total])
    (number,), proof = open_numbers(context, [source], [plan.total], bytes(32))
    return BillAnswer(
        SERIES.meter, begin, end, NONCE, plan.amount_of(number), tariff.digest, proof,
        {SERIES.register: days},
    )  # fmt: skip


def require_equal(tariff: Tariff, month: Month) -> BillAnswer:
    """The private bill, through messages and check, is the plain one to the penny."""
    answer = answered(tariff, month)
    assert BillAnswer.decode(answer.encode()) == answer
    verified = check_bill(
        question_for(month), answer.encode(), tariff, month.period, SERIES, KEYS.public_key
    )
    begin, end = month.bounds
    plain = compute_bill(tariff, month.starts, 1800, month.uses, month.states, begin=begin, end=end)
    assert str(verified.total) == plain.total
    assert verified.exact is None
    assert len(verified.missing) == month.states.count(3)
    return answer


def plan_drawn(seed: int, *, demand: bool, longer: str = "") -> Tariff:
    """A tariff out of the hat: bands, blocks by interval and band, demand, fixed, steps.

    `longer` is an interval of the blocks, quarter or year, in place of one that is drawn.
    """
    dice = random.Random(seed)

    def price(low: int = -50, high: int = 400) -> str:
        return f'"{dice.randrange(low, high) / 1000:.3f}"'

    def rising(top: int) -> str:
        limits = sorted(dice.sample(range(1, top), dice.randint(1, 3)))
        ends = "".join(f'{{ up_to = "{limit / 10}", price = {price()} }}, ' for limit in limits)
        return f"block = [{ends}{{ price = {price()} }}]"

    band = 'when = { days = "Mon-Fri", times = "07:00-21:00" }'
    charges = [
        f'[[charge]]\nname = "energy"\nkind = "energy"\n'
        f'[[charge.band]]\nname = "day"\nprice = {price()}\n{band}\n'
        f'[[charge.band]]\nname = "night"\nprice = {price()}\n',
        '[[charge]]\nname = "standing"\nkind = "standing"\nper_day = "0.31"\n',
    ]
    interval = dice.choice(("period", "month", "day"))
    interval = longer or interval
    top = 200 if interval == "day" else 6000
    if dice.random() < 0.5:
        charges.append(
            f'[[charge]]\nname = "blocks"\nkind = "blocks"\ninterval = "{interval}"\n'
            f"{rising(top)}\n"
        )
    else:
        charges.append(
            f'[[charge]]\nname = "blocks"\nkind = "blocks"\ninterval = "{interval}"\n'
            f'[[charge.band]]\nname = "day"\n{rising(top)}\n{band}\n'
            f'[[charge.band]]\nname = "night"\n{rising(top)}\n'
        )
    if demand:
        charges.append(
            '[[charge]]\nname = "demand"\nkind = "demand"\n'
            f'figure = "{dice.choice(("peak", "mean-of-monthly-peaks"))}"\n'
            f'window = "{dice.choice(("30min", "60min"))}"\nper = "month"\n'
            f'floor_kw = "{dice.choice(("0.5", "1.001", "4.0"))}"\n'
            f'[[charge.band]]\nname = "evening"\nprice_per_kw = {price(1)}\n'
            'when = { times = "17:00-20:00" }\n'
            '[[charge.band]]\nname = "other"\nprice_per_kw = "0"\n'
        )
    steps = [
        '[[step]]\nname = "brake"\nkind = "cap"\non = ["energy"]\nper_kwh = "0.2000"\n',
        '[[step]]\nname = "rebate"\nkind = "rebate"\npercent = "3.5"\non = ["blocks"]\n',
        '[[step]]\nname = "least"\nkind = "minimum"\nper_day = "0.5"\n',
        '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\n'
        'rounding = { rule = "half-up", decimals = 2 }\n',
    ]
    chosen = [step for step in steps if dice.random() < 0.7]
    missing = dice.choice(("omit", "week-before"))
    return load_toml(
        f'format = 1\nname = "drawn"\nrevision = 1\ncurrency = "GBP"\nzone = "Europe/London"\n'
        f"valid_from = 2013-01-01\nvalid_until = 2014-01-01\n"
        f'rounding = {{ rule = "{dice.choice(("half-up", "half-even", "down"))}", decimals = 2 }}\n'
        f'missing = "{missing}"\n' + "".join(charges) + "".join(chosen)
    )


def refused_by(tariff: Tariff, month: Month, data: bytes) -> str:
    with pytest.raises(AnswerRefused) as refused:
        check_bill(question_for(month), data, tariff, month.period, SERIES, KEYS.public_key)
    return refused.value.check


FLAT = """
format = 1
name = "flat"
revision = 1
currency = "GBP"
zone = "Europe/London"
valid_from = 2013-01-01
valid_until = 2014-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "energy"
kind = "energy"
price = "0.2"
"""
