# SPDX-License-Identifier: Apache-2.0
"""Charges by the kilowatt-hour at a price that does not depend on how much is used.

Prices are integers in 10^-6 of the currency for a kilowatt-hour, energy is in whole watt-hours, so
an amount is exact in 10^-9 of the currency. A negative price is a credit; feed-in is a charge on
the export register whose prices are negative.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.timetable import Timetable, bands_of, timetable_from_canonical
from tariffs.usage import ChargeLine, KnownUsage, Part, Register, utc_text

MAX_PRICE: Final = 10**15
"""A thousand million of the currency for a kilowatt-hour, in micro-units; catches nonsense."""


def check_price(price: int) -> None:
    """Refuse a price beyond all reason."""
    if abs(price) > MAX_PRICE:
        raise MalformedTariff("the price is beyond all reason")


@dataclass(frozen=True, slots=True)
class EnergyCharge:
    """A price for each kilowatt-hour, by band; a flat price is the case of one band."""

    kind: ClassVar = "energy"

    name: str
    timetable: Timetable
    prices: tuple[int, ...]
    """Micro-units per kWh, one for each of the timetable's bands."""
    register: Register = Register.IMPORT

    def __post_init__(self) -> None:
        if len(self.prices) != len(self.timetable.names):
            raise MalformedTariff("there is not one price for each band")
        for price in self.prices:
            check_price(price)

    def bands_of(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the band of each slot; raises as `timetable.bands_of` does."""
        try:
            return bands_of(self.timetable, self.prices, starts, slot_seconds)
        except UnpricedSlot as error:
            raise error.within(f"charge {self.name}") from None

    def unit_prices(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot."""
        return list(map(self.prices.__getitem__, self.bands_of(starts, slot_seconds)))

    def labels(self, starts: Sequence[int], slot_seconds: int) -> list[str]:
        """Return the name of each slot's band."""
        names = self.timetable.names
        return [names[band] for band in self.bands_of(starts, slot_seconds)]

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return a line for each band in which a slot lies."""
        energy: dict[int, int] = {}
        bands = self.bands_of(usage.starts, usage.seconds)
        for band, use in zip(bands, usage.energy(self.register), strict=True):
            energy[band] = energy.get(band, 0) + use
        names, prices = self.timetable.names, self.prices
        return [
            ChargeLine(names[band], energy[band], "Wh", prices[band], energy[band] * prices[band])
            for band in sorted(energy)
        ]

    def slot_amounts(self, part: Part, usage: KnownUsage) -> list[int]:
        """Return the amount of each slot."""
        prices = self.unit_prices(usage.starts, usage.seconds)
        energy = usage.energy(self.register)
        return [price * use for price, use in zip(prices, energy, strict=True)]

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        return {
            "timetable": self.timetable.canonical(),
            "prices": self.prices,
            "register": self.register,
        }

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "EnergyCharge":
        """Return the charge that a document holds."""
        return cls(
            name,
            timetable_from_canonical(fields.value("timetable")),
            fields.integers("prices"),
            fields.choice("register", Register),
        )


@dataclass(frozen=True, slots=True)
class PriceSeries:
    """A price for each step of a stretch of time, as markets set them; gaps are None."""

    begin: int
    step_seconds: int
    prices: tuple[int | None, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if self.step_seconds <= 0 or not self.prices or not any(p is not None for p in self.prices):
            raise MalformedTariff("a series has prices, and their steps have a length")
        for price in self.prices:
            check_price(price or 0)

    def price_of(self, start: int, slot_seconds: int) -> int:
        """Return a slot's price; raise `UnpricedSlot` if it has none, or more than one."""
        first = (start - self.begin) // self.step_seconds
        last = (start + slot_seconds - 1 - self.begin) // self.step_seconds
        found = set(self.prices[first : last + 1]) if first >= 0 else set()
        if not found or None in found or last >= len(self.prices):
            raise UnpricedSlot(f"the series has no price at {utc_text(start)}", start=start)
        if len(found) > 1:
            raise UnpricedSlot(
                f"the slot of {slot_seconds} s at {utc_text(start)} has several prices", start=start
            )
        price = found.pop()
        assert price is not None
        return price

    def prices_of(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot."""
        begin, step, count = self.begin, self.step_seconds, len(self.prices)
        fits = step % slot_seconds == 0
        prices = []
        for start in starts:
            index, rest = divmod(start - begin, step)
            price = (
                self.prices[index] if fits and rest % slot_seconds == 0 <= index < count else None
            )
            prices.append(self.price_of(start, slot_seconds) if price is None else price)
        return prices

    # Wide enough for every price; the lowest value of that width stands for a gap.

    def _format(self) -> tuple[str, int]:
        width = 4 if all(abs(price or 0) < 1 << 31 for price in self.prices) else 8
        return f">{len(self.prices)}{'iq'[width // 8]}", -(1 << 8 * width - 1)

    def canonical(self) -> CborValue:
        """Return the series as a document holds it: big-endian integers of 4 or 8 bytes."""
        form, gap = self._format()
        packed = struct.pack(form, *(gap if price is None else price for price in self.prices))
        return {
            "begin": self.begin,
            "step": self.step_seconds,
            "count": len(self.prices),
            "prices": packed,
        }

    @classmethod
    def from_canonical(cls, value: CborValue) -> "PriceSeries":
        """Return the series that a document holds."""
        fields = TariffReader(value, "series")
        begin, step = fields.integer("begin"), fields.integer("step")
        count, packed = fields.integer("count"), fields.data("prices")
        fields.done()
        width = len(packed) // count if count > 0 else 0
        if width not in (4, 8) or len(packed) != width * count:
            raise MalformedTariff("the prices of a series are not of 4 or 8 bytes each")
        gap = -(1 << 8 * width - 1)
        prices = struct.unpack(f">{count}{'iq'[width // 8]}", packed)
        return cls(begin, step, tuple(None if price == gap else price for price in prices))


@dataclass(frozen=True, slots=True)
class SeriesCharge:
    """A price for each kilowatt-hour that changes with every step of a series."""

    kind: ClassVar = "series"

    name: str
    series: PriceSeries
    register: Register = Register.IMPORT

    def unit_prices(self, starts: Sequence[int], slot_seconds: int) -> list[int]:
        """Return the price of each slot."""
        try:
            return self.series.prices_of(starts, slot_seconds)
        except UnpricedSlot as error:
            raise error.within(f"charge {self.name}") from None

    def labels(self, starts: Sequence[int], slot_seconds: int) -> list[str]:
        """Return no names: a series has no bands."""
        return [""] * len(starts)

    def slot_amounts(self, part: Part, usage: KnownUsage) -> list[int]:
        """Return the amount of each slot."""
        prices = self.unit_prices(usage.starts, usage.seconds)
        energy = usage.energy(self.register)
        return [price * use for price, use in zip(prices, energy, strict=True)]

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return one line: the prices are too many to list."""
        if not usage.starts:
            return []
        energy = sum(usage.energy(self.register))
        return [ChargeLine("", energy, "Wh", None, sum(self.slot_amounts(part, usage)))]

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        return {"series": self.series.canonical(), "register": self.register}

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "SeriesCharge":
        """Return the charge that a document holds."""
        series = PriceSeries.from_canonical(fields.value("series"))
        return cls(name, series, fields.choice("register", Register))
