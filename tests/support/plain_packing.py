# SPDX-License-Identifier: Apache-2.0
"""Slots in a plaintext without masks, to compare `protocols.aggregation.packing` with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocols.aggregation.errors import PackingRefused

_LARGEST_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class PlainPacking:
    """A row of `count` slots of `slot_bits` each, for sums of up to `group` values."""

    count: int
    slot_bits: int
    value_bits: int
    group: int

    def __post_init__(self) -> None:
        if self.count < 1 or self.group < 1 or not 1 <= self.value_bits <= _LARGEST_BITS:
            raise PackingRefused("a packing has slots, values and a group")
        if self.slot_bits < self.value_bits + (self.group - 1).bit_length():
            raise PackingRefused(
                f"{self.group} values of {self.value_bits} bits do not fit {self.slot_bits} bits"
            )

    @classmethod
    def for_key(cls, modulus_bits: int, slot_bits: int, value_bits: int, group: int) -> Self:
        """Return the packing with as many slots as a plaintext of the key has room for."""
        return cls((modulus_bits - 1) // slot_bits, slot_bits, value_bits, group)

    def pack(self, values: Sequence[int]) -> int:
        """Return one number; raise `PackingRefused` for too many values or too large ones."""
        if len(values) > self.count:
            raise PackingRefused(f"{len(values)} values for {self.count} slots")
        for place, value in enumerate(values):
            if not 0 <= value < 1 << self.value_bits:
                raise PackingRefused(f"slot {place}: not a value of {self.value_bits} bits")
        return sum(value << self.slot_bits * place for place, value in enumerate(values))

    def unpack(self, packed: int) -> list[int]:
        """Return what is in each slot, a value or a sum."""
        mask = (1 << self.slot_bits) - 1
        return [packed >> self.slot_bits * place & mask for place in range(self.count)]
