# SPDX-License-Identifier: Apache-2.0
"""Amounts as bytes: 64-bit signed integers, little-endian, one after the other.

    amounts    how many, then each: its kind, and
      Sum 0      form
      Sum -1     form; proved over the commitments to slots
      Tiered 1   how many buckets, each: form, how many limits, limits, prices (one more)
      Peaks 2    how many groups, each: floor, how many windows, a form for each
      Best 3     how many forms, each
      Reading 4  place
      Peaks 5    how many of them count, and then as for 2; 2 where all of them do
      Excess 6   form, how many limits, each: limit, form; the first form may be of no run
      Peaks 7    the rate's numerator and denominator, how many count or 0, and then as for 2
      Total 8    how many metered, each: register, amount (no Best, Reading or Total);
                 how many steps, each:
                   Combine 0    how many terms, each: place, wide factor; wide constant
                   Least 1      how many places, each
                   Most 2       how many places, each
                   Rounding 3   place, wide divisor, rule
                 wide divisor, rule (0 down, 1 half-up, 2 half-even)
      Total 9    as 8, then how many are carried, each: name, low, bits; then how many are
                 kept, each: name, place, low, bits; 8 where there is neither
      Count 10   limit, how many windows, a form for each
    name       how many bytes of UTF-8, and these, 8 to an integer, the last one filled up with 0
    form       how many runs, each: first place, how many slots, weight
    wide       how many integers, as few as will do, up to 2, and these: the number's two's
               complement, low bits first

One description has one encoding; any other form without a run, a run out of order and any integer
left over are refused.

Errors: AmountsMalformed
"""

import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Final, TypeVar

from protocols.amounts.model import (
    Above,
    Amount,
    AmountsMalformed,
    Best,
    Bucket,
    Count,
    Excess,
    Group,
    MeteredAmount,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
)
from protocols.amounts.steps import Combine, Least, Most, QuotientRule, Rounding, TotalStep
from protocols.amounts.total import (
    MOST_NAME,
    MOST_TOTALS,
    Carried,
    Kept,
    Metered,
    NumberAmount,
    Total,
)

WIDTH: Final = 8
MOST_WIDE: Final = 2
SUM, TIERED, PEAKS, BEST, READING, HIGHEST, EXCESS, RATED, TOTAL, REMEMBERING = range(10)
COUNT: Final = 10
SUM_BY_SLOTS: Final = -1
COMBINE, LEAST, MOST, ROUNDING = range(4)
RULES: Final = (QuotientRule.DOWN, QuotientRule.HALF_UP, QuotientRule.HALF_EVEN)

ItemT = TypeVar("ItemT")


def encode_amounts(amounts: Sequence[Amount | NumberAmount]) -> bytes:
    """Return the one encoding; raise `AmountsMalformed` where a number is beyond 64 bits."""
    numbers = [len(amounts)]
    for amount in amounts:
        numbers += _amount(amount)
    try:
        return struct.pack(f"<{len(numbers)}q", *numbers)
    except struct.error:
        raise AmountsMalformed("a number is beyond 64 bits") from None


def decode_amounts(data: bytes) -> tuple[Amount, ...]:
    """Return the amounts of one register that fill `data`: no totals.

    Raises `AmountsMalformed` for anything else.
    """
    return _decode(data, _Numbers.amount)


def decode_numbers(data: bytes) -> tuple[NumberAmount, ...]:
    """Return the totals, bests and readings that fill `data`.

    Raises `AmountsMalformed` for anything else.
    """
    return _decode(data, _Numbers.number)


def _decode(data: bytes, read: "Callable[[_Numbers], ItemT]") -> tuple[ItemT, ...]:
    numbers = _Numbers(data)
    amounts = numbers.each(read)
    numbers.finish()
    if not amounts:
        raise AmountsMalformed("there is no amount")
    return amounts


def _amount(amount: Amount | NumberAmount) -> list[int]:
    match amount:
        case Sum():
            return [SUM_BY_SLOTS if amount.by_slots else SUM, *_form(amount.form)]
        case Tiered():
            numbers = [TIERED, len(amount.buckets)]
            for bucket in amount.buckets:
                numbers += _form(bucket.form)
                numbers += [len(bucket.limits), *bucket.limits, *bucket.prices]
            return numbers
        case Peaks():
            numbers = [HIGHEST, amount.highest] if amount.highest else [PEAKS]
            if amount.rate != (1, 1):
                numbers = [RATED, *amount.rate, amount.highest]
            numbers.append(len(amount.groups))
            for group in amount.groups:
                numbers += [group.floor, len(group.windows)]
                for window in group.windows:
                    numbers += _form(window)
            return numbers
        case Best():
            return [BEST, len(amount.forms), *(n for form in amount.forms for n in _form(form))]
        case Reading():
            return [READING, amount.place]
        case Excess():
            numbers = [EXCESS, *_form(amount.form), len(amount.above)]
            for one in amount.above:
                numbers += [one.limit, *_form(one.form)]
            return numbers
        case Count():
            windows = [n for window in amount.windows for n in _form(window)]
            return [COUNT, amount.limit, len(amount.windows), *windows]
        case Total():
            numbers = [REMEMBERING if amount.has_memory else TOTAL, len(amount.metered)]
            for metered in amount.metered:
                numbers += [metered.register, *_amount(metered.amount)]
            numbers.append(len(amount.steps))
            for step in amount.steps:
                numbers += _step(step)
            return [
                *numbers, *_wide(amount.divisor), RULES.index(amount.rule), *_memory(amount)
            ]  # fmt: skip


def _memory(total: Total) -> list[int]:
    if not total.has_memory:
        return []
    numbers = [len(total.carried)]
    for one in total.carried:
        numbers += [*_name(one.name), one.low, one.bits]
    numbers.append(len(total.kept))
    for kept in total.kept:
        numbers += [*_name(kept.name), kept.place, kept.low, kept.bits]
    return numbers


def _name(name: str) -> list[int]:
    data = name.encode()
    count = -(-len(data) // WIDTH)
    return [len(data), *struct.unpack(f"<{count}q", data.ljust(count * WIDTH, b"\0"))]


def _step(step: TotalStep) -> list[int]:
    match step:
        case Combine():
            terms = [n for place, factor in step.terms for n in (place, *_wide(factor))]
            return [COMBINE, len(step.terms), *terms, *_wide(step.constant)]
        case Least():
            return [LEAST, len(step.places), *step.places]
        case Most():
            return [MOST, len(step.places), *step.places]
        case Rounding():
            return [ROUNDING, step.place, *_wide(step.divisor), RULES.index(step.rule)]


def _wide(number: int) -> list[int]:
    count = 1 if -(1 << 63) <= number < 1 << 63 else MOST_WIDE
    return [
        count,
        *struct.unpack(f"<{count}q", number.to_bytes(WIDTH * count, "little", signed=True)),
    ]


def _form(form: SlotForm) -> list[int]:
    return [len(form.runs), *chain.from_iterable(form.runs)]


class _Numbers:
    """A cursor over packed integers: `take` never comes up short."""

    def __init__(self, data: bytes) -> None:
        if len(data) % WIDTH:
            raise AmountsMalformed(f"integers are packed in {WIDTH} bytes each")
        self._numbers = struct.unpack(f"<{len(data) // WIDTH}q", data)
        self._at = self._totals = 0

    def take(self, count: int = 1) -> tuple[int, ...]:
        if not 0 <= count <= len(self._numbers) - self._at:
            raise AmountsMalformed(f"cut short at number {self._at}")
        self._at += count
        return self._numbers[self._at - count : self._at]

    def finish(self) -> None:
        if self._at != len(self._numbers):
            raise AmountsMalformed(f"{len(self._numbers) - self._at} numbers are left over")

    def each(self, read: "Callable[[_Numbers], ItemT]") -> tuple[ItemT, ...]:
        (count,) = self.take()
        if not 0 <= count <= len(self._numbers) - self._at:
            raise AmountsMalformed(f"cut short at number {self._at}")
        return tuple(read(self) for _ in range(count))

    def amount(self) -> Amount:
        (kind,) = self.take()
        if kind in (BEST, READING):
            return self.best_or_reading(kind)
        return self.metered_amount(kind)

    def number(self) -> NumberAmount:
        (kind,) = self.take()
        if kind not in (TOTAL, REMEMBERING):
            return self.best_or_reading(kind)
        self._totals += 1
        if self._totals > MOST_TOTALS:  # before another one is worked out
            raise AmountsMalformed(f"there are more than {MOST_TOTALS} totals")
        metered, steps = self.each(_Numbers.metered), self.each(_Numbers.step)
        divisor, rule = self.wide(), self.rule()
        if kind == TOTAL:
            return Total(metered, steps, divisor, rule)
        carried, kept = self.each(_Numbers.carried), self.each(_Numbers.kept)
        if not carried and not kept:
            raise AmountsMalformed("a total without memory is written as one")
        return Total(metered, steps, divisor, rule, carried, kept)

    def carried(self) -> Carried:
        return Carried(self.name(), *self.take(2))

    def kept(self) -> Kept:
        return Kept(self.name(), *self.take(3))

    def name(self) -> str:
        (size,) = self.take()
        if not 0 < size <= MOST_NAME:
            raise AmountsMalformed(f"a name has 1 to {MOST_NAME} bytes")
        packed = self.take(-(-size // WIDTH))
        data = struct.pack(f"<{len(packed)}q", *packed)
        try:
            name = data[:size].decode()
        except UnicodeDecodeError:
            raise AmountsMalformed("a name is not UTF-8") from None
        if any(data[size:]):
            raise AmountsMalformed("a name is not filled up with 0")
        return name

    def best_or_reading(self, kind: int) -> Best | Reading:
        match kind:
            case 3:
                return Best(self.each(_Numbers.form))
            case 4:
                return Reading(*self.take())
            case _:
                raise AmountsMalformed(f"there is no kind {kind}, or not here")

    def metered_amount(self, kind: int) -> MeteredAmount:
        match kind:
            case -1:
                return Sum(self.form(), by_slots=True)
            case 0:
                return Sum(self.form())
            case 1:
                return Tiered(self.each(_Numbers.bucket))
            case 2:
                return Peaks(self.each(_Numbers.group))
            case 5:
                (highest,) = self.take()
                if not highest:
                    raise AmountsMalformed("none of the peaks counts")
                return Peaks(self.each(_Numbers.group), highest)
            case 6:
                return Excess(self.form(may_be_empty=True), self.each(_Numbers.above))
            case 7:
                times, parts, highest = self.take(3)
                if parts < 2:
                    raise AmountsMalformed("the rate is a whole number")
                return Peaks(self.each(_Numbers.group), highest, (times, parts))
            case 10:
                (limit,) = self.take()
                return Count(self.each(_Numbers.form), limit)
            case _:
                raise AmountsMalformed(f"there is no kind {kind}, or not here")

    def form(self, *, may_be_empty: bool = False) -> SlotForm:
        form = SlotForm(self.each(_Numbers.run))
        if not (form.runs or may_be_empty):
            raise AmountsMalformed("a form is of at least one slot")
        return form

    def run(self) -> tuple[int, int, int]:
        first, count, weight = self.take(3)
        return first, count, weight

    def bucket(self) -> Bucket:
        form = self.form()
        (count,) = self.take()
        return Bucket(form, self.take(count), self.take(count + 1))

    def above(self) -> Above:
        (limit,) = self.take()
        return Above(limit, self.form())

    def metered(self) -> Metered:
        register, kind = self.take(2)
        return Metered(register, self.metered_amount(kind))

    def step(self) -> TotalStep:
        (kind,) = self.take()
        match kind:
            case 0:
                return Combine(self.each(_Numbers.term), self.wide())
            case 1:
                return Least(self.take(*self.take()))
            case 2:
                return Most(self.take(*self.take()))
            case 3:
                (place,) = self.take()
                return Rounding(place, self.wide(), self.rule())
            case _:
                raise AmountsMalformed(f"there is no step {kind}")

    def term(self) -> tuple[int, int]:
        (place,) = self.take()
        return place, self.wide()

    def wide(self) -> int:
        (count,) = self.take()
        if not 1 <= count <= MOST_WIDE:
            raise AmountsMalformed(f"a number is of 1 to {MOST_WIDE} integers")
        number = int.from_bytes(struct.pack(f"<{count}q", *self.take(count)), "little", signed=True)
        if _wide(number)[0] != count:
            raise AmountsMalformed("a number has more integers than it needs")
        return number

    def rule(self) -> QuotientRule:
        (number,) = self.take()
        if not 0 <= number < len(RULES):
            raise AmountsMalformed(f"there is no rule {number}")
        return RULES[number]

    def group(self) -> Group:
        (floor,) = self.take()
        return Group(self.each(_Numbers.form), floor)
