# SPDX-License-Identifier: Apache-2.0
"""Products of hidden numbers and one sum of them all, in logarithmic size.

Public:  generators g, h; A; c; challenges y, z; weights w_L, w_R, a point V and a number k, all of
         which may depend on z.
Secret:  a_L, a_R, α with A = <a_L, g> + <a_R, h> + α·G; v, γ with V = v·H + γ·G.
Claim:   a_L[i]·a_R[i] = c[i] for each i, and <w_L, a_L> + <w_R, a_R> = v + k. Where the weights of
         several sums are multiplied by different powers of z, each of these holds.
Proof:   Bulletproofs for arithmetic circuits (Bünz et al., IEEE S&P 2018, section 5) whose products
         are public, so that there is no a_O, and t has no more than two coefficients that are sent:

           S = <s_L, g> + <s_R, h> + ρ·G
           l(X) = a_L + y^-i·w_R + s_L·X,  r(X) = y^i·a_R + w_L + y^i·s_R·X
           t(X) = <l(X), r(X)>,            T_k = t_k·H + τ_k·G for k = 1, 2
           t̂ = t(x),  τ_x = τ_2·x² + τ_1·x + γ,  μ = α + ρ·x

         t(0) = Σ y^i·c[i] + v + k + Σ y^-i·w_L[i]·w_R[i] if, and for random y and z only if, all
         is as claimed. The verifier checks t̂·H + τ_x·G against V, T_1, T_2 and that sum, and, in
         logarithmic size (`protocols.proofs.folding`), that t̂ = <l, r> for the l and r in
         A + x·S + <y^-i·w_R, g> + <w_L, h'> − μ·G, h'[i] = y^-i·h[i].

A and S are sent before y and z are drawn, and w_L, w_R, V and k before T_1. Knowledge-sound while
discrete logarithms are hard; perfect honest-verifier zero-knowledge: l and r are uniform, t̂, τ_x, μ
follow or are uniform, and S and T_1 are then what the two equations say.
Size: 3 points, 5 scalars and 2·⌈log2 n⌉ points, beside A.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocols.proofs.batch import Equation
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import (
    Folded,
    inner_product,
    multiply_each,
    powers,
    send_inner_product_argument,
    spread,
)
from protocols.proofs.generators import generators
from protocols.proofs.group import ORDER, Point, PointVector
from protocols.proofs.pedersen import commit

_G: Final = b"range g"
_H: Final = b"range h"
_UNIT: Final = b"inner product unit"


def product_generators(size: int) -> tuple[PointVector, PointVector]:
    """Return g and h: the same for all such proofs, so that a batch multiplies them once."""
    return generators(_G, size), generators(_H, size)


@dataclass(frozen=True, slots=True)
class Masks:
    """What hides a prover's numbers; all of it drawn at random."""

    left: Sequence[int]
    """s_L."""
    right: Sequence[int]
    """s_R."""
    alpha: int
    rho: int
    taus: tuple[int, int]

    @classmethod
    def of(cls, drawn: Sequence[int], size: int) -> Self:
        """Return the masks for vectors of `size` out of 2·size + 4 scalars."""
        alpha, rho, *taus = drawn[2 * size :]
        return cls(drawn[:size], drawn[size : 2 * size], alpha, rho, (taus[0], taus[1]))


def send_products(
    channel: Outgoing,
    y: int,
    vectors: tuple[Sequence[int], Sequence[int]],
    masks: Masks,
    blinding: int,
) -> None:
    """Send all after A and S: `vectors` are l(0) and r(0), `blinding` is γ."""
    left, right = vectors
    size = len(left)
    slope = multiply_each(powers(y, size), masks.right)
    t1 = inner_product(left, slope) + inner_product(masks.left, right)
    t2 = inner_product(masks.left, slope)
    channel.send_point("T1", commit(t1 % ORDER, masks.taus[0]))
    channel.send_point("T2", commit(t2, masks.taus[1]))
    x = channel.challenge("x")
    l_vector = [(a + x * s) % ORDER for a, s in zip(left, masks.left, strict=True)]
    r_vector = [(a + x * s) % ORDER for a, s in zip(right, slope, strict=True)]
    channel.send_scalar("t", inner_product(l_vector, r_vector))
    channel.send_scalar("tau", masks.taus[1] * x * x + masks.taus[0] * x + blinding)
    channel.send_scalar("mu", masks.alpha + masks.rho * x)
    unit = generators(_UNIT, 1)[0] * channel.challenge("w")
    a, b = send_inner_product_argument(
        channel, unit, product_generators(size), pow(y, -1, ORDER), (l_vector, r_vector)
    )
    channel.send_scalar("a", a)
    channel.send_scalar("b", b)


@dataclass(frozen=True, slots=True)
class ProductsClaim:
    """What the verifier knows once A and S are received, and all challenges before x drawn."""

    y: int
    commitment: tuple[tuple[Point, int], ...]
    """A: Σ factor · point."""
    blind: Point
    """S."""
    left: Sequence[int]
    """What l has beside a_L: y^-i·w_R[i]."""
    right: Sequence[int]
    """What r has beside y^i·a_R: w_L[i]."""
    committed: tuple[tuple[Point, int], ...]
    """V: Σ factor · point."""
    constant: int
    """What t(0) has beside v."""

    def receive(self, channel: Incoming, name: str) -> "ProductsCheck":
        """Receive the rest; what remains is to check it."""
        first, second = channel.receive_point("T1"), channel.receive_point("T2")
        x = channel.challenge("x")
        scalars = tuple(channel.receive_scalar(label) for label in ("t", "tau", "mu"))
        w = channel.challenge("w")
        folded = Folded.receive(channel, len(self.left))
        last = channel.receive_scalar("a"), channel.receive_scalar("b")
        merge = channel.own_challenge()
        return ProductsCheck(
            name, channel.transcript.digest(), self, (first, second), (*scalars, *last),
            (x, w, merge), folded,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProductsCheck:
    """The two equations of a received proof, merged with a challenge of their own."""

    name: str
    digest: bytes
    claim: ProductsClaim
    sent: tuple[Point, Point]
    """T1, T2."""
    scalars: tuple[int, ...]
    """t̂, τ_x, μ, and the last a and b."""
    challenges: tuple[int, int, int]
    """x, w and the merging one."""
    folded: Folded

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add both equations, times `weight`."""
        self._add_polynomial(equation, weight * self.challenges[-1] % ORDER)
        self._add_inner_product(equation, weight)

    def _add_polynomial(self, equation: Equation, weight: int) -> None:
        t, tau, *_ = self.scalars
        x, *_ = self.challenges
        equation.add_commitment(weight * (t - self.claim.constant), weight * tau)
        equation.add_point(self.sent[0], -weight * x)
        equation.add_point(self.sent[1], -weight * x * x)
        for point, factor in self.claim.committed:
            equation.add_point(point, -weight * factor)

    def _add_inner_product(self, equation: Equation, weight: int) -> None:
        t, _, mu, a, b = self.scalars
        x, w, _ = self.challenges
        claim, size = self.claim, len(self.claim.left)
        whole, rounds = self.folded.weights()
        whole = whole * weight % ORDER
        for point, factor in (*claim.commitment, (claim.blind, x)):
            equation.add_point(point, whole * factor)
        equation.add_commitment(0, -whole * mu)
        equation.add_generators(_UNIT, [(whole * t - weight * a * b) * w % ORDER])
        equation.add_points(self.folded.rounds, [weight * factor for factor in rounds])
        g_factors = spread(self.folded.challenges, size, -weight * a, low=True)
        h_factors = spread(self.folded.challenges, size, -weight * b, low=False)
        equation.add_generators(
            _G, [whole * own + f for own, f in zip(claim.left, g_factors, strict=True)]
        )
        raised = [whole * own + f for own, f in zip(claim.right, h_factors, strict=True)]
        lowered = multiply_each(raised, powers(pow(claim.y, -1, ORDER), size))
        equation.add_generators(_H, lowered)
