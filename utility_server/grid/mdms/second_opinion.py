# SPDX-License-Identifier: Apache-2.0
"""Whether other programs find the same in the MDMS's Paillier key as this one does.

Its primes are tested by PyCryptodome. Fresh numbers are encrypted by this program and by
python-paillier (`phe`), added up under encryption, and opened by both: one wrong digit in any of
them, or a key that only looks like one, makes them differ.
"""

from dataclasses import dataclass
from typing import Final

from Crypto.Util.number import isPrime

from protocols.aggregation.paillier import Encryptor, PaillierPrivateKey, RandomBytes
from utility_server.errors import VerificationFailed
from utility_server.grid.mdms.phe_interchange import phe_private

FALSE_PRIME: Final = 2.0**-80
"""The most likely that a composite passes."""
NUMBERS: Final = 4
"""How many fresh numbers are encrypted by each program."""
NUMBER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class KeyOpinion:
    """A key about which all programs agree."""

    key_id: bytes
    bits: int
    numbers: int
    """How many fresh numbers were added up and opened."""


def second_opinion(key: PaillierPrivateKey, random_bytes: RandomBytes) -> KeyOpinion:
    """Return what all programs agree on; raise `VerificationFailed` where they do not."""
    if not all(isPrime(int(prime), FALSE_PRIME) for prime in (key.p, key.q)):
        raise VerificationFailed("key", "PyCryptodome finds that a factor is not prime")
    public, other = key.public_key, phe_private(key)
    numbers = [int.from_bytes(random_bytes(NUMBER_BYTES), "big") for _ in range(2 * NUMBERS)]
    ciphertexts = Encryptor(public).encrypt_many(numbers[:NUMBERS], random_bytes)
    ciphertexts += [other.public_key.raw_encrypt(number) for number in numbers[NUMBERS:]]
    (product,) = map(int, public.product([[ciphertext] for ciphertext in ciphertexts]))
    opened = {
        "this program": key.decrypt(product),
        "python-paillier": int(other.raw_decrypt(product)),
    }
    for program, found in opened.items():
        if found != sum(numbers):
            raise VerificationFailed("decryption", f"{program} opens a wrong sum")
    return KeyOpinion(public.key_id, public.bits, len(numbers))
