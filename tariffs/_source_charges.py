# SPDX-License-Identifier: Apache-2.0
"""Compiles the charges and steps of a source."""

from fractions import Fraction
from typing import Final

from tariffs._csv_series import read_series
from tariffs._source_timetables import (
    LABELS,
    Context,
    charge_clock,
    read_timetable,
    read_when,
    read_year_begins,
)
from tariffs._table import TomlTable
from tariffs._units import unit_of_energy
from tariffs._words import parse_seconds
from tariffs.blocks import Block, BlockCharge, LimitKind
from tariffs.charges import Charge
from tariffs.clock import ZoneClock, day_number
from tariffs.demand import MILLION, DemandCharge, Figure, LookBack, LookBackRule, Scale
from tariffs.energy import EnergyCharge, PriceSeries, SeriesCharge
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.fixed import CapacityCharge, StandingCharge
from tariffs.gas import (
    CALORIFIC_DECIMALS,
    KILOWATT_HOURS,
    STATE_DECIMALS,
    WATT_HOURS,
    CalorificValue,
    GasCharge,
)
from tariffs.net import NetCharge, NetRule
from tariffs.periods import NEW_YEAR, Interval, YearStart
from tariffs.rounding import RoundingRule, divide, parse_decimal
from tariffs.schedule import Schedule
from tariffs.settlement import Credit, Instalment, Settlement
from tariffs.steps import Cap, Minimum, Rebate, Step, Tax
from tariffs.timetable import bands_of
from tariffs.usage import Register

PRICE_DECIMALS: Final = 6
PERCENT_DECIMALS: Final = 4
ENERGY_DECIMALS: Final = 3
"""Of a kWh or kW: whole Wh and W."""
RULES: Final = {str(rule): rule for rule in RoundingRule}
INTERVALS: Final = {str(interval): interval for interval in Interval}
PER: Final = {f"per_{'bill' if name == 'period' else name}": it for name, it in INTERVALS.items()}
LIMITS: Final = {
    "up_to": LimitKind.ENERGY,
    "up_to_per_day": LimitKind.DAILY,
    "up_to_kw": LimitKind.POWER,
}


def _price(table: TomlTable, key: str = "price") -> int:
    return table.decimal(key, PRICE_DECIMALS)


def read_charge(name: str, item: TomlTable, context: Context) -> Charge:
    """Return the charge that a table describes."""
    return item.choice("kind", READERS)(name, item, context)


def _energy(name: str, item: TomlTable, context: Context) -> Charge:
    timetable, prices = read_timetable(item, context, _price, "price")
    return EnergyCharge(name, timetable, prices)


def _feed_in(name: str, item: TomlTable, context: Context) -> Charge:
    timetable, prices = read_timetable(item, context, lambda table: -_price(table), "price")
    return EnergyCharge(name, timetable, prices, Register.EXPORT)


def _standing(name: str, item: TomlTable, context: Context) -> Charge:
    key, per = item.one_of(PER)
    return StandingCharge(name, _price(item, key), per)


def _capacity(name: str, item: TomlTable, context: Context) -> Charge:
    watts = item.decimal("kw", ENERGY_DECIMALS)
    return CapacityCharge(name, watts, _price(item, "price_per_kw"), item.choice("per", INTERVALS))


def _year_begins(item: TomlTable, context: Context, interval: Interval) -> YearStart:
    """Return when years begin: where nothing is yearly, the tariff's word for it is not meant."""
    default = context.year_begins if interval is Interval.YEAR else NEW_YEAR
    return read_year_begins(item, default)


# Blocks


def _blocks(name: str, item: TomlTable, context: Context) -> Charge:
    kinds: set[LimitKind] = set()

    def read(table: TomlTable) -> tuple[Block, ...]:
        return tuple(_block(block, kinds) for block in table.tables("block"))

    timetable, blocks = read_timetable(item, context, read, "block")
    if len(kinds) != 1:
        raise MalformedTariff(f"the blocks' limits are not all of one kind: {', '.join(LIMITS)}")
    limits = kinds.pop()
    counted = limits is not LimitKind.POWER
    interval = item.choice("interval", INTERVALS) if counted else Interval.PERIOD
    register = item.choice("register", {str(one): one for one in Register}, Register.IMPORT)
    return BlockCharge(
        name=name,
        timetable=timetable,
        blocks=blocks,
        limits=limits,
        interval=interval,
        register=register,
        is_cumulative=item.flag("cumulative"),
        year_begins=_year_begins(item, context, interval),
    )


def _block(table: TomlTable, kinds: set[LimitKind]) -> Block:
    with table.at():
        limit = 0
        for key, kind in LIMITS.items():
            if key in table:
                kinds.add(kind)
                limit = table.decimal(key, ENERGY_DECIMALS)
                with table.at(key):
                    if limit <= 0:
                        raise MalformedTariff("a limit must be more than 0")
        price = _price(table)
        table.done()
        return limit, price


# Net metering


def _net(name: str, item: TomlTable, context: Context) -> Charge:
    def read(table: TomlTable) -> tuple[int, int]:
        return _price(table), table.optional_decimal("credit_price", PRICE_DECIMALS, 0)

    timetable, prices = read_timetable(item, context, read, "price")
    cumulative, carry = item.flag("cumulative"), item.flag("carry")
    if cumulative and carry:
        raise MalformedTariff("a difference that counts on leaves no surplus to carry")
    rule = NetRule.CARRY if carry else NetRule.CUMULATIVE if cumulative else NetRule.ALONE
    interval = item.choice("interval", INTERVALS, Interval.PERIOD if carry else None)
    yearly = Interval.YEAR if carry else interval
    return NetCharge(name, timetable, prices, interval, rule, _year_begins(item, context, yearly))


# Gas


def _gas(name: str, item: TomlTable, context: Context) -> Charge:
    def value(table: TomlTable) -> CalorificValue:
        with table.at():
            found = day_number(table.day("from")), table.decimal("value", CALORIFIC_DECIMALS)
            table.done()
            return found

    whole = {"Wh": WATT_HOURS, "kWh": KILOWATT_HOURS}
    return GasCharge(
        name,
        _price(item),
        item.decimal("state_number", STATE_DECIMALS),
        tuple(value(table) for table in item.tables("calorific_value")),
        item.choice("whole", whole, WATT_HOURS),
    )


# Demand


def _demand(name: str, item: TomlTable, context: Context) -> Charge:
    stepped: set[bool] = set()

    def read(table: TomlTable) -> Scale:
        stepped.add("step" in table)
        if "step" in table:
            return tuple(_step_of_scale(step) for step in table.tables("step"))
        return ((0, _price(table, "price_per_kw")),)

    key = "step" if "step" in item else "price_per_kw"
    timetable, scales = read_timetable(item, context, read, key)
    if len(stepped) != 1:
        raise MalformedTariff("some bands have prices and some have steps")
    interval = item.choice("interval", INTERVALS, Interval.MONTH)
    look_back = _look_back(item)
    within = look_back is not None and look_back.is_within_year
    return DemandCharge(
        name=name,
        timetable=timetable,
        scales=scales,
        stepped=stepped.pop(),
        figure=item.choice("figure", {str(one): one for one in Figure}, Figure.PEAK),
        highest=item.integer("highest") if "highest" in item else 0,
        floor_watts=item.optional_decimal("floor_kw", ENERGY_DECIMALS, 0),
        window_seconds=item.parsed("window", parse_seconds) if "window" in item else 0,
        interval=interval,
        per=item.choice("per", INTERVALS, Interval.MONTH),
        look_back=look_back,
        year_begins=_year_begins(item, context, Interval.YEAR if within else interval),
    )


def _look_back(item: TomlTable) -> LookBack | None:
    if "look_back" not in item:
        return None
    intervals = item.integer("look_back")
    rule = item.choice("look_back_rule", {str(one): one for one in LookBackRule})
    share = item.optional_decimal("look_back_share", PERCENT_DECIMALS, MILLION)
    within = item.choice("look_back_within", {"year": True}, default=False)
    with item.at("look_back"):
        return LookBack(intervals, rule, share, within)


def _step_of_scale(table: TomlTable) -> tuple[int, int]:
    with table.at():
        limit = table.optional_decimal("up_to_kw", ENERGY_DECIMALS, 0)
        amount = _price(table, "amount")
        table.done()
        return limit, amount


# Series


def _series(name: str, item: TomlTable, context: Context) -> Charge:
    register = item.choice("register", {str(one): one for one in Register}, Register.IMPORT)
    step = item.parsed("step", parse_seconds)
    clock = charge_clock(item, context)
    if "file" in item:
        file, text = context.file(item)
        at_end = item.choice("label", LABELS, default=False)
        column = item.text("column")
        begin, words = read_series(text, column, clock, step, at_end=at_end, name=file)
    else:
        begin = item.moment("begin")
        words = list(item.words("prices", str))
    repeat = item.choice("gaps", {"keep": False, "repeat": True}, default=False)
    prices = _formula(item, context, clock, begin, step, words)
    if repeat:
        for number, price in enumerate(prices):
            prices[number] = prices[number - 1] if price is None and number else price
    if register is Register.EXPORT:
        prices = [None if price is None else -price for price in prices]
    return SeriesCharge(name, PriceSeries(begin, step, tuple(prices)), register)


def _formula(
    item: TomlTable,
    context: Context,
    clock: ZoneClock,
    begin: int,
    step: int,
    words: list[str | None],
) -> list[int | None]:
    """Return factor · (multiplier · value + add), between floor and cap, in micro-units."""
    unit = item.parsed("unit", unit_of_energy) if "unit" in item else Fraction(1)
    multiplier, factor = item.fraction("multiplier", 1), item.fraction("factor", 1)
    adders = _adders(item, context, clock, begin, step, len(words))
    floor = item.fraction("floor", 0) if "floor" in item else None
    cap = item.fraction("cap", 0) if "cap" in item else None
    rule = item.choice("price_rule", RULES) if "price_rule" in item else None
    prices: list[int | None] = []
    for number, word in enumerate(words):
        if word is None:
            prices.append(None)
            continue
        value = Fraction(parse_decimal(word, 12), 10**12) * unit
        exact = factor * (multiplier * value + adders[number])
        exact = exact if floor is None else max(floor, exact)
        exact = exact if cap is None else min(cap, exact)
        exact *= 10**PRICE_DECIMALS
        if exact.denominator != 1 and rule is None:
            raise MalformedTariff(
                f"the price made of {word} has more than {PRICE_DECIMALS} decimals: give price_rule"
            )
        prices.append(divide(exact.numerator, exact.denominator, rule or RoundingRule.DOWN))
    return prices


def _adders(
    item: TomlTable, context: Context, clock: ZoneClock, begin: int, step: int, count: int
) -> list[Fraction]:
    """Return what is added at each step: `add` always, each `adder` where its rule holds."""
    added = [item.fraction("add", 0)] * count
    starts = [begin + step * number for number in range(count)]
    for table in item.tables("adder"):
        with table.at():
            price = table.fraction("price", 0)
            rules = tuple(read_when(when, context, None) for when in table.tables("when"))
            table.done()
            schedule = Schedule(clock, ("inside", "outside"), (rules, ()))
            try:
                bands = bands_of(schedule, (0, 1), starts, step)
            except UnpricedSlot as error:
                raise MalformedTariff(error.reason) from None
        added = [one + price * (band == 0) for one, band in zip(added, bands, strict=True)]
    return added


READERS: Final = {
    "energy": _energy,
    "feed-in": _feed_in,
    "series": _series,
    "blocks": _blocks,
    "net": _net,
    "gas": _gas,
    "demand": _demand,
    "standing": _standing,
    "capacity": _capacity,
}


# Steps


def read_step(name: str, item: TomlTable, known: list[str], context: Context) -> Step | Settlement:
    """Return the step that a table describes; without `on` it is on everything above."""
    return item.choice("kind", STEP_READERS)(name, item, known, context)


def _tax(name: str, item: TomlTable, known: list[str], context: Context) -> Step:
    ppm, on = _percent(item, known)
    with item.at("percent"):
        return Tax(name, ppm, on)


def _rebate(name: str, item: TomlTable, known: list[str], context: Context) -> Step:
    ppm, on = _percent(item, known)
    with item.at("percent"):
        return Rebate(name, ppm, on)


def _percent(item: TomlTable, known: list[str]) -> tuple[int, tuple[str, ...]]:
    return item.decimal("percent", PERCENT_DECIMALS), _on(item, known)


def _on(item: TomlTable, known: list[str]) -> tuple[str, ...]:
    return tuple(item.words("on", str) if "on" in item else known)


def _cap(name: str, item: TomlTable, known: list[str], context: Context) -> Step:
    return Cap(name, *_limit(item, known, context))


def _minimum(name: str, item: TomlTable, known: list[str], context: Context) -> Step:
    return Minimum(name, *_limit(item, known, context))


def _limit(
    item: TomlTable, known: list[str], context: Context
) -> tuple[tuple[str, ...], int, Interval | None, bool, YearStart]:
    key, per = item.one_of({**PER, "per_kwh": None})
    on, price, cumulative = _on(item, known), _price(item, key), item.flag("cumulative")
    begins = read_year_begins(item, context.year_begins if cumulative else NEW_YEAR)
    return on, price, per, cumulative, begins


def _credit(name: str, item: TomlTable, known: list[str], context: Context) -> Settlement:
    settled = item.choice("settled", {"year": True}, default=False)
    begins = read_year_begins(item, context.year_begins if settled else NEW_YEAR)
    return Credit(name, settled, begins)


def _instalment(name: str, item: TomlTable, known: list[str], context: Context) -> Settlement:
    key, per = item.one_of(PER)
    price = _price(item, key)
    item.choice("true_up", {"year": True})  # said in so many words, as a bill hangs on it
    return Instalment(name, price, per, read_year_begins(item, context.year_begins))


STEP_READERS: Final = {
    "tax": _tax,
    "rebate": _rebate,
    "cap": _cap,
    "minimum": _minimum,
    "credit": _credit,
    "instalment": _instalment,
}
