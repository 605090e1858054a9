# SPDX-License-Identifier: Apache-2.0
"""Paillier's encryption (EUROCRYPT 1999): ciphertexts multiply, plaintexts add up.

Public:  n = p·q.
Secret:  p, q, primes that are 3 modulo 4 and not 1 modulo each other.
Encrypt: c = (1 + m·n)·s^a mod n², with s = h^n mod n², h = -x² mod n, and a random of half the
         bits of n (Damgård, Jurik and Nielsen, Int. J. Inf. Secur. 9, 2010). s is fixed for the
         key, so that s^a is a product out of tables. x is hashed from n: nobody has to trust the
         holder of the key for it, and no key grows by it.
Decrypt: modulo p² and q² apart, joined by the Chinese remainder theorem.

Keys and ciphertexts are those of the textbook with g = n + 1, as other programs have them.

The exponent's length is a parameter. Half the modulus is what the paper proves secure under
decisional composite residuosity alone. `SHORT_EXPONENT` adds an assumption: that s^a with a of
256 bits cannot be told from one with a long exponent (Koshiba and Kurosawa, PKC 2004); the best
known attack takes 2^128 steps (van Oorschot and Wiener, EUROCRYPT 1996).

Neither gmpy2 nor Python takes constant time.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import gmpy2  # type: ignore[import-untyped]  # gmpy2 ships no types
from gmpy2 import mpz

from protocols.aggregation.errors import Fault, KeyRefused

KEY_BITS: Final = range(1024, 4097, 256)
"""The lengths a modulus may have. Below 2048 bits they are for comparison only."""
SHORT_EXPONENT: Final = 256
WINDOW_BITS: Final = 8
PRIME_ROUNDS: Final = 40
"""Rounds of Miller and Rabin: a composite passes with less than 2^-80."""

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class PaillierPublicKey:
    """A modulus under which anyone can encrypt."""

    modulus: int
    _n: mpz = field(init=False, repr=False, compare=False)
    _square: mpz = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.modulus.bit_length() not in KEY_BITS:
            raise KeyRefused(f"a modulus of {self.modulus.bit_length()} bits is not 1024 to 4096")
        n = mpz(self.modulus)
        if n % 2 == 0 or gmpy2.is_square(n) or gmpy2.is_prime(n):
            raise KeyRefused("the modulus is not a product of two odd primes")
        object.__setattr__(self, "_n", n)
        object.__setattr__(self, "_square", n * n)

    @property
    def bits(self) -> int:
        """The length of the modulus."""
        return self.modulus.bit_length()

    @property
    def ciphertext_size(self) -> int:
        """Bytes of a ciphertext."""
        return self.bits // 4

    def encode(self) -> bytes:
        """Return the modulus, big-endian, as long as it is."""
        return self.modulus.to_bytes(self.bits // 8, "big")

    @classmethod
    def decode(cls, data: bytes) -> "PaillierPublicKey":
        """Return the key; raise `KeyRefused` if it has leading zeros or is none."""
        key = cls(int.from_bytes(data, "big"))
        if key.encode() != data:
            raise KeyRefused("the modulus has leading zeros")
        return key

    @property
    def key_id(self) -> bytes:
        """Eight bytes that name the key."""
        return hashlib.sha256(b"meterlet paillier key 1" + self.encode()).digest()[:8]

    def residue(self) -> int:
        """Return s = h^n mod n², the base of all randomness under this key."""
        stream = hashlib.shake_256(b"meterlet paillier base 1" + self.encode())
        x = mpz(int.from_bytes(stream.digest(self.bits // 8 + 16), "big")) % self._n
        if gmpy2.gcd(x, self._n) != 1:
            raise KeyRefused("the modulus has a small factor")
        return int(gmpy2.powmod(-x * x % self._n, self._n, self._square))

    def fault_of(self, ciphertexts: Sequence[int]) -> Fault | None:
        """Return what keeps `ciphertexts` from being ciphertexts of this key, if anything does."""
        product = mpz(1)
        for ciphertext in ciphertexts:
            if not 0 < ciphertext < self._square:
                return Fault.OVERSIZED
            product = product * ciphertext % self._n
        return None if gmpy2.gcd(product, self._n) == 1 else Fault.NOT_COPRIME

    def multiply(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Return the products, ciphertexts of the sums; unequal lengths raise `ValueError`."""
        square = self._square  # an mpz, so that the products and their remainders are gmpy2's
        return [a * b % square for a, b in zip(left, right, strict=True)]

    def product(self, columns: Sequence[Sequence[int]]) -> list[int]:
        """Return the product of each place over all rows of ciphertexts."""
        total: Sequence[int] = [mpz(1)] * len(columns[0])
        for row in columns:
            total = self.multiply(total, row)
        return list(total)


class Encryptor:
    """Encrypts under one key, out of tables of `2^window` powers for each `window` bits."""

    __slots__ = ("_key", "_n", "_square", "_tables", "exponent_bits")

    def __init__(
        self,
        public_key: PaillierPublicKey,
        exponent_bits: int | None = None,
        window_bits: int = WINDOW_BITS,
    ) -> None:
        bits = public_key.bits // 2 if exponent_bits is None else exponent_bits
        if bits % 8 or not SHORT_EXPONENT <= bits <= public_key.bits:
            raise KeyRefused(f"an exponent of {bits} bits: whole bytes, {SHORT_EXPONENT} or more")
        self.exponent_bits = bits
        self._key = public_key
        self._n = mpz(public_key.modulus)
        self._square = self._n * self._n
        self._tables = _power_tables(public_key.residue(), self._square, bits, window_bits)

    @property
    def public_key(self) -> PaillierPublicKey:
        """The key that it encrypts under."""
        return self._key

    def encrypt(self, plaintext: int, random_bytes: RandomBytes) -> int:
        """Return a fresh ciphertext of `plaintext`, in [0, n); raise `ValueError` for another."""
        if not 0 <= plaintext < self._n:
            raise ValueError("the plaintext is not in [0, n)")
        exponent = int.from_bytes(random_bytes(self.exponent_bits // 8), "big")
        square, power = self._square, mpz(1 + plaintext * self._n)
        for table in self._tables:
            power = power * table[exponent & len(table) - 1] % square
            exponent >>= len(table).bit_length() - 1
        return int(power)

    def encrypt_many(self, plaintexts: Sequence[int], random_bytes: RandomBytes) -> list[int]:
        """Return a ciphertext of each."""
        return [self.encrypt(plaintext, random_bytes) for plaintext in plaintexts]


class Decryptor(Protocol):
    """What opens ciphertexts of one key: its holder, or its holders together."""

    @property
    def public_key(self) -> PaillierPublicKey:
        """The key whose ciphertexts it opens."""
        ...

    def decrypt_many(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the plaintext of each."""
        ...


@dataclass(frozen=True, slots=True)
class PaillierPrivateKey:
    """The two primes, and what is computed from them once."""

    p: int = field(repr=False)
    q: int = field(repr=False)
    _halves: tuple[tuple[mpz, mpz, mpz], ...] = field(init=False, repr=False, compare=False)
    """For either prime r: r, r², and the inverse of L((1+n)^(r-1) mod r²) modulo r."""
    _join: mpz = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        p, q = mpz(self.p), mpz(self.q)
        for prime in (p, q):
            if prime < 3 or not gmpy2.is_prime(prime, PRIME_ROUNDS):
                raise KeyRefused("a factor of the modulus is not prime")
        if p == q or gmpy2.gcd(p * q, (p - 1) * (q - 1)) != 1:
            raise KeyRefused("the factors of the modulus do not go together")
        halves = tuple((r, r * r, _half_inverse(r, p * q)) for r in (p, q))
        object.__setattr__(self, "_halves", halves)
        object.__setattr__(self, "_join", gmpy2.invert(p, q))

    @classmethod
    def generate(cls, bits: int, random_bytes: RandomBytes) -> "PaillierPrivateKey":
        """Return a new key; `random_bytes(n)` gives n bytes fit for keys, as `os.urandom` does."""
        if bits not in KEY_BITS:
            raise KeyRefused(f"a modulus of {bits} bits is not 1024 to 4096")
        while True:
            p, q = _random_prime(bits // 2, random_bytes), _random_prime(bits // 2, random_bytes)
            if p != q and (p - 1) % q and (q - 1) % p:
                return cls(p, q)

    @property
    def public_key(self) -> PaillierPublicKey:
        """The key to encrypt under."""
        return PaillierPublicKey(int(self.p * self.q))

    def encode(self) -> bytes:
        """Return both primes, big-endian; they are secret."""
        size = (max(self.p, self.q).bit_length() + 7) // 8
        return self.p.to_bytes(size, "big") + self.q.to_bytes(size, "big")

    @classmethod
    def decode(cls, data: bytes) -> "PaillierPrivateKey":
        """Return the key; raise `KeyRefused`, which shows nothing of it, if `data` is none."""
        half = len(data) // 2
        key = cls(int.from_bytes(data[:half], "big"), int.from_bytes(data[half:], "big"))
        if key.encode() != data:
            raise KeyRefused("not the two primes of a key")
        return key

    def decrypt(self, ciphertext: int) -> int:
        """Return the plaintext; raise `ValueError` for what is no ciphertext of this key."""
        (p, square_p, inverse_p), (q, square_q, inverse_q) = self._halves
        if not 0 < ciphertext < square_p * square_q or gmpy2.gcd(ciphertext, p * q) != 1:
            raise ValueError("not a ciphertext of this key")
        m_p = (gmpy2.powmod(ciphertext, p - 1, square_p) - 1) // p * inverse_p % p
        m_q = (gmpy2.powmod(ciphertext, q - 1, square_q) - 1) // q * inverse_q % q
        return int(m_p + p * ((m_q - m_p) * self._join % q))

    def decrypt_many(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the plaintext of each."""
        return [self.decrypt(ciphertext) for ciphertext in ciphertexts]


def _half_inverse(prime: mpz, modulus: mpz) -> mpz:
    power = gmpy2.powmod(1 + modulus, prime - 1, prime * prime)
    return gmpy2.invert((power - 1) // prime, prime)


def _random_prime(bits: int, random_bytes: RandomBytes) -> int:
    """Return a prime of exactly `bits` bits, its two highest set, that is 3 modulo 4."""
    top = 3 << bits - 2
    while True:
        candidate = mpz(int.from_bytes(random_bytes(bits // 8), "big") | top | 3)
        if gmpy2.is_prime(candidate, PRIME_ROUNDS):
            return int(candidate)


def _power_tables(base: int, modulus: mpz, bits: int, window_bits: int) -> list[list[mpz]]:
    tables, power = [], mpz(base)
    for _ in range(0, bits, window_bits):
        table = [mpz(1)]
        for _ in range((1 << window_bits) - 1):
            table.append(table[-1] * power % modulus)
        tables.append(table)
        power = table[-1] * power % modulus
    return tables
