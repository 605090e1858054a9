# SPDX-License-Identifier: Apache-2.0
"""How the answer about unattributed energy is checked without the applet.

Public:  the supplier's signed limit; the period; the certifier's first public key; the days.
Claim:   the energy of the period that no slot holds is within the limit, or it is what is opened.
Proof:   protocols.metrology.unattributed, in the context of meter, register, period, limit, nonce.

The checks are those of `applets.common.evidence`, in its order; the document's is `limit`.

Errors: AnswerRefused
"""

from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from applets.common.evidence import (
    AnswerRefused,
    ProofContext,
    check_days,
    check_message,
    require_proved,
)
from applets.common.unattributed import (
    UnattributedAnswer,
    UnattributedLimit,
    UnattributedQuestion,
)
from protocols.metrology import CertifiedDay, Period, Series


@dataclass(frozen=True, slots=True)
class BoundedPeriod:
    """What is known of a period's unattributed energy."""

    limit_wh: int
    opened_wh: int | None
    """How much it is, where that is more than the limit; None if it is within it."""
    certified: tuple[CertifiedDay, ...] = field(repr=False)
    """The certified days, in order."""

    @property
    def days_digest(self) -> bytes:
        """Names the days that it is about."""
        return digest_of_days(self.certified)


def digest_of_days(days: tuple[CertifiedDay, ...]) -> bytes:
    """Return the SHA-256 that names certified days of one register."""
    return sha256(b"".join(day.digest for day in days)).digest()


def check_unattributed(
    question: UnattributedQuestion,
    data: bytes,
    limit: UnattributedLimit,
    period: Period,
    series: Series,
    certifier: Ed25519PublicKey,
    recipient: str,
    purpose: str,
) -> BoundedPeriod:
    """Return what `data` shows about the period; raise `AnswerRefused` if it is wrong.

    `recipient` and `purpose` are the asked applet's.
    """
    answer = check_message(UnattributedAnswer.decode, data, question.about)
    if answer.digest != limit.digest:
        raise AnswerRefused("limit", "the answer is about another limit")
    certified = check_days(answer.days, period, series, certifier)
    proofs = ProofContext(question.about, limit.digest, recipient, purpose)
    opened, check = proofs.unattributed(series, certified, limit.limit_wh, answer.proof)
    require_proved([check])
    return BoundedPeriod(limit.limit_wh, opened, certified.days)
