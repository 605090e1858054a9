# SPDX-License-Identifier: Apache-2.0
"""Private bill equals plain bill: real households, drawn tariffs of every provable component.

Everything but machine and channel is the real thing: days that a certifier signed, the plan that
applet and utility both derive, the session's proof, the messages, and `check_bill`. Low Carbon
London, 30 minutes, gaps and both clock changes included (UK Power Networks, London Datastore,
CC BY 4.0). Where the data is absent a drawn household stands in for it.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from applets.billing.charges import Plan, is_one_sum, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion, Proved
from applets.billing.statement import PURPOSE, RECIPIENT, check_bill
from applets.common.evidence import AnswerRefused
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.meters.replay import CsvReplay, EnergyUnit, parse_zone
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, CertifiedPeriod, Period, Series
from protocols.proofs import StatementContext, open_amounts
from tariffs import Register, Tariff, compute_bill
from tariffs.source import load_toml

SHARED = Path(
    os.environ.get("METERLET_SHARED", Path(__file__).resolve().parents[3].parent / "shared")
)
HOMES = SHARED / "data/households/lcl_london_60households_2013_30min.csv.gz"
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


def certified(readings: Sequence[Reading], period: Period) -> Month:
    certifier, previous, done = Certifier(SERIES, KEYS), None, []
    for day in period.days(SERIES.zone):
        previous = certifier.certify(day, readings, previous)
        done.append(previous)
    return Month(period, tuple(done))


def real_month(column: str, period: Period) -> Month:
    if not HOMES.exists():
        pytest.skip(f"NO REAL DATA: {HOMES} is not there; set METERLET_SHARED to run this test")
    replay = CsvReplay(
        HOMES, {ACTIVE_ENERGY_IMPORT: column}, EnergyUnit.KWH, 1800, parse_zone("UTC"), None
    )
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
    return BillQuestion(SERIES.meter, begin, end, NONCE, b"signed")


def answered(tariff: Tariff, month: Month) -> BillAnswer:
    begin, end = month.bounds
    plan = plan_of(tariff, month)
    context = StatementContext(
        SERIES.meter, SERIES.register, begin, end, 30, tariff.digest, RECIPIENT, PURPOSE, NONCE
    )
    opening = Certifier(SERIES, KEYS).opening(month.certified)
    source = CertifiedPeriod(tuple(one.day for one in month.certified)).source(opening)
    values, proof = open_amounts(context, source, plan.amounts(Register.IMPORT), bytes(32))
    total = Decimal(plan.bill(values).total)
    days = tuple(one.day.encode() for one in month.certified)
    return BillAnswer(
        SERIES.meter, begin, end, NONCE, total, tariff.digest, Proved(proof, days)
    )  # fmt: skip


def require_equal(tariff: Tariff, month: Month) -> BillAnswer:
    """The private bill, through messages and check, is the plain one to the last digit."""
    answer = answered(tariff, month)
    assert BillAnswer.decode(answer.encode()) == answer
    verified = check_bill(
        question_for(month), answer.encode(), tariff, month.period, SERIES, KEYS.public_key
    )
    begin, end = month.bounds
    plain = compute_bill(tariff, month.starts, 1800, month.uses, month.states, begin=begin, end=end)
    assert verified.bill.total == plain.total
    assert Fraction(verified.bill.total_exact, 10**verified.bill.exact_decimals) == Fraction(
        plain.total_exact, 10**plain.exact_decimals
    )
    assert len(verified.missing) == month.states.count(3)
    return answer


def plan_drawn(seed: int, *, demand: bool) -> Tariff:
    """A tariff out of the hat: bands, blocks by interval and band, demand, fixed, steps."""
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


GAPS = (range(500, 520), range(600, 601))


@pytest.mark.parametrize("seed", range(12))
def test_the_private_bill_is_the_plain_one_for_drawn_tariffs(seed: int) -> None:
    """Fifteen days, the clock change in spring, with gaps for every other household."""
    month = drawn_month(seed, GAPS if seed % 2 else ())
    tariff = plan_drawn(seed, demand=False)
    assert not is_one_sum(tariff, *month.bounds, month.states)
    require_equal(tariff, month)


@pytest.mark.parametrize("seed", range(4))
def test_the_private_bill_is_the_plain_one_for_drawn_demand_charges(seed: int) -> None:
    require_equal(plan_drawn(seed, demand=True), drawn_month(seed, GAPS if seed % 2 else ()))


@pytest.mark.parametrize(("highest", "floor"), [(1, "0"), (3, "0"), (6, "1.4"), (40, "0.5")])
def test_the_mean_of_the_highest_daily_peaks_is_billed_privately(highest: int, floor: str) -> None:
    charge = (
        '[[charge]]\nname = "peaks"\nkind = "demand"\nfigure = "mean-of-daily-peaks"\n'
        f'highest = {highest}\nwindow = "60min"\nper = "month"\nfloor_kw = "{floor}"\n'
        '[[charge.band]]\nname = "evening"\nprice_per_kw = "4.10"\n'
        'when = { times = "17:00-20:00" }\n'
        '[[charge.band]]\nname = "other"\nprice_per_kw = "0"\n'
    )
    tariff, month = load_toml(FLAT + charge), drawn_month(highest, GAPS)
    amounts = plan_of(tariff, month).amounts(Register.IMPORT)
    assert [getattr(one, "highest", None) for one in amounts] == [None, highest % 40, highest % 40]
    require_equal(tariff, month)


@pytest.mark.parametrize(
    ("figure", "window", "floor"),
    [
        ("mean-of-daily-peaks", "90min", "0.501"),
        ("mean-of-daily-peaks", "120min", "0"),
        ("mean-of-monthly-peaks", "150min", "1.403"),
    ],
)
def test_means_of_peaks_that_make_no_whole_watts_are_billed_privately(
    figure: str, window: str, floor: str
) -> None:
    charge = (
        f'[[charge]]\nname = "peaks"\nkind = "demand"\nfigure = "{figure}"\n'
        f'window = "{window}"\nper = "year"\ninterval = "year"\nfloor_kw = "{floor}"\n'
        'price_per_kw = "4.10"\n'
    )
    tariff, month = load_toml(FLAT + charge), drawn_month(8, GAPS)
    amounts = plan_of(tariff, month).amounts(Register.IMPORT)
    assert any(getattr(one, "rate", (1, 1)) != (1, 1) for one in amounts)
    require_equal(tariff, month)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_real_home_pays_the_plain_bill_all_year(month: int) -> None:
    """A home a month, both clock changes and the homes' own gaps among them."""
    homes = ("MAC000002", "MAC000004", "MAC000005", "MAC000007")
    home = real_month(homes[month % len(homes)], Period.month(2013, month))
    require_equal(plan_drawn(100 + month, demand=month in (3, 10)), home)


def refused_by(tariff: Tariff, month: Month, data: bytes) -> str:
    with pytest.raises(AnswerRefused) as refused:
        check_bill(question_for(month), data, tariff, month.period, SERIES, KEYS.public_key)
    return refused.value.check


def test_an_answer_with_another_total_kind_or_house_is_refused() -> None:
    tariff, month = plan_drawn(3, demand=False), drawn_month(3)
    answer = answered(tariff, month)
    cheaper = replace(answer, total=answer.total - Decimal("0.01"))
    assert refused_by(tariff, month, cheaper.encode()) == "total"
    other = answered(tariff, drawn_month(4))
    assert answer.drawn is not None
    assert other.drawn is not None
    mixed = replace(other, drawn=replace(other.drawn, days=answer.drawn.days))
    assert refused_by(tariff, month, mixed.encode()) == "proof"
    flat = load_toml(FLAT)
    assert is_one_sum(flat, *month.bounds, month.states)
    wrong = replace(answer, tariff=flat.digest)
    assert refused_by(flat, month, wrong.encode()) == "proof"


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


def test_a_bill_over_a_price_change_is_proved_part_by_part() -> None:
    version = (
        "[[version]]\nvalid_from = {}\nvalid_until = {}\n[[version.charge]]\n"
        'name = "energy"\nkind = "energy"\nprice = "{}"\n[[version.charge]]\nname = "more"\n'
        'kind = "blocks"\ninterval = "month"\n'
        'block = [{{ up_to = "60", price = "0" }}, {{ price = "0.1" }}]\n'
        '[[version.step]]\nname = "VAT"\nkind = "tax"\npercent = "5"\n'
    )
    head = FLAT[: FLAT.index("valid_from")] + FLAT[FLAT.index("rounding") : FLAT.index("[[")]
    tariff = load_toml(
        head
        + version.format("2013-01-01", "2013-04-03", "0.2")
        + version.format("2013-04-03", "2014-01-01", "0.3")
    )
    month = drawn_month(9)
    assert [claim.part for claim in plan_of(tariff, month).claims] == [0, 0, 1, 1]
    require_equal(tariff, month)
