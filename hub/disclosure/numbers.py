# SPDX-License-Identifier: Apache-2.0
"""What a number tells: forms that it depends on, its bits, and what a watt-hour counts for.

All follows from what is asked, and nothing from what was used.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from math import ceil, lcm
from typing import Final

from hub.disclosure.cells import Form
from hub.disclosure.consents import LEAST_MINUTES
from protocols.amounts import (
    Amount,
    Best,
    Bounds,
    Count,
    Excess,
    NumberAmount,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
    Total,
    encode_amounts,
)

LARGEST_POWER_W: Final = 69_000
"""The most that a home's connection carries: three phases of 100 A. It sizes numbers: what a number
can be, and so its bits, follows from this and the weights."""
PRICED: Final = frozenset({Sum.kind, Tiered.kind, Excess.kind})
"""Kinds whose prices have to keep within bounds (`hub.disclosure.rules.check_prices`)."""
MOST_CASES: Final = 256
"""How many prices of a slot are told apart, before bounds take their place."""
_IDENTITY: Final = b"meterlet told number 2"

Prices = tuple[Fraction, Fraction]
"""The least and the most that a watt-hour counts for in a number, zero apart and without sign."""


@dataclass(frozen=True)
class Number:
    """One number that is told, and what can be worked out from it at most."""

    kind: str
    """What a consent has to name: `linear`, `blocks`, `demand`, `excess`, `count`, `match` or
    `sample`; of a total that is made of several, all of them with a `+` between."""
    forms: tuple[Form, ...]
    """At least one; all of one period."""
    bits: int
    prices: Prices | None = None
    """In units of the number a watt-hour; None where it has no sum, block or limit."""
    covers: tuple[Form, ...] = ()
    """By register, slots that each move the number whatever is used: these hide each other."""
    cover_least: Fraction = Fraction(0)
    """The least that a watt-hour of these counts for."""
    jump: Fraction = Fraction(0)
    """By how many units it may change where a quotient inside it takes a step."""
    identity: bytes = b""
    """Names the number: the same description of the same period is the same number."""
    least_minutes: int = LEAST_MINUTES
    """What the consents to it say; known once it has been told."""
    least_days: int = 1
    """The same."""
    corrected_minutes: int = 0
    """The same: over how many minutes of slots a total of corrected ones goes that may be worked
    out though they are fewer days; 0: none may."""
    spread: int = 0
    """By how much its prices differ at most, rounded up, where it was told in coins; 0: it was not,
    or its prices were beyond the guard's bounds."""
    is_recalled: bool = False
    """Whether it stands for what a number with a later period depends on of an earlier one, by what
    was carried (`hub.disclosure.memory`). It tells of that time as any number does."""

    def __post_init__(self) -> None:
        if not self.identity:
            object.__setattr__(self, "identity", _identity_of(self.forms, self.bits))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of amounts that it is made of."""
        return tuple(self.kind.split("+"))

    @property
    def begin(self) -> int:
        """The period's begin."""
        return self.forms[0].begin

    @property
    def end(self) -> int:
        """The period's end."""
        return self.forms[0].end

    @cached_property
    def registers(self) -> frozenset[str]:
        """The registers that it is about."""
        return frozenset(form.register for form in self.forms)


def number_of(
    amount: Amount | NumberAmount,
    begin: int,
    slot_seconds: int,
    slots: int,
    registers: Sequence[str] = ("",),
    missing: Sequence[Collection[int]] = (),
    revised: Sequence[Mapping[int, int]] = (),
    state: bytes = b"",
    carried: Mapping[str, Bounds] | None = None,
) -> Number:
    """Return what telling an amount tells, over a period of so many slots.

    Of a total that goes on from a state (its digest) with values of such bounds, it is what is told
    of the total's own period alone; the rest says `hub.disclosure.memory`.

    `registers` are those that a total counts through; any other amount is about the first.
    `missing` are, for each register, the places of slots that everybody knows to be empty: no
    number tells of them. `revised` are, for each register, the places of slots that were corrected,
    with their revisions: a number about other revisions is another one.
    """
    names = list(registers)
    grid = SlotGrid.of(begin, slot_seconds, slots, names, missing, revised)
    empty, corrected = grid.missing, grid.revised
    packed = encode_amounts([amount])
    identity = sha256(_IDENTITY)
    identity.update(f"{begin} {slot_seconds} {slots} {' '.join(names)} ".encode() + packed)
    identity.update(f" {[sorted(empty[name]) for name in sorted(empty)]}".encode() + state)
    if corrected:
        identity.update(f" {sorted(corrected.items())}".encode())
    jump = amount.jump() if isinstance(amount, Total) else Fraction(0)
    if isinstance(amount, Total):
        scenarios, reach = amount.scenarios(), amount.reach()
        forms = [
            form
            for place, one in enumerate(amount.metered)
            if reach[place]  # what is kept alone is not told
            for form in grid.forms(one.amount, names[one.register])
        ]
        bounds = [grid.bounds(one.amount) for one in amount.metered]
        known = [(carried or {}).get(one.name, one.bounds) for one in amount.carried]
        low, high = amount.range_of(bounds, known)
        parts = [(names[one.register], one.amount) for one in amount.metered]
        reckoned = _prices_of(parts, scenarios, grid)
        kind = "+".join(sorted(amount.kinds))
    else:
        forms = grid.forms(amount, names[0])
        low, high = grid.bounds(amount)
        reckoned = _prices_of([(names[0], amount)], [(Fraction(1),)], grid)
        kind = amount.kind
    told = [form for form in forms if any(form.weights)] or [grid.form(SlotForm(()), names[0])]
    if isinstance(amount, Count):
        jump = Fraction(1)
    covers = _not_counted(reckoned.covers, told)
    bits = max(1, (high - low).bit_length())
    return Number(
        kind, tuple(told), bits, reckoned.prices, covers, reckoned.cover_least, jump,
        identity.digest(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlotGrid:
    """The slots of a period."""

    begin: int
    slot_seconds: int
    slots: int
    missing: Mapping[str, frozenset[int]]
    """By register."""
    revised: Mapping[str, tuple[tuple[int, int], ...]]
    """The same: places and revisions of corrected slots."""

    @classmethod
    def of(
        cls,
        begin: int,
        slot_seconds: int,
        slots: int,
        registers: Sequence[str],
        missing: Sequence[Collection[int]],
        revised: Sequence[Mapping[int, int]] = (),
    ) -> "SlotGrid":
        """Return the slots, with those of each register that everybody knows to be empty.

        And with the revisions of those that were corrected.
        """
        empty = {name: frozenset(one) for name, one in zip(registers, missing, strict=False)}
        corrected = {
            name: tuple(sorted(one.items()))
            for name, one in zip(registers, revised, strict=False)
            if one
        }
        return cls(begin, slot_seconds, slots, empty, corrected)

    @property
    def largest_use(self) -> int:
        """What a slot can use at most, in watt-hours."""
        return ceil(LARGEST_POWER_W * self.slot_seconds / 3600)

    def form(self, weights: SlotForm, register: str, *, is_peak: bool = False) -> Form:
        """Return weights as the guard has them."""
        spread = weights.spread(self.slots)
        missing = self.missing.get(register, frozenset())
        for place in missing:
            spread[place] = 0
        return Form(
            self.begin,
            self.slot_seconds,
            tuple(spread),
            is_peak,
            register=register,
            known=tuple(sorted(missing)),
            revised=self.revised.get(register, ()),
        )

    def forms(self, amount: Amount, register: str) -> list[Form]:
        """Return the forms that an amount depends on."""
        match amount:
            case Peaks():
                return [
                    self.form(SlotForm.of(_members(group.windows)), register, is_peak=True)
                    for group in amount.groups
                ]
            case Count():
                windows = SlotForm.of(_members(amount.windows))
                return [replace(self.form(windows, register, is_peak=True), above=amount.limit)]
            case Excess():
                above = [
                    replace(self.form(one.form, register), above=one.limit) for one in amount.above
                ]
                return [self.form(amount.form, register), *above] if amount.form.runs else above
            case Reading():
                spread = [0] * self.slots
                spread[amount.place] = 1
                form = Form(self.begin, self.slot_seconds, tuple(spread), is_sample=True)
                revised = self.revised.get(register, ())
                return [replace(form, register=register, revised=revised)]
            case Sum() | Tiered() | Best():
                return [self.form(one, register) for one in amount.forms]

    def bounds(self, amount: Amount) -> tuple[int, int]:
        """Return the least and the most that an amount can come to."""
        match amount:
            case Sum():
                return self._reach(amount.form)
            case Tiered():
                least = most = 0
                for bucket in amount.buckets:
                    _, use = self._reach(bucket.form)
                    ends = [value * use for value in bucket.prices]
                    least, most = least + min(0, *ends), most + max(0, *ends)
                return least, most
            case Peaks():
                times, parts = amount.rate
                # All windows are alike: one says how much they can have.
                _, window = self._reach(amount.groups[0].windows[0])
                highest = [max(group.floor, window * times // parts) for group in amount.groups]
                return 0, sum(sorted(highest, reverse=True)[: amount.highest or None])
            case Count():
                _, window = self._reach(amount.windows[0])
                return 0, len(amount.windows) if window > amount.limit else 0
            case Excess():
                low, high = self._reach(amount.form)
                for one in amount.above:
                    beyond_low, beyond_high = self._reach(one.form)
                    low, high = low + beyond_low, high + beyond_high
                return low, high
            case Best():
                return 0, len(amount.forms) - 1
            case Reading():
                return 0, self.largest_use

    def _reach(self, form: SlotForm) -> tuple[int, int]:
        low = sum(c * w for _, c, w in form.runs if w < 0) * self.largest_use
        return low, sum(c * w for _, c, w in form.runs if w > 0) * self.largest_use


def _not_counted(covers: Sequence[Form], told: Sequence[Form]) -> tuple[Form, ...]:
    """Return covers without the slots that are counted.

    What such a slot adds by its price, a count that changes at the same time may take away.
    """
    kept = []
    for cover in covers:
        counted = [f.weights for f in told if f.is_count and f.register == cover.register]
        weights = tuple(
            0 if any(row[place] for row in counted) else weight
            for place, weight in enumerate(cover.weights)
        )
        if any(weights):
            kept.append(replace(cover, weights=weights))
    return tuple(kept)


def _members(windows: Iterable[SlotForm]) -> dict[int, int]:
    return {
        place: number for number, window in enumerate(windows, start=1) for place in window.places()
    }


@dataclass(frozen=True, slots=True)
class _Reckoned:
    """What a watt-hour counts for."""

    prices: Prices | None
    covers: tuple[Form, ...]
    cover_least: Fraction


def _prices_of(
    parts: Sequence[tuple[str, Amount]], scenarios: Sequence[Sequence[Fraction]], grid: SlotGrid
) -> _Reckoned:
    """Return what a watt-hour counts for, given each part's register.

    Each scenario has a slope for each part. Prices of one slot add up; where a part has several
    prices, each is a case. A slot moves the number whatever is used if no case makes nothing of it.
    """
    common = lcm(*(slope.denominator for slopes in scenarios for slope in slopes))
    found: set[int] = set()
    sure: set[int] = set()
    covers: list[Form] = []
    for register in sorted({register for register, _ in parts}):
        priced = [
            (place, grid.form(weights, register).weights, prices)
            for place, (where, amount) in enumerate(parts)
            if where == register
            for weights, prices in priced_forms(amount)
        ]
        columns = list(zip(*(row for _, row, _ in priced), strict=True))
        known: dict[tuple[int, ...], set[int]] = {column: set() for column in columns}
        for slopes in scenarios:
            cases = [
                sorted({price * int(slopes[place] * common) for price in prices})
                for place, _, prices in priced
            ]
            for column, cents in known.items():
                cents |= sums_of_cases([
                    [weight * price for price in each]
                    for weight, each in zip(column, cases, strict=True) if weight
                ])  # fmt: skip
        found |= set[int]().union(*known.values())
        moving = {column for column, cents in known.items() if cents and 0 not in cents}
        sure |= set[int]().union(*(known[column] for column in moving))
        if moving:
            weights = tuple(int(column in moving) for column in columns)
            form = Form(grid.begin, grid.slot_seconds, weights, register=register)
            covers.append(replace(form, revised=grid.revised.get(register, ())))
    sizes = {abs(price) for price in found if price}
    if not sizes:
        return _Reckoned(None, (), Fraction(0))
    prices = Fraction(min(sizes), common), Fraction(max(sizes), common)
    least = min(map(abs, sure), default=0)
    return _Reckoned(prices, tuple(covers), Fraction(least, common))


def priced_forms(amount: Amount) -> list[tuple[SlotForm, tuple[int, ...]]]:
    """Return the forms of an amount, each with what a watt-hour of it may count for."""
    match amount:
        case Sum():
            return [(amount.form, (1,))]
        case Excess():
            return [(amount.form, (1,)), *((one.form, (0, 1)) for one in amount.above)]
        case Tiered():
            return [(bucket.form, bucket.prices) for bucket in amount.buckets]
        case _:
            return []


def sums_of_cases(cases: Sequence[Sequence[int]]) -> set[int]:
    """Return all sums of a number from each of some cases; of very many, what bounds them."""
    sums = {0}
    for each in cases:
        sums = {one + other for one in sums for other in each}
        if len(sums) > MOST_CASES:
            nearest = min(filter(None, map(abs, sums)), default=0)
            sums = {min(sums), max(sums), nearest, 0}
    return sums


def _identity_of(forms: Sequence[Form], bits: int) -> bytes:
    digest = sha256(_IDENTITY + b" by its forms %d" % bits)
    for form in forms:
        shape = f"{form.begin} {form.slot_seconds} {form.register} {form.above}"
        digest.update(f"{shape} {form.is_peak} {form.is_sample} {form.weights}\n".encode())
        if form.revised:
            digest.update(f"{form.revised}\n".encode())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class ReleasedNumber:
    """A number on record, and to whom it was told."""

    number: Number
    asker: tuple[bytes, str, str]
    """Applet, recipient and purpose."""
    sequence: int

    @property
    def source(self) -> str:
        """Where it is found, for the resident."""
        _, recipient, purpose = self.asker
        return f"entry {self.sequence} ({recipient}, {purpose})" if self.sequence else ""
