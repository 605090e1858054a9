# SPDX-License-Identifier: Apache-2.0
"""What slots use above limits, slot by slot, weighed and summed; in logarithmic size.

Public:  commitments to the uses x (one a slot, or one a day); N entries: a place p, a limit L and
         a weight w each; a commitment W.
Secret:  x and its blindings; s with its blinding and W = s·H + σ·G.
Claim:   s = Σ w[t]·max(0, x[p[t]] − L[t]), and each |x[p[t]] − L[t]| is below 2^24.
Proof:   With e = max(0, x − L) and f = max(0, L − x), it has to be shown for each entry that

           (1) e·f = 0      (2) e − f = x − L      (3) e + f = Σ d[j]·B^j with digits 0 ≤ d[j] < B

         where B^c = 2^24. By (1) one of both is 0, so by (3) both are in [0, 2^24), and by (2) they
         are what they should be. Digits are looked up in a table, pairs e, f have products of 0,
         and (2), (3) and s = Σ w·e are sums, times powers of z, in the argument of
         `protocols.proofs.lookup`.

         Uses and W enter as the points that the sums come to. Where uses are committed to by the
         day, the prover commits to Y = Σ z^(1+t)·x[p[t]] once z is drawn, and proves that it is
         this linear form of the days' commitments (`protocols.proofs.vector`).

Sound: the argument shows (1) to (3) and the sum for numbers that are fixed before its challenges.
(2) and (3) are modulo the order n: x is certified below 2^32 and L below 2^24, so that
x − L = e − f holds for integers.

Zero-knowledge: W and Y are uniform; the argument and the linear form have simulators that are
handed these points.

Size: W, A_1, A_2, S, T_1, T_2, 5 scalars and 2·⌈log2(N·c + N + B)⌉ points: 1,282 bytes for a month
of quarter-hours. Days' commitments add Y and a linear form: 1,019 bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import Final

from protocols.proofs.batch import Check
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
from protocols.proofs.pedersen import commit
from protocols.proofs.quantity import SlotOpening, Source
from protocols.proofs.transcript import Transcript
from protocols.proofs.vector import VectorCommitment, VectorOpening, receive_forms, send_forms

EXCESS_BITS: Final = 24
"""Uses and limits are less than 16.8 million watt-hours apart: it is fixed, and tells nothing."""


@dataclass(frozen=True, slots=True)
class Excesses:
    """Which slots are compared with which limits, and what a watt-hour above weighs."""

    places: tuple[int, ...]
    limits: tuple[int, ...]
    """In watt-hours."""
    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.places) == len(self.limits) == len(self.weights) > 0:
            raise ValueError("not a place, a limit and a weight for each of some comparisons")
        if min(self.limits) < 0 or max(self.limits) >> EXCESS_BITS:
            raise ValueError(f"a limit is beyond {EXCESS_BITS} bits of watt-hours")

    @property
    def digits(self) -> int:
        """How many digits a difference is cut into."""
        return EXCESS_BITS // self.digit_bits

    @property
    def digit_bits(self) -> int:
        """How many bits a digit has."""
        return best_digit_bits(EXCESS_BITS * len(self.places), EXCESS_BITS)

    @property
    def limit(self) -> int:
        """A bound of the sum's magnitude."""
        return sum(map(abs, self.weights)) << EXCESS_BITS

    def append_to(self, transcript: Transcript) -> None:
        """Say what is compared."""
        transcript.append_integers("places", self.places)
        transcript.append_integers("limits", self.limits)
        transcript.append_integers("weights", self.weights)

    def sum_of(self, uses: Sequence[int]) -> int:
        """Return the sum, in the open."""
        return _inner(self.weights, [max(0, d) for d in self._differences(uses)])

    def over_and_under(self, uses: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return e and f; raise `FalseStatement` where they are not in range."""
        differences = self._differences(uses)
        if max(map(abs, differences)) >> EXCESS_BITS:
            raise FalseStatement(f"a use is beyond a limit by more than {EXCESS_BITS} bits")
        return [max(0, d) for d in differences], [max(0, -d) for d in differences]

    def _differences(self, uses: Sequence[int]) -> list[int]:
        return [uses[p] - limit for p, limit in zip(self.places, self.limits, strict=True)]


def send_excess(
    channel: Outgoing,
    source: Source,
    excesses: Excesses,
    total: tuple[int, int],
    nonces: Nonces,
) -> None:
    """Send the proof that `total`, a value and its blinding, is the sum.

    The transcript has taken in source, comparisons and the commitment to the total. Raises
    `FalseStatement` if it is not the sum, or a use is too far from a limit.
    """
    opening = source.opening
    if opening is None:
        raise FalseStatement("the prover lacks the opening of the uses")
    over, under = excesses.over_and_under(opening.uses)
    if total[0] != excesses.sum_of(opening.uses):
        raise FalseStatement("the total is not the sum of what lies above the limits")
    bits, count = excesses.digit_bits, excesses.digits
    digits = [digit for apart in map(add, over, under) for digit in cut(apart, bits, count)]

    def weigh(drawn: Drawn) -> tuple[LookupSums, int]:
        sums = _Sums(excesses, drawn)
        blinding = _send_uses(channel, source, sums.by_place(), nonces)
        return sums, blinding + sums.of_total * total[1]

    send_lookups(channel, bits, (digits, over, under), total, weigh, nonces)


def receive_excess(
    channel: Incoming, name: str, source: Source, excesses: Excesses, total: Point
) -> list[Check]:
    """Receive the proof that `total` commits to the sum; what remains is to check it."""
    checks: list[Check] = []

    def weigh(drawn: Drawn) -> tuple[LookupSums, Committed]:
        sums = _Sums(excesses, drawn)
        of_uses, committed = _receive_uses(channel, name, source, sums.by_place())
        checks.extend(of_uses)
        return sums, [*committed, (total, sums.of_total)]

    many = len(excesses.places)
    shape = Shape(many * excesses.digits, many, excesses.digit_bits)
    looked_up = receive_lookups(channel, name, shape, weigh)
    return [*checks, looked_up]


def _inner(left: Sequence[int], right: Sequence[int]) -> int:
    """Return Σ left[i]·right[i], a whole number."""
    return sum(a * b for a, b in zip(left, right, strict=True))


class _Sums(LookupSums):
    """(2), (3) and the total, each entry's times a power of z of its own."""

    def __init__(self, excesses: Excesses, drawn: Drawn) -> None:
        many, count, bits = len(excesses.places), excesses.digits, excesses.digit_bits
        z_powers = powers(drawn.z, 2 * many + 3)
        self._excesses, self._ties = excesses, z_powers[1 : many + 1]
        wholes = z_powers[many + 1 : 2 * many + 1]
        found, self.of_total = z_powers[2 * many + 1 :]
        digits = [-(whole << bits * j) % ORDER for whole in wholes for j in range(count)]
        over = [
            (tie + whole + self.of_total * weight) % ORDER
            for tie, whole, weight in zip(self._ties, wholes, excesses.weights, strict=True)
        ]
        under = [(whole - tie) % ORDER for tie, whole in zip(self._ties, wholes, strict=True)]
        constant = -inner_product(self._ties, excesses.limits)
        super().__init__(drawn, digits, (over, under), found, constant)

    def by_place(self) -> dict[int, int]:
        """Return what each slot's use is multiplied with."""
        factors: dict[int, int] = {}
        for place, tie in zip(self._excesses.places, self._ties, strict=True):
            factors[place] = (factors.get(place, 0) + tie) % ORDER
        return factors


def _send_uses(
    channel: Outgoing, source: Source, factors: Mapping[int, int], nonces: Nonces
) -> int:
    """Return the blinding of Σ factor·use, committed to if it was not."""
    opening = source.opening
    if isinstance(opening, SlotOpening):
        return inner_product([opening.blindings[place] for place in factors], [*factors.values()])
    if not (isinstance(source.commitment, VectorCommitment) and isinstance(opening, VectorOpening)):
        raise FalseStatement("the opening is not one of the uses' commitments")
    form = _spread_out(factors, source.size)
    value = inner_product(form, opening.uses)
    [own] = nonces.draw(channel.transcript, [value], 1)
    channel.send_point("uses", commit(value, own))
    send_forms(channel, source.commitment, opening, [form], [(value, own)], nonces)
    return own


def _receive_uses(
    channel: Incoming, name: str, source: Source, factors: Mapping[int, int]
) -> tuple[list[Check], list[tuple[Point, int]]]:
    """Return what remains to be checked, and the points that Σ factor·use is made of."""
    held = source.commitment
    if not isinstance(held, VectorCommitment):
        return [], [(held[place], factor) for place, factor in factors.items()]
    output = channel.receive_point("uses")
    form = _spread_out(factors, source.size)
    check = receive_forms(channel, f"{name}: the uses", held, [form], [output])
    return [check], [(output, 1)]


def _spread_out(factors: Mapping[int, int], size: int) -> list[int]:
    return [factors.get(place, 0) for place in range(size)]
