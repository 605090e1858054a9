# SPDX-License-Identifier: Apache-2.0
"""Pacific Gas and Electric's residential plans: tiers on a baseline (E-1), times of use.

The file gives neither the baseline allowance, which depends on territory and heating, nor
weekdays; the first is asked for, the second taken as every day.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from tariffs.errors import MalformedTariff
from tariffs.importers._writing import decimal_text, heading, quoted, slug

CENTS: Final = -2
SEASONS: Final = {"summer": "06-01 to 09-30", "winter": "10-01 to 05-31"}
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Row = Mapping[str, str]


def import_pge(
    text: str, *, year: str = "2025", baseline_summer: str = "13.5", baseline_winter: str = "11.0"
) -> dict[str, str]:
    """Return the sources of the file's plans, by name.

    The baselines are in kWh for each day of the season.
    """
    rows = list(csv.DictReader(io.StringIO(text)))
    plans = dict.fromkeys(row.get("Rate Plan Code") or "" for row in rows)
    sources = {}
    baselines = {"summer": baseline_summer, "winter": baseline_winter}
    try:
        for plan in plans:
            name = slug("us pge", plan, year)
            mine = [row for row in rows if row["Rate Plan Code"] == plan]
            tiered = any(row["Before/After Baseline"] for row in mine)
            body = _tiers(mine, baselines) if tiered else _times_of_use(mine)
            comments = [f"{mine[0]['Rate Plan Name']}, rounded to whole cents in the source"]
            lines = heading(
                name, "USD", "America/Los_Angeles", f"{int(year)}-01-01", f"{int(year) + 1}-01-01",
                comments=comments,
            )  # fmt: skip
            sources[name] = "\n".join(lines + body) + "\n"
    except (KeyError, ValueError, StopIteration) as error:
        raise MalformedTariff(f"not a file of plans: {error!r}") from None
    return sources


def _tiers(rows: Sequence[Row], baselines: Mapping[str, str]) -> list[str]:
    below, above = (
        next(row["Cost in cents"] for row in rows if row["Before/After Baseline"] == where)
        for where in ("Below Baseline", "Above Baseline")
    )
    lines = ["", "[seasons]", *(f"{name} = {quoted(dates)}" for name, dates in SEASONS.items())]
    lines += ["", "[[charge]]", 'name = "energy"', 'kind = "blocks"', 'interval = "period"']
    for season, baseline in baselines.items():
        lines += ["", "[[charge.band]]", f"name = {quoted(season)}"]
        lines += [f"when = {{ season = {quoted(season)} }}", "block = ["]
        limit = decimal_text(baseline, places=3)
        lines.append(f"    {{ up_to_per_day = {limit}, price = {decimal_text(below, CENTS)} }},")
        lines += [f"    {{ price = {decimal_text(above, CENTS)} }},", "]"]
    return lines


def _times_of_use(rows: Sequence[Row]) -> list[str]:
    bands: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        season = row["Season Name"].split()[0].lower()
        times = f"{_clock(row['Start Time'])}-{_clock(row['End Time'], end=True)}"
        dates = f"{_date(row['Start Date'])} to {_date(row['End Date'])}"
        rule = f"{{ times = {quoted(times)}, dates = {quoted(dates)} }}"
        bands.setdefault((season, row["Cost in cents"]), []).append(rule)
    lines = ["", "[[charge]]", 'name = "energy"', 'kind = "energy"']
    for (season, cents), rules in bands.items():
        lines += ["", "[[charge.band]]", f"name = {quoted(f'{season} {cents} c')}"]
        lines += [f"price = {decimal_text(cents, CENTS)}", f"when = [{', '.join(rules)}]"]
    return lines


def _clock(text: str, *, end: bool = False) -> str:
    clock = f"{datetime.strptime(text, '%I:%M %p'):%H:%M}"
    return "24:00" if end and clock == "00:00" else clock


def _date(text: str) -> str:
    month, day = text.split()
    return f"{MONTHS.index(month[:3]) + 1:02}-{int(day):02}"
