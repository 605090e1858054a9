# SPDX-License-Identifier: Apache-2.0
"""Many values, each in a range of its own width, in one proof of logarithmic size.

Public:  V_j, width n_j in bits.
Secret:  v_j and γ_j with V_j = v_j·H + γ_j·G.
Claim:   0 ≤ v_j < 2^n_j for each j.
Proof:   Bulletproofs (Bünz et al., IEEE S&P 2018, section 4.2, with a width for each value). Let
         a_L be the bits of all values, a_R = a_L − 1, and d[i] = z^(2+j)·2^k where i is the bit k
         of the value j. With challenges y, z, x, w:

           A = α·G + <a_L, g> + <a_R, h>,  S = ρ·G + <s_L, g> + <s_R, h>
           l(X) = a_L − z + s_L·X,         r(X) = y^i·(a_R + z + s_R·X) + d
           t(X) = <l(X), r(X)>,            T_k = t_k·H + τ_k·G for k = 1, 2
           t̂ = t(x),  τ_x = τ_2·x² + τ_1·x + Σ z^(2+j)·γ_j,  μ = α + ρ·x

         The verifier checks t̂·H + τ_x·G = Σ z^(2+j)·V_j + δ·H + x·T_1 + x²·T_2, where
         δ = (z − z²)·Σ y^i − Σ z^(3+j)·(2^n_j − 1), and, in logarithmic size
         (`protocols.proofs.folding`), that t̂ = <l, r> for the l and r in
         A + x·S − z·<1, g> + <z·y^i + d, h'> − μ·G, h'[i] = y^-i·h[i].

Knowledge-sound while discrete logarithms are hard; perfect honest-verifier zero-knowledge.
Size: 4 points, 5 scalars and 2·⌈log2 Σ n_j⌉ points: 688 bytes for 64 bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocols.proofs.batch import Equation
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement
from protocols.proofs.folding import (
    Folded,
    inner_product,
    multiply_each,
    powers,
    send_inner_product_argument,
    spread,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import ORDER, Point, PointVector, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import commit

__all__ = [
    "LARGEST_WIDTH",
    "RangesCheck",
    "receive_ranges",
    "receive_weighed_bits",
    "send_ranges",
    "send_weighed_bits",
]

LARGEST_WIDTH: Final = 128
"""The widest range of a single value, in bits."""

_G: Final = b"range g"
_H: Final = b"range h"
_UNIT: Final = b"inner product unit"


def send_ranges(
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
        if not 0 <= value < 1 << _checked(width):
            raise FalseStatement(f"a value is not in the range of {width} bits")
    bits = [value >> k & 1 for (value, _), n in zip(values, widths, strict=True) for k in range(n)]
    secrets = [number for pair in values for number in pair]

    def weigh(z: int) -> tuple[list[int], int]:
        blindings = [blinding for _, blinding in values]
        return _bit_weights(widths, z), inner_product(_value_weights(len(values), z), blindings)

    send_weighed_bits(channel, bits, secrets, weigh, nonces)


def send_weighed_bits(
    channel: Outgoing,
    bits: Sequence[int],
    secrets: Sequence[int],
    weigh: Callable[[int], tuple[list[int], int]],
    nonces: Nonces,
) -> None:
    """Send the proof that bits, weighed by weights that depend on z, sum to what is committed to.

    `weigh(z)` returns the weights and the commitment's blinding; it may send more before that.
    """
    size = len(bits)
    drawn = nonces.draw(channel.transcript, secrets, 2 * size + 4)
    s_left, s_right, (alpha, rho, *taus) = drawn[:size], drawn[size : 2 * size], drawn[2 * size :]
    g, h = generators(_G, size), generators(_H, size)
    chosen = _choices(size).select([2 * place + bit for place, bit in enumerate(bits)])
    channel.send_point("A", chosen.sum() + multiply_generator(alpha))
    blinded = PointVector.join([g, h]).weighted_sum([*s_left, *s_right])
    channel.send_point("S", blinded + multiply_generator(rho))
    y, z = channel.challenge("y"), channel.challenge("z")
    weights, blinding = weigh(z)
    y_powers = powers(y, size)
    left = [bit - z for bit in bits]
    right = [
        (power * (bit - 1 + z) + weight) % ORDER
        for power, bit, weight in zip(y_powers, bits, weights, strict=True)
    ]
    slope = multiply_each(y_powers, s_right)
    t1 = inner_product(left, slope) + inner_product(s_left, right)
    t2 = inner_product(s_left, slope)
    channel.send_point("T1", commit(t1 % ORDER, taus[0]))
    channel.send_point("T2", commit(t2, taus[1]))
    x = channel.challenge("x")
    l_vector = [(a + x * s) % ORDER for a, s in zip(left, s_left, strict=True)]
    r_vector = [(a + x * s) % ORDER for a, s in zip(right, slope, strict=True)]
    channel.send_scalar("t", inner_product(l_vector, r_vector))
    channel.send_scalar("tau", taus[1] * x * x + taus[0] * x + blinding)
    channel.send_scalar("mu", alpha + rho * x)
    unit = generators(_UNIT, 1)[0] * channel.challenge("w")
    a, b = send_inner_product_argument(
        channel, unit, (g, h), pow(y, -1, ORDER), (l_vector, r_vector)
    )
    channel.send_scalar("a", a)
    channel.send_scalar("b", b)


def receive_ranges(
    channel: Incoming, name: str, points: Sequence[Point], widths: Sequence[int]
) -> "RangesCheck":
    """Receive the proof that each point commits to a value of its width; check it later."""
    size = sum(map(_checked, widths))

    def weigh(z: int) -> tuple[list[int], list[tuple[Point, int]]]:
        weights = _value_weights(len(points), z)
        return _bit_weights(widths, z), list(zip(points, weights, strict=True))

    return receive_weighed_bits(channel, name, size, weigh)


def receive_weighed_bits(
    channel: Incoming,
    name: str,
    size: int,
    weigh: Callable[[int], tuple[list[int], list[tuple[Point, int]]]],
) -> "RangesCheck":
    """Receive the proof that `size` bits, weighed, sum to what points times factors commit to.

    `weigh(z)` returns the weights, and the points with their factors; it may receive more first.
    """
    a, s = channel.receive_point("A"), channel.receive_point("S")
    y, z = channel.challenge("y"), channel.challenge("z")
    bit_weights, committed = weigh(z)
    t1, t2 = channel.receive_point("T1"), channel.receive_point("T2")
    x = channel.challenge("x")
    scalars = tuple(channel.receive_scalar(label) for label in ("t", "tau", "mu"))
    w = channel.challenge("w")
    folded = Folded.receive(channel, size)
    last = channel.receive_scalar("a"), channel.receive_scalar("b")
    merge = channel.own_challenge()
    return RangesCheck(
        name, channel.transcript.digest(), tuple(committed), tuple(bit_weights), (a, s, t1, t2),
        (*scalars, *last), (y, z, x, w, merge), folded,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RangesCheck:
    """The two equations of a received proof, merged with a challenge of their own."""

    name: str
    digest: bytes
    committed: tuple[tuple[Point, int], ...]
    """What the bits sum to: Σ factor · point."""
    bit_weights: tuple[int, ...]
    sent: tuple[Point, ...]
    """A, S, T1, T2."""
    scalars: tuple[int, ...]
    """t̂, τ_x, μ, and the last a and b."""
    challenges: tuple[int, ...]
    """y, z, x, w and the merging one."""
    folded: Folded

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add both equations, times `weight`."""
        self._add_polynomial(equation, weight * self.challenges[-1] % ORDER)
        self._add_inner_product(equation, weight)

    def _add_polynomial(self, equation: Equation, weight: int) -> None:
        t, tau, *_ = self.scalars
        y, z, x, *_ = self.challenges
        delta = (z - z * z) * sum(powers(y, len(self.bit_weights))) - z * sum(self.bit_weights)
        equation.add_commitment(weight * (t - delta), weight * tau)
        equation.add_point(self.sent[2], -weight * x)
        equation.add_point(self.sent[3], -weight * x * x)
        for point, factor in self.committed:
            equation.add_point(point, -weight * factor)

    def _add_inner_product(self, equation: Equation, weight: int) -> None:
        t, _, mu, a, b = self.scalars
        y, z, x, w, _ = self.challenges
        size = len(self.bit_weights)
        whole, rounds = self.folded.weights()
        whole = whole * weight % ORDER
        equation.add_point(self.sent[0], whole)
        equation.add_point(self.sent[1], whole * x)
        equation.add_commitment(0, -whole * mu)
        equation.add_generators(_UNIT, [(whole * t - weight * a * b) * w % ORDER])
        equation.add_points(self.folded.rounds, [weight * factor for factor in rounds])
        g_factors = spread(self.folded.challenges, size, -weight * a, low=True)
        h_factors = spread(self.folded.challenges, size, -weight * b, low=False)
        equation.add_generators(_G, [factor - whole * z for factor in g_factors])
        bits = [whole * d + f for d, f in zip(self.bit_weights, h_factors, strict=True)]
        lowered = multiply_each(bits, powers(pow(y, -1, ORDER), size))
        equation.add_generators(_H, [factor + whole * z for factor in lowered])


def _checked(width: int) -> int:
    if not 1 <= width <= LARGEST_WIDTH:
        raise ValueError(f"a range of {width} bits: only 1 to {LARGEST_WIDTH}")
    return width


def _value_weights(count: int, z: int) -> list[int]:
    """Return z^(2+j) for each value."""
    return powers(z, count + 2)[2:]


def _bit_weights(widths: Sequence[int], z: int) -> list[int]:
    """Return z^(2+j)·2^k for each bit k of each value j."""
    weights = zip(_value_weights(len(widths), z), widths, strict=True)
    return [(weight << k) % ORDER for weight, width in weights for k in range(width)]


@lru_cache(maxsize=8)
def _choices(size: int) -> PointVector:
    """Return what a bit adds to A, for both its values: −h for 0, g for 1."""
    columns = [generators(_H, size).scaled(-1), generators(_G, size)]
    return PointVector.join(columns).select(
        [size * bit + place for place in range(size) for bit in (0, 1)]
    )
