# SPDX-License-Identifier: Apache-2.0
"""The CEEM collection of Australian retail tariffs (UNSW, TDA_Python): not quite strict JSON.

Flat, time of use (by months, weekdays and weekends), blocks over a day or quarter, daily charges,
feed-in credits, and a discount, which is taken here as a rebate on energy and daily charge. A limit
of blocks that splits a watt-hour is rounded down to one.
"""

from decimal import ROUND_DOWN, Decimal
from itertools import groupby
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
from tariffs.schedule import MONTH_DAYS

ENERGY_KINDS: Final = ("TOU", "FlatRate", "BlockDaily", "BlockQuarterly")
WORDS: Final = frozenset(
    ("CustomerType", "Type", "ProviderType", "Date_accessed", "Date_accessed ", "Tariff Code")
)
"""What a tariff is called and where it is from, which is no price."""
ZONES: Final = {
    "ACT": "Australia/Sydney",
    "NSW": "Australia/Sydney",
    "QLD": "Australia/Brisbane",
    "SA": "Australia/Adelaide",
    "TAS": "Australia/Hobart",
    "VIC": "Australia/Melbourne",
}


def import_ceem(text: str, *, clock: str = "local") -> Imported:
    """Return the sources of all tariffs of a file, by name.

    `clock` is "local" or "standard": the collection does not say which its times are on. A tariff
    of which a part cannot be said is left out, and named.
    """
    try:
        groups = read_json(text)
        entries = [entry for group in groups for entry in group["Tariffs"]]
        names = [f"{slug(one['Tariff ID'])} {one['Name'].strip()}"[:80].strip() for one in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedTariff(f"not a file of the collection: {error!r}") from None
    refuse_unread(groups, ("Tariffs", "Version"))
    found = Imported()
    for name, entry in zip(names, entries, strict=True):
        if name in found or name in found.left_out:
            raise MalformedTariff(f"{name} is there twice")
        try:
            with odd_members():
                source = _source(name, entry, clock)
            refuse_unread(entry, WORDS)
        except KeyError as error:
            raise MalformedTariff(f"{entry.get('Tariff ID')} lacks {error}") from None
        except MalformedTariff as error:
            found.left_out[name] = error.reason
        else:
            found[name] = source
    return found


def _source(name: str, entry: dict[str, Any], clock: str) -> str:
    parameters = entry["Parameters"]
    kinds = [kind for kind in ENERGY_KINDS if kind in parameters]
    if len(kinds) != 1:
        raise MalformedTariff(f"its energy is priced by {' and '.join(kinds) or 'nothing'}")
    year = int(entry["Year"])
    comments = [f"{entry['Provider']}, {entry['Distributor']}, {entry['State']}, {year}; CEEM"]
    lines = heading(
        name, "AUD", ZONES[entry["State"]], f"{year}-01-01", f"{year + 1}-01-01",
        comments=comments, more={"clock": quoted(clock)},
    )  # fmt: skip
    if "TOU" in parameters:
        lines += ["", "[[charge]]", 'name = "energy"', 'kind = "energy"']
        for band, facts in parameters["TOU"].items():
            lines += _band(band.strip(), facts)
    elif "FlatRate" in parameters:
        price = _value(parameters["FlatRate"])
        lines += ["", "[[charge]]", 'name = "energy"', 'kind = "energy"', f"price = {price}"]
    else:
        lines += _blocks(parameters)
    per_day = _value(parameters["Daily"], "$/day")
    lines += ["", "[[charge]]", 'name = "daily charge"', 'kind = "standing"']
    lines += [f"per_day = {per_day}"]
    lines += _feed_in(parameters if "FiT" in parameters or "FiT_TOU" in parameters else entry)
    if entry["Discount (%)"]:
        percent = decimal_text(entry["Discount (%)"], places=4)
        lines += ["", "[[step]]", 'name = "discount"', 'kind = "rebate"', f"percent = {percent}"]
        lines += ['on = ["energy", "daily charge"]']
    return "\n".join(lines) + "\n"


def _value(facts: dict[str, Any], unit: str = "$/kWh") -> str:
    """Return a price; refuse one in another unit."""
    if facts.get("Unit", unit) != unit:
        raise MalformedTariff(f"a price in {facts['Unit']!r}, not in {unit}")
    return decimal_text(facts["Value"])


def _band(name: str, facts: dict[str, Any]) -> list[str]:
    days = [*(["Mon-Fri"] if facts.get("Weekday", True) else [])]
    days += ["Sat-Sun"] if facts.get("Weekend", True) else []
    times = sorted(
        part for interval in facts["TimeIntervals"].values() for part in minute_ranges(*interval)
    )
    when = f"days = [{', '.join(map(quoted, days))}], times = [{', '.join(map(quoted, times))}]"
    months = facts.get("Month", range(1, 13))
    if len(months) < 12:
        when += f", dates = [{', '.join(map(quoted, _dates(months)))}]"
    price = _value(facts)
    head = ["", "[[charge.band]]", f"name = {quoted(name)}", f"price = {price}"]
    return [*head, f"when = {{ {when} }}"]


def _dates(months: list[int]) -> list[str]:
    """Return runs of months as ranges of dates."""
    runs = groupby(enumerate(sorted(months)), key=lambda pair: pair[1] - pair[0])
    found = []
    for _, group in runs:
        run = [month for _, month in group]
        found.append(f"{run[0]:02}-01 to {run[-1]:02}-{MONTH_DAYS[run[-1] - 1]}")
    return found


def _blocks(parameters: dict[str, Any]) -> list[str]:
    key = next(key for key in ("BlockDaily", "BlockQuarterly") if key in parameters)
    interval = "day" if key == "BlockDaily" else "quarter"
    lines = [
        "",
        "[[charge]]",
        'name = "energy"',
        'kind = "blocks"',
        f"interval = {quoted(interval)}",
    ]
    for block in parameters[key].values():
        lines += ["", "[[charge.block]]"]
        bound = Decimal(block["HighBound"])
        if bound.is_finite():
            limit = bound.quantize(Decimal("0.001"), rounding=ROUND_DOWN)
            lines.append(f"up_to = {decimal_text(limit, places=3)}")
        lines.append(f"price = {_value(block)}")
    return lines


def _feed_in(parameters: dict[str, Any]) -> list[str]:
    head = ["", "[[charge]]", 'name = "feed-in"', 'kind = "feed-in"']
    if "FiT_TOU" in parameters:
        bands = [_band(band, facts) for band, facts in parameters["FiT_TOU"].items()]
        return head + [line for band in bands for line in band]
    if "FiT" in parameters:
        return [*head, f"price = {_value(parameters['FiT'])}"]
    return []
