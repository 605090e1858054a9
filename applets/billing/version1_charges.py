# SPDX-License-Identifier: Apache-2.0
"""The bill of exact amounts, as it was proved up to release 0.1. Frozen: ledgers hold such bills.

No bill is planned like this any more (`charges`): the amounts of all charges were opened, and the
steps followed in public. Where the bill follows from one sum of price times use over all slots,
that one `Sum` was proved; anywhere else the amounts of `metered`, those of the export register by
themselves, over its own certified days, after those of the import register.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from applets.billing.metered import ChargedAmount, charged_amounts, energy_amount
from protocols.amounts import Amount, SlotForm, Sum
from tariffs import (
    Bill,
    MeteredPart,
    MissingRule,
    Register,
    Tariff,
    TariffError,
    UnpricedSlot,
    billed_registers,
    metered_parts,
    total_from_amounts,
    total_from_energy_amount,
)

MISSING = 3
MOST_COMPARISONS = 4096
"""As the platform allows; a month of quarter-hours has 2,976 windows."""


def is_one_sum(tariff: Tariff, begin: int, end: int, states: Sequence[int]) -> bool:
    """Tell whether the bill follows from one sum of price times use.

    Raises `UnpricedSlot` for a period outside the tariff's validity.
    """
    if tariff.missing is not MissingRule.OMIT and MISSING in states:
        return False
    try:
        total_from_energy_amount(tariff, 0, begin, end)
    except UnpricedSlot:
        raise
    except TariffError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one amount is for: a charge of a part, or (name None) the part's energy."""

    part: int
    name: str | None
    register: Register
    amount: Amount
    nano: Callable[[int], int]
    """From the value to 10^-9 of the currency, or to watt-hours."""


@dataclass(frozen=True, slots=True)
class ExactPlan:
    """Which amounts to prove, and what they make of a bill."""

    tariff: Tariff
    begin: int
    end: int
    parts: tuple[MeteredPart, ...]
    """None where one sum of price times use makes the bill."""
    claims: tuple[_Claim, ...]
    """Those of the import register before those of the export register."""

    @property
    def is_one_sum(self) -> bool:
        """Whether one sum of price times use makes the bill."""
        return not self.parts

    def amounts(self, register: Register) -> tuple[Amount, ...]:
        """Return what is to be proved of a register, in order."""
        return tuple(claim.amount for claim in self.claims if claim.register is register)

    def bill(self, values: Sequence[int]) -> Bill:
        """Return the bill that follows from the amounts' values, import before export."""
        if self.is_one_sum:
            [energy_amount] = values
            return total_from_energy_amount(self.tariff, energy_amount, self.begin, self.end)
        known = [{charge.name: 0 for charge in one.version.metered} for one in self.parts]
        energy = [0] * len(self.parts)
        for claim, value in zip(self.claims, values, strict=True):
            if claim.name is None:
                energy[claim.part] = claim.nano(value)
            else:
                known[claim.part][claim.name] += claim.nano(value)
        return total_from_amounts(self.tariff, known, self.begin, self.end, energy)


def plan_exact_bill(
    tariff: Tariff,
    starts: Sequence[int],
    slot_seconds: int,
    states: Sequence[int],
    begin: int,
    end: int,
) -> ExactPlan:
    """Return what has to be proved of a period; raise `TariffError` for what cannot be.

    `states` are those of the bill: `combine_states` of the registers it depends on.
    """
    parts, claims = list[MeteredPart](), list[_Claim]()
    if is_one_sum(tariff, begin, end, states):
        form = SlotForm.of_each(tariff.prices(starts, slot_seconds))
        claims += [_Claim(0, None, Register.IMPORT, Sum(form), int)] if form.runs else []
    else:
        parts = metered_parts(tariff, starts, slot_seconds, states, begin, end)
    for number, one in enumerate(parts):
        for charge in one.version.metered:
            claims += [
                _Claim(number, charge.name, amount.register, amount.amount, _nano(amount))
                for amount in charged_amounts(one, charge)
            ]
        if energy := energy_amount(one):
            claims.append(_Claim(number, None, Register.IMPORT, energy, int))
    plan = ExactPlan(tariff, begin, end, tuple(parts), _in_order(claims))
    for register in billed_registers(tariff, begin, end):
        amounts = plan.amounts(register)
        if not amounts:
            what = "used" if register is Register.IMPORT else "fed in"
            raise TariffError(f"nothing of the bill depends on what was {what}")
        if sum(amount.comparisons for amount in amounts) > MOST_COMPARISONS:
            raise TariffError(f"the bill takes more than {MOST_COMPARISONS} comparisons to prove")
    return plan


def _in_order(claims: Sequence[_Claim]) -> tuple[_Claim, ...]:
    return tuple(claim for one in Register for claim in claims if claim.register is one)


def _nano(charged: ChargedAmount) -> Callable[[int], int]:
    return int if charged.peaks is None else charged.peaks.nano
