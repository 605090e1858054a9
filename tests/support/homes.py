# SPDX-License-Identifier: Apache-2.0
"""The 60 London homes, a stretch of days at a time: as rows of the file, and as certified days."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from hub.certifier import Certification, Certifier, CertifierKeys
from hub.meters.replay import CsvReplay, EnergyUnit, parse_zone
from protocols.metrology import ACTIVE_ENERGY_IMPORT, Period, Series
from tests.support.shared import LONDON, require_shared

ZONE = "Europe/London"
REGISTER = bytes.fromhex("0100010800ff")
SLOT = 1800
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))


def series_of(home: str) -> Series:
    return Series(home.encode(), REGISTER, ZONE, SLOT // 60)


@dataclass(frozen=True)
class Home:
    """One home's days, as its hub has them and as the file says them."""

    name: str
    period: Period
    certified: tuple[Certification, ...]
    rows: dict[int, int]
    """Watt-hours by the start of the slot; what the file lacks is not there."""

    @property
    def bounds(self) -> tuple[int, int]:
        return self.period.bounds(ZONE)

    @property
    def starts(self) -> list[int]:
        return [t for one in self.certified for t in one.use.grid.boundaries()[:-1]]

    @property
    def uses(self) -> list[int]:
        return [wh for one in self.certified for wh in one.use.uses]

    @property
    def days(self) -> tuple[bytes, ...]:
        return tuple(one.day.encode() for one in self.certified)


@lru_cache(maxsize=4)
def rows_of(period: Period) -> dict[str, dict[int, int]]:
    """Return what each home used, by the start of the slot, as the file says it."""
    begin, end = period.bounds(ZONE)
    found: dict[str, dict[int, int]] = {}
    with gzip.open(require_shared(LONDON), "rt") as file:
        for row in csv.DictReader(file):
            start = int(datetime.fromisoformat(row.pop("start")).replace(tzinfo=UTC).timestamp())
            if begin <= start < end:
                for home, cell in row.items():
                    if cell:
                        found.setdefault(home, {})[start] = round(1000 * float(cell))
    return found


def homes(period: Period, folder: Path) -> Iterator[Home]:
    """Yield the homes with their days certified; `folder` is for a file in passing."""
    begin, end = period.bounds(ZONE)
    days = list(period.days(ZONE))
    for name, rows in rows_of(period).items():
        path = folder / f"{name}.csv"
        lines = [
            f"{datetime.fromtimestamp(start, UTC):%Y-%m-%dT%H:%M:%SZ},{wh}"
            for start, wh in sorted(rows.items())
        ]
        path.write_text("start,home\n" + "\n".join(lines) + "\n")
        replay = CsvReplay(
            path, {ACTIVE_ENERGY_IMPORT: "home"}, EnergyUnit.WH, SLOT, parse_zone("UTC")
        )
        readings = list(replay.readings(begin, end))
        certifier, previous, done = Certifier(series_of(name), KEYS), None, []
        for day in days:
            previous = certifier.certify(day, readings, previous)
            done.append(previous)
        yield Home(name, period, tuple(done), rows)
