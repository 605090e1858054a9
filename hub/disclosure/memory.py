# SPDX-License-Identifier: Apache-2.0
"""What numbers that go on from earlier ones tell: of their own period, and of those before.

A carried value is a function of sums over the slots of earlier periods. It is committed to and not
told; but a number that goes on from it tells of those slots, as well as of its own. So each value
has *traces*: for each earlier period the forms that it depends on, and by how much a unit of each
form's sum may change it. To the guard, a number with memory is several: its own, and for each
period in the traces of what it goes on from one that is *recalled* (`Number.is_recalled`), which
weighs those slots by those forms. That the bill of March goes on from January's use is, to the
theorem, a second number about January; docs/guard.md has it.

Nothing is counted twice by being kept: what no number goes on from is told to nobody.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import lcm
from typing import Any, Final, Self

from hub.disclosure.cells import Form
from hub.disclosure.records import form_facts, form_of
from hub.disclosure.requests import (
    Number,
    SlotGrid,
    number_of,
    priced_forms,
    sums_of_cases,
)
from protocols.amounts import Bounds, MeteredAmount, Total
from protocols.amounts.total import LEAST_SLOPE, Kept
from protocols.canonical.stored import decode_row, encode_row

MOST_CASES: Final = 64
"""How many slopes of a value by one form are told apart, before bounds take their place."""
_RECALLED: Final = b"meterlet recalled number 1"

Cases = tuple[Fraction, ...]
"""By how much a unit of a form's sum may change a value: one of these."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a carried value depends on of one earlier period."""

    kinds: tuple[str, ...]
    """The kinds of amounts that it depends on."""
    parts: tuple[tuple[Form, Cases], ...]
    """At least one; of peaks, the cases are empty."""
    jump: Fraction
    """By how much the value may change where a quotient inside takes a step."""

    @property
    def begin(self) -> int:
        """The period's begin."""
        return self.parts[0][0].begin

    def scaled(self, slopes: Collection[Fraction]) -> "Trace":
        """Return what a value depends on that changes by one of these slopes with this one."""
        most = max(map(abs, slopes))
        parts = tuple(
            (form, few({case * slope for case in cases for slope in slopes}))
            for form, cases in self.parts
        )
        return Trace(self.kinds, parts, self.jump * most)

    def joined(self, other: "Trace") -> "Trace":
        """Return what a value depends on that depends on both."""
        kinds = tuple(sorted({*self.kinds, *other.kinds}))
        return Trace(kinds, (*self.parts, *other.parts), self.jump + other.jump)


@dataclass(frozen=True, slots=True)
class RememberedValue:
    """What the guard knows of a carried value."""

    bounds: Bounds
    """What it can be, of a home that draws what it can at most."""
    traces: tuple[Trace, ...]
    """One for each earlier period, in order."""

    def encode(self) -> bytes:
        """Return it for the database."""
        traces = [
            [
                list(one.kinds),
                [[_facts(form), [str(case) for case in cases]] for form, cases in one.parts],
                str(one.jump),
            ]
            for one in self.traces
        ]
        return encode_row([*self.bounds, traces])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `encode` wrote."""
        low, high, traces = decode_row(data)
        return cls((low, high), tuple(map(_trace_of, traces)))


Remembered = Mapping[str, RememberedValue]
"""By the names of carried values."""


@dataclass(frozen=True, slots=True)
class MemoryStep:
    """Totals of one period that go on from a state."""

    totals: Sequence[Total]
    begin: int
    slot_seconds: int
    slots: int
    registers: Sequence[str]
    """As the guard names them."""
    missing: Sequence[Collection[int]]
    """Of each register, the places of slots that everybody knows to be empty."""
    state: bytes
    """The digest of the state that they go on from."""
    carried: Remembered
    revised: Sequence[Mapping[int, int]] = ()
    """Of each register, the places of slots that were corrected, and their revisions."""

    def numbers(self) -> list[Number]:
        """Return what telling the totals tells: their own numbers, then those recalled."""
        bounds = {name: value.bounds for name, value in self.carried.items()}
        own = [
            number_of(
                total, self.begin, self.slot_seconds, self.slots, self.registers, self.missing,
                self.revised, self.state, bounds,
            )
            for total in self.totals
        ]  # fmt: skip
        recalled = [
            _recalled(trace, number)
            for number, total in zip(own, self.totals, strict=True)
            for trace in self._told_traces(total)
        ]
        return own + recalled

    def kept(self) -> dict[str, RememberedValue]:
        """Return what is to be known of the values that the totals hand on."""
        return {kept.name: self._kept(total, kept) for total in self.totals for kept in total.kept}

    @property
    def _grid(self) -> SlotGrid:
        return SlotGrid.of(
            self.begin, self.slot_seconds, self.slots, self.registers, self.missing, self.revised
        )

    def _told_traces(self, total: Total) -> list[Trace]:
        scenarios = total.scenarios()
        return _by_period(self._carried_traces(total, scenarios, total.jump()))

    def _carried_traces(
        self, total: Total, scenarios: Sequence[Sequence[Fraction]], jump: Fraction
    ) -> Iterable[Trace]:
        for place, one in enumerate(total.carried, start=len(total.metered)):
            slopes = {each[place] for each in scenarios}
            if any(slopes):
                for trace in self.carried[one.name].traces:
                    scaled = trace.scaled(slopes)
                    yield Trace(scaled.kinds, scaled.parts, max(scaled.jump, jump))

    def _kept(self, total: Total, kept: Kept) -> RememberedValue:
        scenarios, jump, grid = total.scenarios(kept), total.jump(kept), self._grid
        known = [self.carried[one.name].bounds for one in total.carried]
        metered = [grid.bounds(one.amount) for one in total.metered]
        low, high = total.bounds(metered, known)[kept.place]
        bounds = max(low, kept.low), min(high, kept.low + (1 << kept.bits) - 1)
        traces = list(self._carried_traces(total, scenarios, jump))
        for place, one in enumerate(total.metered):
            slopes = {each[place] for each in scenarios}
            if not any(slopes):
                continue
            register = self.registers[one.register]
            parts = [
                (form, few({price * slope for price in prices for slope in slopes}))
                for form, prices in _priced(grid, one.amount, register)
                if any(form.weights)
            ]
            if parts:
                traces.append(Trace((one.amount.kind,), tuple(parts), jump))
        return RememberedValue(bounds, tuple(_by_period(traces)))


def few(cases: Collection[Fraction]) -> Cases:
    """Return some cases; where they are too many, what bounds them."""
    if len(cases) <= MOST_CASES:
        return tuple(sorted(cases))
    return tuple(sorted({min(cases), max(cases), LEAST_SLOPE}))


def _priced(
    grid: SlotGrid, amount: MeteredAmount, register: str
) -> list[tuple[Form, tuple[int, ...]]]:
    """Return the forms of an amount, each with what a unit of its sum may count for."""
    prices = [each for form, each in priced_forms(amount) if form.runs]
    forms = grid.forms(amount, register)
    return list(zip(forms, prices or [()] * len(forms), strict=True))


def _by_period(traces: Iterable[Trace]) -> list[Trace]:
    found: dict[int, Trace] = {}
    for trace in traces:
        known = found.get(trace.begin)
        found[trace.begin] = trace if known is None else known.joined(trace)
    return [found[begin] for begin in sorted(found)]


def _recalled(trace: Trace, own: Number) -> Number:
    """Return what a number tells of an earlier period."""
    forms = tuple(dict.fromkeys(form for form, _ in trace.parts))
    identity = sha256(_RECALLED + own.identity + encode_row([_facts(form) for form in forms]))
    priced = [(form, cases) for form, cases in trace.parts if cases]
    return Number(
        "+".join(trace.kinds),
        forms,
        own.bits,
        _prices(priced),
        jump=trace.jump,
        identity=identity.digest(),
        is_recalled=True,
    )


def _prices(parts: Sequence[tuple[Form, Cases]]) -> tuple[Fraction, Fraction] | None:
    """Return the least and the most that a watt-hour counts for, zero apart and without sign."""
    common = lcm(*(case.denominator for _, cases in parts for case in cases))
    found = set[int]()
    for register in {form.register for form, _ in parts}:
        same = [(form.weights, cases) for form, cases in parts if form.register == register]
        whole = [sorted({int(case * common) for case in cases}) for _, cases in same]
        for column in set(zip(*(weights for weights, _ in same), strict=True)):
            found |= sums_of_cases(
                [
                    [weight * case for case in cases]
                    for weight, cases in zip(column, whole, strict=True)
                    if weight
                ]
            )
    sizes = {abs(price) for price in found if price}
    if not sizes:
        return None
    return Fraction(min(sizes), common), Fraction(max(sizes), common)


def _facts(form: Form) -> list[Any]:
    return [form.begin, form.slot_seconds, len(form.weights), form_facts(form)]


def _trace_of(items: Sequence[Any]) -> Trace:
    kinds, parts, jump = items
    return Trace(
        tuple(kinds),
        tuple(
            (form_of(facts, (begin, seconds), slots), tuple(map(Fraction, cases)))
            for (begin, seconds, slots, facts), cases in parts
        ),
        Fraction(jump),
    )
