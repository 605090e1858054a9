# SPDX-License-Identifier: Apache-2.0
"""A proof that one half of a decryption was made with the share that belongs to the key.

Public:  modulus n; ciphertexts c[i], halves h[i]; v = (1 + n)·R^n modulo n², R hashed from n;
         w = v^d2, which whoever has d1 computes as (1 + n)·v^-d1, as v decrypts to 1.
Secret:  the share d2.
Claim:   h[i] = c[i]^d2.
Proof:   C = Π c[i]^t[i], H = Π h[i]^t[i], the t[i] of 128 bits hashed from all of it;
         a = v^k, b = C^k; e of 128 bits hashed from a and b; z = k + e·d2, no modulus.
         Anyone with w checks e against a = v^z·w^-e and b = C^z·H^-e (Chaum and Pedersen 1992; in
         a group of hidden order, Shoup, EUROCRYPT 2000).

    proof = e (16 bytes) | z

*Sound* for halves that combine to a plaintext at all. These are h[i] = c[i]^d2·(1 + n)^x[i], and
x[i] = 0 is the claim. Two answers to one a, b differ by z' - z = D + (e' - e)·d2 with v^D = 1 and
C^D = ((1 + n)^Σ t[i]·x[i])^(e' - e). As v decrypts to 1, n divides D, and C^D decrypts to 0; so n
divides (e' - e)·Σ t[i]·x[i]. The primes of n are longer than e, and the t[i] are drawn after the
x[i]: every x[i] is 0, but for one in 2^128. That n is a product of safe primes is not needed.
*Zero-knowledge*, statistically: k is 128 bits longer than e·d2.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import shake_256
from typing import Final, Self

import gmpy2  # type: ignore[import-untyped]  # gmpy2 ships no types
from gmpy2 import mpz

from protocols.aggregation.paillier import PaillierPublicKey, RandomBytes
from protocols.proofs import Transcript

MARGIN_BYTES: Final = 16
"""By how much a share is longer than n², and a mask than what it hides."""
_CHALLENGE_SIZE: Final = 16
_LABEL: Final = b"meterlet paillier verification base 1"


@dataclass(frozen=True, slots=True)
class Halves:
    """One holder's half for each ciphertext, and the proof that they are right."""

    values: tuple[int, ...]
    proof: bytes

    def encode(self, public_key: PaillierPublicKey) -> bytes:
        """Return the proof, of a size that the key determines, and the halves."""
        size = public_key.ciphertext_size
        return self.proof + b"".join(int(value).to_bytes(size, "big") for value in self.values)

    @classmethod
    def decode(cls, data: bytes, public_key: PaillierPublicKey) -> Self:
        """Return the halves; whether they are right is for `verify_halves` to say.

        Raises `ValueError` where the length is not that of a proof and whole halves.
        """
        proof, rest = data[: _proof_size(public_key)], data[_proof_size(public_key) :]
        size = public_key.ciphertext_size
        if len(proof) != _proof_size(public_key) or len(rest) % size:
            raise ValueError("not halves of a decryption")
        starts = range(0, len(rest), size)
        return cls(tuple(int.from_bytes(rest[at : at + size], "big") for at in starts), proof)


def prove_halves(
    public_key: PaillierPublicKey,
    share: int,
    ciphertexts: Sequence[int],
    halves: Sequence[int],
    random_bytes: RandomBytes,
) -> bytes:
    """Return the proof that the halves are the ciphertexts raised to the share."""
    square = mpz(public_key.modulus) ** 2
    base = _base(public_key.modulus)
    checked = gmpy2.powmod_sec(base, share, square)
    transcript, weights = _stated(public_key, int(checked), ciphertexts, halves)
    mask = int.from_bytes(random_bytes(_response_size(public_key)), "big") >> 8
    mixed = _mixed(ciphertexts, weights, square)
    commitments = (
        int(gmpy2.powmod_sec(base, mask, square)),
        int(gmpy2.powmod_sec(mixed, mask, square)),
    )
    challenge = _challenge(transcript, commitments)
    response = mask + int.from_bytes(challenge, "big") * share
    return challenge + response.to_bytes(_response_size(public_key), "big")


def verify_halves(
    public_key: PaillierPublicKey, own_share: int, ciphertexts: Sequence[int], theirs: Halves
) -> bool:
    """Tell whether the other holder's halves are proved; they combine to plaintexts already."""
    if len(theirs.proof) != _proof_size(public_key) or len(theirs.values) != len(ciphertexts):
        return False
    if public_key.fault_of(theirs.values) is not None:
        return False
    n, square = mpz(public_key.modulus), mpz(public_key.modulus) ** 2
    base = _base(public_key.modulus)
    checked = (1 + n) * gmpy2.invert(gmpy2.powmod_sec(base, own_share, square), square) % square
    transcript, weights = _stated(public_key, int(checked), ciphertexts, theirs.values)
    sent, answered = theirs.proof[:_CHALLENGE_SIZE], theirs.proof[_CHALLENGE_SIZE:]
    challenge, response = int.from_bytes(sent, "big"), int.from_bytes(answered, "big")
    raised = (
        (base, checked),
        (_mixed(ciphertexts, weights, square), _mixed(theirs.values, weights, square)),
    )
    commitments = tuple(
        int(
            gmpy2.powmod(low, response, square)
            * gmpy2.invert(gmpy2.powmod(high, challenge, square), square)
            % square
        )
        for low, high in raised
    )
    return hmac.compare_digest(_challenge(transcript, commitments), sent)


@cache
def _base(modulus: int) -> mpz:
    """Return v, which decrypts to 1 and has an n-th power that nobody has chosen."""
    n = mpz(modulus)
    size = (modulus.bit_length() + 7) // 8 + MARGIN_BYTES
    seed = shake_256(_LABEL + modulus.to_bytes(size, "big")).digest(size)
    root = mpz(int.from_bytes(seed, "big")) % n
    return (1 + n) * gmpy2.powmod(root, n, n * n) % (n * n)


def _stated(
    public_key: PaillierPublicKey, checked: int, ciphertexts: Sequence[int], halves: Sequence[int]
) -> tuple[Transcript, list[int]]:
    """Return the transcript of the statement, and the weights drawn from it."""
    transcript = Transcript("paillier halves", 1)
    size = public_key.ciphertext_size
    transcript.append("modulus", public_key.encode())
    transcript.append("base", checked.to_bytes(size, "big"))
    for label, numbers in (("ciphertexts", ciphertexts), ("halves", halves)):
        transcript.append(label, b"".join(int(one).to_bytes(size, "big") for one in numbers))
    seed = transcript.digest()
    drawn = shake_256(seed).digest(_CHALLENGE_SIZE * len(ciphertexts))
    starts = range(0, len(drawn), _CHALLENGE_SIZE)
    weights = [int.from_bytes(drawn[at : at + _CHALLENGE_SIZE], "big") for at in starts]
    return transcript, weights


def _mixed(numbers: Sequence[int], weights: Sequence[int], square: mpz) -> mpz:
    product = mpz(1)
    for number, weight in zip(numbers, weights, strict=True):
        product = product * gmpy2.powmod(number, weight, square) % square
    return product


def _challenge(transcript: Transcript, commitments: Sequence[int]) -> bytes:
    transcript.append_integers("commitments", commitments)
    return transcript.digest()[:_CHALLENGE_SIZE]


def _response_size(public_key: PaillierPublicKey) -> int:
    """Return the bytes of z: a share, a challenge, a margin, and one for the carry."""
    return public_key.bits // 4 + MARGIN_BYTES + _CHALLENGE_SIZE + MARGIN_BYTES + 1


def _proof_size(public_key: PaillierPublicKey) -> int:
    return _CHALLENGE_SIZE + _response_size(public_key)
