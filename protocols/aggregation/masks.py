# SPDX-License-Identifier: Apache-2.0
"""The masks that hide a household's limbs and blinding, and cancel in the sum.

    shared     X25519 (RFC 7748) between the round keys of members i and j
    K[i,j]   = HKDF-SHA-256 (shared, salt: the round's digest, info: label | lower | higher key)
    σ | μ[0] | μ[1] | ... = AES-256 in counter mode under K, 64 bytes each, of which 48 are used,
               taken modulo the order: uniform to within 2^-128

Of a pair, the member that stands first in the roster adds, the other one subtracts. The self
mask β is drawn in the same way from a seed that its household alone knows until the opening.

A stream is one big integer with a lane for each mask. 16 bytes of each lane are left free, so
that lanes of thousands of pairs are added up in one addition and reduced once.
"""

import hmac
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import gmpy2  # type: ignore[import-untyped]  # gmpy2 ships no types
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from gmpy2 import mpz

from protocols.aggregation.errors import RoundRefused
from protocols.proofs.group import ORDER

SEED_SIZE: Final = 32
_LANE: Final = 64
_USED_BITS: Final = 8 * 48


def pair_key(private_key: bytes, public_key: bytes, other_key: bytes, round_digest: bytes) -> bytes:
    """Return the 32 bytes that two members share in one round.

    `public_key` is the one of `private_key`. Raises `RoundRefused` for a key of small order.
    """
    try:
        shared = X25519PrivateKey.from_private_bytes(private_key).exchange(
            X25519PublicKey.from_public_bytes(other_key)
        )
    except ValueError:
        raise RoundRefused("a member's exchange key is not one") from None
    return round_key(shared, public_key, other_key, round_digest)


def round_key(shared: bytes, key: bytes, other_key: bytes, round_digest: bytes) -> bytes:
    """Return the pair's key of the round, out of what X25519 gave; the order of keys is free."""
    info = b"meterlet aggregation pair 1" + min(key, other_key) + max(key, other_key)
    return HKDF(SHA256(), 32, round_digest, info).derive(shared)


def self_masks(seed: bytes, count: int) -> list[int]:
    """Return a household's own `count` masks, one for each limb."""
    key = hmac.digest(seed, b"meterlet aggregation self mask 1", "sha256")
    return _reduced(_stream(key, count), count)


def pair_masks(key: bytes, count: int) -> list[int]:
    """Return σ and then the `count` μ of a pair."""
    return _reduced(_stream(key, count + 1), count + 1)


def sum_pair_masks(signed_keys: Iterable[tuple[int, bytes]], count: int) -> list[int]:
    """Return Σ sign·(σ, μ[0], ...) over pairs of a sign, 1 or -1, and a key."""
    sums = {1: mpz(0), -1: mpz(0)}
    for sign, key in signed_keys:
        sums[sign] += _stream(key, count + 1)
    added, taken = (_reduced(sums[sign], count + 1) for sign in (1, -1))
    return [(a - b) % ORDER for a, b in zip(added, taken, strict=True)]


def _stream(key: bytes, lanes: int) -> mpz:
    stream = Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(_LANE * lanes))
    return mpz(int.from_bytes(stream, "little")) & _used(lanes)


@lru_cache(maxsize=8)
def _used(lanes: int) -> mpz:
    lane = b"\xff" * (_USED_BITS // 8) + bytes(_LANE - _USED_BITS // 8)
    return mpz(int.from_bytes(lane * lanes, "little"))


def _reduced(lanes: mpz, count: int) -> list[int]:
    data = gmpy2.to_binary(lanes)[2:].ljust(_LANE * count, b"\0")  # little-endian after 2 bytes
    starts = range(0, _LANE * count, _LANE)
    return [int.from_bytes(data[start : start + _LANE], "little") % ORDER for start in starts]
