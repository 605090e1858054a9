# SPDX-License-Identifier: Apache-2.0
"""Numbers that are in a table, beside products of pairs and sums of them all.

Public:  B, the size of the table 0 … B − 1; how many digits and pairs there are; weights, a point V
         and a number k, all of which may depend on a challenge z.
Secret:  digits d; pairs e, f; v and γ with V = v·H + γ·G.
Claim:   0 ≤ d < B for each digit; e·f = 0 for each pair; a sum of all d, e and f, each with its
         weight, is v + k. Where the weights of several sums are multiplied by different powers of
         z, each of these holds.
Proof:   That all digits are in the table is one equation of rational functions in a challenge λ,

           (1) Σ 1/(λ + d) = Σ over the table m[k]/(λ + k),

         with m[k] as how often k occurs (Haböck, ePrint 2022/1530; Eagen, Kanukollu, Ruffing and
         Sankar, EUROCRYPT 2024): a digit out of the table would be a pole on the left alone. So a
         digit of many bits costs one product, (λ + d)·q = 1. Then

           A_1 = <d, g> + <e, g> + <m, g> + <f, h> + α_1·G          ->
                                                                    <- λ
           A_2 = <q, h> + α_2·G,  S                                 ->
                                                                    <- u, y, z
           the argument of `protocols.proofs.products` for A_1 + λ·<1, g> + u·A_2, at the digits'
           places products of u, at the others' of 0; (1) is one more sum, times a power of z.

Sound: from accepting runs with the same A_1, A_2 an extractor of the argument gets a_1 + u·a_2 for
several u, and so what A_1 and A_2 open to. The products, as polynomials in u, hold for more u than
their degree, and so do the sums. Coefficient by coefficient: products, sums and (1) hold for the
d, e, f and m that A_1 commits to, which were fixed before λ. What A_2 adds to d, e and f is 0, to
(1) as a whole 0, and what A_1 has in the place of a q is 0, but for a λ that is the negative of a
digit. (1) then holds for more λ than both sides have poles, and no count of poles reaches n. The
accepting runs that are needed are polynomially many, so it is a proof of knowledge after Fiat and
Shamir as well (Attema, Fehr and Klooß, TCC 2022), while discrete logarithms are hard.

Zero-knowledge: A_1 and A_2 are uniform; the argument has a simulator that is handed these points. λ
is refused where it is the negative of a number of the table, which tells nothing and happens once
in 2^240.

Size: A_1, A_2, S, T_1, T_2, 5 scalars and 2·⌈log2(digits + pairs + B)⌉ points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement, ProofRefused
from protocols.proofs.folding import inner_product, multiply_each, powers
from protocols.proofs.group import ORDER, Point, PointVector, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.products import (
    Masks,
    ProductsCheck,
    ProductsClaim,
    product_generators,
    send_products,
)

_LARGEST_DIGIT: Final = 12
"""In bits: the table of larger ones would be longer than what is looked up in it."""


def best_digit_bits(total: int, common: int) -> int:
    """Return how many bits a digit has: what makes the proof quickest.

    There are `total` bits to be cut, in numbers whose bits are multiples of `common`.
    """
    fitting = [bits for bits in range(_LARGEST_DIGIT, 0, -1) if common % bits == 0]
    return min(fitting, key=lambda bits: total // bits + (1 << bits))


def cut(number: int, digit_bits: int, count: int) -> list[int]:
    """Return the lowest `count` digits, the lowest first."""
    mask = (1 << digit_bits) - 1
    return [number >> digit_bits * place & mask for place in range(count)]


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is looked up, in which table: known to both sides."""

    digits: int
    pairs: int
    digit_bits: int

    @property
    def table(self) -> int:
        """How many numbers the table has."""
        return 1 << self.digit_bits

    @property
    def size(self) -> int:
        """The length of the argument's vectors."""
        return self.digits + self.pairs + self.table


@dataclass(frozen=True, slots=True)
class Drawn:
    """The challenges, of which weights may depend on z."""

    lookup: int
    """λ."""
    u: int
    z: int
    inverses: Sequence[int]
    """1 / (λ + k) for each k of the table."""


class LookupSums:
    """All sums that have to hold, each times a power of z: the argument's w_L and w_R."""

    def __init__(
        self,
        drawn: Drawn,
        digits: Sequence[int],
        pairs: tuple[Sequence[int], Sequence[int]],
        found: int,
        constant: int,
    ) -> None:
        """Take the weights of d, of e and f, and of (1), and k."""
        table = multiply_each([-found * drawn.u % ORDER] * len(drawn.inverses), drawn.inverses)
        self.left = [*digits, *pairs[0], *table]
        self._right = [*([found] * len(digits)), *pairs[1], *([0] * len(table))]
        # The argument's left side holds λ + d where the sums speak of d.
        self.constant = constant + drawn.lookup * sum(digits)

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


Committed: TypeAlias = list[tuple[Point, int]]
"""V: Σ factor · point."""


def send_lookups(
    channel: Outgoing,
    digit_bits: int,
    numbers: tuple[Sequence[int], Sequence[int], Sequence[int]],
    secrets: Sequence[int],
    weigh: Callable[[Drawn], tuple[LookupSums, int]],
    nonces: Nonces,
) -> None:
    """Send the proof about `numbers`: d, e and f; `secrets` are v's parts, hedged like these.

    The transcript has taken in what is claimed. `weigh` returns the sums and γ; it may send more
    before that.
    """
    digits, over, under = numbers
    counts = [0] * (1 << digit_bits)
    for digit in digits:
        counts[digit] += 1
    left, right = [*digits, *over, *counts], [*under, *([0] * len(counts))]
    size, far = len(left), len(digits)
    scalars = nonces.draw(channel.transcript, [*secrets, *left, *right], 2 * size + 5)
    masks, second_alpha = Masks.of(scalars[:-1], size), scalars[-1]
    g, h = product_generators(size)
    near_masks = [*masks.left, *masks.right[far:]]
    near, first = _hidden_sum(PointVector.join([g, h[far:]]), near_masks, [*left, *right])
    channel.send_point("A1", first + multiply_generator(masks.alpha))
    lookup = channel.challenge("lookup")
    inverses = inverses_of_table(lookup, len(counts))
    if inverses is None:
        raise FalseStatement("the challenge is not to be used: draw another seed")
    found = [inverses[digit] for digit in digits]
    rest, second = _hidden_sum(h[:far], masks.right[:far], found)
    channel.send_point("A2", second + multiply_generator(second_alpha))
    channel.send_point("S", near + rest + multiply_generator(masks.rho))
    u, y, z = (channel.challenge(label) for label in "uyz")
    sums, blinding = weigh(Drawn(lookup, u, z, inverses))
    lefts = [*((lookup + digit) % ORDER for digit in digits), *over, *counts]
    rights = [*multiply_each([u] * far, found), *right]
    vectors = sums.start_of_left(lefts, y), sums.start_of_right(rights, y)
    masks = Masks(masks.left, masks.right, masks.alpha + u * second_alpha, masks.rho, masks.taus)
    send_products(channel, y, vectors, masks, blinding)


def receive_lookups(
    channel: Incoming,
    name: str,
    shape: Shape,
    weigh: Callable[[Drawn], tuple[LookupSums, Committed]],
) -> ProductsCheck:
    """Receive the proof about numbers of this shape; what remains is to check it.

    `weigh` returns the sums and what V is made of; it may receive more before that.
    """
    first = channel.receive_point("A1")
    lookup = channel.challenge("lookup")
    inverses = inverses_of_table(lookup, shape.table)
    if inverses is None:
        raise ProofRefused(f"{name}: the challenge is not to be used")
    second, blind = channel.receive_point("A2"), channel.receive_point("S")
    u, y, z = (channel.challenge(label) for label in "uyz")
    sums, committed = weigh(Drawn(lookup, u, z, inverses))
    shift = [*([lookup] * shape.digits), *([0] * (shape.size - shape.digits))]
    constant = sums.constant + u * sum(powers(y, shape.digits))
    claim = ProductsClaim(
        y,
        commitment=((first, 1), (second, u)),
        blind=blind,
        left=sums.start_of_left(shift, y),
        right=sums.left,
        committed=tuple(committed),
        constant=(constant + sums.cross(y)) % ORDER,
    )
    return claim.receive(channel, name)


def inverses_of_table(lookup: int, size: int) -> list[int] | None:
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
