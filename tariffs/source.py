# SPDX-License-Identifier: Apache-2.0
"""Compiles the readable form of a tariff, TOML, into the tariff that is signed and billed by.

docs/tariffs.md describes the form, `tariffs/schema.json` is its JSON schema. Whatever is wrong is
told in one line with the file's line and the component: nothing is guessed, no key is ignored,
prices are decimals in quotes and never pass through a float.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import TypeVar

from protocols.canonical.day_zone import wall_zone
from protocols.canonical.foreign_text import ForeignTextRefused, read_toml
from tariffs._source_charges import RULES, read_charge, read_step
from tariffs._source_timetables import CLOCKS, Context, Files, read_year_begins
from tariffs._table import TomlTable
from tariffs._toml_lines import lines_of
from tariffs._words import parse_date_range
from tariffs.clock import ZoneClock, date_of, day_number
from tariffs.document import FORMAT, MissingRule, Tariff, check_heading
from tariffs.errors import MalformedTariff
from tariffs.holiday_calendars import named_holidays
from tariffs.medium import Medium
from tariffs.periods import NEW_YEAR, YearStart
from tariffs.rounding import Rounding
from tariffs.schedule import Calendar, DateRange
from tariffs.settlement import Settlement
from tariffs.steps import Step
from tariffs.version import Version, check_name

T = TypeVar("T")


def load_toml(
    text: str,
    *,
    source: str = "tariff",
    files: Files | None = None,
    notes: list[str] | None = None,
) -> Tariff:
    """Return the tariff that a TOML text describes; `source` names it in errors.

    `files` returns the text of a file that the source names (series of prices, signals), or raises
    `OSError`; without it such a source is refused. `notes` is told what is right but may not be
    what was meant. Raises `MalformedTariff` with line and
    component for whatever is wrong.
    """
    try:
        items = read_toml(text)
    except ForeignTextRefused as error:
        raise _not_toml(error, source) from None
    root = TomlTable(items, (), lines_of(text), source)
    form = root.integer("format")
    with root.at("format"):
        if form != FORMAT:
            raise MalformedTariff(f"format {form}, this release reads {FORMAT}")
    tariff = _tariff(root, files, [] if notes is None else notes)
    root.done()
    return tariff


def _not_toml(error: ForeignTextRefused, source: str) -> MalformedTariff:
    reason = str(error)
    found = re.search(r" \(at line (\d+), column \d+\)$", reason)
    line = int(found[1]) if found else None
    return MalformedTariff(
        f"not TOML: {reason[: found.start()] if found else reason}", source=source, line=line
    )


def _tariff(root: TomlTable, files: Files | None, notes: list[str]) -> Tariff:
    name = root.text("name")
    with root.at("name"):
        check_name(name, "the tariff's name")
    revision, currency = root.integer("revision"), root.text("currency")
    with root.at("currency" if revision > 0 else "revision"):
        check_heading(name, revision, currency)
    zone = root.text("zone")
    with root.at("zone"):
        ZoneClock(zone)
        # Times of day are those of the clock on the wall, at whatever hour a day begins.
        wall = wall_zone(zone).key
        clock = ZoneClock(wall, root.choice("clock", CLOCKS, default=False))
    medium = root.choice("medium", {str(one): one for one in Medium}, Medium.ELECTRICITY)
    rounding = _rounding(root.table("rounding"))
    missing = root.choice("missing", {str(one): one for one in MissingRule}, MissingRule.OMIT)
    tables = root.tables("version") if "version" in root else [root]
    bounds = [(table, table.day("valid_from"), table.day("valid_until")) for table in tables]
    days = range(
        day_number(min(first for _, first, _ in bounds)) - 1,
        day_number(max(until for _, _, until in bounds)) + 1,
    )
    year_begins = read_year_begins(root, NEW_YEAR)
    context = Context(clock, _calendars(root, days, notes), _seasons(root), files, year_begins)
    versions = []
    for table, first, until in bounds:
        versions.append(_version(table, first, until, context))
        if table is not root:
            table.done()
    _require_yearly(root, versions, year_begins)
    with root.at():
        return Tariff(name, revision, currency, zone, rounding, tuple(versions), missing, medium)


def _require_yearly(root: TomlTable, versions: list[Version], begins: YearStart) -> None:
    components = [
        component
        for version in versions
        for component in (*version.charges, *version.steps, version.settlement)
    ]
    if begins != NEW_YEAR and not any(
        getattr(component, "year_begins", NEW_YEAR) == begins for component in components
    ):
        with root.at("year_begins"):
            raise MalformedTariff("'year_begins' is given, but nothing of the tariff is yearly")


def _rounding(table: TomlTable) -> Rounding:
    with table.at(component="rounding"):
        rounding = Rounding(table.choice("rule", RULES), table.integer("decimals"))
        table.done()
        return rounding


def _calendars(root: TomlTable, days: range, notes: list[str]) -> dict[str, Calendar]:
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
                if "without" not in table:
                    notes.append(
                        f"holidays {name}: all public holidays of {code}; a tariff often has"
                        " fewer: leave out the others with 'without', or list its own in 'dates'"
                    )
            dates -= set(table.days("without"))
            table.done()
            if not dates:
                raise MalformedTariff("neither 'calendar' nor 'dates' gives a date")
        calendars[name] = frozenset(day for day in map(day_number, dates) if day in days)
    return calendars


def _seasons(root: TomlTable) -> dict[str, tuple[DateRange, ...]]:
    seasons: dict[str, tuple[DateRange, ...]] = {}
    if "seasons" in root:
        table = root.table("seasons")
        for name in table:
            with table.at(name, component=f"season {name}"):
                seasons[name] = tuple(table.words(name, parse_date_range))
    return seasons


# Versions and their components


def _version(table: TomlTable, first: date, until: date, context: Context) -> Version:
    with table.at("valid_until"):
        if until <= first:
            raise MalformedTariff(f"'valid_until' {until} is not after 'valid_from' {first}")
    components: dict[str, TomlTable] = {}
    rounded: dict[str, Rounding] = {}
    known: list[str] = []

    def read_all(kind: str, read: Callable[[str, TomlTable], T]) -> Iterator[T]:
        for item in table.tables(kind):
            name = item.text("name")
            components[f"{kind} {name}"] = item
            with item.at(component=f"{kind} {name}"):
                component = read(name, item)
                if "rounding" in item:
                    rounded[name] = _rounding(item.table("rounding"))
                item.done()
            known.append(name)
            yield component

    charges = tuple(read_all("charge", lambda name, item: read_charge(name, item, context)))
    if not charges:
        table.refuse_typo(["charge"])
    found = list(read_all("step", lambda name, item: read_step(name, item, known, context)))
    steps, settlement = _settled(found, components)
    try:
        days = day_number(first), day_number(until)
        return Version(*days, charges, steps, rounded, settlement)
    except MalformedTariff as error:
        with components.get(error.component or "", table).at():
            raise error from None


def _settled(
    found: list[Step | Settlement], components: dict[str, TomlTable]
) -> tuple[tuple[Step, ...], Settlement | None]:
    """Return the steps, and apart from them the settlement that may be the last."""
    steps = [step for step in found if not isinstance(step, Settlement)]
    settlements = [step for step in found if isinstance(step, Settlement)]
    for step in settlements:
        if step is not found[-1]:
            component = f"step {step.name}"
            with components[component].at(component=component):
                raise MalformedTariff(f"a step of the kind {step.kind!r} is the last, and alone")
    return tuple(steps), settlements[0] if settlements else None
