# SPDX-License-Identifier: Apache-2.0
"""Limits of power, billed privately: the private bill is the plain one, to the last digit.

Events and bands with limits of their own, several limits a slot, gaps and what stands in for them,
both clock changes, a price change; certified days, messages and `check_bill` are the real ones.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.readings import Reading, ReadingFlag
from protocols.amounts import Above, Excess, MeteredAmount, SlotForm, Sum
from protocols.metrology import Period
from tariffs import Tariff, TariffError, compute_bill
from tariffs.source import load_toml
from tests.support.private_bills import (
    FLAT,
    Month,
    answered,
    certified,
    plan_of,
    refused_by,
    require_equal,
)
from tests.support.soak import sampled

SHORT = Period(date(2013, 3, 30), date(2013, 4, 1))
FORTNIGHT = Period(date(2013, 3, 25), date(2013, 4, 8))
POWER = """
[[charge]]
name = "network"
kind = "blocks"
"""
LOAD_VARIABLE = (
    POWER
    + """
[[charge.band]]
name = "evening"
block = [{ up_to_kw = "0.8", price = "0.10" }, { up_to_kw = "1.6", price = "0.16" },
         { price = "0.24" }]
when = { days = "Mon-Fri", times = "17:00-21:00" }
[[charge.band]]
name = "rest"
block = [{ up_to_kw = "1.6", price = "0.07" }, { price = "0.10" }]
[[charge.event]]
name = "shortage"
block = [{ up_to_kw = "0.4", price = "0.10" }, { price = "0.95" }]
at = ["2013-03-28 16:00-20:00", "2013-03-31 00:00-04:00"]
"""
)


def drawn(seed: int) -> Tariff:
    dice = random.Random(seed)

    def blocks() -> str:
        limits = sorted(dice.sample(range(1, 40), dice.randint(1, 3)))
        prices = [f'"{dice.randrange(-50, 900) / 1000:.3f}"' for _ in range(len(limits) + 1)]
        ends = "".join(
            f'{{ up_to_kw = "{limit / 10}", price = {price} }}, '
            for limit, price in zip(limits, prices, strict=False)
        )
        return f"block = [{ends}{{ price = {prices[-1]} }}]\n"

    when = 'when = { days = "Mon-Fri", times = "07:00-21:00" }\n'
    event = 'at = ["2013-03-28 16:00-20:00", "2013-04-02 17:30-19:00"]\n'
    charge = (
        POWER + f'[[charge.band]]\nname = "day"\n{blocks()}{when}'
        f'[[charge.band]]\nname = "night"\n{blocks()}'
        + (f'[[charge.event]]\nname = "peak"\n{blocks()}{event}' if seed % 2 else "")
    )
    limited = POWER.replace("network", "always") + 'block = [{ up_to_kw = "0.6", price = "0" },'
    missing = "week-before" if seed % 3 == 2 else "omit"
    head = FLAT.replace("rounding =", f'missing = "{missing}"\nrounding =')
    step = '[[step]]\nname = "least"\nkind = "minimum"\nper_day = "0.5"\n'
    return load_toml(head + charge + limited + ' { price = "0.33" }]\n' + step)


def drawn_days(seed: int, period: Period = SHORT, gaps: Sequence[range] = ()) -> Month:
    """Three days, of which one has 23 hours, or others; slots of gaps are missing."""
    dice, register, readings = random.Random(seed), 0, []
    begin, end = period.bounds("Europe/London")
    for place, time in enumerate(range(begin, end + 1, 1800)):
        if any(place - 1 in gap for gap in gaps) and not any(place in gap for gap in gaps):
            readings.append(Reading(time, register, ReadingFlag.RESUMED))
        elif not any(place in gap for gap in gaps):
            readings.append(Reading(time, register))
        register += dice.choice((40, 90, 700)) + dice.randrange(300)
    return certified(readings, period)


def amounts_of(tariff: Tariff, month: Month) -> list[MeteredAmount]:
    return [one.amount for one in plan_of(tariff, month).total.metered]


@pytest.mark.parametrize("seed", sampled(range(4), [1, 2]))
def test_the_private_bill_is_the_plain_one_for_drawn_limits(seed: int) -> None:
    """A few days; fifteen where a gap is filled with the week before."""
    if seed % 3 == 2:
        month = drawn_days(seed, FORTNIGHT, (range(500, 520), range(600, 601)))
    else:
        month = drawn_days(seed, gaps=(range(50, 70),) if seed % 2 else ())
    assert (3 in month.states) == bool(seed % 2 or seed % 3 == 2)
    tariff = drawn(seed)
    assert any(isinstance(one, Excess) for one in amounts_of(tariff, month))
    require_equal(tariff, month)


def test_one_number_is_opened_for_each_charge() -> None:
    energy, network = amounts_of(load_toml(FLAT + LOAD_VARIABLE), drawn_days(1, FORTNIGHT))
    assert isinstance(energy, Sum)
    assert isinstance(network, Excess)
    assert [one.limit for one in network.above] == [200, 400, 800]
    assert network.form.size == 720 - 2  # all slots: the clock was put forward
    shortage, evening, _ = (one.form for one in network.above)
    assert shortage.runs[0][1:] == (8, 850_000)
    assert {weight for *_, weight in evening.runs} == {60_000}


def test_a_limit_that_nothing_hangs_on_is_left_out() -> None:
    flat = POWER + 'block = [{ up_to_kw = "1", price = "0.1" }, { price = "0.1" }]\n'
    (both,) = amounts_of(load_toml(FLAT + flat), drawn_days(1, FORTNIGHT))
    assert both == Sum(SlotForm(((0, 718, 1),)))  # both at once, times 0.3
    free = POWER + 'block = [{ up_to_kw = "1", price = "0" }, { price = "0.1" }]\n'
    (_, network) = amounts_of(load_toml(FLAT + free), drawn_days(1, FORTNIGHT))
    above = (Above(500, SlotForm(((0, 718, 100_000),))),)
    assert network == Excess(SlotForm(()), above)


@pytest.mark.parametrize(
    ("low", "high"), [((0, 1, 2), 400), ((0,), 401)], ids=["never above", "just above"]
)
def test_nothing_above_and_hardly_anything_are_billed(low: tuple[int, ...], high: int) -> None:
    dice = random.Random(high)
    begin, end = SHORT.bounds("Europe/London")
    readings, register = [], 0
    for time in range(begin, end + 1, 1800):
        readings.append(Reading(time, register))
        register += dice.choice((*low, high))
    month = certified(readings, SHORT)
    tariff = load_toml(
        FLAT + POWER + 'block = [{ up_to_kw = "0.8", price = "0" }, { price = "9" }]\n'
    )
    require_equal(tariff, month)
    network = amounts_of(tariff, month)[1]
    assert network.value_of(month.uses) == 9_000_000 * (high - 400) * month.uses.count(high)


def test_a_whole_month_of_limits_is_one_proof_of_two_kilobytes() -> None:
    month = drawn_days(3, Period.month(2013, 3))
    tariff = load_toml(FLAT + LOAD_VARIABLE)
    assert len(require_equal(tariff, month).proof) < 2_048


def test_a_bill_over_a_change_of_limits_is_proved_part_by_part() -> None:
    version = (
        "[[version]]\nvalid_from = {}\nvalid_until = {}\n[[version.charge]]\n"
        'name = "energy"\nkind = "energy"\nprice = "0.2"\n[[version.charge]]\nname = "network"\n'
        'kind = "blocks"\nblock = [{{ up_to_kw = "{}", price = "0.1" }}, {{ price = "0.5" }}]\n'
    )
    head = FLAT[: FLAT.index("valid_from")] + FLAT[FLAT.index("rounding") : FLAT.index("[[")]
    tariff = load_toml(
        head
        + version.format("2013-01-01", "2013-04-03", "0.7")
        + version.format("2013-04-03", "2014-01-01", "1.1")
    )
    month = drawn_days(9, Period(date(2013, 4, 2), date(2013, 4, 4)))
    limits = [one.above[0].limit for one in amounts_of(tariff, month) if isinstance(one, Excess)]
    assert limits == [350, 550]
    require_equal(tariff, month)


def test_a_slot_that_stands_in_for_a_missing_one_keeps_to_both_limits() -> None:
    """A week before, under another limit: the slot is compared with each of them."""
    tariff = load_toml(
        FLAT.replace("rounding =", 'missing = "week-before"\nrounding =')
        + POWER
        + '[[charge.band]]\nname = "first"\nwhen = { dates = "2013-03-25 to 2013-03-31" }\n'
        'block = [{ up_to_kw = "0.6", price = "0.1" }, { price = "0.3" }]\n'
        '[[charge.band]]\nname = "then"\n'
        'block = [{ up_to_kw = "1.2", price = "0.1" }, { price = "0.8" }]\n'
    )
    month = drawn_days(7, FORTNIGHT, (range(400, 420),))
    assert 3 in month.states
    network = amounts_of(tariff, month)[1]
    assert isinstance(network, Excess)
    first, then = (set(one.form.places()) for one in network.above)
    assert len(first & then) == 21  # in the week before: the slots that stand in
    require_equal(tariff, month)


def test_answers_that_lie_are_refused_at_the_check_that_is_there_for_it() -> None:
    tariff, month = load_toml(FLAT + LOAD_VARIABLE), drawn_days(3)
    answer = answered(tariff, month)
    cheaper = replace(answer, total=answer.total - Decimal("0.01"))
    assert refused_by(tariff, month, cheaper.encode()) == "total"
    other = answered(tariff, drawn_days(4))
    mixed = replace(other, registers=answer.registers)
    assert refused_by(tariff, month, mixed.encode()) == "proof"
    higher = load_toml((FLAT + LOAD_VARIABLE).replace('"0.4"', '"0.6"'))
    moved = replace(answered(higher, month), tariff=tariff.digest)
    assert refused_by(tariff, month, moved.encode()) == "proof"
    plain = compute_bill(
        tariff, month.starts, 1800, month.uses, month.states,
        begin=month.bounds[0], end=month.bounds[1],
    )  # fmt: skip
    assert answer.total == Decimal(plain.total)


def test_a_window_of_which_a_part_is_replaced_cannot_be_proved() -> None:
    """Its slots would be in two windows: the week before's, too."""
    tariff = load_toml(
        FLAT.replace("rounding =", 'missing = "week-before"\nrounding =')
        + '[[charge]]\nname = "peak"\nkind = "demand"\nwindow = "1h"\nprice_per_kw = "1"\n'
    )
    whole = drawn_days(7, FORTNIGHT, (range(691, 692),))  # and the slot before the gap
    require_equal(tariff, whole)
    with pytest.raises(TariffError, match="charge peak: it cannot be proved: a slot stands in"):
        plan_of(tariff, drawn_days(7, FORTNIGHT, (range(690, 691),)))
