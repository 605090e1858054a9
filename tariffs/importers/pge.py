# SPDX-License-Identifier: Apache-2.0
"""Pacific Gas and Electric's residential plans: tiers on a baseline, times of use, and both.

A plan is flat tiers (E-1), times of use by season (E-TOU-D, E-ELEC), or tiers by season, or tiers
by season and time (E-TOU-C). The last is said as PG&E says it: times of use at the price above the
baseline, and a credit for each kilowatt-hour up to the baseline; that needs the same difference at
all times of a season. Where it is not, where a day has a time without a price or with two, or where
a row says anything else, the plan is left out, and named.

The file gives neither the baseline allowance, which depends on territory and heating, nor
weekdays; the first is asked for, the second taken as every day.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from tariffs.errors import MalformedTariff
from tariffs.importers._writing import Imported, decimal_text, heading, quoted, slug
from tariffs.schedule import MONTH_DAYS

CENTS: Final = -2
SEASONS: Final = {"summer": "06-01 to 09-30", "winter": "10-01 to 05-31"}
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
BELOW, ABOVE = "Below Baseline", "Above Baseline"
COLUMNS: Final = frozenset(
    ("Rate Plan Name", "Rate Plan Code", "Before/After Baseline", "Season Name", "Start Date",
     "End Date", "Start Time", "End Time", "Cost in cents")
)  # fmt: skip
DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A row of a plan."""

    line: int
    tier: str
    """Below or above the baseline; empty where there is none."""
    season: str
    """`summer` or `winter`; empty: all year."""
    times: tuple[int, int]
    """Minutes of the day, from and until."""
    cents: Decimal


def import_pge(
    text: str, *, year: str = "2025", baseline_summer: str = "13.5", baseline_winter: str = "11.0"
) -> Imported:
    """Return the sources of the file's plans, by name.

    The baselines are in kWh for each day of the season.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
        if not {"Rate Plan Code", "Cost in cents"} <= set(reader.fieldnames or ()):
            raise MalformedTariff("not a file of plans: it lacks 'Rate Plan Code'")
        if not (year.isascii() and year.isdecimal() and len(year) == 4):
            raise MalformedTariff(f"{year!r} is no year")
    except csv.Error as error:
        raise MalformedTariff(f"not a file of plans: {error}") from None
    baselines = {"summer": baseline_summer, "winter": baseline_winter}
    found = Imported()
    for plan in dict.fromkeys(row.get("Rate Plan Code") or "" for _, row in rows):
        mine = [(line, row) for line, row in rows if (row.get("Rate Plan Code") or "") == plan]
        name = slug("us pge", plan, year)
        try:
            if name in found:
                raise MalformedTariff("it is there under two codes")
            body = _charges([_plan_row(line, row) for line, row in mine], baselines)
        except MalformedTariff as error:
            found.left_out[name] = error.reason
            continue
        comments = [f"{mine[0][1]['Rate Plan Name']}, rounded to whole cents in the source"]
        lines = heading(
            name, "USD", "America/Los_Angeles", f"{int(year)}-01-01", f"{int(year) + 1}-01-01",
            comments=comments,
        )  # fmt: skip
        found[name] = "\n".join(lines + body) + "\n"
    return found


def _plan_row(line: int, row: Mapping[str | None, object]) -> PlanRow:
    """Return a row, all of whose cells are understood."""
    cells = {str(key): str(value).strip() for key, value in row.items() if value}
    if odd := [key for key in cells if key not in COLUMNS]:
        raise MalformedTariff(f"line {line}: no source can say {', '.join(map(repr, odd))}")
    tier = cells.get("Before/After Baseline", "")
    if tier not in ("", BELOW, ABOVE):
        raise MalformedTariff(f"line {line}: {tier!r} is no tier")
    try:
        cents = Decimal(cells["Cost in cents"])
        times = _times(cells.get("Start Time", ""), cells.get("End Time", ""))
        season = _season(cells)
    except (KeyError, ValueError, InvalidOperation) as error:
        raise MalformedTariff(f"line {line}: not a price, season or time: {error}") from None
    if not cents.is_finite():
        raise MalformedTariff(f"line {line}: not a price: {cents}")
    return PlanRow(line, tier, season, times, cents)


def _season(cells: Mapping[str, str]) -> str:
    name = cells.get("Season Name", "")
    dates = cells.get("Start Date", ""), cells.get("End Date", "")
    if not name and dates == ("", ""):
        return ""
    season = name.split()[0].lower() if name else ""
    said = f"{_date(dates[0])} to {_date(dates[1])}"
    if SEASONS.get(season) != said:
        raise ValueError(f"{name or 'a season'} from {said}")
    return season


def _times(start: str, end: str) -> tuple[int, int]:
    if not start and not end:
        return 0, DAY_MINUTES
    first, until = _clock(start), _clock(end) or DAY_MINUTES
    if first >= until:
        raise ValueError(f"{start} to {end}")
    return first, until


def _clock(text: str) -> int:
    moment = datetime.strptime(text, "%I:%M %p")
    return 60 * moment.hour + moment.minute


def _date(text: str) -> str:
    month, day = text.split()
    place = MONTHS.index(month[:3])
    if not 1 <= int(day) <= MONTH_DAYS[place]:
        raise ValueError(text)
    return f"{place + 1:02}-{int(day):02}"


Prices = dict[str, dict[tuple[int, int], Decimal]]
"""In cents, by season and times."""


def _charges(rows: Sequence[PlanRow], baselines: Mapping[str, str]) -> list[str]:
    tiers = {row.tier for row in rows}
    if "" in tiers and len(tiers) > 1:
        raise MalformedTariff("some of its rows have tiers, some have none")
    if tiers == {""}:
        return _times_of_use(_whole(rows))
    if tiers != {BELOW, ABOVE}:
        raise MalformedTariff("it has a price on one side of the baseline only")
    below, above = (_whole([row for row in rows if row.tier == tier]) for tier in (BELOW, ABOVE))
    if all(set(prices) == {(0, DAY_MINUTES)} for prices in (*below.values(), *above.values())):
        return _seasons() + _tiers(
            "energy",
            {season: prices[0, DAY_MINUTES] for season, prices in below.items()},
            {season: prices[0, DAY_MINUTES] for season, prices in above.items()},
            baselines,
        )
    credit = _baseline_credit(below, above)
    return [*_seasons(), *_times_of_use(above), *_tiers("baseline credit", *credit, baselines)]


def _whole(rows: Sequence[PlanRow]) -> Prices:
    """Return the prices of both seasons, of which every minute has just one."""
    prices: Prices = {season: {} for season in SEASONS}
    for row in rows:
        for season in [row.season] if row.season else SEASONS:
            if row.times in prices[season]:
                raise MalformedTariff(f"line {row.line}: its time has a price already")
            prices[season][row.times] = row.cents
    for season, times in prices.items():
        reached = 0
        for first, until in sorted(times):
            if first != reached:
                what = "two prices" if first < reached else "no price"
                raise MalformedTariff(f"{season}: {_clock_text(min(first, reached))} has {what}")
            reached = until
        if reached != DAY_MINUTES:
            raise MalformedTariff(f"{season}: {_clock_text(reached)} has no price")
    return prices


def _tiers(
    name: str,
    below: Mapping[str, Decimal],
    above: Mapping[str, Decimal],
    baselines: Mapping[str, str],
) -> list[str]:
    lines = ["", "[[charge]]", f"name = {quoted(name)}", 'kind = "blocks"', 'interval = "period"']
    for season, baseline in baselines.items():
        limit = decimal_text(baseline, places=3)
        price = decimal_text(below[season], CENTS)
        lines += ["", "[[charge.band]]", f"name = {quoted(season)}"]
        lines += [f"when = {{ season = {quoted(season)} }}", "block = ["]
        lines += [f"    {{ up_to_per_day = {limit}, price = {price} }},"]
        lines += [f"    {{ price = {decimal_text(above[season], CENTS)} }},", "]"]
    return lines


def _baseline_credit(below: Prices, above: Prices) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return, by season, the price of the credit up to the baseline, and above it."""
    credit = {
        season: {above[season][times] - cents for times, cents in prices.items()}
        for season, prices in below.items()
        if set(prices) == set(above[season])
    }
    if set(credit) != set(SEASONS) or any(len(differences) > 1 for differences in credit.values()):
        raise MalformedTariff(
            "its tiers differ by another amount at other times of a season, which no charge can say"
        )
    amounts = {season: -differences.pop() for season, differences in credit.items()}
    return amounts, dict.fromkeys(SEASONS, Decimal(0))


def _times_of_use(prices: Prices) -> list[str]:
    bands: dict[tuple[str, Decimal], list[str]] = {}
    for season, times in prices.items():
        for (first, until), cents in times.items():
            said = f"{_clock_text(first)}-{_clock_text(until)}"
            rule = f"{{ times = {quoted(said)}, dates = {quoted(SEASONS[season])} }}"
            bands.setdefault((season, cents), []).append(rule)
    lines = ["", "[[charge]]", 'name = "energy"', 'kind = "energy"']
    for (season, cents), rules in bands.items():
        lines += ["", "[[charge.band]]", f"name = {quoted(f'{season} {cents} c')}"]
        lines += [f"price = {decimal_text(cents, CENTS)}", f"when = [{', '.join(rules)}]"]
    return lines


def _seasons() -> list[str]:
    return ["", "[seasons]", *(f"{name} = {quoted(dates)}" for name, dates in SEASONS.items())]


def _clock_text(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
