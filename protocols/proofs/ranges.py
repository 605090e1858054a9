# SPDX-License-Identifier: Apache-2.0
"""Many values, each in a range of its own, in one proof of logarithmic size.

Public:  V_j, and the largest number m_j of each range, of n_j bits.
Secret:  v_j and γ_j with V_j = v_j·H + γ_j·G.
Claim:   0 ≤ v_j ≤ m_j for each j.
Proof:   Bulletproofs (Bünz et al., IEEE S&P 2018, section 4.2, with a range for each value). Let
         a_L be the bits of all values, a_R = a_L − 1, and d[i] = z^(2+j)·b_j[k] where i is the bit
         k of the value j, and b_j[k] what that bit counts: 2^k where m_j = 2^n_j − 1, and else
         ⌊(m_j + 2^(n_j−1−k)) / 2^(n_j−k)⌋. Then sums of some b_j[k] are all numbers from 0 to m_j
         and no others (Lipmaa, Asokan and Niemi, FC 2002). With challenges y, z, x, w:

           A = α·G + <a_L, g> + <a_R, h>,  S = ρ·G + <s_L, g> + <s_R, h>
           l(X) = a_L − z + s_L·X,         r(X) = y^i·(a_R + z + s_R·X) + d
           t(X) = <l(X), r(X)>,            T_k = t_k·H + τ_k·G for k = 1, 2
           t̂ = t(x),  τ_x = τ_2·x² + τ_1·x + Σ z^(2+j)·γ_j,  μ = α + ρ·x

         The verifier checks t̂·H + τ_x·G = Σ z^(2+j)·V_j + δ·H + x·T_1 + x²·T_2, where
         δ = (z − z²)·Σ y^i − Σ z^(3+j)·m_j, and the inner product in
         A + x·S − z·<1, g> + <z·y^i + d, h'> − μ·G, h'[i] = y^-i·h[i]: it is the argument of
         `protocols.proofs.products` with products of 0, w_L = z·y^i + d and w_R = −z·y^i.

Knowledge-sound while discrete logarithms are hard; perfect honest-verifier zero-knowledge.
Size: 4 points, 5 scalars and 2·⌈log2 Σ n_j⌉ points: 688 bytes for 64 bits.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.errors import FalseStatement
from protocols.proofs.folding import inner_product, powers
from protocols.proofs.group import ORDER, Point, PointVector, multiply_generator
from protocols.proofs.nonces import Nonces
from protocols.proofs.products import (
    Masks,
    ProductsCheck,
    ProductsClaim,
    product_generators,
    send_products,
)

LARGEST_WIDTH: Final = 128
"""The widest range of a single value, in bits."""


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
    send_bounded(channel, values, [(1 << _checked(width)) - 1 for width in widths], nonces)


def send_bounded(
    channel: Outgoing,
    values: Sequence[tuple[int, int]],
    largest: Sequence[int],
    nonces: Nonces,
) -> None:
    """Send the proof that each value of (value, blinding) is from 0 to its largest number.

    The transcript has taken in the commitments and these numbers. Raises `FalseStatement` if a
    value is beyond.
    """
    bits = [
        bit
        for (value, _), most in zip(values, largest, strict=True)
        for bit in _bits_of(value, most)
    ]
    secrets = [number for pair in values for number in pair]

    def weigh(z: int) -> tuple[list[int], int]:
        blindings = [blinding for _, blinding in values]
        return _bit_weights(largest, z), inner_product(_value_weights(len(values), z), blindings)

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
    masks = Masks.of(nonces.draw(channel.transcript, secrets, 2 * size + 4), size)
    chosen = _choices(size).select([2 * place + bit for place, bit in enumerate(bits)])
    channel.send_point("A", chosen.sum() + multiply_generator(masks.alpha))
    blinded = PointVector.join(product_generators(size)).weighted_sum([*masks.left, *masks.right])
    channel.send_point("S", blinded + multiply_generator(masks.rho))
    y, z = channel.challenge("y"), channel.challenge("z")
    weights, blinding = weigh(z)
    y_powers = powers(y, size)
    left = [bit - z for bit in bits]
    right = [
        (power * (bit - 1 + z) + weight) % ORDER
        for power, bit, weight in zip(y_powers, bits, weights, strict=True)
    ]
    send_products(channel, y, (left, right), masks, blinding)


def receive_ranges(
    channel: Incoming, name: str, points: Sequence[Point], widths: Sequence[int]
) -> ProductsCheck:
    """Receive the proof that each point commits to a value of its width; check it later."""
    return receive_bounded(channel, name, points, [(1 << _checked(width)) - 1 for width in widths])


def receive_bounded(
    channel: Incoming, name: str, points: Sequence[Point], largest: Sequence[int]
) -> ProductsCheck:
    """Receive the proof that each point commits to a number up to its largest; check it later."""
    size = sum(map(_width_of, largest))

    def weigh(z: int) -> tuple[list[int], list[tuple[Point, int]]]:
        weights = _value_weights(len(points), z)
        return _bit_weights(largest, z), list(zip(points, weights, strict=True))

    return receive_weighed_bits(channel, name, size, weigh)


def receive_weighed_bits(
    channel: Incoming,
    name: str,
    size: int,
    weigh: Callable[[int], tuple[list[int], list[tuple[Point, int]]]],
) -> ProductsCheck:
    """Receive the proof that `size` bits, weighed, sum to what points times factors commit to.

    `weigh(z)` returns the weights, and the points with their factors; it may receive more first.
    """
    a, s = channel.receive_point("A"), channel.receive_point("S")
    y, z = channel.challenge("y"), channel.challenge("z")
    bit_weights, committed = weigh(z)
    y_powers = powers(y, size)
    claim = ProductsClaim(
        y,
        commitment=((a, 1),),
        blind=s,
        left=[-z] * size,
        right=[(z * power + d) % ORDER for power, d in zip(y_powers, bit_weights, strict=True)],
        committed=tuple(committed),
        constant=((z - z * z) * sum(y_powers) - z * sum(bit_weights)) % ORDER,
    )
    return claim.receive(channel, name)


def _checked(width: int) -> int:
    if not 1 <= width <= LARGEST_WIDTH:
        raise ValueError(f"a range of {width} bits: only 1 to {LARGEST_WIDTH}")
    return width


def _width_of(largest: int) -> int:
    return _checked(largest.bit_length() if largest > 0 else 0)


def _value_weights(count: int, z: int) -> list[int]:
    """Return z^(2+j) for each value."""
    return powers(z, count + 2)[2:]


def _counts(largest: int) -> list[int]:
    """Return what each bit counts, rising: together they make the numbers up to `largest`."""
    width = _width_of(largest)
    return [(largest + (1 << k)) >> k + 1 for k in reversed(range(width))]


def _bits_of(value: int, largest: int) -> list[int]:
    """Return the bits whose counts sum to a value; raise `FalseStatement` if it is beyond."""
    bits, left = [], value
    for count in reversed(_counts(largest)):
        bits.append(int(left >= count))
        left -= bits[-1] * count
    if left or value < 0:
        raise FalseStatement(f"a value is not in the range of {largest.bit_length()} bits")
    return bits[::-1]


def _bit_weights(largest: Sequence[int], z: int) -> list[int]:
    """Return z^(2+j) times what the bit counts, for each bit of each value j."""
    weights = zip(_value_weights(len(largest), z), largest, strict=True)
    return [weight * count % ORDER for weight, most in weights for count in _counts(most)]


@lru_cache(maxsize=8)
def _choices(size: int) -> PointVector:
    """Return what a bit adds to A, for both its values: −h for 0, g for 1."""
    g, h = product_generators(size)
    return PointVector.join([h.scaled(-1), g]).select(
        [size * bit + place for place in range(size) for bit in (0, 1)]
    )
