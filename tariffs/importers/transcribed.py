# SPDX-License-Identifier: Apache-2.0
"""A collection of transcribed tariffs: flat, dynamic bands, index formulas, versions, index-linked.

Prices are in cents or pence; schedules and indices lie in CSV files of their own, which the
sources refer to by name (band-linked indices are read here, for they become versions).
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tariffs.errors import MalformedTariff
from tariffs.importers._writing import (
    Imported,
    Record,
    decimal_text,
    heading,
    odd_members,
    quoted,
    read_json,
    refuse_unread,
)

CENTS: Final = -2
WORDS: Final = frozenset(("country", "interval_minutes", "note", "source", "W", "bands"))
FORMULA: Final = "min(cap, 1.05*(multiplier*W + (adder if 16:00<=local<19:00 else 0)))"
BAND_RULES: Final = {
    "F1": '{ days = "Mon-Fri", times = "08:00-19:00" }',
    "F2": '[{ days = "Mon-Fri", times = ["07:00-08:00", "19:00-23:00"] },'
    ' { days = "Sat", times = "07:00-23:00" }]',
    "F3": None,
}
"""The bands (fasce) of ARERA; F3 is the rest, national holidays included."""


def import_transcribed(
    text: str,
    *,
    first: str = "2013-01-01",
    until: str = "2014-01-01",
    region: str = "C",
    markup: str = "0",
    column: str = "",
    step: str = "30min",
    zone: str = "",
    files: Callable[[str], str] | None = None,
) -> Imported:
    """Return the sources of the file's tariffs, by name.

    `first` and `until` bound those that give no dates; `region` chooses the multiplier and adder of
    a formula, `markup` (currency per kWh) is added to an index, `column`, `step` and `zone` say
    where and how a series lies in its file; `files` reads an index that becomes versions. A tariff
    whose index cannot be read, or of which a part cannot be said, is left out, and named.
    """
    options = _Options(first, until, region, markup, column, step, zone, files)
    sources = Imported()
    entries = read_json(text)
    if not isinstance(entries, list) or not all(isinstance(one, Record) for one in entries):
        raise MalformedTariff("not a list of tariffs")
    for entry in entries:
        name = str(entry.get("id"))
        if name in sources or name in sources.left_out:
            raise MalformedTariff(f"{name} is there twice")
        try:
            with odd_members():
                source = options.source(entry)
        except KeyError as error:
            raise MalformedTariff(f"{name} lacks {error}") from None
        except MalformedTariff as error:
            sources.left_out[name] = error.reason
            continue
        if source is None:
            sources.left_out[name] = "its index is not at hand (--set column=NAME, or the file)"
            continue
        try:
            refuse_unread(entry, WORDS)
        except MalformedTariff as error:
            sources.left_out[name] = error.reason
        else:
            sources[name] = source
    return sources


@dataclass(frozen=True, slots=True)
class _Options:
    first: str
    until: str
    region: str
    markup: str
    column: str
    step: str
    zone: str
    files: Callable[[str], str] | None

    def source(self, entry: dict[str, Any]) -> str | None:
        """Return the source of one entry, or None if its index is not at hand."""
        if "versions" in entry:
            return "\n".join([*self._head(entry, versions=True), *_versions(entry)]) + "\n"
        (energy,) = entry["energy"]
        lines: list[str] | None
        match energy["kind"]:
            case "flat":
                price = decimal_text(energy["pence_per_kWh"], CENTS)
                lines = ["", *_charge("energy"), f"price = {price}"]
            case "dynamic_band":
                lines = self._signal(energy)
            case "index_formula":
                lines = self._formula(energy)
            case "index_hourly":
                if not str(energy.get("unit", "ct/kWh")).startswith("ct/kWh"):
                    raise MalformedTariff(f"{entry['id']}: an index in {energy['unit']!r}")
                plus = Decimal(energy.get("plus_ct_per_kWh") or 0).scaleb(CENTS)
                lines = self._series(energy["index_file"], self.column or "ct_per_kWh", plus)
            case "band_index":
                lines = self._band_index(energy)
            case kind:
                raise MalformedTariff(f"{entry['id']}: unknown kind of price {kind!r}")
        if lines is None:
            return None
        versions = energy["kind"] == "band_index"
        return "\n".join(self._head(entry, versions=versions) + lines) + "\n"

    def _head(self, entry: dict[str, Any], *, versions: bool) -> list[str]:
        zone = entry["time_zone"].split()[0]
        dates = (None, None) if versions else (self.first, self.until)
        return heading(
            entry["id"], entry["currency"], zone, *dates, comments=[entry["source"][:160]]
        )

    def _signal(self, energy: dict[str, Any]) -> list[str]:
        lines = ["", *_charge("energy"), "", "[charge.signal]"]
        lines += [f"file = {quoted(energy['schedule_file'])}", 'column = "band"']
        lines += [f"step = {quoted(self.step)}", f"zone = {quoted(self.zone or 'UTC')}"]
        for band, pence in energy["bands_pence_per_kWh"].items():
            lines += ["", "[[charge.band]]", f"name = {quoted(band)}"]
            lines.append(f"price = {decimal_text(pence, CENTS)}")
        return lines

    def _series(self, file: str, column: str, plus: Decimal = Decimal(0)) -> list[str]:
        lines = ["", *_charge("energy", "series"), f"file = {quoted(file.rsplit('/', 1)[-1])}"]
        lines += [f"column = {quoted(column)}", 'unit = "ct/kWh"', f"step = {quoted(self.step)}"]
        lines += [f"zone = {quoted(self.zone)}"] if self.zone else []
        added = Decimal(self.markup) + plus
        lines += [f"add = {decimal_text(added)}"] if added else []
        return [*lines, 'price_rule = "half-even"']

    def _formula(self, energy: dict[str, Any]) -> list[str] | None:
        """Return factor 1.05 · (multiplier · wholesale + adder 16:00-19:00), capped."""
        if energy["formula"] != FORMULA:
            raise MalformedTariff(f"another formula than {FORMULA!r}")
        regions = dict(energy["region"].items())
        if not self.column:
            return None
        if self.region not in regions:
            raise MalformedTariff(f"no region {self.region!r}; there are {', '.join(regions)}")
        multiplier, adder = regions[self.region]
        lines = self._series("wholesale.csv", self.column)
        lines += [f"multiplier = {decimal_text(multiplier)}", 'factor = "1.05"']
        lines += [f"cap = {decimal_text(energy['cap_p_per_kWh'], CENTS)}"]
        lines += ["", "[[charge.adder]]", f"price = {decimal_text(adder, CENTS)}"]
        return [*lines, 'when = { times = "16:00-19:00" }']

    def _band_index(self, energy: dict[str, Any]) -> list[str] | None:
        """Return a version for each month of the index, in ARERA's bands."""
        if self.files is None:
            return None
        try:
            index = self.files(energy["index_file"])
        except OSError:
            return None
        spread = Decimal(energy.get("supplier_spread_EUR_per_kWh") or 0) + Decimal(self.markup)
        lines = ["", "[holidays.national]", 'calendar = "IT"']
        for row in csv.DictReader(io.StringIO(index)):
            year, month = map(int, row["month"].split("-"))
            after = f"{year + month // 12}-{month % 12 + 1:02}-01"
            lines += ["", "[[version]]", f"valid_from = {year}-{month:02}-01"]
            lines += [f"valid_until = {after}", "", "[[version.charge]]", 'name = "energy"']
            lines += ['kind = "energy"', 'holidays = "national"']
            for band, rule in BAND_RULES.items():
                price = decimal_text(Decimal(row[band]) + spread)
                lines += ["", "[[version.charge.band]]", f"name = {quoted(band)}"]
                lines += [f"price = {price}", *([f"when = {rule}"] if rule else [])]
        return lines


def _charge(name: str, kind: str = "energy") -> list[str]:
    return ["[[charge]]", f"name = {quoted(name)}", f"kind = {quoted(kind)}"]


def _versions(entry: dict[str, Any]) -> list[str]:
    lines = []
    for version in entry["versions"]:
        lines += ["", "[[version]]", f"valid_from = {version['valid_from']}"]
        lines += [f"valid_until = {version['valid_to_excl']}", "charge = ["]
        price = decimal_text(version["ct_per_kWh"], CENTS)
        lines.append(f'    {{ name = "energy", kind = "energy", price = {price} }},')
        base = decimal_text(version["EUR_per_month"])
        lines += [f'    {{ name = "base", kind = "standing", per_month = {base} }},', "]"]
    return lines
