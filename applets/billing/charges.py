# SPDX-License-Identifier: Apache-2.0
"""From a tariff to the amounts that have to be proved, and from their values to the bill.

Both sides run this: the applet to say what is to be proved, the recipient to know what was.

Where the bill follows from one sum of price times use over all slots, that one `Sum` is proved, and
nothing is told of the charges it is made of. Anywhere else a charge becomes

    energy, series   one `Sum`: the price is the weight
    blocks           one `Tiered`, or a `Sum` where no bucket has a limit
      up to powers   one `Excess`: each slot by itself, what lies above a limit at another price
    feed-in          as energy, series or blocks, of the export register
    demand           one `Peaks` for each figure
    standing, ...    nothing: they follow from the period

and a limit by the kilowatt-hour adds the energy of its part as one more `Sum`. Steps (taxes,
rebates, caps, minima) follow publicly from the charges' amounts.

Amounts of the export register are proved by themselves, over its own certified days, and come after
those of the import register. Both count the same slots: of the states that the bill is worked out
from, `tariffs.combine_states` makes one for each slot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import gcd

from protocols.amounts import (
    Above,
    Amount,
    AmountsMalformed,
    Bucket,
    Excess,
    Group,
    Peaks,
    SlotForm,
    Sum,
    Tiered,
)
from tariffs import (
    Bill,
    BlockCharge,
    DemandCharge,
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
from tariffs.blocks import BlockBucket, LimitKind
from tariffs.charges import LinearCharge, MeteredCharge
from tariffs.demand import DemandFigure
from tariffs.steps import Cap

HOUR = 3600
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
class Plan:
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
    parts, claims = list[MeteredPart](), list[_Claim]()
    if is_one_sum(tariff, begin, end, states):
        form = SlotForm.of_each(tariff.prices(starts, slot_seconds))
        claims += [_Claim(0, None, Register.IMPORT, Sum(form), int)] if form.runs else []
    else:
        parts = metered_parts(tariff, starts, slot_seconds, states, begin, end)
    for number, one in enumerate(parts):
        for charge in one.version.metered:
            claims += _claims(number, one, charge)
        if any(isinstance(step, Cap) and step.per is None for step in one.version.steps):
            energy = _sum(one, [1] * len(one.places.starts))
            claims += [_Claim(number, None, Register.IMPORT, energy, int)] if energy else []
    plan = Plan(tariff, begin, end, tuple(parts), _in_order(claims))
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


def _claims(number: int, one: MeteredPart, charge: MeteredCharge) -> list[_Claim]:
    if isinstance(charge, DemandCharge):
        return [
            _demand_claim(number, one, charge, figure)
            for figure in charge.figures(one.part, one.places)
        ]
    amount = _blocks(one, charge) if isinstance(charge, BlockCharge) else _linear(one, charge)
    return [] if amount is None else [_Claim(number, charge.name, charge.register, amount, int)]


def _refused(charge: MeteredCharge, reason: str) -> TariffError:
    return TariffError(f"it cannot be proved: {reason}", component=f"charge {charge.name}")


# By the kilowatt-hour


def _linear(one: MeteredPart, charge: LinearCharge) -> Sum | None:
    return _sum(one, charge.unit_prices(one.places.starts, one.places.seconds))


def _sum(one: MeteredPart, prices: Sequence[int]) -> Sum | None:
    """Return Σ price·use; None if all prices are 0."""
    form = _form(one, range(len(prices)), prices)
    return Sum(form) if form.runs else None


def _form(one: MeteredPart, slots: Sequence[int], weights: Sequence[int]) -> SlotForm:
    places = one.places.import_wh
    total: dict[int, int] = {}
    for slot, weight in zip(slots, weights, strict=True):
        total[places[slot]] = total.get(places[slot], 0) + weight
    return SlotForm.of(total)


def _blocks(one: MeteredPart, charge: BlockCharge) -> Amount | None:
    buckets = charge.buckets(one.part, one.places)
    if not any(bucket.limits for bucket in buckets):
        prices = {slot: bucket.prices[0] for bucket in buckets for slot in bucket.slots}
        return _sum(one, [prices[slot] for slot in sorted(prices)])
    if charge.limits is LimitKind.POWER:
        return _excess(one, buckets)
    return Tiered(
        tuple(
            Bucket(_form(one, bucket.slots, [1] * len(bucket.slots)), bucket.limits, bucket.prices)
            for bucket in buckets
            if any(bucket.prices)
        )
    )


def _excess(one: MeteredPart, buckets: Sequence[BlockBucket]) -> Excess | Sum | None:
    """Return what slots come to, each a bucket of its own: all of a use has the first price."""
    above: dict[int, tuple[list[int], list[int]]] = {}
    for bucket in buckets:
        for limit, (below, beyond) in zip(bucket.limits, pairwise(bucket.prices), strict=True):
            slots, changes = above.setdefault(limit, ([], []))
            slots += bucket.slots
            changes += [beyond - below] * len(bucket.slots)
    first = {slot: bucket.prices[0] for bucket in buckets for slot in bucket.slots}
    form = _form(one, list(first), list(first.values()))
    forms = {limit: _form(one, *above[limit]) for limit in sorted(above)}
    limits = tuple(Above(limit, beyond) for limit, beyond in forms.items() if beyond.runs)
    if limits:
        return Excess(form, limits)
    return Sum(form) if form.runs else None


# By the highest power


def _demand_claim(
    number: int, one: MeteredPart, charge: DemandCharge, figure: DemandFigure
) -> _Claim:
    window = charge.window_seconds or one.places.seconds
    times, rest = divmod(HOUR, window)
    several, floor = len(figure.peaks) > 1, charge.floor_watts
    count = charge.peaks_of(figure)
    rate = 1, 1
    if rest and several:  # each peak is rounded to whole watts by itself
        shared = gcd(HOUR, window)
        weight, least, rate = 1, floor, (HOUR // shared, window // shared)
    elif rest:
        weight, least = 1, floor * window // HOUR
    elif several and floor % times:
        weight, least = times, floor  # in watts, so that the floor is whole
    else:
        weight, least = 1, floor // times

    def nano(value: int) -> int:
        watts = value if rate != (1, 1) else value * HOUR // (window * weight)
        return charge.amount_of(figure, max(watts, floor * count), one.part)

    places = one.places.import_wh
    highest = count if count < len(figure.peaks) else 0
    try:
        groups = [
            Group(
                tuple(
                    SlotForm.of(dict.fromkeys(slots, weight))
                    for slots in _distinct([[places[slot] for slot in w] for w in windows])
                ),
                least,
            )
            for windows in figure.peaks
        ]
        return _Claim(
            number, charge.name, Register.IMPORT, Peaks(tuple(groups), highest, rate), nano
        )
    except AmountsMalformed:
        raise _refused(charge, "a slot stands in for a missing one in another window") from None


def _distinct(windows: Sequence[list[int]]) -> list[list[int]]:
    """Return each window once: one that stands in for another has the same peak."""
    return [window for window, _ in groupby(sorted(windows))]
