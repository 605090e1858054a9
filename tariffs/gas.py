# SPDX-License-Identifier: Apache-2.0
"""Gas by the kilowatt-hour: the meter counts its volume, the energy in it changes with time.

    energy [kWh] = volume [m3] x state number x calorific value [kWh/m3]

The state number says what the volume would be at 0 degrees and 1013.25 mbar, and has four decimals;
the calorific value is what a cubic metre of the gas that was fed in then is worth, and has three
(DVGW G 685). It changes from month to month: each value holds from its day until the next one's.
The energy of each such stretch is rounded once, half up, to whole watt-hours or kilowatt-hours.

Days are the tariff's: in a zone such as Europe/Berlin@06:00 the gas day, from six to six.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import WHOLE, Arithmetic, V
from tariffs.clock import date_of
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.memory import MemoryKey, MemoryLine
from tariffs.rounding import RoundingRule, format_decimal, power_of_ten
from tariffs.usage import ChargeLine, KnownUsage, Part, Register

STATE_DECIMALS: Final = 4
CALORIFIC_DECIMALS: Final = 3
LARGEST_STATE_NUMBER: Final = 20_000
"""2.0: a meter at twice the pressure of the air and more has a corrector of its own."""
LARGEST_CALORIFIC_VALUE: Final = 40_000
"""40 kWh/m3, above that of any gas in pipes."""
MOST_VALUES: Final = 600
WATT_HOURS: Final = 1
KILOWATT_HOURS: Final = 1_000

CalorificValue = tuple[int, int]
"""The number of the day from which on it holds, and the value in 10^-3 kWh/m3."""


@dataclass(frozen=True, slots=True)
class GasCharge:
    """A price for each kilowatt-hour of gas whose volume is counted."""

    kind: ClassVar = "gas"
    memory_shape: ClassVar = None

    name: str
    price: int
    """Micro-units for a kWh."""
    state_number: int
    """In 10^-4."""
    calorific_values: tuple[CalorificValue, ...]
    """In order of their days; at least one."""
    whole_wh: int = WATT_HOURS
    """What the energy of a stretch is rounded to: 1 or 1000 Wh."""

    def __post_init__(self) -> None:
        check_price(self.price)
        if not 0 < self.state_number <= LARGEST_STATE_NUMBER:
            raise MalformedTariff("a state number is above 0 and at most 2")
        if not 0 < len(self.calorific_values) <= MOST_VALUES:
            raise MalformedTariff(f"there are 1 to {MOST_VALUES} calorific values")
        if any(before[0] >= after[0] for before, after in pairwise(self.calorific_values)):
            raise MalformedTariff("the calorific values are not in order of their days")
        for _, value in self.calorific_values:
            if not 0 < value <= LARGEST_CALORIFIC_VALUE:
                raise MalformedTariff("a calorific value is above 0 and at most 40 kWh/m3")
        if self.whole_wh not in (WATT_HOURS, KILOWATT_HOURS):
            raise MalformedTariff("energy is rounded to whole Wh or kWh")

    @property
    def register(self) -> Register:
        """The register that it depends on."""
        return Register.IMPORT

    def own_slots(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, list[int]]:
        """Return which slots (their indices in `usage`) each calorific value holds for.

        Raises `UnpricedSlot` for a slot before the first one.
        """
        begins = [part.clock.day_begin(day) for day, _ in self.calorific_values]
        found: dict[MemoryKey, list[int]] = {}
        for slot, start in enumerate(usage.starts):
            place = bisect_right(begins, start) - 1
            if place < 0:
                first = date_of(self.calorific_values[0][0])
                raise UnpricedSlot(
                    f"charge {self.name}: its first calorific value holds from {first} on",
                    start=start,
                )
            day, _ = self.calorific_values[place]
            found.setdefault(MemoryKey(self.name, 0, day), []).append(slot)
        return found

    def own(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, int]:
        """Return the litres of the slots of each calorific value."""
        litres = usage.energy(Register.IMPORT)
        found = self.own_slots(part, usage)
        return {key: sum(litres[slot] for slot in slots) for key, slots in found.items()}

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return a line for each calorific value."""
        lines, _ = self.remembered(part, self.own(part, usage), {}, WHOLE)
        return [ChargeLine(one.label, one.quantity, one.unit, one.rate, one.nano) for one in lines]

    def slot_amounts(self, part: Part, usage: KnownUsage) -> list[int]:
        """Return what each slot adds, in 10^-9 of the currency; together they are the charge."""
        litres, values = usage.energy(Register.IMPORT), dict(self.calorific_values)
        amounts = [0] * len(usage.starts)
        for key, slots in self.own_slots(part, usage).items():
            volume = before = 0
            for slot in slots:
                volume += litres[slot]
                energy = self._energy(volume, values[key.day], WHOLE)
                amounts[slot], before = (energy - before) * self.price, energy
        return amounts

    def remembered(
        self,
        part: Part,
        own: Mapping[MemoryKey, V],
        carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[list[MemoryLine[V]], dict[MemoryKey, V]]:
        """Return a line for each calorific value; nothing is carried."""
        lines, values = list[MemoryLine[V]](), dict(self.calorific_values)
        for key, litres in own.items():
            value = values[key.day]
            energy = self._energy(litres, value, arithmetic)
            lines.append(
                MemoryLine(self._label(value), energy, "Wh", self.price, energy * self.price)
            )
        return lines, {}

    def _energy(self, litres: V, calorific_value: int, arithmetic: Arithmetic[V]) -> V:
        """Return the watt-hours in a volume: litres times kWh/m3 are watt-hours."""
        factor = self.state_number * calorific_value
        divisor = power_of_ten(STATE_DECIMALS + CALORIFIC_DECIMALS) * self.whole_wh
        whole = arithmetic.quotient(litres * factor, divisor, RoundingRule.HALF_UP)
        return whole * self.whole_wh

    def _label(self, value: int) -> str:
        state = format_decimal(self.state_number, STATE_DECIMALS)
        return f"{format_decimal(value, CALORIFIC_DECIMALS)} kWh/m3 x {state}"

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        return {
            "price": self.price,
            "state_number": self.state_number,
            "calorific_values": self.calorific_values,
            "whole_wh": self.whole_wh,
        }

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "GasCharge":
        """Return the charge that a document holds."""
        return cls(
            name,
            fields.integer("price"),
            fields.integer("state_number"),
            fields.pairs("calorific_values"),
            fields.integer("whole_wh"),
        )


def values_of(charge: GasCharge) -> Sequence[str]:
    """Return each calorific value and the day from which on it holds, in words."""
    return [
        f"{format_decimal(value, CALORIFIC_DECIMALS)} kWh/m3 from {date_of(day)}"
        for day, value in charge.calorific_values
    ]
