# SPDX-License-Identifier: Apache-2.0
"""What slots use above limits, slot by slot, weighed and summed; in logarithmic size.

Public:  commitments to the uses x (one a slot, or one a day); N entries: a place p, a limit L and
         a weight w each; a commitment W.
Secret:  x and its blindings; s with its blinding and W = s·H + σ·G.
Claim:   s = Σ w[t]·max(0, x[p[t]] − L[t]), and each |x[p[t]] − L[t]| is below 2^24.
Proof:   With e = max(0, x − L) and f = max(0, L − x), it has to be shown for each entry that

           (1) e·f = 0      (2) e − f = x − L      (3) e + f = Σ d[j]·B^j with digits 0 ≤ d[j] < B

         where B^c = 2^24. By (1) one of both is 0, so by (3) both are in [0, 2^24), and by (2) they
         are what they should be. That all digits are in the table 0 … B − 1 is one equation of
         rational functions in a challenge λ,

           (4) Σ 1/(λ + d) = Σ over the table m[k]/(λ + k),

         with m[k] as how often k occurs (Haböck, ePrint 2022/1530; Eagen, Kanukollu, Ruffing and
         Sankar, EUROCRYPT 2024): a digit out of the table would be a pole on the left alone. So a
         digit of many bits costs one product, (λ + d)·q = 1. Then

           A_1 = <d, g> + <e, g> + <m, g> + <f, h> + α_1·G          ->
                                                                    <- λ
           A_2 = <q, h> + α_2·G,  S                                 ->
                                                                    <- u, y, z
           the argument of `protocols.proofs.products` for A_1 + λ·<1, g> + u·A_2, at the digits'
           places products of u, at the entries' of 0, and, times powers of z: (2), (3), (4) and
           s = Σ w·e.

         Uses and W enter as the points that the sums come to. Where uses are committed to by the
         day, the prover commits to Y = Σ z^(1+t)·x[p[t]] once z is drawn, and proves that it is
         this linear form of the days' commitments (`protocols.proofs.vector`).

Sound: from accepting runs with the same A_1, A_2 an extractor of the argument gets a_1 + u·a_2 for
several u, and so what A_1 and A_2 open to. The products, as polynomials in u, hold for more u than
their degree, and so do the sums. Coefficient by coefficient: (1) to (4) hold for the digits, e, f
and m that A_1 commits to, which were fixed before λ. What A_2 adds to digits, e and f is 0, to (4)
as a whole 0, and what A_1 has in the place of a q is 0, but for a λ that is the negative of a
digit. (4) then holds for more λ than both sides have poles, and no count of poles reaches n. (2)
and (3) are modulo the order n: x is certified below 2^32 and L below 2^24, so that x − L = e − f
holds for integers. The accepting runs that are needed are polynomially many, so it is a proof of
knowledge after Fiat and Shamir as well (Attema, Fehr and Klooß, TCC 2022), while discrete
logarithms are hard.

Zero-knowledge: W, A_1, A_2 and Y are uniform; the argument and the linear form have simulators that
are handed these points. λ is refused where it is the negative of a number of the table, which tells
nothing and happens once in 2^240.

Size: W, A_1, A_2, S, T_1, T_2, 5 scalars and 2·⌈log2(N·c + N + B)⌉ points: 1,282 bytes for a month
of quarter-hours. Days' commitments add Y and a linear form: 1,019 bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import Final

from protocols.proofs.batch import Check
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.folding import inner_product, multiply_each, powers
from protocols.proofs.group import ORDER, Point, PointVector, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import commit
from protocols.proofs.products import Masks, ProductsClaim, product_generators, send_products
from protocols.proofs.quantity import SlotOpening, Source
from protocols.proofs.transcript import Transcript
from protocols.proofs.vector import VectorCommitment, VectorOpening, receive_forms, send_forms

__all__ = ["EXCESS_BITS", "Excesses", "receive_excess", "send_excess"]

EXCESS_BITS: Final = 24
"""Uses and limits are less than 16.8 million watt-hours apart: it is fixed, and tells nothing."""
_DIGITS: Final = (2, 3, 4, 6, 8, 12)
"""Into how many digits of one size 24 bits can be cut."""


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
        """How many digits a difference is cut into: what makes the proof quickest."""
        many = len(self.places)
        return min(_DIGITS, key=lambda count: many * count + (1 << EXCESS_BITS // count))

    @property
    def digit_bits(self) -> int:
        """How many bits a digit has."""
        return EXCESS_BITS // self.digits

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
    bits, mask = excesses.digit_bits, (1 << excesses.digit_bits) - 1
    apart = map(add, over, under)
    digits = [one >> bits * j & mask for one in apart for j in range(excesses.digits)]
    counts = [0] * (mask + 1)
    for digit in digits:
        counts[digit] += 1
    left, right = [*digits, *over, *counts], [*under, *([0] * len(counts))]
    size, far = len(left), len(digits)
    drawn = nonces.draw(channel.transcript, [*total, *left, *right], 2 * size + 5)
    masks, second_alpha = Masks.of(drawn[:-1], size), drawn[-1]
    g, h = product_generators(size)
    near_masks = [*masks.left, *masks.right[far:]]
    near, first = _hidden_sum(PointVector.join([g, h[far:]]), near_masks, [*left, *right])
    channel.send_point("A1", first + multiply_generator(masks.alpha))
    lookup = channel.challenge("lookup")
    inverses = _inverses(lookup, mask + 1)
    if inverses is None:
        raise FalseStatement("the challenge is not to be used: draw another seed")
    found = [inverses[digit] for digit in digits]
    rest, second = _hidden_sum(h[:far], masks.right[:far], found)
    channel.send_point("A2", second + multiply_generator(second_alpha))
    channel.send_point("S", near + rest + multiply_generator(masks.rho))
    u, y, z = (channel.challenge(label) for label in "uyz")
    sums = _Sums(excesses, lookup, u, z, inverses)
    blinding = _send_uses(channel, source, sums.by_place(), nonces)
    lefts = [*((lookup + digit) % ORDER for digit in digits), *over, *counts]
    rights = [*multiply_each([u] * far, found), *right]
    vectors = sums.start_of_left(lefts, y), sums.start_of_right(rights, y)
    masks = Masks(masks.left, masks.right, masks.alpha + u * second_alpha, masks.rho, masks.taus)
    send_products(channel, y, vectors, masks, blinding + sums.of_total * total[1])


def receive_excess(
    channel: Incoming, name: str, source: Source, excesses: Excesses, total: Point
) -> list[Check]:
    """Receive the proof that `total` commits to the sum; what remains is to check it."""
    first = channel.receive_point("A1")
    lookup = channel.challenge("lookup")
    inverses = _inverses(lookup, 1 << excesses.digit_bits)
    if inverses is None:
        raise ProofRefused(f"{name}: the challenge is not to be used")
    second, blind = channel.receive_point("A2"), channel.receive_point("S")
    u, y, z = (channel.challenge(label) for label in "uyz")
    sums = _Sums(excesses, lookup, u, z, inverses)
    checks, committed = _receive_uses(channel, name, source, sums.by_place())
    far = len(excesses.places) * excesses.digits
    zeros = [0] * len(sums.left)
    shift = sums.start_of_left([*([lookup] * far), *zeros[far:]], y)
    constant = sums.constant + u * sum(powers(y, far))
    claim = ProductsClaim(
        y,
        commitment=((first, 1), (second, u)),
        blind=blind,
        left=shift,
        right=sums.left,
        committed=(*committed, (total, sums.of_total)),
        constant=(constant + sums.cross(y)) % ORDER,
    )
    return [*checks, claim.receive(channel, name)]


def _inner(left: Sequence[int], right: Sequence[int]) -> int:
    """Return Σ left[i]·right[i], a whole number."""
    return sum(a * b for a, b in zip(left, right, strict=True))


class _Sums:
    """All sums that have to hold, each times a power of z: the argument's w_L and w_R."""

    def __init__(
        self, excesses: Excesses, lookup: int, u: int, z: int, inverses: Sequence[int]
    ) -> None:
        many, count, bits = len(excesses.places), excesses.digits, excesses.digit_bits
        z_powers = powers(z, 2 * many + 3)
        self._excesses, self._ties = excesses, z_powers[1 : many + 1]
        wholes = z_powers[many + 1 : 2 * many + 1]
        found, self.of_total = z_powers[2 * many + 1 :]
        digits = [-(whole << bits * j) % ORDER for whole in wholes for j in range(count)]
        over = [
            (tie + whole + self.of_total * weight) % ORDER
            for tie, whole, weight in zip(self._ties, wholes, excesses.weights, strict=True)
        ]
        table = multiply_each([-found * u % ORDER] * len(inverses), inverses)
        self.left = [*digits, *over, *table]
        under = [(whole - tie) % ORDER for tie, whole in zip(self._ties, wholes, strict=True)]
        self._right = [*([found] * len(digits)), *under, *([0] * len(table))]
        # The argument's left side holds λ + d where (3) speaks of d.
        spread = sum(1 << bits * j for j in range(count))
        moved = lookup * spread * sum(wholes)
        self.constant = -inner_product(self._ties, excesses.limits) - moved

    def by_place(self) -> dict[int, int]:
        """Return what each slot's use is multiplied with."""
        factors: dict[int, int] = {}
        for place, tie in zip(self._excesses.places, self._ties, strict=True):
            factors[place] = (factors.get(place, 0) + tie) % ORDER
        return factors

    def cross(self, y: int) -> int:
        """Return Σ y^-i·w_L[i]·w_R[i]."""
        return inner_product(self._lowered(y), self.left)

    def start_of_left(self, vector: Sequence[int], y: int) -> list[int]:
        """Return a_L + y^-i·w_R."""
        return [(a + b) % ORDER for a, b in zip(vector, self._lowered(y), strict=True)]

    def start_of_right(self, vector: Sequence[int], y: int) -> list[int]:
        """Return y^i·a_R + w_L."""
        raised = multiply_each(powers(y, len(vector)), vector)
        return [(a + b) % ORDER for a, b in zip(raised, self.left, strict=True)]

    def _lowered(self, y: int) -> list[int]:
        return multiply_each(powers(pow(y, -1, ORDER), len(self._right)), self._right)


def _inverses(lookup: int, size: int) -> list[int] | None:
    """Return 1 / (λ + k) for each k of the table; None if one of them is 0."""
    shifted = [(lookup + k) % ORDER for k in range(size)]
    return [pow(one, -1, ORDER) for one in shifted] if all(shifted) else None


def _hidden_sum(
    points: PointVector, masks: Sequence[int], numbers: Sequence[int]
) -> tuple[Point, Point]:
    """Return <masks, points> and <numbers, points>; only uniform scalars meet the points."""
    blind = points.weighted_sum(masks)
    apart = [(number - mask) % ORDER for number, mask in zip(numbers, masks, strict=True)]
    return blind, blind + points.weighted_sum(apart)


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
