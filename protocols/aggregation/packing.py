# SPDX-License-Identifier: Apache-2.0
"""Many slots in one plaintext, with room for their sums.

Unmasked, a plaintext is a row of slots. Masked, it is a row of limbs, each of which is a row of
slots taken modulo the group's order, so that a uniform mask hides it perfectly:

    limb       v = Σ x[k]·2^(slot_bits·k)                  below 2^255, hence below the order
    plaintext  m = Σ y[l]·2^(limb_bits·l)                  y = v + masks modulo the order
                                                           2048 bits: 7 limbs of 7 slots

Room. Of at most 2^g households, each x below 2^b: a slot's sum is below 2^(b+g) <= 2^slot_bits,
so slots do not run into each other and Σ v < 2^255 comes back whole from modulo the order; a
limb's sum is below 2^(256+g) <= 2^limb_bits, so limbs do not run into each other; and all limbs
together are below 2^(bits-1) < n. Where one of these does not hold, the packing is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocols.aggregation.errors import PackingRefused
from protocols.proofs.group import ORDER

VALUE_BITS: Final = 20
"""A slot of a household is below 2^20 Wh: a megawatt-hour."""
GROUP_BITS: Final = 16
LIMB_ROOM_BITS: Final = 255
"""What a limb's sum must fit, to come back from modulo the order."""
_ORDER_BITS: Final = 256
_LARGEST_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Packing:
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


@dataclass(frozen=True, slots=True)
class Layout:
    """How a round's values lie in limbs, and limbs in plaintexts."""

    modulus_bits: int
    value_bits: int
    group_bits: int
    slot_bits: int
    slots: int
    """In a limb."""
    limb_bits: int
    limbs: int
    """In a plaintext."""

    def __post_init__(self) -> None:
        if not (1 <= self.value_bits <= _LARGEST_BITS and 1 <= self.group_bits <= 32):
            raise PackingRefused("a value has 1 to 64 bits, a group at most 2^32 members")
        if self.slots < 1 or self.limbs < 1:
            raise PackingRefused("there is no room for a single slot")
        if self.slot_bits < self.value_bits + self.group_bits:
            raise PackingRefused(f"a sum could run over its slot of {self.slot_bits} bits")
        if self.slots * self.slot_bits > LIMB_ROOM_BITS:
            raise PackingRefused(f"{self.slots} slots could run over the group's order")
        if self.limb_bits < _ORDER_BITS + self.group_bits:
            raise PackingRefused(f"a sum could run over its limb of {self.limb_bits} bits")
        if self.limbs * self.limb_bits > self.modulus_bits - 1:
            raise PackingRefused(f"{self.limbs} limbs could run over the modulus")

    @classmethod
    def for_key(
        cls, modulus_bits: int, value_bits: int = VALUE_BITS, group_bits: int = GROUP_BITS
    ) -> Self:
        """Return the layout that gets most values into a plaintext."""
        slot_bits, limb_bits = value_bits + group_bits, _ORDER_BITS + group_bits
        limbs = (modulus_bits - 1) // limb_bits
        slots = LIMB_ROOM_BITS // slot_bits
        return cls(
            modulus_bits, value_bits, group_bits, slot_bits, slots, limb_bits, limbs
        )  # fmt: skip

    def limb_count(self, values: int) -> int:
        """Return how many limbs so many values take."""
        return -(-values // self.slots)

    def plaintext_count(self, values: int) -> int:
        """Return how many plaintexts, and ciphertexts, so many values take."""
        return -(-self.limb_count(values) // self.limbs)

    def limbs_of(self, values: Sequence[int]) -> list[int]:
        """Return a household's limbs; raise `PackingRefused` and name a value that is too large."""
        limit = 1 << self.value_bits
        for place, value in enumerate(values):
            if not 0 <= value < limit:
                raise PackingRefused(f"value {place} does not fit {self.value_bits} bits")
        shifts = range(0, self.slots * self.slot_bits, self.slot_bits)
        starts = range(0, len(values), self.slots)
        return [
            sum(value << shift for value, shift in zip(values[start:], shifts, strict=False))
            for start in starts
        ]

    def values_of(self, limbs: Sequence[int], count: int) -> list[int]:
        """Return the `count` sums in limbs of sums; raise `PackingRefused` if they hold more."""
        mask = (1 << self.slot_bits) - 1
        shifts = range(0, self.slots * self.slot_bits, self.slot_bits)
        values = [limb >> shift & mask for limb in limbs for shift in shifts]
        too_large = any(limb >> self.slots * self.slot_bits for limb in limbs)
        if too_large or len(limbs) != self.limb_count(count) or any(values[count:]):
            raise PackingRefused("the limbs hold something else than the sums of a round")
        return values[:count]

    def plaintexts_of(self, limbs: Sequence[int]) -> list[int]:
        """Return limbs, each below the order, as plaintexts."""
        return [
            sum(limb << self.limb_bits * place for place, limb in enumerate(row))
            for row in _rows(limbs, self.limbs)
        ]

    def limbs_in(self, plaintexts: Sequence[int], count: int, group: int) -> list[int]:
        """Return `count` limbs modulo the order, each a sum of `group` limbs below the order.

        Raises `PackingRefused` if the plaintexts hold anything that such sums cannot.
        """
        mask = (1 << self.limb_bits) - 1
        places = range(0, self.limbs * self.limb_bits, self.limb_bits)
        limbs = [plaintext >> place & mask for plaintext in plaintexts for place in places]
        too_large = any(plaintext >> self.limbs * self.limb_bits for plaintext in plaintexts)
        if too_large or len(limbs) < count or any(limbs[count:]):
            raise PackingRefused("the plaintexts hold something else than a round's limbs")
        # A limb beyond this could run over into the next one, and blame would miss its origin.
        if any(limb > group * (ORDER - 1) for limb in limbs[:count]):
            raise PackingRefused(f"a limb is no sum of {group} limbs below the group's order")
        return [limb % ORDER for limb in limbs[:count]]


def _rows(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))
