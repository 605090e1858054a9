# SPDX-License-Identifier: Apache-2.0
"""German time-variable network charges (§ 14a EnWG, Modul 3): the network's part of a price.

A source is valid for the quarters that the file gives prices for. Supply, levies, the standing
charge and taxes are the supplier's to add.
"""

from typing import Any, Final

from tariffs.errors import MalformedTariff
from tariffs.importers._writing import (
    Imported,
    decimal_text,
    heading,
    minute_ranges,
    odd_members,
    quoted,
    read_json,
    refuse_unread,
    slug,
)

QUARTERS: Final = ("Q1", "Q2", "Q3", "Q4")
DATES: Final = {
    "Q1": "01-01 to 03-31",
    "Q2": "04-01 to 06-30",
    "Q3": "07-01 to 09-30",
    "Q4": "10-01 to 12-31",
}
CENTS: Final = -2
WORDS: Final = frozenset(("description", "source", "interval_minutes", "bands", "operators"))


def import_modul3(text: str) -> Imported:
    """Return the sources of every operator and year, by name."""
    data = read_json(text)
    sources = Imported()
    try:
        for operator, entries in data["operators"].items():
            for year in sorted({entry["year"] for entry in entries}):
                name = slug("de modul3", operator, year)
                if name in sources or name in sources.left_out:
                    raise MalformedTariff(f"{name} is there twice")
                yearly = [entry for entry in entries if entry["year"] == year]
                try:
                    with odd_members():
                        source = _source(name, data["time_zone"], year, yearly)
                    refuse_unread(yearly, ())
                except MalformedTariff as error:
                    sources.left_out[name] = error.reason
                else:
                    sources[name] = source
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedTariff(f"the file lacks {error}") from None
    refuse_unread(data, WORDS)
    return sources


def _source(name: str, zone: str, year: int, entries: list[dict[str, Any]]) -> str:
    given = sorted(QUARTERS.index(quarter) for entry in entries for quarter in entry["quarters"])
    if given != list(range(given[0], given[-1] + 1)):
        raise MalformedTariff(f"{name}: the quarters do not follow each other")
    first = f"{year}-{3 * given[0] + 1:02}-01"
    until = f"{year}-{3 * given[-1] + 4:02}-01" if given[-1] < 3 else f"{year + 1}-01-01"
    lines = heading(name, "EUR", zone, first, until, comments=["the network charge only"])
    prices: dict[str, Any] = {}
    rules: dict[str, list[str]] = {}
    for entry in entries:
        dates = "" if len(given) == len(entry["quarters"]) else _dates(entry["quarters"])
        for band in dict.fromkeys(item["band"] for item in entry["daily"]):
            price = entry["ct_per_kWh"][band]
            if prices.setdefault(band, price) != price:
                raise MalformedTariff(f"{name}: the price of {band} changes within the year")
            times = sorted(
                part
                for item in entry["daily"]
                if item["band"] == band
                for part in minute_ranges(item["from"], item["to"])
            )
            rules.setdefault(band, []).append(
                f"{{ times = [{', '.join(map(quoted, times))}]{dates} }}"
            )
    lines += ["", "[[charge]]", 'name = "network (Modul 3)"', 'kind = "energy"']
    for band, price in prices.items():
        lines += ["", "[[charge.band]]", f"name = {quoted(band)}"]
        lines += [f"price = {decimal_text(price, CENTS)}", f"when = [{', '.join(rules[band])}]"]
    return "\n".join(lines) + "\n"


def _dates(quarters: list[str]) -> str:
    return f", dates = [{', '.join(quoted(DATES[quarter]) for quarter in quarters)}]"
