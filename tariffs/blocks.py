# SPDX-License-Identifier: Apache-2.0
"""Blocks: prices by how much has been used, in an interval and, where there are bands, in a band.

The first block reaches up to a limit, the next up to a higher one, the last has none. Limits come
in three kinds:

    ENERGY   watt-hours in each interval; an interval that the bill covers in part has that share
             of them, by days, rounded down to a whole watt-hour
    DAILY    watt-hours for each day of the interval on which the band is in force (an allowance
             that grows with the days of the bill, such as a baseline)
    POWER    watts, compared with the mean power of every slot by itself: the part above the limit
             has the next price

Block by time of use by season: bands of a schedule, each with blocks of its own.

Limits of energy may count on over the bills of a month, quarter or year (`is_cumulative`). They are
whole then, whatever a bill covers: it asks what the energy so far and its own come to, less what
the energy so far came to.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.arithmetic import Arithmetic, V
from tariffs.clock import day_number
from tariffs.energy import check_price
from tariffs.errors import MalformedTariff, UnbillableReadings, UnpricedSlot
from tariffs.memory import MemoryKey, MemoryLine, MemoryShape, Quantity, slots_by_key
from tariffs.periods import (
    MONTHS,
    NEW_YEAR,
    Interval,
    Stretch,
    YearStart,
    check_year_start,
    days_of,
    read_year_start,
    stretches,
    year_start_member,
)
from tariffs.timetable import Timetable, bands_of, timetable_from_canonical
from tariffs.usage import ChargeLine, KnownUsage, Part, Register

MAX_BLOCKS = 32

Block: TypeAlias = tuple[int, int]
"""The limit (0 for the last block, which has none) and the price in micro-units per kWh."""


class LimitKind(enum.StrEnum):
    """What the limits of blocks count."""

    ENERGY = "energy"
    DAILY = "daily"
    POWER = "power"


@dataclass(frozen=True, slots=True)
class BlockBucket:
    """Slots whose energy is counted together, and what its blocks cost."""

    slots: tuple[int, ...]
    """Indices of the slots in the use that was billed, in order."""
    limits: tuple[int, ...]
    """Where blocks end, in watt-hours, rising; empty and equally priced blocks are left out."""
    prices: tuple[int, ...]
    """One more than there are limits."""


@dataclass(frozen=True, slots=True)
class BlockCharge:
    """A price for each kilowatt-hour that depends on how many there are."""

    kind: ClassVar = "blocks"

    name: str
    timetable: Timetable
    blocks: tuple[tuple[Block, ...], ...]
    """For each band; the limits rise, the last block's is 0."""
    limits: LimitKind
    interval: Interval
    """Where the count begins anew; without meaning for `POWER`, then `PERIOD`."""
    register: Register = Register.IMPORT
    is_cumulative: bool = False
    """Whether the count goes on over the bills of an interval."""
    year_begins: YearStart = NEW_YEAR

    def __post_init__(self) -> None:
        check_year_start(self.year_begins)
        if self.year_begins != NEW_YEAR and self.interval is not Interval.YEAR:
            raise MalformedTariff("'year_begins' goes with something yearly")
        if self.is_cumulative:
            if self.limits is not LimitKind.ENERGY:
                raise MalformedTariff("only limits of energy can be cumulative")
            if self.interval not in MONTHS:
                raise MalformedTariff("what is cumulative is so in each month, quarter or year")
        if len(self.blocks) != len(self.timetable.names):
            raise MalformedTariff("there are not blocks for each band")
        if self.limits is LimitKind.POWER and self.interval is not Interval.PERIOD:
            raise MalformedTariff("limits of power have no interval")
        for name, blocks in zip(self.timetable.names, self.blocks, strict=True):
            limits = [limit for limit, _ in blocks]
            if not blocks or len(blocks) > MAX_BLOCKS or limits[-1] != 0:
                raise MalformedTariff(
                    "the last block, and no other, has no limit", component=f"band {name}"
                )
            if any(low >= high for low, high in pairwise([0, *limits[:-1]])):
                raise MalformedTariff("the limits of blocks must rise", component=f"band {name}")
            for _, price in blocks:
                check_price(price)

    def lines(self, part: Part, usage: KnownUsage) -> list[ChargeLine]:
        """Return a line for each band and block that is used."""
        energy: dict[tuple[int, int], int] = {}
        for band, _, spread in self._spreads(part, usage):
            for block, used in enumerate(spread):
                if used or not block:
                    energy[band, block] = energy.get((band, block), 0) + used
        return [
            ChargeLine(
                self._block_label(band, block),
                used,
                "Wh",
                self.blocks[band][block][1],
                used * self.blocks[band][block][1],
            )
            for (band, block), used in sorted(energy.items())
        ]

    def slot_amounts(
        self, part: Part, usage: KnownUsage, carried: Mapping[MemoryKey, int] | None = None
    ) -> list[int]:
        """Return what each slot added to the amount, in order of time."""
        amounts: dict[int, int] = {}
        for stretch in self._stretches(part):
            inside = usage.between(stretch.begin, stretch.end)
            so_far = {
                key.part: value
                for key, value in (carried or {}).items()
                if key.component == self.name and key.day == day_number(stretch.first)
            }
            energy = inside.energy(self.register)
            for start, band, use in zip(inside.starts, self._bands(inside), energy, strict=True):
                before = 0 if self.limits is LimitKind.POWER else so_far.get(band, 0)
                limits = self._limits(band, stretch, part, usage.seconds)
                amounts[start] = self._cost(band, before + use, limits) - self._cost(
                    band, before, limits
                )
                so_far[band] = before + use
        return [amounts[start] for start in usage.starts]

    def buckets(self, part: Part, usage: KnownUsage) -> list[BlockBucket]:
        """Return what the charge counts together, in `usage`, whose energy is not looked at."""
        found = []
        first = 0
        for stretch in self._stretches(part):
            inside = usage.between(stretch.begin, stretch.end)
            members: dict[tuple[int, int], list[int]] = {}
            for index, band in enumerate(self._bands(inside), start=first):
                alone = index if self.limits is LimitKind.POWER else 0
                members.setdefault((band, alone), []).append(index)
            for (band, _), slots in members.items():
                limits = self._limits(band, stretch, part, usage.seconds)
                found.append(self._bucket(slots, limits, self.blocks[band]))
            first += len(inside.starts)
        return found

    # The same charge with memory

    @property
    def memory_shape(self) -> MemoryShape | None:
        """What is carried: the energy so far of the interval that goes on."""
        if not self.is_cumulative:
            return None
        return MemoryShape(
            kind=self.kind if self.register is Register.IMPORT else f"{self.kind} {self.register}",
            name=self.name,
            quantity=Quantity.WATT_HOURS,
            bands=self.timetable.names,
            interval=self.interval,
            year_begins=self.year_begins,
        )

    def own_slots(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, list[int]]:
        """Return which slots (their indices in `usage`) each interval and band has."""
        return slots_by_key(self.name, self._stretches(part), self._bands, usage)

    def own(self, part: Part, usage: KnownUsage) -> dict[MemoryKey, int]:
        """Return the energy of each interval and band."""
        energy = usage.energy(self.register)
        found = self.own_slots(part, usage)
        return {key: sum(energy[slot] for slot in slots) for key, slots in found.items()}

    def remembered(
        self,
        part: Part,
        own: Mapping[MemoryKey, V],
        carried: Mapping[MemoryKey, V],
        arithmetic: Arithmetic[V],
    ) -> tuple[list[MemoryLine[V]], dict[MemoryKey, V]]:
        """Return a line for each interval, band and block, and what is carried on."""
        lines, known = list[MemoryLine[V]](), dict(carried)
        for key, energy in own.items():
            before = carried.get(key, arithmetic.constant(0))
            known[key] = after = before + energy
            since = self._block_energy(key.part, before, arithmetic)
            until = self._block_energy(key.part, after, arithmetic)
            for number, (_, price) in enumerate(self.blocks[key.part]):
                used, label = until[number] - since[number], self._block_label(key.part, number)
                lines.append(MemoryLine(label, used, "Wh", price, used * price))
        shape = self.memory_shape
        assert shape is not None
        return lines, shape.kept(known, part.clock.day_of(part.end))

    def _block_energy(self, band: int, energy: V, arithmetic: Arithmetic[V]) -> list[V]:
        """Return how much of an energy lies in each block."""
        nothing = arithmetic.constant(0)
        above = [energy] + [
            arithmetic.most(energy - arithmetic.constant(limit), nothing)
            for limit, _ in self.blocks[band][:-1]
        ]
        return [low - high for low, high in pairwise([*above, nothing])]

    def _block_label(self, band: int, block: int) -> str:
        label = f"block {block + 1}"
        return f"{self.timetable.names[band]}, {label}" if len(self.blocks) > 1 else label

    @staticmethod
    def _bucket(slots: list[int], limits: list[int], blocks: Sequence[Block]) -> BlockBucket:
        ends, prices, below = list[int](), [blocks[0][1]], 0
        for limit, (_, price) in zip(limits, blocks[1:], strict=True):
            if limit <= below:  # shares of small limits leave a block no room
                prices[-1] = price
            elif price != prices[-1]:
                ends.append(limit)
                prices.append(price)
                below = limit
        return BlockBucket(tuple(slots), tuple(ends), tuple(prices))

    # The spread of energy over blocks

    def _bands(self, usage: KnownUsage) -> list[int]:
        try:
            return bands_of(self.timetable, self.blocks, usage.starts, usage.seconds)
        except UnpricedSlot as error:
            raise error.within(f"charge {self.name}") from None

    def _stretches(self, part: Part) -> list[Stretch]:
        return stretches(self.interval, part, self.year_begins)

    def _spreads(self, part: Part, usage: KnownUsage) -> Iterator[tuple[int, Stretch, list[int]]]:
        """Yield for every interval (or slot) and band the energy in each of the blocks."""
        for stretch in self._stretches(part):
            inside = usage.between(stretch.begin, stretch.end)
            energy = inside.energy(self.register)
            used: dict[int, int] = {}
            for band, use in zip(self._bands(inside), energy, strict=True):
                if self.limits is LimitKind.POWER:
                    limits = self._limits(band, stretch, part, usage.seconds)
                    yield band, stretch, self._spread(band, use, limits)
                else:
                    used[band] = used.get(band, 0) + use
            for band, total in used.items():
                limits = self._limits(band, stretch, part, usage.seconds)
                yield band, stretch, self._spread(band, total, limits)

    def _spread(self, band: int, energy: int, limits: list[int]) -> list[int]:
        bounds = [0, *(min(limit, energy) for limit in limits), energy]
        return [high - low for low, high in pairwise(bounds)]

    def _cost(self, band: int, energy: int, limits: list[int]) -> int:
        spread = self._spread(band, energy, limits)
        return sum(used * price for used, (_, price) in zip(spread, self.blocks[band], strict=True))

    def _limits(self, band: int, stretch: Stretch, part: Part, seconds: int) -> list[int]:
        """Return the limits of a band's blocks, but the last, in watt-hours."""
        limits = [limit for limit, _ in self.blocks[band][:-1]]
        if self.limits is LimitKind.POWER:
            if any(limit * seconds % 3600 for limit in limits):
                raise UnbillableReadings(
                    f"a limit of power makes no whole watt-hours in slots of {seconds} s",
                    component=f"charge {self.name}",
                )
            return [limit * seconds // 3600 for limit in limits]
        if self.limits is LimitKind.DAILY:
            days = self._days_in_force(band, stretch, part)
            return [limit * days for limit in limits]
        if self.is_cumulative:
            return limits
        share = stretch.share
        return [limit * share.numerator // share.denominator for limit in limits]

    def _days_in_force(self, band: int, stretch: Stretch, part: Part) -> int:
        if len(self.blocks) == 1:
            return stretch.days
        touched = {
            day
            for begin, end, this in self.timetable.segments(stretch.begin, stretch.end)
            if this == band
            for day in days_of(part.clock, begin, end)
        }
        charged = part.clock.days_charged(stretch.begin, stretch.end)
        return sum(1 for day in charged if day in touched)

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the charge as a document holds it."""
        members: dict[int | str, CborValue] = {
            "timetable": self.timetable.canonical(),
            "blocks": self.blocks,
            "limits": self.limits,
            "interval": self.interval,
            "register": self.register,
        }
        if self.is_cumulative:
            members["cumulative"] = 1
        return members | year_start_member(self.year_begins)

    @classmethod
    def from_fields(cls, name: str, fields: TariffReader) -> "BlockCharge":
        """Return the charge that a document holds."""
        return cls(
            name,
            timetable_from_canonical(fields.value("timetable")),
            fields.pairs_of_each("blocks"),
            fields.choice("limits", LimitKind),
            fields.choice("interval", Interval),
            fields.choice("register", Register),
            fields.flag("cumulative") if "cumulative" in fields else False,
            read_year_start(fields),
        )
