# SPDX-License-Identifier: Apache-2.0
"""Many values, each in a range of whole bytes, and maxima among them; by digits that are looked up.

Public:  V_j, width n_j in bits, for many j; groups of some of these j, each in one group at most.
Secret:  v_j and γ_j with V_j = v_j·H + γ_j·G.
Claim:   0 ≤ v_j < 2^n_j for each j; in each group, one v_j is 0. So M is the maximum of many x
         where the v_j of a group are the M − x_j.
Proof:   Each value is cut into digits of b bits, where b divides all widths. Each value of a group
         is paired with a number e_j, which is 1 where the (first) value of 0 is, and 0 elsewhere:

           (1) v_j = Σ d[j,k]·2^(b·k) for k < n_j / b,  with digits 0 ≤ d < 2^b
           (2) e_j·f_j = 0      (3) f_j = Σ d[j,k]·2^(b·k)      (4) Σ e_j = 1 over each group

         Digits are looked up in a table, pairs e, f have products of 0, and (1), (3) and (4) are
         sums, times powers of z, in the argument of `protocols.proofs.lookup`, where Σ z^(1+j)·V_j
         is what they come to.

Sound: the argument shows (1) to (4) for digits that are in the table, modulo the order n. A width
is no more than 128 bits, so that the right side of (1) is below n, and v_j is that integer. By (4)
some e_j of a group is not 0, so by (2) its f_j is 0, and by (3) and (1) v_j. Whether v_j is the
integer that a statement means follows from the limits of `protocols.proofs.quantity`.

Zero-knowledge: the argument has a simulator that is handed the V_j and no more.

It takes the place of `protocols.proofs.ranges` where that would have many bits, each of which costs
as much as a digit here, and of `protocols.proofs.one_of` where a maximum is of many. What may be
wider than it has to be, as a maximum's differences, is rounded up to whole bytes (`whole_bytes`);
all other ranges are as wide as the statement says.

Size: 5 points, 5 scalars and 2·⌈log2(Σ n_j / b + how many are in groups + 2^b)⌉ points: 1,249 bytes
for a maximum of 2,976 values of 16 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import gcd
from typing import Final

from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement
from protocols.proofs.folding import inner_product, powers
from protocols.proofs.group import ORDER, Point
from protocols.proofs.lookup import (
    Committed,
    Drawn,
    LookupSums,
    Shape,
    best_digit_bits,
    cut,
    receive_lookups,
    send_lookups,
)
from protocols.proofs.nonces import Nonces
from protocols.proofs.products import ProductsCheck
from protocols.proofs.ranges import LARGEST_WIDTH
from protocols.proofs.transcript import Transcript

MANY_BITS: Final = 256
"""With more bits than these in ranges of whole bytes, a statement looks such ranges up.

Measured: it is quicker and shorter from 160 on. Statements with less keep the proofs they had.
"""
FEW_ITEMS: Final = 8
"""The maximum of more items is looked up. Measured: quicker and shorter from five on, likewise."""
_BYTE: Final = 8


def are_looked_up(widths: Sequence[int], grouped: Sequence[bool]) -> list[bool]:
    """Return for each range of a statement whether it is looked up: widths and groups decide."""
    whole = [width % _BYTE == 0 for width in widths]
    many = sum(width for width, is_whole in zip(widths, whole, strict=True) if is_whole)
    return [is_whole and (many > MANY_BITS or any(grouped)) for is_whole in whole]


def whole_bytes(width: int) -> int:
    """Return the width, rounded up to whole bytes."""
    return -(-width // _BYTE) * _BYTE


def send_many_ranges(
    channel: Outgoing,
    values: Sequence[tuple[int, int]],
    widths: Sequence[int],
    groups: Sequence[Sequence[int]],
    nonces: Nonces,
) -> None:
    """Send the proof that each value of (value, blinding) fits, and one of each group is 0.

    A group is of places among the values. The transcript has taken in the commitments. Raises
    `FalseStatement` if a value does not fit, or none of a group is 0.
    """
    for (value, _), width in zip(values, widths, strict=True):
        if not 0 <= value < 1 << width:
            raise FalseStatement(f"a value is not in the range of {width} bits")
    cuts = _Cuts.of(widths, groups)
    cuts.append_to(channel.transcript)
    digits = [
        digit
        for (value, _), count in zip(values, cuts.counts, strict=True)
        for digit in cut(value, cuts.digit_bits, count)
    ]
    chosen = [one for group in groups for one in _first_zero([values[j][0] for j in group])]
    paired = [values[j][0] for group in groups for j in group]
    secrets = [number for pair in values for number in pair]

    def weigh(drawn: Drawn) -> tuple[LookupSums, int]:
        blindings = [blinding for _, blinding in values]
        return cuts.sums(drawn), inner_product(cuts.value_weights(drawn.z), blindings)

    send_lookups(channel, cuts.digit_bits, (digits, chosen, paired), secrets, weigh, nonces)


def receive_many_ranges(
    channel: Incoming,
    name: str,
    points: Sequence[Point],
    widths: Sequence[int],
    groups: Sequence[Sequence[int]],
) -> ProductsCheck:
    """Receive the proof about the values that the points commit to; check it later."""
    cuts = _Cuts.of(widths, groups)
    cuts.append_to(channel.transcript)

    def weigh(drawn: Drawn) -> tuple[LookupSums, Committed]:
        return cuts.sums(drawn), list(zip(points, cuts.value_weights(drawn.z), strict=True))

    shape = Shape(sum(cuts.counts), len(cuts.grouped), cuts.digit_bits)
    return receive_lookups(channel, name, shape, weigh)


def _first_zero(values: Sequence[int]) -> list[int]:
    """Return 1 at the place of the first 0, 0 at all others."""
    if 0 not in values:
        raise FalseStatement("no value of a group is 0")
    chosen = [0] * len(values)
    chosen[values.index(0)] = 1
    return chosen


@dataclass(frozen=True, slots=True)
class _Cuts:
    """How many digits each value is cut into, of how many bits; and what is in which group."""

    digit_bits: int
    counts: tuple[int, ...]
    group_sizes: tuple[int, ...]
    grouped: tuple[int, ...]
    """The places of the values in groups, group by group."""

    @classmethod
    def of(cls, widths: Sequence[int], groups: Sequence[Sequence[int]]) -> "_Cuts":
        """Return what makes the proof quickest."""
        if not widths or not 1 <= min(widths) <= max(widths) <= LARGEST_WIDTH:
            raise ValueError(f"not some ranges of 1 to {LARGEST_WIDTH} bits")
        grouped, sizes = tuple(chain.from_iterable(groups)), tuple(map(len, groups))
        if len(set(grouped)) != len(grouped) or not set(grouped) <= set(range(len(widths))):
            raise ValueError("groups that overlap, or are not of these ranges")
        bits = best_digit_bits(sum(widths), gcd(*widths))
        return cls(bits, tuple(width // bits for width in widths), sizes, grouped)

    def append_to(self, transcript: Transcript) -> None:
        """Say what follows: no proof of another kind of ranges is one of this kind."""
        transcript.append_integer("ranges, looked up, version 1", self.digit_bits)
        transcript.append_integers("digits", self.counts)
        transcript.append_integers("group sizes", self.group_sizes)
        transcript.append_integers("grouped", self.grouped)

    def value_weights(self, z: int) -> list[int]:
        """Return z^(1+j) for each value."""
        return powers(z, len(self.counts) + 1)[1:]

    def sums(self, drawn: Drawn) -> LookupSums:
        """Return (1), (3) and (4), each times its power of z."""
        many, paired = len(self.counts), len(self.grouped)
        z_powers = powers(drawn.z, many + paired + len(self.group_sizes) + 2)
        wholes, ties = z_powers[1 : many + 1], z_powers[many + 1 : many + paired + 1]
        of_groups, found = z_powers[many + paired + 1 : -1], z_powers[-1]
        for place, tie in zip(self.grouped, ties, strict=True):
            wholes[place] -= tie
        digits = [
            (whole << self.digit_bits * k) % ORDER
            for whole, count in zip(wholes, self.counts, strict=True)
            for k in range(count)
        ]
        sizes = zip(of_groups, self.group_sizes, strict=True)
        chosen = [weight for weight, size in sizes for _ in range(size)]
        return LookupSums(drawn, digits, (chosen, ties), found, sum(of_groups))
