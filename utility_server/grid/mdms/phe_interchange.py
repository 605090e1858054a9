# SPDX-License-Identifier: Apache-2.0
"""Keys, ciphertexts and sums as python-paillier (`phe`) has them, in the JSON of its `pheutil`.

    public key   {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n", "kid"}
    private key  {"kty": "DAJ", "key_ops": ["decrypt"], "p", "q", "pub": public key, "kid"}
    ciphertext   {"v": ciphertext in decimal, "e": exponent}      of a number m·16^e

n, p and q are big-endian bytes in base64url without padding. A number below zero is kept as
n − |m|. Ours are whole, with e = 0; those of `pheutil` have e = -32. Both can be added up and
opened here, if what comes out is whole.

Errors: InterchangeRefused, which shows nothing of a key.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

import phe
from phe.util import base64_to_int, int_to_base64

from protocols.aggregation.errors import Fault, KeyRefused
from protocols.aggregation.paillier import (
    Encryptor,
    PaillierPrivateKey,
    PaillierPublicKey,
    RandomBytes,
)
from protocols.canonical.foreign_text import ForeignTextRefused, read_json
from utility_server.errors import UtilityError

KEY_TYPE: Final = "DAJ"
ALGORITHM: Final = "PAI-GN1"
EXPONENTS: Final = range(-64, 1)
"""Which exponents of 16 are taken: `pheutil` writes -32, and less for very small numbers."""


class InterchangeRefused(UtilityError):
    """A text is not the key or ciphertext that it should be, or does not belong to the key."""


def public_json(key: PaillierPublicKey) -> str:
    """Return a public key as `pheutil extract` writes it."""
    return json.dumps(_public(key)) + "\n"


def private_json(key: PaillierPrivateKey) -> str:
    """Return a private key, which is secret, as `pheutil genpkey` writes it."""
    p, q = sorted((int(key.p), int(key.q)))
    members = {
        "kty": KEY_TYPE,
        "key_ops": ["decrypt"],
        "p": int_to_base64(p),
        "q": int_to_base64(q),
        "pub": _public(key.public_key),
        "kid": f"Meterlet private key {key.public_key.key_id.hex()}",
    }
    return json.dumps(members) + "\n"


def public_from_json(text: str | bytes) -> PaillierPublicKey:
    """Return the public key in a text; raise `InterchangeRefused` where there is none."""
    return _public_key(_object(text, "public key"))


def private_from_json(text: str | bytes) -> PaillierPrivateKey:
    """Return the private key in a text; raise `InterchangeRefused` where there is none."""
    members = _object(text, "private key")
    match members:
        case {
            "kty": str(kty), "key_ops": ["decrypt"], "p": str(), "q": str(), "pub": dict(public)
        } if kty == KEY_TYPE:  # fmt: skip
            modulus = _public_key(public).modulus
        case _:
            raise InterchangeRefused("not a private key of python-paillier")
    try:
        key = PaillierPrivateKey(_number(members, "p"), _number(members, "q"))
    except KeyRefused as error:
        raise InterchangeRefused(f"the private key: {error}") from None
    if key.p * key.q != modulus:
        raise InterchangeRefused("the private key is of another public key than it says")
    return key


def phe_public(key: PaillierPublicKey) -> phe.PaillierPublicKey:
    """Return the same key for the functions of `phe`."""
    return phe.PaillierPublicKey(key.modulus)


def phe_private(key: PaillierPrivateKey) -> phe.PaillierPrivateKey:
    """Return the same key for the functions of `phe`."""
    return phe.PaillierPrivateKey(phe_public(key.public_key), int(key.p), int(key.q))


@dataclass(frozen=True, slots=True)
class EncryptedSum:
    """A number or a sum of numbers, encrypted: of m·16^exponent."""

    ciphertext: int
    exponent: int = 0

    def encode(self) -> str:
        """Return it as `pheutil encrypt` writes it."""
        return json.dumps({"v": str(self.ciphertext), "e": self.exponent}) + "\n"

    @classmethod
    def decode(cls, text: str | bytes, key: PaillierPublicKey) -> Self:
        """Return what a text holds; raise `InterchangeRefused` if it is nothing of this key's."""
        match _object(text, "ciphertext"):
            case {"v": str(digits), "e": int(exponent)} if (
                digits.isascii() and digits.isdigit() and exponent in EXPONENTS
                and type(exponent) is int and len(digits) <= key.bits
            ):  # fmt: skip
                ciphertext = int(digits)
            case _:
                raise InterchangeRefused("not a ciphertext of python-paillier")
        match key.fault_of([ciphertext]):
            case None:
                return cls(ciphertext, exponent)
            case Fault.OVERSIZED:
                raise InterchangeRefused("a ciphertext of another, longer key")
            case _:
                raise InterchangeRefused("not a ciphertext of this key")

    @classmethod
    def of(cls, number: int, key: PaillierPublicKey, random_bytes: RandomBytes) -> Self:
        """Return a whole number, encrypted."""
        if abs(number) > _largest(key):
            raise InterchangeRefused("the number is too large for this key")
        return cls(Encryptor(key).encrypt(number % key.modulus, random_bytes))

    @classmethod
    def total(cls, parts: Sequence[Self], key: PaillierPublicKey) -> Self:
        """Return the sum of some, encrypted, without opening any."""
        exponent = min((part.exponent for part in parts), default=0)
        square = key.modulus**2
        # (m·16^e) = (m·16^(e-f))·16^f: what has the larger exponent is raised to the lower one.
        raised = [pow(part.ciphertext, 16 ** (part.exponent - exponent), square) for part in parts]
        (product,) = key.product([[ciphertext] for ciphertext in raised])
        return cls(int(product), exponent)

    def open(self, key: PaillierPrivateKey) -> int:
        """Return the number; raise `InterchangeRefused` if it is not whole, or overflowed."""
        modulus = key.public_key.modulus
        mantissa = key.decrypt(self.ciphertext)
        if mantissa > _largest(key.public_key):
            mantissa -= modulus
        if abs(mantissa) > _largest(key.public_key):
            raise InterchangeRefused("the sum has overflowed")
        number = mantissa * Fraction(16) ** self.exponent
        if number.denominator != 1:
            raise InterchangeRefused(f"the number is {float(number)}, which is not whole")
        return int(number)


def _largest(key: PaillierPublicKey) -> int:
    """Return the largest number; those above, up to n minus it, mean that a sum overflowed."""
    return key.modulus // 3 - 1


def _public(key: PaillierPublicKey) -> dict[str, Any]:
    return {
        "kty": KEY_TYPE,
        "alg": ALGORITHM,
        "key_ops": ["encrypt"],
        "n": int_to_base64(key.modulus),
        "kid": f"Meterlet public key {key.key_id.hex()}",
    }


def _public_key(members: Mapping[str, Any]) -> PaillierPublicKey:
    if (members.get("kty"), members.get("alg")) != (KEY_TYPE, ALGORITHM):
        raise InterchangeRefused("not a public key of python-paillier")
    try:
        return PaillierPublicKey(_number(members, "n"))
    except KeyRefused as error:
        raise InterchangeRefused(f"the public key: {error}") from None


def _number(members: Mapping[str, Any], name: str) -> int:
    try:
        return int(base64_to_int(members[name]))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise InterchangeRefused(f"{name} is not a number in base64url") from None


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        found = read_json(text)
    except ForeignTextRefused:
        raise InterchangeRefused(f"not JSON: there is no {what} in it") from None
    if not isinstance(found, dict):
        raise InterchangeRefused(f"not a {what} of python-paillier")
    return found
