# SPDX-License-Identifier: Apache-2.0
"""What slots cost under the tariffs the resident knows.

Bills come from `tariffs.compute_bill` alone; a stretch under several tariffs is billed under each
for its time, and the sum taken.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hub.inspection.views.documents import TariffBook
from hub.inspection.views.money import Money
from hub.inspection.views.slots import SlotRun
from tariffs import (
    Bill,
    Register,
    Tariff,
    TariffError,
    billed_registers,
    combine_states,
    compute_bill,
    require_no_memory,
)

BY_ENERGY: Final = frozenset({"energy", "series", "blocks", "net", "gas"})
"""The kinds of bill items that energy makes."""
NO_TARIFF: Final = "no tariff is known for this time"


class SlotPrice(NamedTuple):
    """What holds in a slot."""

    band: str | None
    """None where no tariff is known."""
    micro: int | None
    """10^-6 of the currency for a kWh, net; None where energy has no one price."""


NOTHING: Final = SlotPrice(None, None)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a stretch costs; None with a reason where that is not known."""

    energy: Money | None = None
    whole: Money | None = None
    reason: str = ""


@dataclass(slots=True)
class Pricing:
    """Prices for the slots of one view."""

    book: TariffBook
    view: SlotRun = field(repr=False)
    _prices: list[SlotPrice] = field(init=False, repr=False)
    _amounts: dict[int, Money] | None = field(default=None, init=False, repr=False)
    _reason: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self._prices = []
        for part, tariff in self._parts(self.view):
            self._prices += _slot_prices(tariff, part)

    def slots(self, begin: int, end: int) -> Sequence[SlotPrice]:
        """Return what holds in each slot that begins in [begin, end)."""
        starts = self.view.starts
        return self._prices[bisect_left(starts, begin) : bisect_left(starts, end)]

    def bill(self, part: SlotRun) -> Costs:
        """Return what a bill for consecutive slots, by themselves, comes to."""
        bills = []
        for slots, tariff in self._parts(part):
            if tariff is None:
                return Costs(reason=NO_TARIFF)
            try:
                bills.append(bill_of(tariff, slots))
            except TariffError as error:
                return Costs(reason=str(error))
        energy = [
            Money.of_item(bill, item)
            for bill in bills
            for item in bill.items
            if item.kind in BY_ENERGY
        ]
        return Costs(Money.total(energy), Money.total(map(Money.of_bill, bills)))

    def energy(self, part: SlotRun) -> Costs:
        """Return what the charges by energy ask for slots, as parts of the whole view."""
        amounts = self._slot_amounts()
        known = [amounts[start] for start in part.starts if start in amounts]
        return Costs(Money.total(known), reason="" if known else self._reason)

    def _slot_amounts(self) -> dict[int, Money]:
        if self._amounts is None:
            self._amounts = {}
            for slots, tariff in self._parts(self.view):
                if tariff is None:
                    self._reason = NO_TARIFF
                    continue
                try:
                    bill = bill_of(tariff, slots, by_slot=True)
                except TariffError as error:
                    self._reason = str(error)
                    continue
                for slot in bill.slots:
                    self._amounts[slot.start] = Money.of_item(bill, slot)
        return self._amounts

    def _parts(self, slots: SlotRun) -> list[tuple[SlotRun, Tariff | None]]:
        if not len(slots):
            return []
        parts = self.book.parts(slots.starts[0], slots.end)
        cut = [(slots.between(begin, end), tariff) for begin, end, tariff in parts]
        return [(part, tariff) for part, tariff in cut if len(part)]


def bill_of(tariff: Tariff, slots: SlotRun, *, by_slot: bool = False) -> Bill:
    """Return the bill for consecutive slots; raises as `compute_bill` does.

    Raises `TariffError` too for a tariff with memory: these slots alone do not make its bill.
    """
    if len(slots):
        require_no_memory(tariff, slots.starts[0], slots.end)
    states: Sequence[int] = slots.states
    if slots.fed_in_states is not None and len(slots):
        known = {Register.IMPORT: slots.states, Register.EXPORT: slots.fed_in_states}
        registers = billed_registers(tariff, slots.starts[0], slots.end)
        states = combine_states([known[register] for register in registers])
    return compute_bill(
        tariff,
        slots.starts,
        slots.seconds,
        slots.use_wh,
        states,
        export_wh=slots.fed_in_wh,
        by_slot=by_slot,
    )


def _slot_prices(tariff: Tariff | None, slots: SlotRun) -> list[SlotPrice]:
    if tariff is None:
        return [NOTHING] * len(slots)
    try:
        bands: Sequence[str | None] = tariff.bands(slots.starts, slots.seconds)
    except TariffError:
        bands = [None] * len(slots)
    try:
        prices: Sequence[int | None] = tariff.drawn_prices(slots.starts, slots.seconds)
    except TariffError:
        prices = [None] * len(slots)
    return list(map(SlotPrice, bands, prices))
