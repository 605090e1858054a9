# SPDX-License-Identifier: Apache-2.0
"""From a tariff to the one number that a bill tells.

Both sides run this: the applet to say what is to be proved, the recipient to know what was. The
number is the total, rounded by the tariff's own rule, over all registers that are billed. What it
is made of is proved with it and told to nobody: the amounts of the metered charges (`metered`) and
all that follows from them step by step, as `tariffs.compute_bill` reckons it:

    charge        its amounts, or for standing charges a constant
    its rounding  a quotient
    tax, rebate   a share of the items it is on
    cap, minimum  the smaller or larger one of two lines
    figure        of peaks: to watts, rounded down, at least the floor; their mean, rounded; times
                  the price, or for steps Σ change·min(1, max(0, watts − limit)); its share of the
                  interval, rounded

Amounts that are only ever added up are one sum (`reckoning`): of a tariff of prices by the slot,
with taxes and standing charges, each register's use is in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

from applets.billing.metered import (
    ChargedAmount,
    DemandPeaks,
    charged_amounts,
    energy_amount,
)
from applets.billing.reckoning import NOTHING, Line, Reckoning
from protocols.amounts import AmountsMalformed, QuotientRule, Total
from tariffs import (
    MeteredPart,
    Register,
    Tariff,
    TariffError,
    billed_registers,
    metered_parts,
    require_no_memory,
)
from tariffs.charges import Charge, FixedCharge
from tariffs.fixed import NANO_PER_MICRO
from tariffs.periods import share
from tariffs.rounding import RoundingRule, format_decimal, power_of_ten
from tariffs.steps import Minimum, Step, Tax

MOST_COMPARISONS: Final = 4096
"""As the platform allows; a month of quarter-hours has 2,976 windows."""
MILLION: Final = 10**6
NANO_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """The number to prove, and what it says."""

    registers: tuple[Register, ...]
    """What it is about, in the order of the call: import before export."""
    total: Total
    decimals: int
    """Those of the bill."""

    def amount_of(self, number: int) -> Decimal:
        """Return what is to be paid, given the number."""
        return Decimal(format_decimal(number, self.decimals))


def plan_bill(
    tariff: Tariff,
    starts: Sequence[int],
    slot_seconds: int,
    states: Sequence[int],
    begin: int,
    end: int,
) -> Plan:
    """Return what has to be proved of a period; raise `TariffError` for what cannot be.

    `states` are those of the bill: `combine_states` of the registers it depends on.
    """
    require_no_memory(tariff, begin, end)
    registers = billed_registers(tariff, begin, end)
    parts = metered_parts(tariff, starts, slot_seconds, states, begin, end)
    reckoning, total = Reckoning(), NOTHING
    for one in parts:
        total += _Part(tariff, one, registers, reckoning).total()
    divisor = power_of_ten(tariff.exact_decimals - tariff.rounding.decimals)
    try:
        number = reckoning.total(total, divisor, _rule(tariff.rounding.rule))
    except AmountsMalformed as error:
        if not total.factors:
            _require_registers(registers, set())
        raise TariffError(f"the bill cannot be proved: {error}") from None
    plan = Plan(registers, number, tariff.rounding.decimals)
    _require_registers(registers, {one.register for one in number.metered})
    if number.comparisons > MOST_COMPARISONS:
        raise TariffError(f"the bill takes more than {MOST_COMPARISONS} comparisons to prove")
    return plan


def _require_registers(registers: Sequence[Register], used: set[int]) -> None:
    for place, register in enumerate(registers):
        if place not in used:
            what = "used" if register is Register.IMPORT else "fed in"
            raise TariffError(f"nothing of the bill depends on what was {what}")


def _rule(rule: RoundingRule) -> QuotientRule:
    return QuotientRule(str(rule))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the period under one version, reckoned in 10^-`exact_decimals`."""

    tariff: Tariff
    one: MeteredPart
    registers: Sequence[Register]
    reckoning: Reckoning

    def total(self) -> Line:
        """Return the sum of all charges and steps."""
        amounts: dict[str, Line] = {}
        for charge in self.one.version.charges:
            amounts[charge.name] = self._rounded(charge.name, self._charge(charge))
        energy = self._energy()
        for step in self.one.version.steps:
            base = sum((amounts[name] for name in step.on), NOTHING)
            amounts[step.name] = self._rounded(step.name, self._step(step, base, energy))
        return sum(amounts.values(), NOTHING)

    @property
    def _scale(self) -> int:
        return power_of_ten(self.tariff.exact_decimals - NANO_DECIMALS)

    def _charge(self, charge: Charge) -> Line:
        if isinstance(charge, FixedCharge):
            lines = charge.fixed_lines(self.one.part)
            return Line({}, sum(line.nano for line in lines)) * self._scale
        amounts = charged_amounts(self.one, charge)
        return sum((self._amount(amount) for amount in amounts), NOTHING) * self._scale

    def _amount(self, charged: ChargedAmount) -> Line:
        """Return an amount in 10^-9 of the currency."""
        register = self.registers.index(charged.register)
        value = self.reckoning.metered(register, charged.amount)
        return value if charged.peaks is None else self._figure(charged.peaks, value)

    def _figure(self, peaks: DemandPeaks, value: Line) -> Line:
        times, parts = peaks.watts
        rule, scale = _rule(self.one.part.rule), peaks.charge.scales[peaks.figure.band]
        watts = self.reckoning.quotient(value * times, parts, QuotientRule.DOWN)
        if peaks.is_floor_apart:
            watts = self.reckoning.most(watts, Line({}, peaks.floor_watts * peaks.count))
        mean = self.reckoning.quotient(watts, peaks.count, rule)
        nano = mean * scale[0][1]
        if peaks.charge.stepped:
            nano = Line({}, scale[0][1] * NANO_PER_MICRO)
            for (limit, price), (_, following) in pairwise(scale):
                above = self.reckoning.most(mean + Line({}, -limit), NOTHING)
                is_above = self.reckoning.least(above, Line({}, 1))  # watts are whole
                nano += is_above * ((following - price) * NANO_PER_MICRO)
        times_billed = share(peaks.charge.per, peaks.billed)
        return self.reckoning.quotient(
            nano * times_billed.numerator, times_billed.denominator, rule
        )

    def _energy(self) -> Line:
        amount = energy_amount(self.one)
        if amount is None:
            return NOTHING
        return self.reckoning.metered(self.registers.index(Register.IMPORT), amount)

    def _step(self, step: Step, base: Line, energy: Line) -> Line:
        if isinstance(step, Tax):
            return (base * (step.sign * step.ppm)).divided(MILLION)  # which leaves room for it
        if step.per is None:
            limit = energy * (step.price * self._scale)
        else:
            limit = Line({}, step.limit(self.tariff.exact_decimals, self.one.part, None))
        if isinstance(step, Minimum):
            return self.reckoning.most(limit - base, NOTHING)
        return self.reckoning.least(limit - base, NOTHING)

    def _rounded(self, name: str, amount: Line) -> Line:
        """Return the amount after the component's own rounding."""
        rounding = self.one.version.rounded.get(name)
        if rounding is None:
            return amount
        unit = power_of_ten(self.tariff.exact_decimals - rounding.decimals)
        return self.reckoning.quotient(amount, unit, _rule(rounding.rule)) * unit
