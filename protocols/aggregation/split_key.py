# SPDX-License-Identifier: Apache-2.0
"""A Paillier key in two hands: neither opens anything without the other.

    d = 1 modulo n, 0 modulo λ = lcm(p - 1, q - 1):    c^d = 1 + m·n  modulo n²
    d = d1 + d2 modulo n·λ, d1 random:                 c^d1 · c^d2 = 1 + m·n

Each holder raises ciphertexts to its share; who has both results has the plaintext. Either share
alone is uniform, to within 2^-128, whatever the key. The dealer, who has the whole key, makes the
shares once and destroys it.

The second holder (an auditor, say) opens sums alone (`trusteeship`). So a single household's
ciphertext is opened neither by the operator, nor by whoever steals the operator's share; and
should both conspire, it is still masked. Halves come with a proof (`halves`): a holder that
answers wrongly is found, and cannot have a household blamed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import gmpy2  # type: ignore[import-untyped]  # gmpy2 ships no types
from gmpy2 import mpz

from protocols.aggregation.errors import HolderRefused, KeyRefused
from protocols.aggregation.paillier import PaillierPrivateKey, PaillierPublicKey, RandomBytes
from protocols.aggregation.partial_decryption import (
    MARGIN_BYTES,
    Halves,
    prove_halves,
    verify_halves,
)


@dataclass(frozen=True, slots=True)
class KeyShare:
    """One half of a private key."""

    public_key: PaillierPublicKey
    exponent: int = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < self.exponent < 1 << 2 * self.public_key.bits + 8 * MARGIN_BYTES:
            raise KeyRefused("not a share of this key")

    def apply(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return this half of the decryption of each; raise `ValueError` for no ciphertext."""
        fault = self.public_key.fault_of(ciphertexts)
        if fault is not None:
            raise ValueError(f"not a ciphertext of this key: {fault.value}")
        square = mpz(self.public_key.modulus) ** 2
        return [gmpy2.powmod(ciphertext, self.exponent, square) for ciphertext in ciphertexts]

    def halves(self, ciphertexts: Sequence[int], random_bytes: RandomBytes) -> Halves:
        """Return this half of each, and the proof; raise `ValueError` for no ciphertext."""
        values = self.apply(ciphertexts)
        proof = prove_halves(self.public_key, self.exponent, ciphertexts, values, random_bytes)
        return Halves(tuple(values), proof)

    def encode(self) -> bytes:
        """Return the modulus and the secret exponent."""
        size = self._size(self.public_key.bits)
        return self.public_key.encode() + self.exponent.to_bytes(size, "big")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the share; raise `KeyRefused`, which shows nothing of it, if `data` is none."""
        # n bytes of modulus, 2n + 16 of exponent.
        size, rest = divmod(len(data) - MARGIN_BYTES, 3)
        if rest or size <= 0:
            raise KeyRefused("not a share of a key")
        return cls(PaillierPublicKey.decode(data[:size]), int.from_bytes(data[size:], "big"))

    @staticmethod
    def _size(bits: int) -> int:
        return bits // 4 + MARGIN_BYTES


def split_key(key: PaillierPrivateKey, random_bytes: RandomBytes) -> tuple[KeyShare, KeyShare]:
    """Return two shares of a key; without both of them nothing can be decrypted."""
    public = key.public_key
    p, q, n = mpz(key.p), mpz(key.q), mpz(public.modulus)
    order = gmpy2.lcm(p - 1, q - 1)
    whole = order * gmpy2.invert(order, n)
    first = int.from_bytes(random_bytes(public.bits // 4 + MARGIN_BYTES), "big") | 1
    second = int((whole - first) % (n * order))
    return KeyShare(public, first), KeyShare(public, second)


def combine(public_key: PaillierPublicKey, *halves: Sequence[int]) -> list[int]:
    """Return the plaintexts; raise `ValueError` if the halves do not belong together."""
    n = mpz(public_key.modulus)
    plaintexts = []
    for product in public_key.product(halves):
        plaintext, rest = divmod(product - 1, n)
        if rest:
            raise ValueError("the halves of the decryption do not belong together")
        plaintexts.append(int(plaintext))
    return plaintexts


@dataclass(frozen=True, slots=True)
class JointDecryptor:
    """Decrypts with one's own share and the answers of the other holder."""

    share: KeyShare
    ask: Callable[[Sequence[int]], Halves] = field(repr=False)
    """Returns the other holder's half for each ciphertext, with the proof."""

    @property
    def public_key(self) -> PaillierPublicKey:
        """The key whose ciphertexts it opens."""
        return self.share.public_key

    def decrypt_many(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the plaintext of each; raise `HolderRefused` if the other's halves are wrong.

        Raises `ValueError` for what is no ciphertext.
        """
        ours, theirs = self.share.apply(ciphertexts), self.ask(ciphertexts)
        if len(theirs.values) != len(ciphertexts):
            raise HolderRefused("the other holder has not answered for each ciphertext")
        try:
            plaintexts = combine(self.public_key, ours, theirs.values)
        except ValueError as error:
            raise HolderRefused(str(error)) from None
        if not verify_halves(self.public_key, self.share.exponent, ciphertexts, theirs):
            raise HolderRefused("the other holder's halves are not proved")
        return plaintexts
