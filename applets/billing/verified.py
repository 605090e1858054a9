# SPDX-License-Identifier: Apache-2.0
"""A bill that was proved, as it is handed on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Self

from applets.common.evidence import starts_of
from protocols.carried import CarriedState
from protocols.metrology import (
    CertifiedDay,
    CertifiedPeriod,
    ExchangedMeter,
    Series,
    SlotState,
    exchanges_in,
)
from tariffs import Bill, Register, Tariff, combine_states


@dataclass(frozen=True, slots=True)
class VerifiedBill:
    """A bill that was proved."""

    total: Decimal
    """What is to be paid, rounded by the tariff's rule."""
    currency: str
    begin: int
    end: int
    tariff_name: str
    tariff_digest: bytes
    registers: tuple[Register, ...]
    """What it was proved about, import before export."""
    missing: tuple[int, ...]
    """The starts of the slots that are unknown in a register and not billed."""
    estimated: int
    """How many slots were interpolated between readings."""
    substituted: int
    days: int
    slots: int
    certified: tuple[CertifiedDay, ...] = field(default=(), repr=False)
    """The certified days of each register, in order."""
    exact: Bill | None = None
    """The exact bill, of answers of release 0.1 alone: they opened its amounts."""
    state: CarriedState | None = None
    """The carried state that the bill leaves, under a tariff with memory."""
    paid: int = 0
    """What was paid in advance of it, in 10^-6 of the currency."""
    is_last: bool = False
    """Whether the contract ends with it: it settles all, and leaves no value."""

    @property
    def exchanges(self) -> tuple[ExchangedMeter, ...]:
        """The meters that were exchanged within the period."""
        return exchanges_in(self.certified)


@dataclass(frozen=True, slots=True)
class BilledSlots:
    """The slots of a bill, which are the same in all registers that it depends on."""

    starts: tuple[int, ...]
    states: bytes
    """Of each slot, as it is for the bill: a byte of `SlotState`."""

    @classmethod
    def of(cls, certified: Sequence[CertifiedPeriod]) -> Self:
        """Return the slots of registers' certified days."""
        states = combine_states([one.states for one in certified])
        return cls(tuple(starts_of(certified[0])), bytes(states))

    @property
    def missing(self) -> tuple[int, ...]:
        """The starts of the slots that are unknown."""
        if SlotState.MISSING not in self.states:
            return ()
        slots = zip(self.starts, self.states, strict=True)
        return tuple(start for start, state in slots if state == SlotState.MISSING)


def verified_bill(
    tariff: Tariff,
    registers: tuple[Register, ...],
    certified: Mapping[Series, CertifiedPeriod],
    total: Decimal,
    bounds: tuple[int, int],
    slots: BilledSlots,
    exact: Bill | None = None,
) -> VerifiedBill:
    """Return what was proved of registers' certified days, all of which have the same slots."""
    states, (begin, end) = slots.states, bounds
    return VerifiedBill(
        total=total,
        currency=tariff.currency,
        begin=begin,
        end=end,
        tariff_name=tariff.name,
        tariff_digest=tariff.digest,
        registers=registers,
        missing=slots.missing,
        estimated=states.count(SlotState.ESTIMATED),
        substituted=states.count(SlotState.SUBSTITUTED),
        days=len(next(iter(certified.values())).days),
        slots=len(states),
        certified=tuple(day for period in certified.values() for day in period.days),
        exact=exact,
    )
