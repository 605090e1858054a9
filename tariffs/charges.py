# SPDX-License-Identifier: Apache-2.0
"""Charges: what is billed for readings and for time.

Prices are integers in 10^-6 of the currency, for a kilowatt-hour or a day; energy is in whole
watt-hours. So an energy amount is exact in 10^-9 of the currency ("nano").
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import ClassVar, Final, TypeAlias

from tariffs._canonical import Value
from tariffs._fields import Fields
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.schedule import Schedule, Segment

__all__ = ["Charge", "EnergyCharge", "StandingCharge", "charge_from_canonical", "utc_text"]

MAX_PRICE: Final = 10**15
"""A thousand million of the currency for a kilowatt-hour, in micro-units; catches nonsense."""


def utc_text(moment: int) -> str:
    """Return a moment as ISO 8601 writes it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_price(price: int) -> None:
    if abs(price) > MAX_PRICE:
        raise MalformedTariff("the price is beyond all reason")


@dataclass(frozen=True, slots=True)
class EnergyCharge:
    """A price for each kilowatt-hour, by band; a flat price is the case of one band."""

    kind: ClassVar = "energy"
    exact_decimals: ClassVar = 9

    name: str
    schedule: Schedule
    prices: tuple[int, ...]
    """Micro-units per kWh, one for each of the schedule's bands; negative ones are credits."""

    def __post_init__(self) -> None:
        if len(self.prices) != len(self.schedule.names):
            raise MalformedTariff("there is not one price for each band")
        for price in self.prices:
            _check_price(price)

    def bands_of(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the band of each slot; the starts are in order.

        Raises `UnpricedSlot` for a slot that lies across bands of different prices; one across
        bands of the same price belongs to the band at its start.
        """
        if not starts:
            return []
        segments = list(self.schedule.segments(starts[0], starts[-1] + slot_seconds))
        bands: list[int] = []
        for number, (_, until, band) in enumerate(segments):
            first, past = len(bands), bisect_left(starts, until, len(bands))
            bands += [band] * (past - first)
            while past > first and starts[past - 1] + slot_seconds > until:
                past -= 1
                self._check_crossing(segments[number:], starts[past], slot_seconds)
        return bands

    def _check_crossing(self, segments: Sequence[Segment], start: int, slot_seconds: int) -> None:
        for (_, until, band), (_, _, after) in pairwise(segments):
            if start + slot_seconds <= until:
                return
            if self.prices[band] != self.prices[after]:
                names = self.schedule.names
                raise UnpricedSlot(
                    f"the slot of {slot_seconds} s at {utc_text(start)} lies across the bands"
                    f" {names[band]} and {names[after]}, which change at {utc_text(until)}",
                    start=start,
                    component=f"charge {self.name}",
                )

    def canonical(self) -> Value:
        """Return the charge as a document holds it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "schedule": self.schedule.canonical(),
            "prices": self.prices,
        }

    @classmethod
    def from_fields(cls, name: str, fields: Fields) -> "EnergyCharge":
        """Return the charge that a document holds."""
        return cls(name, Schedule.from_canonical(fields.map("schedule")), fields.integers("prices"))


@dataclass(frozen=True, slots=True)
class StandingCharge:
    """An amount for each local day of the tariff's zone, whatever is used."""

    kind: ClassVar = "standing"
    exact_decimals: ClassVar = 6

    name: str
    per_day: int
    """Micro-units of the currency."""

    def __post_init__(self) -> None:
        _check_price(self.per_day)

    def canonical(self) -> Value:
        """Return the charge as a document holds it."""
        return {"kind": self.kind, "name": self.name, "per_day": self.per_day}

    @classmethod
    def from_fields(cls, name: str, fields: Fields) -> "StandingCharge":
        """Return the charge that a document holds."""
        return cls(name, fields.integer("per_day"))


Charge: TypeAlias = EnergyCharge | StandingCharge
KINDS: Final[dict[str, type[EnergyCharge] | type[StandingCharge]]] = {
    "energy": EnergyCharge,
    "standing": StandingCharge,
}


def charge_from_canonical(value: Value) -> Charge:
    """Return the charge that a document holds."""
    fields = Fields(value, "charge")
    kind, name = fields.text("kind"), fields.text("name")
    if kind not in KINDS:
        raise MalformedTariff(f"unknown kind of charge {kind!r}")
    try:
        charge = KINDS[kind].from_fields(name, fields)
        fields.done()
    except MalformedTariff as error:
        raise error.within(f"charge {name}") from None
    return charge
