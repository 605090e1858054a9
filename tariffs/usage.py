# SPDX-License-Identifier: Apache-2.0
"""What a charge is handed to work on: the slots whose use is known, and the stretch to bill.

A bill's period falls into parts, one for each version of the tariff that it touches. A charge turns
a part and the use in it into lines; amounts are integers in 10^-9 of the currency ("nano").
"""

import enum
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tariffs.clock import ZoneClock
from tariffs.errors import UnbillableReadings
from tariffs.rounding import RoundingRule


def utc_text(moment: int) -> str:
    """Return a moment as ISO 8601 writes it; what no calendar has, in seconds."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OSError, OverflowError, ValueError):
        return f"second {moment}"


class Register(enum.StrEnum):
    """Which way the energy went."""

    IMPORT = "import"
    EXPORT = "export"


@dataclass(frozen=True, slots=True)
class KnownUsage:
    """The slots whose use is known, in order of time."""

    seconds: int
    starts: Sequence[int]
    import_wh: Sequence[int]
    export_wh: Sequence[int] | None = None
    """None: the meter has no export register."""

    def energy(self, register: Register) -> Sequence[int]:
        """Return the watt-hours of each slot."""
        if register is Register.IMPORT:
            return self.import_wh
        if self.export_wh is None:
            raise UnbillableReadings("the tariff credits feed-in: readings of it are needed")
        return self.export_wh

    def between(self, begin: int, end: int) -> "KnownUsage":
        """Return the slots that start in [begin, end)."""
        part = slice(bisect_left(self.starts, begin), bisect_left(self.starts, end))
        exported = None if self.export_wh is None else self.export_wh[part]
        return KnownUsage(self.seconds, self.starts[part], self.import_wh[part], exported)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a bill's period under one version of the tariff."""

    begin: int
    end: int
    period_begin: int
    period_end: int
    clock: ZoneClock
    """The tariff's wall clock: where days, months and years begin."""
    rule: RoundingRule
    """How shares of amounts and of quantities are made whole, in 10^-9 and in W or Wh."""
    is_last: bool = False
    """Whether the contract ends with it: all that a year's end settles is settled."""


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """What a charge asks for a quantity."""

    label: str
    quantity: int | None
    unit: str
    """`Wh`, `W`, `day`, `month`, `year` or empty."""
    rate: int | None
    """Micro-units of the currency for a kWh, a kW or the unit."""
    nano: int
