# SPDX-License-Identifier: Apache-2.0
"""Net metering: what is fed in is taken off what is drawn, by interval and, where there are, band.

The difference of an interval, drawn less fed in, has one price where more was drawn and a credit
where more was fed in. Three rules say what happens between bills:

    (none)      each bill settles the intervals by itself
    CUMULATIVE  the difference goes on over the bills of a month, quarter or year: a bill asks what
                the difference so far and its own come to, less what the one so far came to
    CARRY       a surplus pays for later bills of the year, kilowatt-hour for kilowatt-hour; what
                is left at the end of the year or contract has the price of a credit, or ends
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import WHOLE, Arithmetic, V
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.memory import MemoryKey, MemoryLine, MemoryShape, Quantity, slots_by_key
from tariffs.periods import (
    MONTHS,
    NEW_YEAR,
    Interval,
    Stretch,
    YearStart,
    check_year_start,
    interval_days,
    read_year_start,
    stretches,
    year_start_member,
)
from tariffs.timetable import Timetable, bands_of, timetable_from_canonical
from tariffs.usage import ChargeLine, KnownUsage, Part, Register


class NetRule(enum.StrEnum):
    """What happens between bills."""

    ALONE = "alone"
    CUMULATIVE = "cumulative"
    CARRY = "carry"


@dataclass(frozen=True, slots=True)
class NetCharge:
    """A price for each kilowatt-hour drawn beyond what is fed in, and a credit for the reverse."""

    kind: ClassVar = "net"

    name: str
    timetable: Timetable
    prices: tuple[tuple[int, int], ...]
    """For each band, in micro-units per kWh: the price of what is drawn, the credit, from 0 on."""
    interval: Interval
    rule: NetRule = NetRule.ALONE
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        if len(self.prices) != len(self.timetable.names):
            raise MalformedTariff("there are not prices for each band")
        for price, credit in self.prices:
            check_price(price)
            check_price(credit)
            if credit < 0:
                raise MalformedTariff("a credit for what is fed in is not below 0")
        check_year_start(self.year_begins)
        if self.rule is NetRule.CUMULATIVE and self.interval not in MONTHS:
            raise MalformedTariff("what is cumulative is so in each month, quarter or year")
        if self.rule is NetRule.CARRY and self.interval is not Interval.PERIOD:
            raise MalformedTariff(
                "a surplus is carried from bill to bill: the interval is 'period'"
            )
        yearly = self.interval is Interval.YEAR or self.rule is NetRule.CARRY
        if self.year_begins != NEW_YEAR and not yearly:
            raise MalformedTariff("'year_begins' goes with something yearly")

    @property
    def memory_shape(self) -> MemoryShape | None:
        """What is carried: the difference so far, or the surplus of the year."""
        if self.rule is NetRule.ALONE:
            return None
        carries = self.rule is NetRule.CARRY
        return MemoryShape(
            kind=f"{self.kind} {self.rule}",
            name=self.name,
            quantity=Quantity.WATT_HOURS if carries else Quantity.NET_WATT_HOURS,
            bands=self.timetable.names,
            interval=Interval.YEAR if carries else self.interval,
            year_begins=self.year_begins,
            is_owed=carries,
            is_yearly=carries,
        )

    def _stretches(self, part: Part) -> list[Stretch]:
        if self.rule is not NetRule.CARRY:
            return stretches(self.interval, part, self.year_begins)
        return stretches(Interval.YEAR, part, self.year_begins)  # a surplus ends with its year

    def _bands(self, usage: KnownUsage) -> list[int]:
        try:
            return bands_of(self.timetable, self.prices, usage.starts, usage.seconds)
        except UnpricedSlot as error:
            raise error.within(f"charge {self.name}") from None

    def own_slots(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, list[int]]:
        """Return which slots (their indices in `usage`) each interval and band has."""
        return slots_by_key(self.name, self._stretches(part), self._bands, usage)

    def own(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, int]:
        """Return what was drawn less what was fed in, of each interval and band."""
        drawn, fed = usage.energy(Register.IMPORT), usage.energy(Register.EXPORT)
        found = self.own_slots(part, usage)
        return {key: sum(drawn[i] - fed[i] for i in slots) for key, slots in found.items()}

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return the lines of a charge without memory."""
        lines, _ = self.remembered(part, self.own(part, usage), {}, WHOLE)
        return [ChargeLine(one.label, one.quantity, one.unit, one.rate, one.nano) for one in lines]

    def remembered(
        self,
        part: Part,
        own: Mapping[MemoryKey, V],
        carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[list[MemoryLine[V]], dict[MemoryKey, V]]:
        """Return lines for what is drawn and what is fed in, and what is carried on."""
        lines = list[MemoryLine[V]]()
        carried = {key: value for key, value in carried.items() if key.component == self.name}
        known = dict(carried)
        for key, net in own.items():
            before = carried.get(key)
            if self.rule is NetRule.CARRY:
                known[key] = self._with_surplus(key, net, before, part, lines, arithmetic)
            else:
                known[key] = self._counted_on(key, net, before, lines, arithmetic)
        shape = self.memory_shape
        kept = {} if shape is None else shape.kept(known, part.clock.day_of(part.end))
        if self.rule is NetRule.CARRY:
            lines += self._left_over(carried, own, part)
        return lines, kept

    def _counted_on(
        self, key: MemoryKey, net: V, before: V | None, lines: list[MemoryLine[V]],
        arithmetic: Arithmetic[V],
    ) -> V:  # fmt: skip
        after = net if before is None else before + net
        drawn = arithmetic.most(after, arithmetic.constant(0))
        fed = drawn - after
        if before is not None:
            drawn_before = arithmetic.most(before, arithmetic.constant(0))
            drawn, fed = drawn - drawn_before, fed - (drawn_before - before)
        price, credit = self.prices[key.part]
        lines.append(self._line(key, "drawn", drawn, price))
        lines.append(self._line(key, "fed in", fed, -credit))
        return after

    def _with_surplus(
        self, key: MemoryKey, net: V, before: V | None, part: Part, lines: list[MemoryLine[V]],
        arithmetic: Arithmetic[V],
    ) -> V:  # fmt: skip
        owed = net if before is None else net - before
        drawn = arithmetic.most(owed, arithmetic.constant(0))
        surplus = drawn - owed
        price, credit = self.prices[key.part]
        lines.append(self._line(key, "drawn", drawn, price))
        if self._ends_in(key, part):
            lines.append(self._line(key, "surplus", surplus, -credit))
        return surplus

    def _left_over(
        self, carried: Mapping[MemoryKey, V], own: Mapping[MemoryKey, V], part: Part
    ) -> list[MemoryLine[V]]:
        """Return what is left of bands that the bill which settles it had nothing of."""
        return [
            self._line(key, "surplus", value, -self.prices[key.part][1])
            for key, value in sorted(carried.items(), key=lambda item: item[0])
            if key not in own and self._ends_in(key, part)
        ]

    def _ends_in(self, key: MemoryKey, part: Part) -> bool:
        _, after = interval_days(Interval.YEAR, key.day, self.year_begins)
        return part.is_last or part.clock.day_begin(after) <= part.end

    def _line(self, key: MemoryKey, label: str, energy: V, rate: int) -> MemoryLine[V]:
        parts = [self.timetable.names[key.part]] if len(self.prices) > 1 else []
        return MemoryLine(", ".join([*parts, label]), energy, "Wh", rate, energy * rate)

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        members: dict[int | str, CborValue] = {
            "timetable": self.timetable.canonical(),
            "prices": self.prices,
            "interval": self.interval,
            "rule": self.rule,
        }
        return members | year_start_member(self.year_begins)

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "NetCharge":
        """Return the charge that a document holds."""
        return cls(
            name,
            timetable_from_canonical(fields.value("timetable")),
            fields.pairs("prices"),
            fields.choice("interval", Interval),
            fields.choice("rule", NetRule),
            read_year_start(fields),
        )
