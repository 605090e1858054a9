# SPDX-License-Identifier: Apache-2.0
"""From readings to a bill, and from proved amounts to the same bill.

Two doors lead to one computation. `compute_bill` is handed the use of every slot (the resident's
side, who has the readings); `total_from_amounts` is handed what each metered charge comes to (the
utility's side, to which the amounts were proved), and `total_from_energy_amount` the one sum
Σ price·use where that determines the bill. Fixed charges and all steps follow from the period.

Where a tariff has memory, a bill goes on from what the one before handed on (`Bill.memory`). The
last bill of a contract settles it all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import add
from typing import Final

from tariffs._slots import BilledSlots
from tariffs.arithmetic import WHOLE
from tariffs.bill import Bill, BillItem, SlotItem
from tariffs.blocks import BlockCharge
from tariffs.charges import Charge, FixedCharge, registers_of, remembers
from tariffs.clock import ZoneClock
from tariffs.document import Tariff
from tariffs.energy import EnergyCharge, SeriesCharge
from tariffs.errors import MemoryRefused, TariffError
from tariffs.gas import GasCharge
from tariffs.memory import BillMemory, MemoryKey, MemoryLine, check_values
from tariffs.rounding import format_decimal, power_of_ten
from tariffs.settlement import settlement_of_bill
from tariffs.steps import Cap, Step, Tax
from tariffs.usage import ChargeLine, KnownUsage, Part, Register, utc_text
from tariffs.version import Version

NANO_DECIMALS: Final = 9
MICRO_DECIMALS: Final = 6


# The doors


def compute_bill(
    tariff: Tariff,
    starts: Sequence[int],
    slot_seconds: int,
    use_wh: Sequence[int | None],
    states: Sequence[int] | None = None,
    *,
    export_wh: Sequence[int | None] | None = None,
    begin: int | None = None,
    end: int | None = None,
    by_slot: bool = False,
    memory: BillMemory | None = None,
    paid: int = 0,
    is_last: bool = False,
) -> Bill:
    """Return the bill for the slots that fill [begin, end).

    `begin` and `end` default to the first slot's start and the last slot's end. A slot is missing
    if its use is None, its state is 3 (missing), or it is absent between `begin` and `end`; then
    the tariff's rule for missing slots applies. `by_slot` asks for what each slot adds.

    `memory` is that of the bill before; None says that this is the first of the contract. `paid` is
    what was paid in advance since, in 10^-6 of the currency, where the tariff has a credit.
    `is_last` says that the contract ends with this bill. Then it settles whatever the end of a year
    would, pays back what is left of a credit, and hands nothing on.

    Raises `UnbillableReadings` if the slots are not in order on one grid, a use is negative, or
    one is missing and the tariff refuses that; `UnpricedSlot` if the tariff does not price the
    period or one of the slots; `MemoryRefused` if the bill before did not end at `begin`, or
    carries what the tariff does not know.
    """
    slots = BilledSlots.check(starts, slot_seconds, use_wh, export_wh, states, begin, end)
    slots = slots.under(tariff.missing)
    parts = _parts(tariff, slots.begin, slots.end, is_last=is_last)
    tariff.parts(slots.usage.starts, slot_seconds)  # refuses slots across a change of version
    run = _Run.begin(tariff, slots.begin, slots.end, memory, is_last=is_last)
    slot_items: list[SlotItem] = []
    for one in parts:
        use = slots.usage.between(one.part.begin, one.part.end)
        slot_items += _slot_items(tariff, one, use, run.carried) if by_slot else ()
        run.add(one, use)
    run.settle(paid)
    return replace(
        _bill(tariff, slots.begin, slots.end, run.items),
        missing_slots=slots.missing,
        estimated_slots=slots.estimated,
        substituted_slots=slots.substituted,
        substitutions=slots.substitutions,
        slots=tuple(slot_items),
        memory=BillMemory(slots.end, run.carried) if tariff.has_memory else None,
        is_last=is_last,
    )


def total_from_amounts(
    tariff: Tariff,
    amounts: Sequence[Mapping[str, int]],
    begin: int,
    end: int,
    energy_wh: Sequence[int] | None = None,
) -> Bill:
    """Return the bill for [begin, end), given what each metered charge comes to.

    `amounts` has, for each version that the period touches in order, the amount of every metered
    charge by name, in 10^-9 of the currency; `energy_wh` the energy drawn, which caps by the
    kilowatt-hour need. Raises `TariffError` if amounts are missing or too many, `UnpricedSlot` for
    a period outside the validity.
    """
    parts = _parts(tariff, begin, end)
    require_no_memory(tariff, begin, end)
    if len(amounts) != len(parts) or (energy_wh is not None and len(energy_wh) != len(parts)):
        raise TariffError(f"the period touches {len(parts)} versions, the amounts do not")
    items: list[BillItem] = []
    for number, (one, known) in enumerate(zip(parts, amounts, strict=True)):
        if known.keys() != {charge.name for charge in one.version.metered}:
            raise TariffError("the amounts are not those of the tariff's metered charges")
        lines = {name: [ChargeLine("", None, "", None, nano)] for name, nano in known.items()}
        energy = None if energy_wh is None else energy_wh[number]
        items += _PartRun(tariff, one, lines, energy, {}).run()[0]
    return _bill(tariff, begin, end, items)


def total_from_energy_amount(tariff: Tariff, energy_nano: int, begin: int, end: int) -> Bill:
    """Return the bill for [begin, end), given Σ price·use of its slots in 10^-9 of the currency.

    The prices are those of `Tariff.prices`. Raises `UnpricedSlot` for a period outside the
    validity, `TariffError` where that one sum does not determine the bill: the period spans
    versions, a charge is not by the slot's price, or a step tells the charges apart.
    """
    parts = _parts(tariff, begin, end)
    require_no_memory(tariff, begin, end)
    if len(parts) != 1:
        raise TariffError("the period spans versions of the tariff: bill each by itself")
    version = parts[0].version
    names = [charge.name for charge in version.linear]
    if not names:
        raise TariffError("the tariff has no charge by energy")
    for step in version.steps:
        if 0 < len(set(names) & set(step.on)) < len(names):
            raise TariffError(
                "it is on some of the charges by energy only: one sum does not tell the bill",
                component=f"step {step.name}",
            )
    if len(names) > 1 and set(names) & version.rounded.keys():
        raise TariffError("charges are rounded by themselves: one sum does not tell the bill")
    lines: dict[str, list[ChargeLine]] = {name: [] for name in names}
    label = " + ".join(names) if len(names) > 1 else ""
    lines[names[0]].append(ChargeLine(label, None, "Wh", None, energy_nano))
    return _bill(tariff, begin, end, _PartRun(tariff, parts[0], lines, None, {}).run()[0])


@dataclass(frozen=True, slots=True)
class MeteredPart:
    """A part of a period under one version: what its metered charges are worked out from."""

    version: Version
    part: Part
    places: KnownUsage
    """The slots that are billed; in the place of each one's use, the place of the slot that it is
    taken from: its own, or that of the one which stands in for it."""


def metered_parts(
    tariff: Tariff, starts: Sequence[int], slot_seconds: int, states: Sequence[int],
    begin: int, end: int, *, is_last: bool = False,
) -> list[MeteredPart]:  # fmt: skip
    """Return what a bill for [begin, end) is worked out from, without anything that was used.

    For both sides of a proof of the amounts. Raises as `compute_bill` does.
    """
    slots = BilledSlots.check(starts, slot_seconds, range(len(starts)), None, states, begin, end)
    slots = slots.under(tariff.missing)
    tariff.parts(slots.usage.starts, slot_seconds)
    return [
        MeteredPart(one.version, one.part, slots.usage.between(one.part.begin, one.part.end))
        for one in _parts(tariff, begin, end, is_last=is_last)
    ]


def require_no_memory(tariff: Tariff, begin: int, end: int) -> None:
    """Raise `TariffError` if a bill for [begin, end) depends on those before.

    Raises `UnpricedSlot` for a period outside the validity.
    """
    for one in _parts(tariff, begin, end):
        for name in one.version.memory_shapes:
            raise TariffError(
                "a tariff with memory: the bill depends on those before", component=name
            )


def billed_registers(tariff: Tariff, begin: int, end: int) -> tuple[Register, ...]:
    """Return the registers that a bill for [begin, end) depends on, import before export.

    A bill that depends on neither is said to be on the import register. Raises `UnpricedSlot` for a
    period outside the validity.
    """
    found: set[Register] = set()
    for one in _parts(tariff, begin, end):
        for charge in one.version.metered:
            found.update(registers_of(charge))
        if any(isinstance(step, Cap) and step.per is None for step in one.version.steps):
            found.add(Register.IMPORT)
    return tuple(one for one in Register if one in found) or (Register.IMPORT,)


def _bill(tariff: Tariff, begin: int, end: int, items: Sequence[BillItem]) -> Bill:
    return Bill(
        tariff_name=tariff.name,
        tariff_revision=tariff.revision,
        tariff_digest=tariff.digest,
        currency=tariff.currency,
        rounding=tariff.rounding,
        begin=begin,
        end=end,
        items=tuple(items),
        exact_decimals=tariff.exact_decimals,
    )


# Parts of a period, and what is due for each


def part_of_all(tariff: Tariff, begin: int, end: int, *, is_last: bool) -> Part:
    """Return the whole of a bill for [begin, end) as one part."""
    clock, rule = ZoneClock(tariff.zone), tariff.rounding.rule
    return Part(begin, end, begin, end, clock, rule, is_last)


@dataclass(frozen=True, slots=True)
class _Piece:
    version: Version
    part: Part


def _parts(tariff: Tariff, begin: int, end: int, *, is_last: bool = False) -> list[_Piece]:
    """Return the parts of a bill, in order; the last one of a contract's last bill says so."""
    tariff.require_validity(begin, end)
    whole = part_of_all(tariff, begin, end, is_last=is_last)
    return [
        _Piece(
            version,
            replace(
                whole,
                begin=max(begin, since),
                end=min(end, until),
                is_last=is_last and end <= until,
            ),
        )
        for version, (since, until) in zip(
            tariff.versions, pairwise(tariff.boundaries), strict=True
        )
        if begin < until and end > since
    ]


@dataclass
class _Run:
    """A bill in the making: its items, and what goes on from part to part."""

    tariff: Tariff
    whole: Part
    items: list[BillItem]
    carried: dict[MemoryKey, int]

    @classmethod
    def begin(
        cls, tariff: Tariff, begin: int, end: int, memory: BillMemory | None, *, is_last: bool
    ) -> "_Run":
        """Return a bill that goes on from a memory; raise `MemoryRefused` if it cannot."""
        whole = part_of_all(tariff, begin, end, is_last=is_last)
        if memory is None:
            return cls(tariff, whole, [], {})
        if memory.end != begin:
            raise MemoryRefused(
                f"the bill before ends at {utc_text(memory.end)}, this one begins at"
                f" {utc_text(begin)}: bill in order, with none left out"
            )
        first = _parts(tariff, begin, end)[0].version
        check_values(first, memory.values, whole.clock.day_of(begin))
        return cls(tariff, whole, [], dict(memory.values))

    def add(self, piece: _Piece, use: KnownUsage) -> None:
        """Add what a part comes to."""
        lines: dict[str, Sequence[ChargeLine]] = {}
        settlement, kept = piece.version.settlement, dict[MemoryKey, int]()
        for charge in piece.version.metered:
            if remembers(charge):
                own = charge.own(piece.part, use)
                found, more = charge.remembered(piece.part, own, self.carried, WHOLE)
                lines[charge.name] = _shown(found)
                kept |= more
            else:
                lines[charge.name] = charge.lines(piece.part, use)
        run = _PartRun(self.tariff, piece, lines, sum(use.import_wh), self.carried)
        items, more = run.run()
        self.items += items
        kept |= more
        if piece.part.is_last:  # no later bill goes on from its charges and steps
            kept = {}
        if settlement is not None:  # which is on the whole bill, after its parts
            kept |= settlement.memory_shape.kept(self.carried, 0)
        self._keep(piece.version, kept, piece.part.end)

    def settle(self, paid: int) -> None:
        """Add what the settlement makes of the sum, in 10^-6; refuse `paid` where there is none."""
        pieces = _parts(self.tariff, self.whole.begin, self.whole.end)
        version, rounding = pieces[-1].version, self.tariff.rounding
        step = settlement_of_bill([one.version for one in pieces], paid)
        if step is None:
            return
        decimals = self.tariff.exact_decimals
        exact = sum(item.amount_exact for item in self.items)
        unit = power_of_ten(decimals - rounding.decimals)
        total = rounding.apply(exact, decimals)
        micro = total * power_of_ten(MICRO_DECIMALS - rounding.decimals)
        due, kept = step.remembered(self.whole, micro, paid, rounding, self.carried, WHOLE)
        label = f"{rounding.rule} to {format_decimal(1, rounding.decimals)}"
        change = (due - micro) * power_of_ten(decimals - MICRO_DECIMALS)
        self._append(step.name, "rounding", label, total * unit - exact)
        self._append(step.name, step.kind, "", change)
        shape = step.memory_shape
        others = {key: one for key, one in self.carried.items() if key.component != shape.name}
        self._keep(version, others | kept, self.whole.end)

    def _append(self, name: str, kind: str, label: str, amount: int) -> None:
        begin, end = self.whole.begin, self.whole.end
        self.items.append(BillItem(name, kind, label, begin, end, None, "", None, amount))

    def _keep(self, version: Version, kept: Mapping[MemoryKey, int], end: int) -> None:
        self.carried = self.tariff.carried_from(version, kept, end)
        for key, value in self.carried.items():
            low, high = version.memory_shapes[key.component].quantity.bounds
            if not low <= value <= high:
                raise MemoryRefused(f"{key.text!r} comes to {value}, more than can be carried")


def _shown(lines: Sequence[MemoryLine[int]]) -> list[ChargeLine]:
    """Return lines as a bill shows them: those of energy once for each label, if not 0."""
    found: dict[tuple[str, int | None], ChargeLine] = {}
    for number, line in enumerate(lines):
        label = line.label if line.unit == "Wh" else f"{line.label}/{number}"
        before = found.get((label, line.rate))
        quantity = line.quantity + ((before.quantity or 0) if before else 0)
        nano = line.nano + (before.nano if before else 0)
        found[label, line.rate] = ChargeLine(line.label, quantity, line.unit, line.rate, nano)
    return [line for line in found.values() if line.quantity or line.nano or line.unit == "W"]


@dataclass(frozen=True, slots=True)
class _PartRun:
    """The lines of one part's metered charges, to be followed by all the rest."""

    tariff: Tariff
    piece: _Piece
    lines: Mapping[str, Sequence[ChargeLine]]
    energy_wh: int | None
    carried: Mapping[MemoryKey, int]

    def run(self) -> tuple[list[BillItem], dict[MemoryKey, int]]:
        """Return the charges' items in the order of the document, then those of the steps.

        With them comes what steps with memory hand on.
        """
        items: list[BillItem] = []
        kept: dict[MemoryKey, int] = {}
        amounts: dict[str, int] = {}
        for charge in self.piece.version.charges:
            lines = self._lines(charge)
            items += [self._item(charge, line) for line in lines]
            amount = sum(line.nano for line in lines) * self._scale
            amounts[charge.name] = self._round(charge.name, amount, items)
        decimals, part = self.tariff.exact_decimals, self.piece.part
        for step in self.piece.version.steps:
            base = sum(amounts[name] for name in step.on)
            if isinstance(step, Cap) and step.is_cumulative:
                amount, more = step.remembered(part, base, decimals, self.carried, WHOLE)
                kept |= more
            else:
                amount = step.amount(base, decimals, part, self.energy_wh)
            items.append(self._step_item(step, amount))
            amounts[step.name] = self._round(step.name, amount, items)
        return items, kept

    def _lines(self, charge: Charge) -> Sequence[ChargeLine]:
        if isinstance(charge, FixedCharge):
            return charge.fixed_lines(self.piece.part)
        return self.lines[charge.name]

    @property
    def _scale(self) -> int:
        return power_of_ten(self.tariff.exact_decimals - NANO_DECIMALS)

    def _item(self, charge: Charge, line: ChargeLine) -> BillItem:
        part = self.piece.part
        return BillItem(
            component=charge.name,
            kind=charge.kind,
            label=line.label,
            begin=part.begin,
            end=part.end,
            quantity=line.quantity,
            unit=self._unit(charge, line),
            rate=line.rate,
            amount_exact=line.nano * self._scale,
        )

    def _unit(self, charge: Charge, line: ChargeLine) -> str:
        """Return the unit of a line: what is counted is litres where the meter counts these."""
        counted = line.unit == "Wh" and not isinstance(charge, GasCharge)
        return self.tariff.medium.step if counted else line.unit

    def _step_item(self, step: Step, amount: int) -> BillItem:
        part = self.piece.part
        rate = step.ppm if isinstance(step, Tax) else step.price
        return BillItem(step.name, step.kind, "", part.begin, part.end, None, "", rate, amount)

    def _round(self, name: str, amount: int, items: list[BillItem]) -> int:
        """Return the amount after the component's own rounding, whose effect is an item."""
        rounding = self.piece.version.rounded.get(name)
        if rounding is None:
            return amount
        decimals = self.tariff.exact_decimals
        rounded = rounding.apply(amount, decimals) * power_of_ten(decimals - rounding.decimals)
        part = self.piece.part
        label = f"{rounding.rule} to {format_decimal(1, rounding.decimals)}"
        difference = rounded - amount
        items.append(
            BillItem(name, "rounding", label, part.begin, part.end, None, "", None, difference)
        )
        return rounded


def _slot_items(
    tariff: Tariff, piece: _Piece, usage: KnownUsage, carried: Mapping[MemoryKey, int]
) -> list[SlotItem]:
    total = [0] * len(usage.starts)
    for charge in piece.version.metered:
        match charge:
            case BlockCharge():
                amounts = charge.slot_amounts(piece.part, usage, carried)
            case EnergyCharge() | SeriesCharge() | GasCharge():
                amounts = charge.slot_amounts(piece.part, usage)
            case _:  # powers, and what is netted, are not of a slot
                continue
        total = list(map(add, total, amounts))
    scale = power_of_ten(tariff.exact_decimals - NANO_DECIMALS)
    nothing: list[int | None] = [None] * len(usage.starts)
    exports = nothing if usage.export_wh is None else usage.export_wh
    bands = tariff.bands(usage.starts, usage.seconds)
    return [
        SlotItem(start, use, export, band, amount * scale)
        for start, use, export, band, amount in zip(
            usage.starts, usage.import_wh, exports, bands, total, strict=True
        )
    ]
