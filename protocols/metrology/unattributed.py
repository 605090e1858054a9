# SPDX-License-Identifier: Apache-2.0
"""How much energy of a period no slot holds: at most so much, or else exactly how much.

Public:  the context; certified days with commitments C_gap[d]; a limit L in watt-hours.
Secret:  x_gap[d] and r_gap[d], with C_gap[d] = x_gap[d]·H + r_gap[d]·G.
Claim:   either Σ x_gap[d] <= L, or Σ x_gap[d] = value, and value > L.
Proof:   byte 00 and a range: L − Σ x_gap[d] is in [0, 2^width), width the bits of L.
         byte 01 and an opening of Σ C_gap[d] (`protocols.proofs.session`).

The certifier signs that each x_gap[d] is in [0, 2^63). The first case tells one bit, the second the
sum over the whole period and nothing of its days. No slot of the days' commitments is part of it.

Errors: ProofRefused, Malformed, FalseStatement
"""

from typing import Final

from protocols.metrology.certified_day import CertifiedPeriod
from protocols.proofs import (
    Check,
    Malformed,
    ProofRefused,
    Prover,
    Quantity,
    Session,
    StatementContext,
    verify_all,
)
from protocols.proofs import Verifier as ProofVerifier

PROTOCOL: Final = "unattributed energy"
VERSION: Final = 1
WITHIN, OPENED = b"\0", b"\1"
LARGEST_LIMIT_WH: Final = 2**40 - 1
_DAY_BITS: Final = 63


def show_unattributed(
    context: StatementContext,
    days: CertifiedPeriod,
    limit_wh: int,
    secret: tuple[int, int],
    seed: bytes,
) -> tuple[int | None, bytes]:
    """Return what is opened (None: it is within the limit) and the proof.

    `secret` is the days' unattributed energy and the sum of its blindings, `seed` 32 random bytes.
    """
    kind = WITHIN if secret[0] <= limit_wh else OPENED
    prover = Prover(context.transcript(PROTOCOL, VERSION), seed)
    value = _state(prover, days, limit_wh, kind, secret)
    return value, kind + prover.finish()


def unattributed_check(
    context: StatementContext, days: CertifiedPeriod, limit_wh: int, proof: bytes
) -> tuple[int | None, Check]:
    """Return what a proof opens, None where it is of the limit, and what remains to be checked.

    Raises `Malformed` or `ProofRefused` where a proof shows neither.
    """
    kind = proof[:1]
    if kind not in (WITHIN, OPENED):
        raise Malformed("a proof about unattributed energy begins with 00 or 01")
    verifier = ProofVerifier(context.transcript(PROTOCOL, VERSION), proof[1:])
    value = _state(verifier, days, limit_wh, kind)
    return value, verifier.finish("the unattributed energy")


def verify_unattributed(
    context: StatementContext, days: CertifiedPeriod, limit_wh: int, proof: bytes
) -> int | None:
    """Return what a proof opens, None if it shows that the limit holds; raise if it shows neither.

    Raises `Malformed` or `ProofRefused`.
    """
    value, check = unattributed_check(context, days, limit_wh, proof)
    verify_all([check])
    return value


def _state(
    session: Session,
    days: CertifiedPeriod,
    limit_wh: int,
    kind: bytes,
    secret: tuple[int, int] | None = None,
) -> int | None:
    """State either case; the statement itself, the same for prover and verifier."""
    if not 0 <= limit_wh <= LARGEST_LIMIT_WH:
        raise Malformed(f"a limit is 0 to {LARGEST_LIMIT_WH} Wh")
    session.transcript.append("days", b"".join(days.digests))
    session.transcript.append_integer("limit", limit_wh)
    session.transcript.append("case", kind)
    largest = len(days.days) << _DAY_BITS
    total = session.given("unattributed", days.unattributed.sum(), largest, secret)
    if kind == WITHIN:
        room = Quantity.constant(limit_wh) - total
        session.require_range("room below the limit", room, max(limit_wh.bit_length(), 1))
        return None
    value = session.open("unattributed", total)
    if value <= limit_wh:  # what may stay closed is not opened
        raise ProofRefused(f"{value} Wh are opened, though they are within the limit")
    return value
