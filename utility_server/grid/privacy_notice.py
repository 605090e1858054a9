# SPDX-License-Identifier: Apache-2.0
"""What residents are told of a region's privacy budget: a notice, signed by the operator.

    notice = CBOR [message, Ed25519 signature over message]
    message = CBOR ["meterlet privacy notice 1", region, time, ρ granted, ρ spent, releases]

ρ in billionths. Both encodings are deterministic; a notice has no other one.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborError, decode_array, encode_array
from utility_server.errors import CannotVerify, VerificationFailed

NANO: Final = 10**9
DELTA: Final = 1e-6
"""At which ρ is also told as (ε, δ)."""
LARGEST_RHO: Final = 1000
LABEL: Final = "meterlet privacy notice 1"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a region's releases may tell of one home, all together."""

    region: str
    nano_rho: int
    spent: int

    @property
    def left(self) -> int:
        """Return what may still be spent."""
        return self.nano_rho - self.spent

    @property
    def epsilon(self) -> float:
        """Return ε at `DELTA` for what is spent."""
        return epsilon_of(self.spent)


def parse_rho(text: str) -> int:
    """Return a decimal ρ in billionths, exactly; raise `ValueError` otherwise."""
    value = Fraction(text) * NANO
    if value.denominator != 1 or not 0 < value <= LARGEST_RHO * NANO:
        raise ValueError(f"{text!r}: a decimal above 0 with up to 9 places, at most {LARGEST_RHO}")
    return int(value)


def epsilon_of(nano_rho: int) -> float:
    """Return the ε of ρ-zCDP at `DELTA`: ρ + 2·√(ρ·ln(1/δ)), rounded up (Bun, Steinke 2016)."""
    rho = nano_rho / NANO
    return math.ceil(1000 * (rho + 2 * math.sqrt(rho * math.log(1 / DELTA)))) / 1000


@dataclass(frozen=True, slots=True)
class PrivacyNotice:
    """How much has been told of each home of a region, at most, and how much may be."""

    budget: Budget
    time: int
    """Epoch seconds at which that was so."""
    releases: int
    """How many answers were published."""

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """Return the notice."""
        message = self._message()
        return encode_array([message, key.sign(message)])

    @classmethod
    def verify(cls, data: bytes, operator: Ed25519PublicKey) -> Self:
        """Return what a notice says; raise `VerificationFailed` if the operator did not sign it.

        Raises `CannotVerify` for what is no notice.
        """
        try:
            match decode_array(data):
                case [bytes(message), bytes(signature)]:
                    operator.verify(signature, message)
                    notice = cls._of(message)
                case _:
                    raise CannotVerify("not a privacy notice")
        except InvalidSignature:
            raise VerificationFailed("notice", "not signed with this operator's key") from None
        except CborError:
            raise CannotVerify("not a privacy notice: not in its one encoding") from None
        return notice

    def _message(self) -> bytes:
        budget = self.budget
        return encode_array(
            [LABEL, budget.region, self.time, budget.nano_rho, budget.spent, self.releases]
        )

    @classmethod
    def _of(cls, message: bytes) -> Self:
        match decode_array(message):
            case [str(label), str(region), int(time), int(rho), int(spent), int(releases)] if (
                label == LABEL and 0 <= spent <= rho and min(time, releases) >= 0
            ):
                return cls(Budget(region, rho, spent), time, releases)
            case _:
                raise CannotVerify("not a privacy notice")
