# SPDX-License-Identifier: Apache-2.0
"""The exact bill: line items of whole numbers, and one rounding at the end.

Two doors lead to one computation. `compute_bill` is handed the use of every slot (the resident's
side, who has the readings); `total_from_energy_amount` is handed Σ price·use alone (the utility's
side, to which that sum was proved). Charges by the day and all steps follow from the period.

Amounts are integers in 10^-`exact_decimals` of the currency: 15 ("femto"), unless a tariff stacks
percentages upon percentages and says so by a larger number. A slot whose use is not known is
listed, and billed nothing until it is known; it is never taken for a slot without use.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import lt
from typing import Final, TypedDict

from tariffs.charges import EnergyCharge, StandingCharge, utc_text
from tariffs.clock import charged_days
from tariffs.document import Tariff, Version
from tariffs.errors import TariffError, UnbillableReadings, UnpricedSlot
from tariffs.rounding import Rounding
from tariffs.steps import MILLION

__all__ = ["Bill", "BillItem", "compute_bill", "total_from_energy_amount"]

MEASURED, ESTIMATED, SUBSTITUTED, MISSING = range(4)
NANO_DECIMALS: Final = 9
MICRO_DECIMALS: Final = 6
MAX_JSON_INTEGER: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class BillItem:
    """A line of a bill."""

    component: str
    """The charge or step of the tariff."""
    kind: str
    """`energy`, `standing` or `tax`."""
    label: str
    """The band, where there is one."""
    begin: int
    end: int
    """The part of the period that is billed under one version of the tariff."""
    quantity: int | None
    """Watt-hours or days; None where only the amount is known."""
    unit: str
    """`Wh`, `day`, or empty."""
    rate: int | None
    """Micro-units of the currency per kWh or day; ppm for a tax."""
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
        """Whether the use of every slot was known."""
        return not self.missing_slots

    def as_json(self) -> dict[str, object]:
        """Return the bill for `json.dumps`; integers that a double cannot hold are strings."""
        return {
            "tariff": self.tariff_name,
            "revision": self.tariff_revision,
            "tariff_digest": self.tariff_digest.hex(),
            "currency": self.currency,
            "from": utc_text(self.begin),
            "until": utc_text(self.end),
            "items": [self._item_json(item) for item in self.items],
            "total": self.total,
            "total_exact": _json_integer(self.total_exact),
            "exact_decimals": self.exact_decimals,
            "rounding": {"rule": str(self.rounding.rule), "decimals": self.rounding.decimals},
            "missing_slots": [utc_text(start) for start in self.missing_slots],
            "estimated_slots": self.estimated_slots,
            "substituted_slots": self.substituted_slots,
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
            "amount_exact": _json_integer(item.amount_exact),
        }


def _json_integer(number: int) -> int | str:
    return number if abs(number) < MAX_JSON_INTEGER else str(number)


# The two doors


def compute_bill(
    tariff: Tariff,
    starts: Sequence[int],
    slot_seconds: int,
    use_wh: Sequence[int | None],
    states: Sequence[int] | None = None,
    *,
    begin: int | None = None,
    end: int | None = None,
) -> Bill:
    """Return the bill for the slots that fill [begin, end).

    `begin` and `end` default to the first slot's start and the last slot's end. A slot is missing
    if its use is None, its state is 3 (missing), or it is absent between `begin` and `end`.
    Raises `UnbillableReadings` if the slots are not in order on one grid or a use is negative,
    `UnpricedSlot` if the tariff does not price the period or one of the slots.
    """
    slots = _Slots.check(starts, slot_seconds, use_wh, states, begin, end)
    parts = _parts(tariff, slots.begin, slots.end)
    tariff.parts(slots.starts, slot_seconds)  # refuses slots across a change of version
    lines = [_energy_items(part, slots, tariff.exact_decimals) for part in parts]
    return Bill(
        **_heading(tariff, slots.begin, slots.end),
        items=_settle(tariff, parts, lines),
        missing_slots=slots.missing,
        estimated_slots=slots.estimated,
        substituted_slots=slots.substituted,
    )


def total_from_energy_amount(tariff: Tariff, energy_nano: int, begin: int, end: int) -> Bill:
    """Return the bill for [begin, end), given Σ price·use of its slots in 10^-9 of the currency.

    The prices are those of `Tariff.prices`. Raises `UnpricedSlot` for a period outside the
    validity, `TariffError` where that one sum does not determine the bill: the period spans
    versions, or a tax is on some of the charges by energy only.
    """
    parts = _parts(tariff, begin, end)
    if len(parts) != 1:
        raise TariffError("the period spans versions of the tariff: bill each by itself")
    version = parts[0].version
    names = [charge.name for charge in version.energy_charges]
    for step in version.steps:
        if 0 < len(set(names) & set(step.on)) < len(names):
            raise TariffError(
                "it is on some of the charges by energy only: one sum does not tell the bill",
                component=f"step {step.name}",
            )
    if not names:
        raise TariffError("the tariff has no charge by energy")
    item = BillItem(
        component=names[0],
        kind=EnergyCharge.kind,
        label=" + ".join(names) if len(names) > 1 else "",
        begin=begin,
        end=end,
        quantity=None,
        unit="Wh",
        rate=None,
        amount_exact=energy_nano * 10 ** (tariff.exact_decimals - NANO_DECIMALS),
    )
    return Bill(**_heading(tariff, begin, end), items=_settle(tariff, parts, [[item]]))


class _Heading(TypedDict):
    tariff_name: str
    tariff_revision: int
    tariff_digest: bytes
    currency: str
    rounding: Rounding
    begin: int
    end: int
    exact_decimals: int


def _heading(tariff: Tariff, begin: int, end: int) -> _Heading:
    return {
        "tariff_name": tariff.name,
        "tariff_revision": tariff.revision,
        "tariff_digest": tariff.digest,
        "currency": tariff.currency,
        "rounding": tariff.rounding,
        "begin": begin,
        "end": end,
        "exact_decimals": tariff.exact_decimals,
    }


# Readings


@dataclass(frozen=True, slots=True)
class _Slots:
    """The slots whose use is known, in order, and those whose use is not."""

    begin: int
    end: int
    seconds: int
    starts: Sequence[int]
    use_wh: Sequence[int]
    missing: tuple[int, ...]
    estimated: int
    substituted: int

    @classmethod
    def check(
        cls,
        starts: Sequence[int],
        seconds: int,
        use_wh: Sequence[int | None],
        states: Sequence[int] | None,
        begin: int | None,
        end: int | None,
    ) -> "_Slots":
        if states is None:
            states = [MEASURED] * len(starts)
        if not len(starts) == len(use_wh) == len(states):
            raise UnbillableReadings("there is not one use and one state for each slot")
        if not starts and (begin is None or end is None):
            raise UnbillableReadings("there are no slots")
        if seconds <= 0 or not all(map(lt, starts, starts[1:])):
            raise UnbillableReadings("the slots have no length, or are not in order of time")
        begin = starts[0] if begin is None else begin
        end = starts[-1] + seconds if end is None else end
        grid = range(begin, end, seconds)
        if not grid or (end - begin) % seconds:
            raise UnbillableReadings(f"the period is not a whole number of slots of {seconds} s")
        for start in starts:
            if start not in grid:
                raise UnbillableReadings(f"the slot at {utc_text(start)} is not on the grid")
        if not {MEASURED, ESTIMATED, SUBSTITUTED, MISSING}.issuperset(states):
            raise UnbillableReadings("a slot's state is not 0, 1, 2 or 3")
        known = {
            start: use
            for start, use, state in zip(starts, use_wh, states, strict=True)
            if use is not None and state != MISSING
        }
        if known and min(known.values()) < 0:
            raise UnbillableReadings("the use of a slot is negative")
        kept = [state for start, state in zip(starts, states, strict=True) if start in known]
        return cls(
            begin=begin,
            end=end,
            seconds=seconds,
            starts=list(known),
            use_wh=list(known.values()),
            missing=tuple(start for start in grid if start not in known),
            estimated=kept.count(ESTIMATED),
            substituted=kept.count(SUBSTITUTED),
        )


# Settling


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the period under one version of the tariff."""

    version: Version
    begin: int
    end: int


def _parts(tariff: Tariff, begin: int, end: int) -> list[_Part]:
    if not tariff.begin <= begin < end <= tariff.end:
        raise UnpricedSlot(
            f"the period from {utc_text(begin)} to {utc_text(end)} is not within the validity of"
            f" {tariff.name}, {utc_text(tariff.begin)} to {utc_text(tariff.end)}",
            start=begin,
        )
    return [
        _Part(version, max(begin, since), min(end, until))
        for version, (since, until) in zip(
            tariff.versions, pairwise(tariff.boundaries), strict=True
        )
        if begin < until and end > since
    ]


def _energy_items(part: _Part, slots: _Slots, exact_decimals: int) -> list[BillItem]:
    here = slice(bisect_left(slots.starts, part.begin), bisect_left(slots.starts, part.end))
    starts, use_wh = slots.starts[here], slots.use_wh[here]
    scale = 10 ** (exact_decimals - NANO_DECIMALS)
    items = []
    for charge in part.version.energy_charges:
        energy: dict[int, int] = {}
        for band, use in zip(charge.bands_of(starts, slots.seconds), use_wh, strict=True):
            energy[band] = energy.get(band, 0) + use
        items += [
            BillItem(
                component=charge.name,
                kind=charge.kind,
                label=charge.schedule.names[band],
                begin=part.begin,
                end=part.end,
                quantity=energy[band],
                unit="Wh",
                rate=charge.prices[band],
                amount_exact=energy[band] * charge.prices[band] * scale,
            )
            for band in sorted(energy)
        ]
    return items


def _settle(
    tariff: Tariff, parts: Sequence[_Part], energy: Iterable[Sequence[BillItem]]
) -> tuple[BillItem, ...]:
    """Return the energy items of each part, followed by its other charges and its steps."""
    items: list[BillItem] = []
    for part, lines in zip(parts, energy, strict=True):
        items += lines
        amounts = dict.fromkeys((charge.name for charge in part.version.charges), 0)
        for line in lines:
            amounts[line.component] += line.amount_exact
        for charge in part.version.charges:
            if isinstance(charge, StandingCharge):
                item = _standing_item(tariff, part, charge)
                amounts[charge.name] = item.amount_exact
                items.append(item)
        for step in part.version.steps:
            base = sum(amounts[name] for name in step.on)
            amount, rest = divmod(base * step.ppm, MILLION)
            assert not rest, "exact_decimals leaves room for every step"
            amounts[step.name] = amount
            items.append(
                BillItem(step.name, step.kind, "", part.begin, part.end, None, "", step.ppm, amount)
            )
    return tuple(items)


def _standing_item(tariff: Tariff, part: _Part, charge: StandingCharge) -> BillItem:
    days = charged_days(tariff.zone, part.begin, part.end)
    return BillItem(
        component=charge.name,
        kind=charge.kind,
        label="",
        begin=part.begin,
        end=part.end,
        quantity=days,
        unit="day",
        rate=charge.per_day,
        amount_exact=days * charge.per_day * 10 ** (tariff.exact_decimals - MICRO_DECIMALS),
    )
