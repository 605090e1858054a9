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
    gas           the energy of the volume of each calorific value, rounded, times the price
    figure        of peaks: to watts, rounded down, at least the floor; their mean, rounded; times
                  the price, or for steps Σ change·min(1, max(0, watts − limit)); its share of the
                  interval, rounded

A tariff with memory goes on from what the bill before has left (`protocols.carried`): its charges
and steps are reckoned by the functions that reckon plain bills, on hidden values
(`tariffs.arithmetic`). What they keep for the next bill is proved with the number. Which values
these are follows from the tariff, the period and the names that are carried.

Amounts that are only ever added up are one sum (`reckoning`): of a tariff of prices by the slot,
with taxes and standing charges, each register's use is in one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from typing import Final

from applets.billing.metered import (
    ChargedAmount,
    DemandPeaks,
    charged_amounts,
    energies_by_key,
    energy_amount,
    figure_peaks,
)
from applets.billing.reckoning import NOTHING, Line, Reckoning
from protocols.amounts import AmountsMalformed, Carried, Excess, Peaks, Total
from protocols.carried import CarriedState
from tariffs import (
    DemandCharge,
    GasCharge,
    MeteredPart,
    NetCharge,
    Register,
    Tariff,
    TariffError,
    billed_registers,
    metered_parts,
)
from tariffs.charges import Charge, FixedCharge, RememberingCharge, remembers
from tariffs.errors import MemoryRefused
from tariffs.fixed import NANO_PER_MICRO
from tariffs.memory import MemoryKey, bounds_of, check_values
from tariffs.periods import share
from tariffs.rounding import RoundingRule, format_decimal, power_of_ten
from tariffs.settlement import MICRO_DECIMALS, settlement_of_bill
from tariffs.steps import Minimum, Step, Tax
from tariffs.usage import Part, utc_text
from tariffs.version import Version

MOST_COMPARISONS: Final = 4096
"""As the platform allows; a month of quarter-hours has 2,976 windows."""
MOST_COMPARED_SLOTS: Final = 186 * 96
"""Of registers whose slots are compared, each with a commitment of its own: what a hub can hand
over in one command. Half a year of quarter-hours, two years of hours."""
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
    carried: CarriedState | None = None,
    paid: int = 0,
    *,
    is_last: bool = False,
) -> Plan:
    """Return what has to be proved of a period; raise `TariffError` for what cannot be.

    `states` are those of the bill: `combine_states` of the registers it depends on. Under a tariff
    with memory the bill goes on from `carried`, of which the names and bounds are looked at alone;
    `paid` is what was paid in advance, in 10^-6 of the currency. `is_last` says that the contract
    ends with the bill, which then settles all and leaves nothing. Raises `MemoryRefused` for a
    state that the bill cannot go on from, or where there is none.
    """
    registers = billed_registers(tariff, begin, end)
    parts = metered_parts(tariff, starts, slot_seconds, states, begin, end, is_last=is_last)
    run = _Run.on(tariff, registers, parts, carried)
    for one in parts:
        run.add(one)
    run.settle(paid)
    divisor = power_of_ten(tariff.exact_decimals - tariff.rounding.decimals)
    try:
        number = run.finished(divisor)
    except AmountsMalformed as error:
        if not run.depends_on_use:
            _require_registers(registers, set())
        raise TariffError(f"the bill cannot be proved: {error}") from None
    plan = Plan(registers, number, tariff.rounding.decimals)
    _require_registers(registers, {one.register for one in number.metered})
    if number.comparisons > MOST_COMPARISONS:
        raise TariffError(
            f"the bill takes {number.comparisons} comparisons to prove, {MOST_COMPARISONS} are"
            " possible: bill a shorter period, or let peaks and limits of power look at fewer times"
        )
    compared = {one.register for one in number.metered if isinstance(one.amount, Peaks | Excess)}
    if len(compared) * len(starts) > MOST_COMPARED_SLOTS:
        raise TariffError(
            f"the bill compares some of {len(compared) * len(starts)} slots, of which"
            f" {MOST_COMPARED_SLOTS} are possible with peaks or limits of power: bill a shorter"
            " period"
        )
    return plan


def _require_registers(registers: Sequence[Register], used: set[int]) -> None:
    for place, register in enumerate(registers):
        if place not in used:
            what = "used" if register is Register.IMPORT else "fed in"
            raise TariffError(f"nothing of the bill depends on what was {what}")


@dataclass(slots=True)
class _Run:
    """A bill in the making on hidden values, as `tariffs.compute_bill` reckons it on known ones."""

    tariff: Tariff
    registers: Sequence[Register]
    whole: Part
    versions: list[Version]
    """Those of the parts that were added."""
    carried: dict[MemoryKey, Line]
    reckoning: Reckoning
    _total: Line = NOTHING

    @classmethod
    def on(
        cls,
        tariff: Tariff,
        registers: Sequence[Register],
        parts: Sequence[MeteredPart],
        state: CarriedState | None,
    ) -> "_Run":
        """Return a bill that goes on from a state; raise `MemoryRefused` if it cannot."""
        first, begin, end = parts[0], parts[0].part.begin, parts[-1].part.end
        whole = replace(first.part, end=end, is_last=parts[-1].part.is_last)
        reckoning, carried = Reckoning(), dict[MemoryKey, Line]()
        if (state is not None) is not tariff.has_memory:
            kind, there = ("with", "no") if tariff.has_memory else ("without", "a")
            raise MemoryRefused(f"a tariff {kind} memory: there is {there} state to go on from")
        if state is not None:
            if state.end != begin:
                raise MemoryRefused(
                    f"the bill before ends at {utc_text(state.end)}, this one begins at"
                    f" {utc_text(begin)}: bill in order, with none left out"
                )
            for one in state.values:
                key = MemoryKey.parse(one.name)
                low, high = bounds_of(first.version, key)
                check_values(first.version, {key: low}, whole.clock.day_of(begin))
                if one.carried != Carried(one.name, low, (high - low).bit_length()):
                    raise MemoryRefused(f"{one.name!r} is carried with other bounds than it has")
                carried[key] = reckoning.carried(one.carried)
        return cls(tariff, registers, whole, [], carried, reckoning)

    def add(self, one: MeteredPart) -> None:
        """Add what a part comes to."""
        part = _Part(self.tariff, one, self.registers, self.reckoning, self.carried)
        self._total += part.total()
        kept, settlement = part.kept, one.version.settlement
        if one.part.is_last:  # no later bill goes on from its charges and steps
            kept = {}
        if settlement is not None:  # which is on the whole bill, after its parts
            kept |= settlement.memory_shape.kept(self.carried, 0)
        self.carried = self.tariff.carried_from(one.version, kept, one.part.end)
        self.versions.append(one.version)

    def settle(self, paid: int) -> None:
        """Go on to what the last version's settlement makes of the sum."""
        step, rounding = settlement_of_bill(self.versions, paid), self.tariff.rounding
        if step is None:
            return
        decimals = self.tariff.exact_decimals
        unit = power_of_ten(decimals - rounding.decimals)
        rounded = self.reckoning.quotient(self._total, unit, rounding.rule)
        micro = rounded * power_of_ten(MICRO_DECIMALS - rounding.decimals)
        due, kept = step.remembered(self.whole, micro, paid, rounding, self.carried, self.reckoning)
        self._total = due * power_of_ten(decimals - MICRO_DECIMALS)
        others = {key: one for key, one in self.carried.items() if key.component != step.name}
        self.carried = self.tariff.carried_from(self.versions[-1], others | kept, self.whole.end)

    def finished(self, divisor: int) -> Total:
        """Return the total, with what it keeps for the next bill."""
        for key, line in self.carried.items():
            self.reckoning.keep(key.text, line, bounds_of(self.versions[-1], key))
        return self.reckoning.total(self._total, divisor, self.tariff.rounding.rule)

    @property
    def depends_on_use(self) -> bool:
        """Whether the number or what is kept depends on anything that is hidden."""
        return any(line.factors for line in (self._total, *self.carried.values()))


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the period under one version, reckoned in 10^-`exact_decimals`."""

    tariff: Tariff
    one: MeteredPart
    registers: Sequence[Register]
    reckoning: Reckoning
    carried: Mapping[MemoryKey, Line]
    """What the part goes on from."""
    kept: dict[MemoryKey, Line] = field(default_factory=dict)
    """What its charges and steps hand on."""

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
        if isinstance(charge, NetCharge | GasCharge) or remembers(charge):
            found, kept = charge.remembered(
                self.one.part, self._own(charge), self.carried, self.reckoning
            )
            self.kept.update(kept)
            return sum((line.nano for line in found), NOTHING) * self._scale
        amounts = charged_amounts(self.one, charge)
        return sum((self._amount(amount) for amount in amounts), NOTHING) * self._scale

    def _own(self, charge: RememberingCharge | GasCharge) -> dict[MemoryKey, Line]:
        """Return what a charge goes by of its own period: energies, or powers in watts."""
        if isinstance(charge, DemandCharge):
            found = figure_peaks(self.one, charge)
            return {
                charge.key_of(peaks.figure.band, peaks.figure.stretch): self._watts(
                    peaks, self.reckoning.metered(self._place(Register.IMPORT), amount)
                )
                for peaks, amount in found
            }
        return {
            key: sum(
                (
                    self.reckoning.metered(self._place(register), amount) * sign
                    for register, sign, amount in energies
                ),
                NOTHING,
            )
            for key, energies in energies_by_key(self.one, charge).items()
        }

    def _place(self, register: Register) -> int:
        return self.registers.index(register)

    def _amount(self, charged: ChargedAmount) -> Line:
        """Return an amount in 10^-9 of the currency."""
        value = self.reckoning.metered(self._place(charged.register), charged.amount)
        return value if charged.peaks is None else self._figure(charged.peaks, value)

    def _figure(self, peaks: DemandPeaks, value: Line) -> Line:
        rule, scale = self.one.part.rule, peaks.charge.scales[peaks.figure.band]
        mean = self.reckoning.quotient(self._watts(peaks, value), peaks.count, rule)
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

    def _watts(self, peaks: DemandPeaks, value: Line) -> Line:
        """Return the sum of the peaks that count, in watts."""
        times, parts = peaks.watts
        watts = self.reckoning.quotient(value * times, parts, RoundingRule.DOWN)
        if peaks.is_floor_apart:
            watts = self.reckoning.most(watts, Line({}, peaks.floor_watts * peaks.count))
        return watts

    def _energy(self) -> Line:
        amount = energy_amount(self.one)
        if amount is None:
            return NOTHING
        return self.reckoning.metered(self._place(Register.IMPORT), amount)

    def _step(self, step: Step, base: Line, energy: Line) -> Line:
        if isinstance(step, Tax):
            return (base * (step.sign * step.ppm)).divided(MILLION)  # which leaves room for it
        if step.is_cumulative:
            decimals = self.tariff.exact_decimals
            amount, kept = step.remembered(
                self.one.part, base, decimals, self.carried, self.reckoning
            )
            self.kept.update(kept)
            return amount
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
        return self.reckoning.quotient(amount, unit, rounding.rule) * unit
