# SPDX-License-Identifier: Apache-2.0
"""Tariffs in words: what `meterlet tariff show` and `price` print."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, TypeAlias

from tariffs.bill import BillItem
from tariffs.blocks import BlockCharge, LimitKind
from tariffs.charges import Charge
from tariffs.demand import DemandCharge, LookBack, LookBackRule, Scale
from tariffs.energy import EnergyCharge, SeriesCharge
from tariffs.fixed import CapacityCharge, StandingCharge
from tariffs.gas import STATE_DECIMALS, GasCharge, values_of
from tariffs.memory import Quantity
from tariffs.net import NetCharge, NetRule
from tariffs.periods import NEW_YEAR, YearStart
from tariffs.rounding import format_decimal
from tariffs.schedule import ALL_DAYS, DAY_NAMES, MINUTES, Schedule, When, minute_text
from tariffs.settlement import Credit, Settlement
from tariffs.steps import Cap, Step, Tax
from tariffs.timetable import Exceptions, Signal, Timetable
from tariffs.usage import utc_text

WEEK: Final = 0x7F

Row: TypeAlias = tuple[str, str, str]
"""Band, price, and when or on what it holds."""


def days_text(days: int) -> str:
    """Return the days of a rule, such as "Mon-Fri, holiday"."""
    runs = []
    for on, group in groupby(range(7), key=lambda day: days >> day & 1):
        run = [DAY_NAMES[day] for day in group]
        if on:
            runs.append(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(runs + [DAY_NAMES[7]] * (days >> 7))


def when_text(rule: When) -> str:
    """Return a rule, such as "Mon-Fri 06:00-22:00 (06-01 to 08-31)"."""
    days = "" if rule.days in (ALL_DAYS, WEEK) else days_text(rule.days)
    times = ", ".join(f"{minute_text(begin)}-{minute_text(until)}" for begin, until in rule.times)
    dates = ", ".join(map(str, rule.dates))
    whole = rule.times == ((0, MINUTES),)
    parts = [days, "" if whole and (days or dates) else times, dates and f"({dates})"]
    return " ".join(part for part in parts if part)


def price_text(micro: int, currency: str) -> str:
    """Return a price with as many decimals as it needs, two at least."""
    whole, _, fraction = format_decimal(micro, 6).partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')} {currency}"


def energy_text(wh: int) -> str:
    """Return an energy in kWh."""
    return f"{format_decimal(wh, 3)} kWh"


def volume_text(litres: int) -> str:
    """Return a volume in cubic metres."""
    return f"{format_decimal(litres, 3)} m3"


def percent_text(ppm: int) -> str:
    """Return a rate, such as "19 %"."""
    return f"{format_decimal(ppm, 4).rstrip('0').rstrip('.')} %"


def _trimmed(thousandths: int) -> str:
    return format_decimal(thousandths, 3).rstrip("0").rstrip(".")


# Components


def clock_text(timetable: Timetable) -> str:
    """Return the clock that a timetable goes by; empty for a signal, which has none."""
    usual = timetable.usual if isinstance(timetable, Exceptions) else timetable
    if isinstance(usual, Signal):
        return ""
    return f"{usual.clock.zone}{', standard time' if usual.clock.standard else ''}"


def _whens(timetable: Timetable) -> list[str]:
    """Return when each band is in force."""
    match timetable:
        case Schedule():
            if len(timetable.names) == 1:
                return ["always"]
            return ["\n".join(map(when_text, rules)) or "the rest" for rules in timetable.rules]
        case Signal():
            until = timetable.begin + timetable.step_seconds * len(timetable.steps)
            return [f"as announced for {utc_text(timetable.begin)} to {utc_text(until)}"] * len(
                timetable.names
            )
        case Exceptions():
            counts = [
                sum(band == i for *_, band in timetable.events)
                for i in range(len(timetable.event_names))
            ]
            return _whens(timetable.usual) + [f"in {count} events" for count in counts]


def charge_rows(charge: Charge, currency: str, unit: str = "kWh") -> Iterator[Row]:
    """Yield what a charge asks, band by band; `unit` is what prices are for (`Medium.unit`)."""
    match charge:
        case StandingCharge():
            yield "", f"{price_text(charge.price, currency)}/{charge.per}", ""
        case CapacityCharge():
            price = f"{price_text(charge.price, currency)}/kW/{charge.per}"
            yield "", price, f"for {_trimmed(charge.watts)} kW"
        case SeriesCharge():
            series = charge.series
            until = series.begin + series.step_seconds * len(series.prices)
            when = f"{utc_text(series.begin)} to {utc_text(until)}"
            yield "", f"{len(series.prices)} prices", f"{when}, every {series.step_seconds} s"
        case EnergyCharge():
            rows = zip(charge.timetable.names, charge.prices, _whens(charge.timetable), strict=True)
            for name, micro, when in rows:
                band = name if len(charge.prices) > 1 else ""
                text = f"{price_text(micro, currency)}/{unit}"
                yield band, text, when if charge.register == "import" else f"fed in, {when}"
        case BlockCharge():
            yield from _block_rows(charge, currency, unit)
        case GasCharge():
            state = format_decimal(charge.state_number, STATE_DECIMALS)
            held = f"state number {state}; " + ", ".join(values_of(charge))
            yield "", f"{price_text(charge.price, currency)}/kWh", held
        case NetCharge():
            yield from _net_rows(charge, currency)
        case DemandCharge():
            figure = f"{charge.figure}{_look_back_text(charge.look_back, charge)}"
            whens = _whens(charge.timetable)
            for name, scale, when in zip(charge.timetable.names, charge.scales, whens, strict=True):
                band = name if len(charge.scales) > 1 else ""
                yield band, _scale_text(charge, scale, currency), f"{figure}, {when}"


def year_text(begins: YearStart) -> str:
    """Return when years begin, if not with the calendar's."""
    return "" if begins == NEW_YEAR else f" (from {begins[0]:02}-{begins[1]:02})"


def _look_back_text(look_back: LookBack | None, charge: DemandCharge) -> str:
    if look_back is None:
        return ""
    of = f"{look_back.intervals} {charge.interval}s before"
    if look_back.is_within_year:
        of += f" within the year{year_text(charge.year_begins)}"
    if look_back.rule is LookBackRule.MEAN:
        return f", mean with those of {of}"
    share = "" if look_back.share_ppm == 10**6 else f"{percent_text(look_back.share_ppm)} of "
    return f", at least {share}the highest of {of}"


def _net_rows(charge: NetCharge, currency: str) -> Iterator[Row]:
    each = f"{charge.interval}{year_text(charge.year_begins)}"
    rule = {
        NetRule.ALONE: f"in each {charge.interval} of a bill",
        NetRule.CUMULATIVE: f"counted on over the bills of each {each}",
        NetRule.CARRY: f"left at the end of the year{year_text(charge.year_begins)}",
    }[charge.rule]
    whens = _whens(charge.timetable)
    for name, (price, credit), when in zip(
        charge.timetable.names, charge.prices, whens, strict=True
    ):
        band = f"{name}, " if len(whens) > 1 else ""
        yield f"{band}drawn", f"{price_text(price, currency)}/kWh", f"less what is fed in; {when}"
        yield f"{band}fed in", f"{price_text(-credit, currency)}/kWh", rule


def _block_rows(charge: BlockCharge, currency: str, counted: str) -> Iterator[Row]:
    unit = {
        LimitKind.ENERGY: f"{counted} in each {charge.interval}{year_text(charge.year_begins)}"
        + ", counted on over its bills" * charge.is_cumulative,
        LimitKind.DAILY: f"{counted} for each day of the {charge.interval}",
        LimitKind.POWER: "kW",
    }[charge.limits]
    whens = _whens(charge.timetable)
    for name, blocks, when in zip(charge.timetable.names, charge.blocks, whens, strict=True):
        for number, (limit, price) in enumerate(blocks):
            band = f"{name}, block {number + 1}" if len(whens) > 1 else f"block {number + 1}"
            upto = f"up to {_trimmed(limit)} {unit}" if limit else "beyond"
            held = upto if when == "always" else f"{upto}; {when}"
            yield band, f"{price_text(price, currency)}/{counted}", held


def _scale_text(charge: DemandCharge, scale: Scale, currency: str) -> str:
    if not charge.stepped:
        return f"{price_text(scale[0][1], currency)}/kW/{charge.per}"
    return "\n".join(
        f"{price_text(price, currency)}/{charge.per}"
        + (f" up to {_trimmed(limit)} kW" if limit else " beyond")
        for limit, price in scale
    )


def step_row(step: Step, currency: str, unit: str = "kWh") -> Row:
    """Return what a step asks."""
    on = f"on {', '.join(step.on)}"
    if isinstance(step, Tax):
        return step.kind, percent_text(step.ppm), on
    if isinstance(step, Cap) and step.is_cumulative:
        on += f", counted on over the bills of a year{year_text(step.year_begins)}"
    return step.kind, f"{price_text(step.price, currency)}/{step.per or unit}", on


def settlement_row(step: Settlement, currency: str) -> Row:
    """Return what a settlement makes of a bill."""
    if isinstance(step, Credit):
        when = f", paid out at the end of the year{year_text(step.year_begins)}" * step.is_settled
        return step.kind, "", f"what was paid before is taken off; the rest goes on{when}"
    price = f"{price_text(step.price, currency)}/{step.per}"
    end = f"the bill that ends the year{year_text(step.year_begins)}"
    return step.kind, price, f"in place of the sum, until {end} settles it"


def carried_text(value: int, quantity: Quantity, currency: str) -> str:
    """Return a value that a bill hands to the next."""
    match quantity:
        case Quantity.WATTS:
            return f"{_trimmed(value)} kW"
        case Quantity.MONEY:
            return price_text(value, currency)
        case _:
            return energy_text(value)


def quantity_texts(item: BillItem, currency: str) -> tuple[str, str]:
    """Return the quantity and the rate of a bill's item."""
    price = "" if item.rate is None else price_text(item.rate, currency)
    quantity = item.quantity
    match item.unit:
        case "Wh":
            return "" if quantity is None else energy_text(quantity), price and f"{price}/kWh"
        case "l":
            return "" if quantity is None else volume_text(quantity), price and f"{price}/m3"
        case "W":
            return f"{_trimmed(quantity or 0)} kW", f"{price}/kW"
        case "":
            rated = item.kind in ("tax", "rebate") and item.rate is not None
            return "", percent_text(item.rate or 0) if rated else price
        case unit:
            count = "part" if quantity is None else str(quantity)
            return f"{count} {unit}{'s' * (quantity != 1)}", f"{price}/{unit}"
