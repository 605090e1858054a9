# SPDX-License-Identifier: Apache-2.0
"""Private bills of gas and water are the plain ones, and are refused where anything is changed."""

import random
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from applets.billing.charges import plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import PURPOSE, RECIPIENT, VerifiedBill, check_bill
from applets.common.evidence import AnswerRefused
from applets.common.questions import About
from hub.certifier import Certification, Certifier, CertifierKeys
from hub.readings import Reading
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME, WATER_VOLUME, Period, Series
from protocols.proofs import NumbersContext, open_numbers
from tariffs import Tariff, TariffError, compute_bill
from tariffs.source import load_toml
from tests.support.statements import stated_numbers

EXAMPLES = Path(__file__).parents[3] / "examples" / "tariffs"
GAS = load_toml((EXAMPLES / "de-gas-2025.toml").read_text())
WATER = load_toml((EXAMPLES / "de-water-2025.toml").read_text())
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
NONCE = bytes(16)
SERIES = {
    "gas": (GAS, Series(b"LGB 22150101", GAS_VOLUME, GAS.zone, 60), 3_000),
    "water": (WATER, Series(b"EFE 12345678", WATER_VOLUME, WATER.zone, 60), 60),
}


def certified(series: Series, period: Period, most: int, seed: int) -> list[Certification]:
    dice, register, readings = random.Random(seed), 0, []
    begin, end = period.bounds(series.zone)
    for time in range(begin, end + 1, 3600):
        readings.append(Reading(time, register))
        register += dice.randrange(most)
    certifier, previous, done = Certifier(series, KEYS), None, []
    for day in period.days(series.zone):
        previous = certifier.certify(day, readings, previous)
        done.append(previous)
    return done


def answer_of(
    tariff: Tariff, series: Series, period: Period, days: list[Certification]
) -> BillAnswer:
    begin, end = period.bounds(series.zone)
    starts = range(begin, end, 3600)
    plan = plan_bill(tariff, starts, 3600, [0] * len(starts), begin, end)
    context = NumbersContext(
        series.meter, (series.register,), begin, end, 60, tariff.digest, RECIPIENT, PURPOSE, NONCE
    )
    source, encoded = stated_numbers(Certifier(series, KEYS), days, [plan.total])
    (number,), proof = open_numbers(context, [source], [plan.total], bytes(32))
    return BillAnswer(
        series.meter, begin, end, NONCE, plan.amount_of(number), tariff.digest, proof,
        {series.register: encoded},
    )  # fmt: skip


def check(tariff: Tariff, series: Series, period: Period, answer: BillAnswer) -> VerifiedBill:
    begin, end = period.bounds(series.zone)
    question = BillQuestion(About(series.meter, begin, end, NONCE), b"signed")
    return check_bill(question, answer.encode(), tariff, period, series, KEYS.public_key)


@pytest.mark.parametrize("medium", SERIES)
@pytest.mark.parametrize("period", [Period.month(2025, 3), Period.quarter(2025, 4)], ids=str)
def test_the_private_bill_is_the_plain_one(medium: str, period: Period) -> None:
    tariff, series, most = SERIES[medium]
    days = certified(series, period, most, seed=len(medium))
    verified = check(tariff, series, period, answer_of(tariff, series, period, days))
    begin, end = period.bounds(series.zone)
    uses = [use for day in days for use in day.use.uses]
    plain = compute_bill(tariff, range(begin, end, 3600), 3600, uses)
    assert str(verified.total) == plain.total
    assert verified.total > 10


@pytest.mark.parametrize("medium", SERIES)
def test_a_changed_answer_is_refused(medium: str) -> None:
    tariff, series, most = SERIES[medium]
    period = Period.month(2025, 3)
    days = certified(series, period, most, seed=1)
    answer = answer_of(tariff, series, period, days)
    with pytest.raises(AnswerRefused) as refused:
        check(tariff, series, period, replace(answer, total=answer.total - Decimal("0.01")))
    assert refused.value.check == "total"
    with pytest.raises(AnswerRefused) as refused:
        other = replace(series, register=bytes([series.register[0], 1, *series.register[2:]]))
        check(tariff, other, period, answer)
    assert refused.value.check == "message"


@pytest.mark.parametrize("medium", SERIES)
def test_a_register_of_something_else_is_billed_under_no_such_tariff(medium: str) -> None:
    """All of it is right but that the tariff is of another thing, or of other days."""
    tariff, series, most = SERIES[medium]
    period = Period.month(2025, 3)
    electricity = replace(series, register=ACTIVE_ENERGY_IMPORT)
    days = certified(electricity, period, most, seed=3)
    with pytest.raises(TariffError, match="counts electricity"):
        check(tariff, electricity, period, answer_of(tariff, electricity, period, days))
    days = certified(series, period, most, seed=3)
    answer = answer_of(tariff, series, period, days)
    with pytest.raises(TariffError, match="is not within the validity"):
        first, last = date(2026, 1, 1), date(2026, 1, 31)
        late = Period(first, last)
        begin, end = late.bounds(series.zone)
        check(tariff, series, late, replace(answer, begin=begin, end=end))
    question = BillQuestion(About(series.meter, answer.begin, answer.end, NONCE), b"signed")
    with pytest.raises(AnswerRefused) as refused:
        other_days = replace(series, zone="Europe/London")
        check_bill(question, answer.encode(), tariff, period, other_days, KEYS.public_key)
    assert refused.value.check == "message"


def test_a_proof_under_another_calorific_value_is_refused() -> None:
    tariff, series, most = SERIES["gas"]
    period = Period.month(2025, 3)
    days = certified(series, period, most, seed=2)
    text = (EXAMPLES / "de-gas-2025.toml").read_text()
    other = load_toml(text.replace('"11.318"', '"10.318"'))
    cheaper = answer_of(other, series, period, days)
    assert cheaper.total < answer_of(tariff, series, period, days).total
    with pytest.raises(AnswerRefused) as refused:
        check(tariff, series, period, cheaper)
    assert refused.value.check == "tariff"
    with pytest.raises(AnswerRefused) as refused:
        check(tariff, series, period, replace(cheaper, tariff=tariff.digest))
    assert refused.value.check in ("proof", "the bill", "total")


def test_days_of_midnight_are_none_of_the_gas_day() -> None:
    tariff, series, most = SERIES["gas"]
    period = Period(date(2025, 3, 1), date(2025, 3, 28))
    plain_days = replace(series, zone="Europe/Berlin")
    days = certified(plain_days, period, most, seed=3)
    answer = answer_of(tariff, plain_days, period, days)
    with pytest.raises(AnswerRefused):
        check(tariff, series, period, answer)
