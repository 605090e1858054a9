# SPDX-License-Identifier: Apache-2.0
"""One of several commitments is to nought, and nobody learns which.

Public:  points P_0 ... P_(N-1).
Secret:  an index m and r with P_m = r·G, that is, P_m commits to 0.

**Few** (Cramer, Damgård and Schoenmakers, CRYPTO '94): Schnorr's proof for each point, all but
one of them simulated; the challenges have to add up to the one that was drawn.

    A_j = z_j·G − c_j·P_j   for each j;   Σ c_j = c             N points, 2N − 1 scalars

**Many** (Groth and Kohlweiss, EUROCRYPT 2015): commitments to the bits l_j of m, and to masks
a_j, make f_j = l_j·x + a_j; then Π f_(j, bit j of i) is a polynomial in x that has the degree n
for i = m alone, and D_k cancels its lower terms:

    L_j = l_j·H + r_j·G    x·L_j + A_j = f_j·H + u_j·G
    A_j = a_j·H + s_j·G    (x − f_j)·L_j + B_j = v_j·G
    B_j = l_j·a_j·H + t_j·G    Σ_i (Π_j f_(j, i_j))·P_i − Σ_k x^k·D_k = d·G

                                                           4n points, 3n + 1 scalars, n = ⌈log2 N⌉

Knowledge-sound while discrete logarithms are hard; honest-verifier zero-knowledge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocols.proofs.batch import Equation
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement
from protocols.proofs.folding import inner_product, powers
from protocols.proofs.group import INFINITY, ORDER, Point, PointVector, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.pedersen import H, commit

FEW: Final = 8
"""Up to so many points are proved one by one."""


def send_one_of(
    channel: Outgoing, points: Sequence[Point], index: int, blinding: int, nonces: Nonces
) -> None:
    """Send the proof that one of `points` is `blinding`·G; it is the one at `index`.

    The transcript has taken in the points. Raises `FalseStatement` if it is not.
    """
    if points[index] != multiply_generator(blinding):
        raise FalseStatement("the commitment is not to nought")
    send = _send_few if len(points) <= FEW else _send_many
    send(channel, points, index, blinding, nonces)


def receive_one_of(channel: Incoming, name: str, points: Sequence[Point]) -> "FewCheck | ManyCheck":
    """Receive the proof that one of `points` commits to nought; check it later."""
    if not points:
        raise ValueError("none of no points commits to nought")
    receive = _receive_few if len(points) <= FEW else _receive_many
    return receive(channel, name, points)


# --- Few ---------------------------------------------------------------------------------------


def _send_few(
    channel: Outgoing, points: Sequence[Point], index: int, blinding: int, nonces: Nonces
) -> None:
    count = len(points)
    drawn = nonces.draw(channel.transcript, [index, blinding], 2 * count)
    challenges, answers = drawn[:count], drawn[count:]
    for j, point in enumerate(points):
        simulated = multiply_generator(answers[j])
        # The answer of the true branch is its mask until the challenge is known.
        first = simulated if j == index else simulated - point * challenges[j]
        channel.send_point("A", first)
    others = sum(challenges) - challenges[index]
    challenges[index] = (channel.challenge("c") - others) % ORDER
    answers[index] = (answers[index] + challenges[index] * blinding) % ORDER
    for j in range(count):
        if j:  # the first challenge follows from the others
            channel.send_scalar("c", challenges[j])
        channel.send_scalar("z", answers[j])


def _receive_few(channel: Incoming, name: str, points: Sequence[Point]) -> "FewCheck":
    firsts = [channel.receive_point("A") for _ in points]
    total = channel.challenge("c")
    challenges, answers = [0] * len(points), [0] * len(points)
    for j in range(len(points)):
        if j:
            challenges[j] = channel.receive_scalar("c")
        answers[j] = channel.receive_scalar("z")
    challenges[0] = (total - sum(challenges)) % ORDER
    merge = channel.own_challenge()
    return FewCheck(
        name, channel.transcript.digest(), tuple(points), PointVector(firsts),
        tuple(challenges), tuple(answers), merge,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FewCheck:
    """z_j·G − c_j·P_j − A_j for each j, merged with a challenge."""

    name: str
    digest: bytes
    points: tuple[Point, ...]
    firsts: PointVector
    challenges: tuple[int, ...]
    answers: tuple[int, ...]
    merge: int

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add the equations, times `weight`."""
        factors = [weight * power % ORDER for power in powers(self.merge, len(self.points))]
        equation.add_commitment(0, inner_product(factors, self.answers))
        equation.add_points(self.firsts, [-factor for factor in factors])
        for point, factor, own in zip(self.points, factors, self.challenges, strict=True):
            equation.add_point(point, -factor * own)


# --- Many --------------------------------------------------------------------------------------


def _send_many(
    channel: Outgoing, points: Sequence[Point], index: int, blinding: int, nonces: Nonces
) -> None:
    padded = _padded(points)
    n = (len(padded) - 1).bit_length()
    drawn = nonces.draw(channel.transcript, [index, blinding], 5 * n)
    r, a, s, t, rho = (drawn[k * n : (k + 1) * n] for k in range(5))
    bits = [index >> j & 1 for j in range(n)]
    for j, bit in enumerate(bits):
        mask = H * a[j]
        channel.send_point("L", commit(bit, r[j]))
        channel.send_point("A", mask + multiply_generator(s[j]))
        # The mask is multiplied whatever the bit is: the time must not tell.
        channel.send_point("B", (INFINITY, mask)[bit] + multiply_generator(t[j]))
    for k, column in enumerate(_coefficients(bits, a)):
        channel.send_point("D", padded.weighted_sum(column) + multiply_generator(rho[k]))
    x = channel.challenge("x")
    for j, bit in enumerate(bits):
        f = (bit * x + a[j]) % ORDER
        channel.send_scalar("f", f)
        channel.send_scalar("u", r[j] * x + s[j])
        channel.send_scalar("v", r[j] * (x - f) + t[j])
    channel.send_scalar("d", blinding * pow(x, n, ORDER) - inner_product(rho, powers(x, n)))


def _receive_many(channel: Incoming, name: str, points: Sequence[Point]) -> "ManyCheck":
    padded = _padded(points)
    n = (len(padded) - 1).bit_length()
    bits = [channel.receive_point(label) for _ in range(n) for label in "LAB"]
    lower = [channel.receive_point("D") for _ in range(n)]
    x = channel.challenge("x")
    answers = [channel.receive_scalar(label) for _ in range(n) for label in "fuv"]
    d = channel.receive_scalar("d")
    merge = channel.own_challenge()
    return ManyCheck(
        name, channel.transcript.digest(), padded, PointVector(bits), PointVector(lower),
        tuple(answers), d, x, merge,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ManyCheck:
    """The 2n + 1 equations of a proof, merged with a challenge."""

    name: str
    digest: bytes
    points: PointVector
    bits: PointVector
    """L_j, A_j and B_j for each j."""
    lower: PointVector
    """D_k for each k."""
    answers: tuple[int, ...]
    """f_j, u_j and v_j for each j."""
    d: int
    x: int
    merge: int

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add the equations, times `weight`."""
        n, x = len(self.lower), self.x
        factors = [weight * power % ORDER for power in powers(self.merge, 2 * n + 1)]
        products = [factors[0]]
        for j in range(n):
            f, u, v = self.answers[3 * j : 3 * j + 3]
            first, second = factors[2 * j + 1 : 2 * j + 3]
            equation.add_points(
                self.bits[3 * j : 3 * j + 3], [first * x + second * (x - f), first, second]
            )
            equation.add_commitment(-first * f, -first * u - second * v)
            products = [
                *(product * (x - f) % ORDER for product in products),
                *(product * f % ORDER for product in products),
            ]
        equation.add_points(self.points, products)
        equation.add_points(self.lower, [-factors[0] * power for power in powers(x, n)])
        equation.add_commitment(0, -factors[0] * self.d)


def _padded(points: Sequence[Point]) -> PointVector:
    """Return the points, the last one repeated until their number is a power of two."""
    size = 1 << (len(points) - 1).bit_length()
    return PointVector([*points, *[points[-1]] * (size - len(points))])


def _coefficients(bits: Sequence[int], masks: Sequence[int]) -> list[list[int]]:
    """Return, for each power k of x below n, the coefficients of all the products of f."""
    polynomials = [[1]]
    for bit, mask in zip(bits, masks, strict=True):
        zero = [_times(p, -mask, 1 - bit) for p in polynomials]
        one = [_times(p, mask, bit) for p in polynomials]
        polynomials = [*zero, *one]
    return [[p[k] for p in polynomials] for k in range(len(bits))]


def _times(polynomial: Sequence[int], constant: int, slope: int) -> list[int]:
    """Return polynomial · (constant + slope·x)."""
    lower = [coefficient * constant % ORDER for coefficient in polynomial]
    if not slope:
        return [*lower, 0]
    return [(a + b) % ORDER for a, b in zip([*lower, 0], [0, *polynomial], strict=True)]
