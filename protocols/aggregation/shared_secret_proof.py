# SPDX-License-Identifier: Apache-2.0
"""A proof that a secret shared by X25519 is the right one; for disputes only.

Public:  base point B; X25519 keys A, of the prover, and P, of the other end; shared secret Z.
Secret:  w.
Claim:   A = w·8B and Z = w·8P, up to one sign for both, on edwards25519 (RFC 7748, clause 4.1).
Proof:   R1 = k·8B, R2 = k·8P; c hashed of all; t = k + c·w modulo the base point's order L.
         Anyone checks c against R1 = t·8B - c·A and R2 = t·8P - c·Z (Chaum and Pedersen 1992).

    proof = Z (32 bytes, as RFC 8032 writes points) | c (16) | t (32, little-endian)

An X25519 scalar is a multiple of 8, w is an eighth of it: 8P has no part of small order whatever
P is, and A and Z are checked to have none. Keys of small order or on the curve's twist are
refused with the roster.
Without such a proof two ends that show different secrets could not be told apart. The arithmetic
is Python's and gmpy2's and takes variable time; it runs when a key of one round is shown anyway.
"""

import hmac
from typing import Final

import gmpy2  # type: ignore[import-untyped]  # gmpy2 ships no types
from gmpy2 import mpz

from protocols.aggregation.errors import RoundRefused
from protocols.proofs import Transcript

PROOF_SIZE: Final = 32 + 16 + 32

_P: Final = mpz(2) ** 255 - 19
_L: Final = int(mpz(2) ** 252 + 27742317777372353535851937790883648493)
_A: Final = 486662
_D: Final = -121665 * gmpy2.invert(121666, _P) % _P
_ROOT: Final = gmpy2.powmod(2, (_P - 1) // 4, _P)
_COFACTOR: Final = 8

_Point = tuple[mpz, mpz, mpz, mpz]
"""Extended coordinates X, Y, Z, T (Hisil, Wong, Carter, Dawson 2008)."""
_NEUTRAL: Final[_Point] = (mpz(0), mpz(1), mpz(1), mpz(0))


def is_exchange_key(key: bytes) -> bool:
    """Return whether an X25519 key is reduced, on the curve and of more than small order."""
    u = mpz(int.from_bytes(key, "little"))
    if len(key) != 32 or u >= _P or gmpy2.jacobi((u * u + _A * u + 1) * u, _P) != 1:
        return False
    x, z = u, mpz(1)
    for _ in range(3):  # times 8, by abscissas alone
        squares = x * x + z * z
        x, z = (x * x - z * z) ** 2 % _P, 4 * x * z * (squares + _A * x * z) % _P
    return bool(z != 0)


def prove_exchange(private_key: bytes, other_key: bytes, context: bytes) -> bytes:
    """Return the secret shared with the holder of `other_key` and the proof that it is right."""
    scalar = int.from_bytes(private_key, "little") & (1 << 254) - 8 | 1 << 254
    witness = scalar // _COFACTOR % _L
    base, other = _bases(other_key)
    ours = _multiply(witness, base)
    if _affine(ours)[0] & 1:  # the lift of a key is the point with the even abscissa
        witness, ours = _L - witness, _negate(ours)
    shared = _multiply(witness, other)
    seed = hmac.digest(private_key, b"meterlet exchange proof 1" + context + other_key, "sha512")
    nonce = int.from_bytes(seed, "little") % _L
    commitments = _multiply(nonce, base), _multiply(nonce, other)
    challenge = _challenge(context, ours, other, shared, commitments)
    response = (nonce + challenge * witness) % _L
    return _encode(shared) + challenge.to_bytes(16, "little") + response.to_bytes(32, "little")


def verify_exchange(proof: bytes, key: bytes, other_key: bytes, context: bytes) -> bytes:
    """Return the shared secret as X25519 gives it; raise `RoundRefused` if it is not proved."""
    if len(proof) != PROOF_SIZE:
        raise RoundRefused(f"a proof of exchange has {PROOF_SIZE} bytes")
    challenge, response = (
        int.from_bytes(part, "little") for part in (proof[32:48], proof[48:])
    )  # fmt: skip
    ours, shared = _lift(key), _decode(proof[:32])
    base, other = _bases(other_key)
    if response >= _L or any(not _is_neutral(_multiply(_L, p)) for p in (ours, shared)):
        raise RoundRefused("the proof of exchange is not in its only form")
    if _is_neutral(shared):
        raise RoundRefused("the shared secret is the neutral element")
    commitments = (
        _add(_multiply(response, base), _negate(_multiply(challenge, ours))),
        _add(_multiply(response, other), _negate(_multiply(challenge, shared))),
    )
    if _challenge(context, ours, other, shared, commitments) != challenge:
        raise RoundRefused("the shared secret is not that of the two keys")
    _, y = _affine(shared)
    return int((1 + y) * gmpy2.invert(1 - y, _P) % _P).to_bytes(32, "little")


def _challenge(
    context: bytes, ours: _Point, other: _Point, shared: _Point, commitments: tuple[_Point, ...]
) -> int:
    transcript = Transcript("x25519 exchange", 1)
    transcript.append("context", context)
    for point in (ours, other, shared, *commitments):
        transcript.append("point", _encode(point))
    return int.from_bytes(transcript.digest()[:16], "little")


def _bases(other_key: bytes) -> tuple[_Point, _Point]:
    base = _lift((9).to_bytes(32, "little"))
    return _multiply(_COFACTOR, base), _multiply(_COFACTOR, _lift(other_key))


def _lift(key: bytes) -> _Point:
    """Return the point of an X25519 key, of the two the one whose abscissa is even."""
    if not is_exchange_key(key):
        raise RoundRefused("an exchange key is none")
    u = mpz(int.from_bytes(key, "little"))
    y = (u - 1) * gmpy2.invert(u + 1, _P) % _P
    return _decode(int(y).to_bytes(32, "little"))


def _decode(data: bytes) -> _Point:
    """Return the point of 32 bytes (RFC 8032, clause 5.1.3)."""
    number = int.from_bytes(data, "little")
    y, odd = mpz(number & (1 << 255) - 1), number >> 255
    square = (y * y - 1) * gmpy2.invert(_D * y * y + 1, _P) % _P
    x = gmpy2.powmod(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and odd):
        raise RoundRefused("the bytes are no point of edwards25519")
    if x & 1 != odd:
        x = _P - x
    return x, y, mpz(1), x * y % _P


def _encode(point: _Point) -> bytes:
    x, y = _affine(point)
    return int(y | (x & 1) << 255).to_bytes(32, "little")


def _affine(point: _Point) -> tuple[mpz, mpz]:
    inverse = gmpy2.invert(point[2], _P)
    return point[0] * inverse % _P, point[1] * inverse % _P


def _is_neutral(point: _Point) -> bool:
    return bool(point[0] % _P == 0 and (point[1] - point[2]) % _P == 0)


def _negate(point: _Point) -> _Point:
    x, y, z, t = point
    return _P - x, y, z, _P - t


def _add(left: _Point, right: _Point) -> _Point:
    """Return the sum; the formula is complete."""
    a = (left[1] - left[0]) * (right[1] - right[0]) % _P
    b = (left[1] + left[0]) * (right[1] + right[0]) % _P
    c = 2 * left[3] * right[3] * _D % _P
    d = 2 * left[2] * right[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(factor: int, point: _Point) -> _Point:
    total = _NEUTRAL
    for bit in f"{factor:b}":
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total
