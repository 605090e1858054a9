# SPDX-License-Identifier: Apache-2.0
"""Numbers that amounts of several registers come to, opened; their parts stay hidden.

Public:  the context with the registers; for each register certified days with their commitments;
         the numbers' description (`protocols.amounts`); the numbers.
Secret:  uses and blindings of each register, and all values of a total but the rounded last one.
Claim:   for each number, in order, that it is
           Total    the last value of its steps, divided by its divisor and rounded by its rule,
                    where a metered amount is what `protocols.proofs.amounts` says of it, and
                    each step makes of values before it
                      Combine   Σ factor·value + constant
                      Least     the smallest
                      Most      the largest
                      Rounding  value / divisor as a whole number by the rule
           Best     the place of the largest of several sums of the first register
           Reading  the use of one slot of the first register
Proof:   one session over all registers. Sums, blocks, peaks, excesses and counts are quantities;
         Combine is one without proof; the smaller and the larger of two are one-of-two proofs with
         ranges (`compare`); interior roundings are those of `quotients`. The last value v of a
         total is not opened: q is told, and v − q·d is proved to be a remainder that the rule
         rounds to q. Its bounds follow from q:
           down       0 to d−1 for q > 0, −(d−1) to 0 for q < 0, −(d−1) to d−1 for q = 0
           half-up    −⌊d/2⌋ to ⌊(d−1)/2⌋ for q > 0, mirrored for q < 0, ±⌊(d−1)/2⌋ for q = 0
           half-even  ±⌊d/2⌋ for even q, ±⌊(d−1)/2⌋ for odd q
         One range proves that, of no more bits than the divisor has, and nothing is committed to
         for it.

A number is the same if weights, factors and divisor have a factor in common: values are proved in
units of what divides them in any case, so that ranges are narrow.

Whatever steps compare or round has to be what slots of less than 2^20 watt-hours make of it, or it
cannot be proved; sums and their last rounding hold up to what a certifier signs. Signs are taken
as public only where they follow from that.

A total that goes on from earlier ones takes carried values as they were committed to, in the state
whose digest the context has; that they keep within their bounds was proved when they were kept.
What it keeps is committed to by what the proof has made of it, plus G, which both sides work out:
nothing is sent for it but the proof of its bounds, and not even that where a value is handed on as
it came.

A proof holds for its context alone, as one of amounts does: its transcript, of a protocol of its
own, has taken in meter, registers, period, parameters, recipient, purpose and nonce, then the
description and each register's days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Final

from protocols.amounts import (
    Above,
    Best,
    Bounds,
    Combine,
    Count,
    Excess,
    Least,
    MeteredAmount,
    Most,
    NumberAmount,
    Peaks,
    Reading,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    bounds_of,
    encode_amounts,
    fits,
)
from protocols.proofs._checks import SessionCheck
from protocols.proofs._metered import (
    best_of,
    blocks_of,
    count_of,
    excess_of,
    peaks_of,
    uses_of,
)
from protocols.proofs.batch import verify_all
from protocols.proofs.compare import maximum, minimum
from protocols.proofs.context import NumbersContext
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.group import GENERATOR
from protocols.proofs.quantity import LARGEST_USE_WH, Quantity, Source
from protocols.proofs.quotients import Dividend, hidden_quotient
from protocols.proofs.session import Prover, Session, Verifier

PROTOCOL: Final = "opened numbers"
VERSION: Final = 2
_ONE_MORE: Final = Quantity(GENERATOR, 0, (0, 1))
"""The number 0, with the blinding 1."""
STEP_USE_WH: Final = (1 << 20) - 1
"""What steps are proved up to, of each slot: 4 MW for a quarter of an hour."""


@dataclass(frozen=True, slots=True)
class StatedNumbers:
    """The numbers of a statement, and what it hands on."""

    values: tuple[int, ...]
    kept: Mapping[str, Quantity] = field(default_factory=dict)
    """By name; on the prover's side with their openings."""


def open_numbers(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    seed: bytes,
    carried: Mapping[str, Quantity] | None = None,
) -> tuple[tuple[int, ...], bytes]:
    """Return the numbers and the proof, as `open_numbers_on` does without what is handed on."""
    stated, proof = open_numbers_on(context, sources, numbers, seed, carried or {})
    return stated.values, proof


def open_numbers_on(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    seed: bytes,
    carried: Mapping[str, Quantity],
) -> tuple[StatedNumbers, bytes]:
    """Return what is stated and the proof; a source for each register, `seed` is 32 random bytes.

    `carried` are the values of the state that the context names, with their openings. Raises
    `FalseStatement` where a number is beyond 63 bits or a use beyond what can be proved,
    `ValueError` for a description that does not fit the registers, their slots or the state.
    """
    prover = Prover(context.transcript(PROTOCOL, VERSION), seed)
    try:
        stated = state_numbers(prover, context, sources, numbers, carried)
    except ProofRefused as refused:  # what no verifier would take
        raise FalseStatement(str(refused)) from None
    return stated, prover.finish()


def numbers_check(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    proof: bytes,
    name: str,
) -> tuple[tuple[int, ...], SessionCheck]:
    """Return the numbers a proof opens and what remains to be checked, for `verify_all`.

    Raises `Malformed` or `ProofRefused` where a proof cannot hold, `ValueError` as
    `open_numbers_on`.
    """
    stated, check = numbers_check_on(context, sources, numbers, proof, name, {})
    return stated.values, check


def numbers_check_on(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    proof: bytes,
    name: str,
    carried: Mapping[str, Quantity],
) -> tuple[StatedNumbers, SessionCheck]:
    """Return as `numbers_check`, with what is handed on; `carried` as for `open_numbers_on`."""
    verifier = Verifier(context.transcript(PROTOCOL, VERSION), proof)
    stated = state_numbers(verifier, context, sources, numbers, carried)
    return stated, verifier.finish(name)


def verify_numbers(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    proof: bytes,
    name: str,
) -> tuple[tuple[int, ...], SessionCheck]:
    """Return as `numbers_check`, all checked; raise as it does, and `ProofRefused`."""
    values, check = numbers_check(context, sources, numbers, proof, name)
    verify_all([check])
    return values, check


def state_numbers(
    session: Session,
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    carried: Mapping[str, Quantity] | None = None,
) -> StatedNumbers:
    """Return what is stated; the statement itself, the same for prover and verifier."""
    known = carried or {}
    _require_fit(context, sources, numbers, known)
    session.transcript.append("numbers", encode_amounts(numbers))
    for source in sources:
        session.transcript.append("days", source.identity)
    sums = _sums(session, sources, numbers)
    opened, kept = list[int](), dict[str, Quantity]()
    for place, number in enumerate(numbers):
        label = f"number {place + 1}"
        match number:
            case Total():
                metered = [
                    sums.get((place, part))
                    or _metered(session, label, sources[of.register], of.amount)
                    for part, of in enumerate(number.metered)
                ]
                inputs = [*metered, *(_Value(known[one.name], 1) for one in number.carried)]
                values = _values(session, label, number, inputs)
                kept |= _kept(session, label, number, values)
                opened.append(_opened(session, label, number, values[-1]))
            case Best():
                opened.append(best_of(session, label, sources[0], number))
            case Reading():
                [use] = uses_of(session, label, sources[0], number.forms)
                opened.append(session.open(label, use))
    return StatedNumbers(tuple(opened), kept)


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of a total: so many units."""

    quantity: Quantity
    unit: int
    """What divides the value in any case; from 1."""

    def in_units_of(self, unit: int) -> Quantity:
        """Return the quantity in a unit that divides its own."""
        factor = self.unit // unit
        return self.quantity if factor == 1 else self.quantity * factor


def _require_fit(
    context: NumbersContext,
    sources: Sequence[Source],
    numbers: Sequence[NumberAmount],
    carried: Mapping[str, Quantity],
) -> None:
    totals = [one for one in numbers if isinstance(one, Total)]
    kept = [one.name for total in totals for one in total.kept]
    if any(one.name not in carried for total in totals for one in total.carried):
        raise ValueError("the numbers go on from a value that the state has not")
    if len(set(kept)) != len(kept):
        raise ValueError("a value is kept twice under one name")
    if not context.state and any(total.has_memory for total in totals):
        raise ValueError("the numbers go on from a state, and the context names none")
    if len(sources) != len(context.registers):
        raise ValueError(f"{len(sources)} sources for {len(context.registers)} registers")
    if not fits(numbers, [source.size for source in sources]):
        raise ValueError("the numbers are of other registers than the call, or of other slots")


# Metered amounts


def _sums(
    session: Session, sources: Sequence[Source], numbers: Sequence[NumberAmount]
) -> dict[tuple[int, int], _Value]:
    """Return the plain sums of all totals, those of one register proved together."""
    found: dict[int, list[tuple[tuple[int, int], SlotForm]]] = {}
    for place, number in enumerate(numbers):
        for part, of in enumerate(number.metered if isinstance(number, Total) else ()):
            if isinstance(of.amount, Sum):
                found.setdefault(of.register, []).append(((place, part), of.amount.form))
    values = {}
    for register, forms in sorted(found.items()):
        source = sources[register]
        units = [_unit_of(form) for _, form in forms]
        weights = [
            _divided(form, unit).spread(source.size)
            for (_, form), unit in zip(forms, units, strict=True)
        ]
        made = session.forms(f"sums of register {register + 1}", source, weights)
        for (key, _), quantity, unit in zip(forms, made, units, strict=True):
            values[key] = _Value(quantity, unit)
    return values


def _metered(session: Session, label: str, source: Source, amount: MeteredAmount) -> _Value:
    match amount:
        case Sum():
            raise AssertionError("sums are proved together")
        case Tiered():
            unit = gcd(*(price for bucket in amount.buckets for price in bucket.prices)) or 1
            reduced = Tiered(
                tuple(
                    replace(bucket, prices=tuple(price // unit for price in bucket.prices))
                    for bucket in amount.buckets
                )
            )
            return _Value(blocks_of(session, label, source, reduced), unit)
        case Peaks():
            return _Value(peaks_of(session, label, source, amount), 1)
        case Count():
            return _Value(count_of(session, label, source, amount), 1)
        case Excess():
            unit = gcd(*(_unit_of(form) for form in amount.forms))
            above = tuple(Above(one.limit, _divided(one.form, unit)) for one in amount.above)
            less = Excess(_divided(amount.form, unit), above)
            return _Value(excess_of(session, label, source, less), unit)


def _unit_of(form: SlotForm) -> int:
    return gcd(*(weight for _, _, weight in form.runs)) or 1


def _divided(form: SlotForm, unit: int) -> SlotForm:
    return SlotForm(tuple((first, count, weight // unit) for first, count, weight in form.runs))


# Steps


def _values(session: Session, label: str, total: Total, inputs: Sequence[_Value]) -> list[_Value]:
    amounts = [one.amount for one in total.metered]
    expected = total.bounds([bounds_of(amount, STEP_USE_WH) for amount in amounts])
    certain = total.bounds([bounds_of(amount, LARGEST_USE_WH) for amount in amounts])
    values = list(inputs)
    for step in total.steps:
        match step:
            case Combine():
                values.append(_combined(step, values))
            case Least() | Most():
                values.append(_extreme(session, label, step, values, expected))
            case Rounding():
                of = step.place
                values.append(
                    _quotient(session, label, step, values[of], expected[of], certain[of])
                )
    return values


def _kept(
    session: Session, label: str, total: Total, values: Sequence[_Value]
) -> dict[str, Quantity]:
    """Return what is handed on, each value by itself and proved to keep within its bounds."""
    kept = {}
    for one in total.kept:
        quantity = values[one.place].in_units_of(1)
        if not total.hands_on(one):
            within = f"{label}, kept {one.name}"
            session.require_range(within, quantity - one.low, one.bits)
            quantity += _ONE_MORE  # a commitment to a constant, too, is a point that has bytes
        kept[one.name] = quantity
    return kept


def _opened(session: Session, label: str, total: Total, last: _Value) -> int:
    unit = gcd(last.unit, total.divisor)
    return session.open_quotient(label, last.in_units_of(unit), total.divisor // unit, total.rule)


def _quotient(
    session: Session, label: str, step: Rounding, value: _Value, expected: Bounds, certain: Bounds
) -> _Value:
    unit = gcd(value.unit, step.divisor)
    if unit == step.divisor:  # nothing is left to round
        return _Value(value.quantity, value.unit // unit)
    low, high = expected
    dividend = Dividend(value.in_units_of(unit), (low // unit, high // unit), _sign(certain))
    return _Value(hidden_quotient(session, label, dividend, step.divisor // unit, step.rule), 1)


def _sign(bounds: Bounds) -> int | None:
    low, high = bounds
    return 1 if low >= 0 else -1 if high <= 0 else None


def _combined(step: Combine, values: Sequence[_Value]) -> _Value:
    unit = gcd(step.constant, *(values[place].unit * factor for place, factor in step.terms)) or 1
    quantity = Quantity.constant(step.constant // unit)
    for place, factor in step.terms:
        part = values[place]
        multiple = part.unit * factor // unit
        quantity += part.quantity if multiple == 1 else part.quantity * multiple
    return _Value(quantity, unit)


def _extreme(
    session: Session,
    label: str,
    step: Least | Most,
    values: Sequence[_Value],
    expected: Sequence[Bounds],
) -> _Value:
    unit = gcd(*(values[place].unit for place in step.places))
    first, *others = step.places
    chosen, (low, high) = values[first].in_units_of(unit), expected[first]
    for place in others:
        other, (least, most) = values[place].in_units_of(unit), expected[place]
        width = (max(high - least, most - low, unit) // unit).bit_length()
        if isinstance(step, Least):
            chosen = minimum(session, label, chosen, other, width)
            low, high = min(low, least), min(high, most)
        else:
            chosen = maximum(session, label, chosen, other, width)
            low, high = max(low, least), max(high, most)
    return _Value(chosen, unit)
