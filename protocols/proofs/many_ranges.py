# SPDX-License-Identifier: Apache-2.0
"""Many values, each in a range of whole bytes, by digits that are looked up.

Public:  V_j, width n_j in bits, for many j.
Secret:  v_j and γ_j with V_j = v_j·H + γ_j·G.
Claim:   0 ≤ v_j < 2^n_j for each j.
Proof:   Each value is cut into digits of b bits, where b divides all widths:

           (1) v_j = Σ d[j,k]·2^(b·k) for k < n_j / b,  with digits 0 ≤ d < 2^b

         Digits are looked up in a table, and (1), times z^(1+j), is a sum in the argument of
         `protocols.proofs.lookup`, where Σ z^(1+j)·V_j is what it comes to.

Sound: the argument shows (1) for digits that are in the table, modulo the order n. A width is no
more than 128 bits, so that the right side of (1) is below n, and v_j is that integer. Whether it is
the integer that a statement means follows from the limits of `protocols.proofs.quantity`.

Zero-knowledge: the argument has a simulator that is handed the V_j and no more.

It takes the place of `protocols.proofs.ranges` where that would have many bits, each of which costs
as much as a digit here. To that end a comparison that may be wider than it has to be is rounded up
to whole bytes (`roomy_width`); all other ranges are as wide as the statement says.

Size: 5 points, 5 scalars and 2·⌈log2(Σ n_j / b + 2^b)⌉ points: 1,183 bytes for 2,976 values of 16
bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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

__all__ = [
    "MANY_BITS",
    "are_looked_up",
    "receive_many_ranges",
    "roomy_width",
    "send_many_ranges",
]

MANY_BITS: Final = 1024
"""From so many bits on, whole bytes are looked up."""
_BYTE: Final = 8


def are_looked_up(widths: Sequence[int]) -> list[bool]:
    """Return for each range of a statement whether it is looked up: what the widths decide."""
    whole = [width % _BYTE == 0 for width in widths]
    many = sum(width for width, is_whole in zip(widths, whole, strict=True) if is_whole)
    return [is_whole and many >= MANY_BITS for is_whole in whole]


def roomy_width(width: int, count: int) -> int:
    """Return `width` for a few ranges; for many of them, rounded up so that they are looked up."""
    rounded = -(-width // _BYTE) * _BYTE
    return rounded if rounded * count >= MANY_BITS else width


def send_many_ranges(
    channel: Outgoing,
    values: Sequence[tuple[int, int]],
    widths: Sequence[int],
    nonces: Nonces,
) -> None:
    """Send the proof that each value of (value, blinding) fits into its width.

    The transcript has taken in the commitments and the widths. Raises `FalseStatement` if a value
    does not fit.
    """
    for (value, _), width in zip(values, widths, strict=True):
        if not 0 <= value < 1 << width:
            raise FalseStatement(f"a value is not in the range of {width} bits")
    cuts = _Cuts.of(widths)
    cuts.append_to(channel.transcript)
    digits = [
        digit
        for (value, _), count in zip(values, cuts.counts, strict=True)
        for digit in cut(value, cuts.digit_bits, count)
    ]
    secrets = [number for pair in values for number in pair]

    def weigh(drawn: Drawn) -> tuple[LookupSums, int]:
        blindings = [blinding for _, blinding in values]
        return cuts.sums(drawn), inner_product(cuts.value_weights(drawn.z), blindings)

    send_lookups(channel, cuts.digit_bits, (digits, (), ()), secrets, weigh, nonces)


def receive_many_ranges(
    channel: Incoming, name: str, points: Sequence[Point], widths: Sequence[int]
) -> ProductsCheck:
    """Receive the proof that each point commits to a value of its width; check it later."""
    cuts = _Cuts.of(widths)
    cuts.append_to(channel.transcript)

    def weigh(drawn: Drawn) -> tuple[LookupSums, Committed]:
        return cuts.sums(drawn), list(zip(points, cuts.value_weights(drawn.z), strict=True))

    shape = Shape(sum(cuts.counts), 0, cuts.digit_bits)
    return receive_lookups(channel, name, shape, weigh)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """How many digits each value is cut into, and of how many bits."""

    digit_bits: int
    counts: tuple[int, ...]

    @classmethod
    def of(cls, widths: Sequence[int]) -> "_Cuts":
        """Return what makes the proof quickest."""
        if not widths or not 1 <= min(widths) <= max(widths) <= LARGEST_WIDTH:
            raise ValueError(f"not some ranges of 1 to {LARGEST_WIDTH} bits")
        bits = best_digit_bits(sum(widths), gcd(*widths))
        return cls(bits, tuple(width // bits for width in widths))

    def append_to(self, transcript: Transcript) -> None:
        """Say what follows: no proof of another kind of ranges is one of this kind."""
        transcript.append_integer("ranges, looked up, version 1", self.digit_bits)
        transcript.append_integers("digits", self.counts)

    def value_weights(self, z: int) -> list[int]:
        """Return z^(1+j) for each value."""
        return powers(z, len(self.counts) + 1)[1:]

    def sums(self, drawn: Drawn) -> LookupSums:
        """Return (1), each times its power of z."""
        weights = zip(self.value_weights(drawn.z), self.counts, strict=True)
        digits = [
            (weight << self.digit_bits * k) % ORDER
            for weight, count in weights
            for k in range(count)
        ]
        found = pow(drawn.z, len(self.counts) + 1, ORDER)
        return LookupSums(drawn, digits, ((), ()), found, 0)
