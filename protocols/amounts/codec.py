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
    form       how many runs, each: first place, how many slots, weight

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
    Excess,
    Group,
    Peaks,
    Reading,
    SlotForm,
    Sum,
    Tiered,
)

WIDTH: Final = 8
SUM, TIERED, PEAKS, BEST, READING, HIGHEST, EXCESS, RATED = range(8)
SUM_BY_SLOTS: Final = -1

ItemT = TypeVar("ItemT")


def encode_amounts(amounts: Sequence[Amount]) -> bytes:
    """Return the one encoding; raise `AmountsMalformed` where a number is beyond 64 bits."""
    numbers = [len(amounts)]
    for amount in amounts:
        numbers += _amount(amount)
    try:
        return struct.pack(f"<{len(numbers)}q", *numbers)
    except struct.error:
        raise AmountsMalformed("a number is beyond 64 bits") from None


def decode_amounts(data: bytes) -> tuple[Amount, ...]:
    """Return the amounts that fill `data`; raise `AmountsMalformed` for anything else."""
    numbers = _Numbers(data)
    amounts = numbers.each(_Numbers.amount)
    numbers.finish()
    if not amounts:
        raise AmountsMalformed("there is no amount")
    return amounts


def _amount(amount: Amount) -> list[int]:
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


def _form(form: SlotForm) -> list[int]:
    return [len(form.runs), *chain.from_iterable(form.runs)]


class _Numbers:
    """A cursor over packed integers: `take` never comes up short."""

    def __init__(self, data: bytes) -> None:
        if len(data) % WIDTH:
            raise AmountsMalformed(f"integers are packed in {WIDTH} bytes each")
        self._numbers = struct.unpack(f"<{len(data) // WIDTH}q", data)
        self._at = 0

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
        match kind:
            case -1:
                return Sum(self.form(), by_slots=True)
            case 0:
                return Sum(self.form())
            case 1:
                return Tiered(self.each(_Numbers.bucket))
            case 2:
                return Peaks(self.each(_Numbers.group))
            case 3:
                return Best(self.each(_Numbers.form))
            case 4:
                return Reading(*self.take())
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
            case _:
                raise AmountsMalformed(f"there is no kind {kind}")

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

    def group(self) -> Group:
        (floor,) = self.take()
        return Group(self.each(_Numbers.form), floor)
