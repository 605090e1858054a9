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
from typing import Any, Final

from hub.disclosure.cells import Form
from hub.disclosure.numbers import Number, SlotGrid, number_of, priced_forms, sums_of_cases
from hub.disclosure.records import form_facts, form_of
from hub.disclosure.rules import ReleaseRefused
from protocols.amounts import Bounds, MeteredAmount, Total
from protocols.amounts.total import LEAST_SLOPE, Kept
from protocols.canonical.stored import decode_row, encode_row

MOST_CASES: Final = 64
"""How many slopes of a value by one form are told apart, before bounds take their place."""
MOST_CELLS: Final = 1 << 19
"""Slots in the forms that the values of one state depend on: sixteen forms over a year of
quarter-hours, a few megabytes."""
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

    def scaled(self, slopes: Collection[Fraction], reach: Fraction) -> "Trace":
        """Return what a value depends on that changes by one of these slopes with this one.

        It changes by `reach` at most where this one takes a step.
        """
        parts = tuple(
            (form, few({case * slope for case in cases for slope in slopes}))
            for form, cases in self.parts
        )
        return Trace(self.kinds, parts, self.jump * reach)

    def joined(self, other: "Trace") -> "Trace":
        """Return what a value depends on that depends on both."""
        kinds = tuple(sorted({*self.kinds, *other.kinds}))
        parts = dict(self.parts)
        for form, cases in other.parts:
            known = parts.get(form)
            parts[form] = cases if known is None else few({a + b for a in known for b in cases})
        return Trace(kinds, tuple(parts.items()), self.jump + other.jump)


@dataclass(frozen=True, slots=True)
class RememberedValue:
    """What the guard knows of a carried value."""

    bounds: Bounds
    """What it can be, of a home that draws what it can at most."""
    traces: tuple[Trace, ...]
    """One for each earlier period, in order."""


Remembered = Mapping[str, RememberedValue]
"""By the names of carried values."""


def encode_remembered(remembered: Remembered) -> bytes:
    """Return what is remembered for the database, each form once."""
    forms = list(
        dict.fromkeys(
            form
            for value in remembered.values()
            for trace in value.traces
            for form, _ in trace.parts
        )
    )
    places = {form: place for place, form in enumerate(forms)}
    values = [
        [
            name,
            *value.bounds,
            [
                [
                    list(one.kinds),
                    [[places[form], [str(case) for case in cases]] for form, cases in one.parts],
                    str(one.jump),
                ]
                for one in value.traces
            ],
        ]
        for name, value in remembered.items()
    ]
    return encode_row([[_facts(form) for form in forms], values])


def decode_remembered(data: bytes) -> dict[str, RememberedValue]:
    """Return what `encode_remembered` wrote."""
    packed, values = decode_row(data)
    forms = [form_of(facts, (begin, seconds), slots) for begin, seconds, slots, facts in packed]
    return {
        name: RememberedValue((low, high), tuple(_trace_of(one, forms) for one in traces))
        for name, low, high, traces in values
    }


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

    def require_room(self) -> None:
        """Return if what is handed on keeps within its bounds, whatever a home uses.

        Else whether it does would be told: what does not cannot be proved. Raises `ReleaseRefused`
        for that, and for values that depend on more than a hub keeps in mind.
        """
        for total in self.totals:
            bounds = self._bounds_of(total)
            for kept in total.kept:
                low, high = bounds[kept.place]
                if low < kept.low or high >= kept.low + (1 << kept.bits):
                    raise ReleaseRefused(
                        "memory", f"{kept.name} may be beyond the bounds that it is kept within"
                    )
        if (cells := self.cells) > MOST_CELLS:
            raise ReleaseRefused(
                "memory",
                f"what is handed on depends on {cells:,} slots in all, at most {MOST_CELLS:,} are"
                " kept in mind: hand on fewer values, or let them end sooner",
            )

    @property
    def cells(self) -> int:
        """How many slots the forms have on which what is told or handed on depends, at most."""
        own = sum(len(total.forms) for total in self.totals) * self.slots
        return own + cells_of(self.carried)

    def kept(self) -> dict[str, RememberedValue]:
        """Return what is to be known of the values that the totals hand on."""
        found = {}
        for total in self.totals:
            bounds = self._bounds_of(total)
            for kept in total.kept:
                found[kept.name] = self._kept(total, kept, bounds[kept.place])
        return found

    @property
    def _grid(self) -> SlotGrid:
        return SlotGrid.of(
            self.begin, self.slot_seconds, self.slots, self.registers, self.missing, self.revised
        )

    def _told_traces(self, total: Total) -> list[Trace]:
        return _by_period(self._carried_traces(total))

    def _carried_traces(self, total: Total, kept: Kept | None = None) -> Iterable[Trace]:
        scenarios, jump, reach = total.scenarios(kept), total.jump(kept), total.reach(kept)
        for place, one in enumerate(total.carried, start=len(total.metered)):
            slopes = {each[place] for each in scenarios}
            if reach[place]:
                for trace in self.carried[one.name].traces:
                    scaled = trace.scaled(slopes, reach[place])
                    yield Trace(scaled.kinds, scaled.parts, max(scaled.jump, jump))

    def _bounds_of(self, total: Total) -> list[Bounds]:
        """Return what each value of a total can be, of a home that draws what it can at most."""
        grid = self._grid
        known = [self.carried[one.name].bounds for one in total.carried]
        return total.bounds([grid.bounds(one.amount) for one in total.metered], known)

    def _kept(self, total: Total, kept: Kept, bounds: Bounds) -> RememberedValue:
        scenarios, jump, grid = total.scenarios(kept), total.jump(kept), self._grid
        reach = total.reach(kept)
        traces = list(self._carried_traces(total, kept))
        for place, one in enumerate(total.metered):
            slopes = {each[place] for each in scenarios}
            if not reach[place]:
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


def cells_of(remembered: Remembered) -> int:
    """Return how many slots the forms have that carried values depend on, each form once."""
    forms = {
        form for value in remembered.values() for trace in value.traces for form, _ in trace.parts
    }
    return sum(len(form.weights) for form in forms)


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


def _trace_of(items: Sequence[Any], forms: Sequence[Form]) -> Trace:
    kinds, parts, jump = items
    return Trace(
        tuple(kinds),
        tuple((forms[place], tuple(map(Fraction, cases))) for place, cases in parts),
        Fraction(jump),
    )
