# SPDX-License-Identifier: Apache-2.0
"""The bill: line items of whole numbers, and one rounding at the end.

Amounts are integers in 10^-`exact_decimals` of the currency: 15 ("femto"), unless a tariff stacks
percentages upon percentages and says so by a larger number. A slot whose use is not known is
listed, and billed as the tariff's rule says; it is never taken for a slot without use.
"""

from dataclasses import dataclass

from tariffs.memory import BillMemory
from tariffs.rounding import Rounding
from tariffs.usage import utc_text


@dataclass(frozen=True, slots=True)
class BillItem:
    """A line of a bill."""

    component: str
    """The charge or step of the tariff."""
    kind: str
    """The kind of the charge or step, or `rounding`."""
    label: str
    """The band, where there is one."""
    begin: int
    end: int
    """The part of the period that is billed under one version of the tariff."""
    quantity: int | None
    """Watt-hours, litres, watts, days or months; None where there is none, or it is not known."""
    unit: str
    """`Wh`, `l`, `W`, `day`, `month`, `quarter`, `year`, `period`, or empty."""
    rate: int | None
    """Micro-units of the currency for a kWh, m3, kW or the unit; ppm for a tax or rebate."""
    amount_exact: int
    """In 10^-`exact_decimals` of the bill."""


@dataclass(frozen=True, slots=True)
class SlotItem:
    """What one slot adds to the charges by energy, before steps; demand charges have no slots."""

    start: int
    import_wh: int
    export_wh: int | None
    band: str
    amount_exact: int
    """In 10^-`exact_decimals` of the bill."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What is to be paid for [begin, end), exactly and rounded."""

    tariff_name: str
    tariff_revision: int
    tariff_digest: bytes
    currency: str
    rounding: Rounding
    begin: int
    end: int
    items: tuple[BillItem, ...]
    exact_decimals: int
    missing_slots: tuple[int, ...] = ()
    """The starts of the slots that are not billed because their use is unknown."""
    estimated_slots: int = 0
    substituted_slots: int = 0
    """By the meter or the hub, before the bill."""
    substitutions: tuple[tuple[int, int], ...] = ()
    """Slots billed with the use of another by the tariff's own rule: start, and the other's."""
    slots: tuple[SlotItem, ...] = ()
    """What each slot adds to the charges by energy, where that was asked for."""
    memory: BillMemory | None = None
    """What the next bill goes on from; None where the tariff has no memory."""
    is_last: bool = False
    """Whether the contract ends with it: then what it goes on from is settled, and none is left."""

    @property
    def total_exact(self) -> int:
        """The sum of the items, in 10^-`exact_decimals` of the currency."""
        return sum(item.amount_exact for item in self.items)

    @property
    def total(self) -> str:
        """The sum, rounded once by the tariff's rule."""
        return self.rounding.text(self.total_exact, self.exact_decimals)

    @property
    def complete(self) -> bool:
        """Whether the use of every slot was known, or substituted by the tariff's rule."""
        return not self.missing_slots

    def as_json(self) -> dict[str, object]:
        """Return the bill for `json.dumps`; exact amounts are integers of any length."""
        data: dict[str, object] = {
            "tariff": self.tariff_name,
            "revision": self.tariff_revision,
            "tariff_digest": self.tariff_digest.hex(),
            "currency": self.currency,
            "from": utc_text(self.begin),
            "until": utc_text(self.end),
            "items": [self._item_json(item) for item in self.items],
            "total": self.total,
            "total_exact": self.total_exact,
            "exact_decimals": self.exact_decimals,
            "rounding": {"rule": str(self.rounding.rule), "decimals": self.rounding.decimals},
            "missing_slots": [utc_text(start) for start in self.missing_slots],
            "estimated_slots": self.estimated_slots,
            "substituted_slots": self.substituted_slots,
            "substitutions": [
                {"slot": utc_text(slot), "by": utc_text(other)}
                for slot, other in self.substitutions
            ],
        }
        if self.slots:
            data["slots"] = [self._slot_json(slot) for slot in self.slots]
        if self.memory is not None:
            data["memory"] = {
                "until": utc_text(self.memory.end),
                "values": self.memory.as_json(),
            }
        if self.is_last:
            data["last"] = True
        return data

    @staticmethod
    def _slot_json(slot: SlotItem) -> dict[str, object]:
        return {
            "start": utc_text(slot.start),
            "import_wh": slot.import_wh,
            "export_wh": slot.export_wh,
            "band": slot.band,
            "amount_exact": slot.amount_exact,
        }

    @staticmethod
    def _item_json(item: BillItem) -> dict[str, object]:
        return {
            "component": item.component,
            "kind": item.kind,
            "label": item.label,
            "from": utc_text(item.begin),
            "until": utc_text(item.end),
            "quantity": item.quantity,
            "unit": item.unit,
            "rate": item.rate,
            "amount_exact": item.amount_exact,
        }
