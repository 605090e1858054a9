# SPDX-License-Identifier: Apache-2.0
"""Showing a vector that hides nothing, in logarithmic size (Bootle et al., EUROCRYPT 2016).

Public:  generators g, h and U; a point Q; a vector b, or none.
Claim:   the prover knows a (and b) with Q = <a, g> + <b, h> + <a, b>·U.

Each round cuts the vectors in halves, sends two points and folds the halves into one:

    L = <a_lo, g_hi> + <b_hi, h_lo> + <a_lo, b_hi>·U      a' = a_lo + u·a_hi    g' = u·g_lo + g_hi
    R = <a_hi, g_lo> + <b_lo, h_hi> + <a_hi, b_lo>·U      b' = u·b_lo + b_hi    h' = h_lo + u·h_hi

    Q' = L + u·Q + u²·R = <a', g'> + <b', h'> + <a', b'>·U

until one number is left, which is sent. The lower half is the longer one when a length is odd;
what the upper half lacks counts as nought. In a *linear* argument b is public, and there is no h
(Attema and Cramer, CRYPTO 2020); in an *inner product* argument the prover knows both (Bünz et
al., IEEE S&P 2018). No scalar has to be inverted.

The argument is not zero-knowledge: callers mask the vectors first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, Self

from gmpy2 import mpz  # type: ignore[import-untyped]  # gmpy2 ships no types

from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.group import ORDER, Point, PointVector, sum_columns

_ORDER: Final = mpz(ORDER)  # its products take half the time of Python's


def round_sizes(size: int) -> list[int]:
    """Return the lengths before each round, from `size` down to 2; none if `size` is 1."""
    sizes = []
    while size > 1:
        sizes.append(size)
        size = (size + 1) // 2
    return sizes


def inner_product(left: Sequence[int], right: Sequence[int]) -> int:
    """Return Σ left[i]·right[i] modulo the order, as far as both go."""
    return int(sum(map(mul, left, right))) % ORDER


def powers(base: int, count: int) -> list[int]:
    """Return 1, base, base², ... modulo the order."""
    factor, power, result = mpz(base), mpz(1), []
    for _ in range(count):
        result.append(int(power))
        power = power * factor % _ORDER
    return result


def multiply_each(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """Return left[i]·right[i] modulo the order, as far as both go."""
    return [int(a * b % _ORDER) for a, b in zip(map(mpz, left), right, strict=False)]


def fold_up(low: Sequence[int], high: Sequence[int], challenge: int) -> list[int]:
    """Return low + challenge·high; `high` may be one shorter."""
    factor = mpz(challenge)
    folded = [int((a + factor * b) % _ORDER) for a, b in zip(low, high, strict=False)]
    return [*folded, *low[len(high) :]]


def fold_down(low: Sequence[int], high: Sequence[int], challenge: int) -> list[int]:
    """Return challenge·low + high; `high` may be one shorter."""
    factor = mpz(challenge)
    folded = [int((factor * a + b) % _ORDER) for a, b in zip(low, high, strict=False)]
    return [*folded, *(challenge * a % ORDER for a in low[len(high) :])]


def fold_generators(low: PointVector, high: PointVector, challenge: int) -> PointVector:
    """Return challenge·low + high; `high` may be one shorter."""
    scaled = low.scaled(challenge)
    return PointVector.join([sum_columns([scaled[: len(high)], high]), scaled[len(high) :]])


def spread(challenges: Sequence[int], size: int, first: int, *, low: bool) -> list[int]:
    """Return, times `first`, the factor with which each generator ends up in the last one.

    It is the product of the challenges of those rounds in which the generator lay in the half
    that is multiplied: the lower half for g, the upper one for h.
    """
    factors = [mpz(first % ORDER)]
    for before, own in zip(reversed(round_sizes(size)), reversed(challenges), strict=True):
        half, challenge = before // 2, mpz(own)  # of the upper half
        if low:
            factors = [*[factor * challenge % _ORDER for factor in factors], *factors[:half]]
        else:
            factors += [factor * challenge % _ORDER for factor in factors[:half]]
    return [int(factor) for factor in factors]


@dataclass(frozen=True, slots=True)
class Folded:
    """The rounds of an argument and its last numbers, as the verifier received them."""

    rounds: PointVector
    """L and R of each round."""
    challenges: tuple[int, ...]

    @classmethod
    def receive(cls, channel: Incoming, size: int) -> Self:
        """Receive the rounds for vectors of `size` numbers."""
        points, challenges = [], []
        for _ in round_sizes(size):
            points += [channel.receive_point("left"), channel.receive_point("right")]
            challenges.append(channel.challenge("fold"))
        return cls(PointVector(points), tuple(challenges))

    def weights(self) -> tuple[int, list[int]]:
        """Return the factors of Q, and of each L and R, in what Q was folded into."""
        factor, factors = 1, []
        for own in reversed(self.challenges):
            factors += [own * own % ORDER * factor % ORDER, factor]
            factor = factor * own % ORDER
        return factor, factors[::-1]


def send_linear_argument(
    channel: Outgoing,
    unit: Point,
    generators: PointVector,
    vector: Sequence[int],
    form: Sequence[int],
) -> int:
    """Send the rounds for Q = <vector, generators> + <vector, form>·unit; return the last number.

    `vector` is shown to the verifier for all practical purposes: mask it first.
    """
    a, b, g = list(vector), list(form), generators
    while len(a) > 1:
        half = (len(a) + 1) // 2
        a_low, a_high, b_low, b_high = a[:half], a[half:], b[:half], b[half:]
        g_low, g_high = g[:half], g[half:]
        rest = len(a_high)
        left = g_high.weighted_sum(a_low[:rest]) + unit * inner_product(a_low, b_high)
        right = g_low[:rest].weighted_sum(a_high) + unit * inner_product(a_high, b_low)
        own = _exchange(channel, left, right)
        a, b = fold_up(a_low, a_high, own), fold_down(b_low, b_high, own)
        g = fold_generators(g_low, g_high, own) if half > 1 else g_low
    return a[0]


def send_inner_product_argument(
    channel: Outgoing,
    unit: Point,
    bases: tuple[PointVector, PointVector],
    ratio: int,
    vectors: tuple[Sequence[int], Sequence[int]],
) -> tuple[int, int]:
    """Send the rounds for Q = <a, g> + <b, h'> + <a, b>·unit; return the last numbers of both.

    `bases` are g and h, with h'[i] = ratio^i · h[i]: the powers are kept apart from the points,
    which saves a multiplication for each. Mask `vectors`, a and b, first.
    """
    (g, h), a, b = bases, list(vectors[0]), list(vectors[1])
    while len(a) > 1:
        half = (len(a) + 1) // 2
        a_low, a_high, b_low, b_high = a[:half], a[half:], b[:half], b[half:]
        rest = len(a_high)
        factors = powers(ratio, len(a))
        left = PointVector.join([g[half:], h[:rest]]).weighted_sum(
            [*a_low[:rest], *multiply_each(b_high, factors)]
        )
        right = PointVector.join([g[:rest], h[half:]]).weighted_sum(
            [*a_high, *multiply_each(b_low, factors[half:])]
        )
        own = _exchange(
            channel,
            left + unit * inner_product(a_low, b_high),
            right + unit * inner_product(a_high, b_low),
        )
        a, b = fold_up(a_low, a_high, own), fold_down(b_low, b_high, own)
        if half > 1:
            g = fold_generators(g[:half], g[half:], own)
            raised = h[half:].scaled(own * factors[half])
            h = PointVector.join([sum_columns([h[:rest], raised]), h[rest:half]])
    return a[0], b[0]


def _exchange(channel: Outgoing, left: Point, right: Point) -> int:
    channel.send_point("left", left)
    channel.send_point("right", right)
    return channel.challenge("fold")
