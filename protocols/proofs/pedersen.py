# SPDX-License-Identifier: Apache-2.0
"""Commitments to energy: C = x·H + r·G (Pedersen, CRYPTO '91).

Public:  G, the standard generator; H, hashed to the curve from a label, so that nobody knows
         log_G(H).
Secret:  x, a value in watt-hours; r, its blinding, uniform modulo the order.

C tells nothing of x, whatever the computing power; nobody can open C to two values without
finding log_G(H). Commitments add up: C(x, r) + C(y, s) = C(x + y, r + s).

x·H is looked up in tables of 256 multiples for each byte of x, and the number of bytes is 2, 4
or 8 for a whole batch, whatever the single values. r·G is the library's constant-time call. Not
constant in time: the cache lines that the lookups touch, Python's integers, a value's sign, and
whether a batch holds a value of 2^16 or 2^32 watt-hours. Who shares the processor's cache with
the certifier is outside of what docs/threat-model.md promises.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from protocols.proofs.generators import hash_to_point
from protocols.proofs.group import (
    ORDER,
    Point,
    PointVector,
    multiply_generator,
    multiply_generator_many,
    sum_columns,
    sum_points,
)

H: Final = hash_to_point(b"pedersen value generator")
"""The generator of values."""

BLINDING_SECRET_SIZE: Final = 32

_OFFSET: Final = hash_to_point(b"pedersen table offset")
_WIDE: Final = 48  # bytes for a scalar: reduced modulo the order it is uniform to within 2^-128


def commit(value: int, blinding: int) -> Point:
    """Return value·H + blinding·G; `value` may have either sign.

    Beyond 64 bits and a sign, where no register goes but the masks of proofs do, the library's
    variable-time multiplication is used.
    """
    size = abs(value)
    if size >= 1 << 64:
        return H * value + multiply_generator(blinding)
    rows = [_table(place)[size >> 8 * place & 0xFF] for place in range(_places(size))]
    valued = sum_points(rows)
    return (-valued if value < 0 else valued) + multiply_generator(blinding)


def commit_many(values: Sequence[int], blindings: Sequence[int]) -> PointVector:
    """Return the commitments to `values`, each in [0, 2^64); a month of slots in one go.

    Raises `ValueError` for another value, for a blinding of 0 and for unequal lengths.
    """
    if len(values) != len(blindings):
        raise ValueError(f"{len(values)} values for {len(blindings)} blindings")
    if not values:
        return PointVector()
    if min(values) < 0 or (largest := max(values)) >= 1 << 64:
        raise ValueError("a value is not in [0, 2^64)")
    rows = [
        _table(place).select([value >> 8 * place & 0xFF for value in values])
        for place in range(_places(largest))
    ]
    return sum_columns([multiply_generator_many(blindings), *rows])


def derive_blindings(secret: bytes, context: bytes, count: int) -> list[int]:
    """Return `count` scalars that look uniform and independent to all who lack `secret`.

    HMAC-SHA-256 under the secret turns the context into a key, and AES-256 in counter mode
    expands it by 48 bytes for each scalar. The same context gives the same scalars: it has to
    say all that tells one list of blindings from another.
    """
    if len(secret) != BLINDING_SECRET_SIZE:
        raise ValueError(f"a blinding secret has {BLINDING_SECRET_SIZE} bytes")
    key = hmac.digest(secret, b"meterlet/blindings/1" + context, "sha256")
    stream = Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(_WIDE * count))
    starts = range(0, _WIDE * count, _WIDE)
    return [int.from_bytes(stream[start : start + _WIDE], "big") % ORDER for start in starts]


def _places(largest: int) -> int:
    return 2 if largest < 1 << 16 else 4 if largest < 1 << 32 else 8


@lru_cache(maxsize=8)
def _table(place: int) -> PointVector:
    """Return digit · 256^place · H for each digit, moved by an offset.

    The offsets of an even and the next odd place cancel. They keep the point at infinity out of
    the tables, so that a digit 0 is looked up and added like any other.
    """
    step = H * (1 << 8 * place)
    start = -_OFFSET if place % 2 else _OFFSET
    return PointVector(accumulate(repeat(step, 255), initial=start))
