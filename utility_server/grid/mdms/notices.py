# SPDX-License-Identifier: Apache-2.0
"""What residents are told of a region's privacy budget: a notice, signed by the operator.

    notice = CBOR [message, Ed25519 signature over message]
    message = CBOR ["meterlet privacy notice 1", region, time, ρ granted, ρ spent, releases]

ρ in billionths. Both encodings are deterministic; a notice has no other one.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.wire import SignedMessage, decode_signed
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.grid.mdms.publishing import Budget


@dataclass(frozen=True, slots=True)
class PrivacyNotice(SignedMessage):
    """How much has been told of each home of a region, at most, and how much may be."""

    LABEL: ClassVar[str] = "meterlet privacy notice 1"

    region: str
    time: int
    """Epoch seconds at which that was so."""
    nano_rho: int
    spent: int
    releases: int
    """How many answers were published."""

    @classmethod
    def of(cls, budget: Budget, time: int, releases: int) -> Self:
        """Return the notice of a budget, unsigned."""
        return cls(budget.region, time, budget.nano_rho, budget.spent, releases)

    @property
    def budget(self) -> Budget:
        """What the region's releases may tell of one home, all together."""
        return Budget(self.region, self.nano_rho, self.spent)

    @classmethod
    def verify(cls, data: bytes, operator: Ed25519PublicKey) -> Self:
        """Return what a notice says; raise `VerificationFailed` if the operator did not sign it.

        Raises `CannotVerify` for what is no notice.
        """
        try:
            message, signature = decode_signed(data)
            operator.verify(signature, message)  # first: what is altered is refuted, not unclear
            return cls.decode(data)
        except InvalidSignature:
            raise VerificationFailed("notice", "not signed with this operator's key") from None
        except MalformedMessage as error:
            raise CannotVerify(f"not a privacy notice: {error}") from None

    def _check(self) -> None:
        if not 0 <= self.spent <= self.nano_rho or min(self.time, self.releases) < 0:
            raise MalformedMessage("a notice tells of a budget that is not overdrawn")
