# SPDX-License-Identifier: Apache-2.0
"""Compiles the readable form of a tariff, TOML, into the tariff that is signed and billed by.

docs/tariffs.md describes the form, `tariffs/schema.json` is its JSON schema. Whatever is wrong is
told in one line with the file's line and the component: nothing is guessed, no key is ignored,
prices are decimals in quotes and never pass through a float.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from tariffs._table import Table
from tariffs._toml_lines import lines_of
from tariffs.charges import Charge
from tariffs.clock import Clock, date_of, day_number
from tariffs.document import FORMAT, Tariff, Version, check_heading, check_name
from tariffs.energy import EnergyCharge
from tariffs.errors import MalformedTariff
from tariffs.fixed import StandingCharge
from tariffs.holiday_calendars import named_holidays
from tariffs.rounding import Rounding, Rule
from tariffs.schedule import ALL_DAYS, DAY_NAMES, MINUTES, Calendar, DateRange, Schedule, When
from tariffs.steps import Step, Tax

__all__ = ["load_toml"]

PRICE_DECIMALS: Final = 6
PERCENT_DECIMALS: Final = 4
TIMES: Final = re.compile(r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
DATES: Final = re.compile(r"(\S+)(?: to (\S+))?")
DATE: Final = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})", re.ASCII)
CLOCKS: Final = {"local": False, "standard": True}
RULES: Final = {str(rule): rule for rule in Rule}


def load_toml(text: str, *, source: str = "tariff") -> Tariff:
    """Return the tariff that a TOML text describes; `source` names it in errors.

    Raises `MalformedTariff` with line and component for whatever is wrong.
    """
    try:
        items = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, source) from None
    root = Table(items, (), lines_of(text), source)
    form = root.integer("format")
    with root.at("format"):
        if form != FORMAT:
            raise MalformedTariff(f"format {form}, this release reads {FORMAT}")
    tariff = _tariff(root)
    root.done()
    return tariff


def _not_toml(error: tomllib.TOMLDecodeError, source: str) -> MalformedTariff:
    reason = str(error)
    found = re.search(r" \(at line (\d+), column \d+\)$", reason)
    line = int(found[1]) if found else None
    return MalformedTariff(
        f"not TOML: {reason[: found.start()] if found else reason}", source=source, line=line
    )


def _tariff(root: Table) -> Tariff:
    name = root.text("name")
    with root.at("name"):
        check_name(name, "the tariff's name")
    revision, currency = root.integer("revision"), root.text("currency")
    with root.at("currency" if revision > 0 else "revision"):
        check_heading(name, revision, currency)
    zone = root.text("zone")
    with root.at("zone"):
        clock = Clock(zone)
        clock = Clock(zone, root.choice("clock", CLOCKS, default=False))
    rounding = _rounding(root.table("rounding"))
    tables = root.tables("version") if "version" in root else [root]
    bounds = [(table, table.day("valid_from"), table.day("valid_until")) for table in tables]
    days = range(
        day_number(min(first for _, first, _ in bounds)) - 1,
        day_number(max(until for _, _, until in bounds)) + 1,
    )
    context = _Context(clock, _calendars(root, days), _seasons(root))
    versions = []
    for table, first, until in bounds:
        versions.append(_version(table, first, until, context))
        if table is not root:
            table.done()
    with root.at():
        return Tariff(name, revision, currency, zone, rounding, tuple(versions))


@dataclass(frozen=True, slots=True)
class _Context:
    """What the charges refer to by name."""

    clock: Clock
    calendars: Mapping[str, Calendar]
    seasons: Mapping[str, tuple[DateRange, ...]]


def _rounding(table: Table) -> Rounding:
    with table.at(component="rounding"):
        rounding = Rounding(table.choice("rule", RULES), table.integer("decimals"))
        table.done()
        return rounding


def _calendars(root: Table, days: range) -> dict[str, Calendar]:
    calendars: dict[str, Calendar] = {}
    if "holidays" not in root:
        return calendars
    tables = root.table("holidays")
    for name in tables:
        table = tables.table(name)
        with table.at(component=f"holidays {name}"):
            dates: set[date] = set(table.days("dates"))
            if "calendar" in table:
                code = table.text("calendar")
                first, last = date_of(days[0]).year, date_of(days[-1]).year
                with table.at("calendar"):
                    dates |= named_holidays(code, first, last)
            dates -= set(table.days("without"))
            table.done()
            if not dates:
                raise MalformedTariff("neither 'calendar' nor 'dates' gives a date")
        calendars[name] = frozenset(day for day in map(day_number, dates) if day in days)
    return calendars


def _seasons(root: Table) -> dict[str, tuple[DateRange, ...]]:
    seasons: dict[str, tuple[DateRange, ...]] = {}
    if "seasons" in root:
        table = root.table("seasons")
        for name in table:
            with table.at(name, component=f"season {name}"):
                seasons[name] = tuple(table.words(name, _date_range))
    return seasons


# Versions and their components


def _version(table: Table, first: date, until: date, context: _Context) -> Version:
    with table.at("valid_until"):
        if until <= first:
            raise MalformedTariff(f"'valid_until' {until} is not after 'valid_from' {first}")
    charges: list[Charge] = []
    components: dict[str, Table] = {}
    for item in table.tables("charge"):
        name = item.text("name")
        components[f"charge {name}"] = item
        with item.at(component=f"charge {name}"):
            charges.append(_charge(name, item, context))
            item.done()
    steps: list[Step] = []
    known = [charge.name for charge in charges]
    for item in table.tables("step"):
        name = item.text("name")
        components[f"step {name}"] = item
        with item.at(component=f"step {name}"):
            steps.append(_step(name, item, known))
            item.done()
        known.append(name)
    try:
        return Version(day_number(first), day_number(until), tuple(charges), tuple(steps))
    except MalformedTariff as error:
        with components.get(error.component or "", table).at():
            raise error from None


def _charge(name: str, item: Table, context: _Context) -> Charge:
    kind = item.choice("kind", {"energy": "energy", "standing": "standing"})
    if kind == "standing":
        return StandingCharge(name, item.decimal("per_day", PRICE_DECIMALS))
    clock = context.clock
    if "zone" in item or "clock" in item:
        zone = item.text("zone") if "zone" in item else clock.zone
        with item.at("zone"):
            clock = Clock(zone, item.choice("clock", CLOCKS, default=clock.standard))
    holidays = _calendar(item, context)
    if "price" in item:
        return EnergyCharge(
            name, Schedule.flat(clock, "all"), (item.decimal("price", PRICE_DECIMALS),)
        )
    names, prices, rules = [], [], []
    for band in item.tables("band"):
        names.append(band.text("name"))
        with band.at(component=f"band {names[-1]}"):
            prices.append(band.decimal("price", PRICE_DECIMALS))
            tables = band.tables("when")
            rules.append(tuple(_when(when, context, holidays) for when in tables))
            band.done()
    if not names:
        raise MalformedTariff("there is neither 'price' nor 'band'")
    return EnergyCharge(name, Schedule(clock, tuple(names), tuple(rules), holidays), tuple(prices))


def _calendar(item: Table, context: _Context) -> Calendar | None:
    if "holidays" not in item:
        return None
    name = item.text("holidays")
    with item.at("holidays"):
        if name not in context.calendars:
            raise MalformedTariff(f"unknown holiday calendar {name!r}: no [holidays.{name}]")
    return context.calendars[name]


def _when(table: Table, context: _Context, holidays: Calendar | None) -> When:
    with table.at():
        days, times = ALL_DAYS, [(0, MINUTES)]
        dates: list[DateRange] = []
        if "days" in table:
            days = 0
            for found in table.words("days", _days):
                days |= found
            with table.at("days"):
                if holidays is None and days >> 7:
                    raise MalformedTariff("'holiday' needs 'holidays' in the charge")
        if "times" in table:
            with table.at("times"):
                times = sorted(table.words("times", _times))
        if "season" in table:
            for name, ranges in table.words(
                "season", lambda name: (name, context.seasons.get(name))
            ):
                with table.at("season"):
                    if ranges is None:
                        raise MalformedTariff(f"unknown season {name!r}")
                    dates += ranges
        if "dates" in table:
            dates += table.words("dates", _date_range)
        table.done()
        return When(days, tuple(times), tuple(dates))


def _step(name: str, item: Table, known: list[str]) -> Step:
    item.choice("kind", {"tax": "tax"})
    on = item.words("on", str) if "on" in item else known
    ppm = item.decimal("percent", PERCENT_DECIMALS)
    with item.at("percent"):
        return Tax(name, ppm, tuple(on))


# Words


def _days(text: str) -> int:
    first, dash, last = text.partition("-")
    if (
        first not in DAY_NAMES
        or (dash and last not in DAY_NAMES[:7])
        or (dash and first == "holiday")
    ):
        raise MalformedTariff(f"impossible days {text!r}: write Mon, Mon-Fri or holiday")
    begin = DAY_NAMES.index(first)
    end = DAY_NAMES.index(last) if dash else begin
    if end < begin:
        raise MalformedTariff(f"impossible days {text!r}: the week begins with Mon")
    return sum(1 << day for day in range(begin, end + 1))


def _times(text: str) -> tuple[int, int]:
    match = TIMES.fullmatch(text)
    if match is None:
        raise MalformedTariff(
            f"impossible times {text!r}: write 07:00-19:00, midnight as 00:00 or 24:00"
        )
    begin, until = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return When(times=((begin, until),)).times[0]


def _date_range(text: str) -> DateRange:
    match = DATES.fullmatch(text)
    first = _date(match[1], text) if match else _date("", text)
    last = _date(match[2], text) if match and match[2] else first
    return DateRange(first, last)


def _date(text: str, whole: str) -> tuple[int, int, int]:
    match = DATE.fullmatch(text)
    if match is None:
        raise MalformedTariff(f"impossible dates {whole!r}: write 06-01 to 09-30, or 2025-12-24")
    return int(match[1] or 0), int(match[2]), int(match[3])
