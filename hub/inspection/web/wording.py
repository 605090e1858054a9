# SPDX-License-Identifier: Apache-2.0
"""The words of the pages, and numbers, dates and money as the reader's language writes them."""

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hub.inspection.money import Money

LANGUAGES = ("en", "de", "it", "fr")
HERE = Path(__file__).parent

__all__ = ["LANGUAGES", "Wording", "choose"]


@cache
def _catalogue(language: str) -> dict[str, str]:
    tables = tomllib.loads((HERE / "words" / f"{language}.toml").read_text())
    flat: dict[str, str] = {}

    def walk(prefix: str, table: dict[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = value

    walk("", tables)
    return flat


@dataclass(frozen=True, slots=True)
class Wording:
    """One language, and the zone in which times are shown."""

    language: str
    zone: str

    def t(self, key: str, **values: object) -> str:
        return _catalogue(self.language)[key].format(**values)

    def number(self, value: int) -> str:
        return f"{value:,}"

    def energy(self, wh: int | None) -> str:
        return "–" if wh is None else f"{wh / 1000:,.3f} kWh"

    def money(self, amount: Money | None) -> str:
        return "–" if amount is None else f"{amount.rounded()} {amount.currency}"

    def day(self, day: date) -> str:
        return day.isoformat()

    def moment(self, time: int) -> str:
        return self._local(time).strftime("%Y-%m-%d %H:%M")

    def clock(self, time: int) -> str:
        return self._local(time).strftime("%H:%M")

    def _local(self, time: int) -> datetime:
        return datetime.fromtimestamp(time, UTC).astimezone(ZoneInfo(self.zone))


def choose(chosen: str | None, accepted: str, zone: str) -> Wording:
    if chosen in LANGUAGES:
        return Wording(str(chosen), zone)
    for part in accepted.split(","):
        if part.strip()[:2] in LANGUAGES:
            return Wording(part.strip()[:2], zone)
    return Wording("en", zone)
