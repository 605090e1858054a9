# SPDX-License-Identifier: Apache-2.0
"""A weighted sum of slots, opened, and why it is right.

Public:  commitments C[t] signed by the certifier; weights w[t]; the context; value.
Secret:  uses x[t] and blindings r[t] with C[t] = x[t]·H + r[t]·G.
Claim:   value = Σ w[t]·x[t], over the integers.
Proof:   opening = Σ w[t]·r[t]; anyone checks Σ w[t]·C[t] = value·H + opening·G.

Binding while nobody knows log_G(H); shows nothing of x but the value (Jawurek, Johns and
Kerschbaum, PETS 2011; Rial and Danezis, WPES 2011). The group only tells the value modulo its
order n. The certifier signs no use above `LARGEST_USE_WH`, the verifier bounds Σ |w[t]| times
that, and the value, to far below n/2: no multiple of n can be hidden in between.

A binding, the digest of the transcript, ties value and opening to the context. It is a checksum
that anyone can compute, not a signature: the secure channel says who sent it.

Wire: value (8 bytes, two's complement) | opening (32) | binding (32), all big-endian.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocols.proofs.errors import FalseStatement, Malformed, ProofRefused
from protocols.proofs.group import ORDER, SCALAR_SIZE, PointVector, decode_scalar, encode_scalar
from protocols.proofs.pedersen import commit
from protocols.proofs.transcript import DIGEST_SIZE, Transcript

LARGEST_USE_WH: Final = 2**32 - 1
"""The largest use of a slot that a certifier signs: 4.3 GWh."""

LARGEST_VALUE: Final = 2**63 - 1
"""The largest value of a statement, of either sign."""

NONCE_SIZES: Final = range(16, 65)


@dataclass(frozen=True, slots=True)
class StatementContext:
    """What a statement is about, and for whom: everything a proof must not be moved between."""

    meter: bytes
    register: bytes
    """The OBIS code, 6 bytes."""
    begin: int
    """The period's first second, UTC."""
    end: int
    """The second after the period."""
    slot_minutes: int
    parameters: bytes
    """The SHA-256 of the signed tariff, or of whatever else the weights come from."""
    recipient: str
    purpose: str
    nonce: bytes
    """What the recipient chose for this request, 16 to 64 bytes."""

    def __post_init__(self) -> None:
        if len(self.register) != 6:
            raise ValueError(f"an OBIS code has 6 bytes, not {len(self.register)}")
        if self.begin >= self.end or self.slot_minutes <= 0:
            raise ValueError("the period is empty")
        if len(self.parameters) != DIGEST_SIZE:
            raise ValueError(f"the parameters' hash has 32 bytes, not {len(self.parameters)}")
        if len(self.nonce) not in NONCE_SIZES:
            raise ValueError(f"a nonce has 16 to 64 bytes, not {len(self.nonce)}")

    def transcript(self, protocol: str, version: int) -> Transcript:
        """Return a transcript that has taken in the whole context."""
        transcript = Transcript(protocol, version)
        transcript.append("meter", self.meter)
        transcript.append("register", self.register)
        transcript.append_integer("begin", self.begin)
        transcript.append_integer("end", self.end)
        transcript.append_integer("slot minutes", self.slot_minutes)
        transcript.append("parameters", self.parameters)
        transcript.append_text("recipient", self.recipient)
        transcript.append_text("purpose", self.purpose)
        transcript.append("nonce", self.nonce)
        return transcript


@dataclass(frozen=True, slots=True)
class LinearStatement:
    """Which sum of which slots: one weight for each slot of the certified days, in order."""

    context: StatementContext
    days: tuple[bytes, ...]
    """The digests of the certified days, whose commitments the sum is over."""
    weights: tuple[int, ...]

    def __post_init__(self) -> None:
        if any(len(day) != DIGEST_SIZE for day in self.days):
            raise ValueError(f"a day's digest has {DIGEST_SIZE} bytes")
        # Over the integers the sum is at most this; modulo n it means the same below n/2.
        if sum(map(abs, self.weights)) * LARGEST_USE_WH >= ORDER // 2:
            raise ValueError("the weights are so large that the sum could wrap around the order")

    def transcript(self) -> Transcript:
        """Return a transcript that has taken in the whole statement."""
        transcript = self.context.transcript("linear opening", 1)
        transcript.append("days", b"".join(self.days))
        transcript.append_integers("weights", self.weights)
        return transcript


@dataclass(frozen=True, slots=True)
class LinearOpening:
    """A value, the opening that proves it, and the digest that ties it to the statement."""

    value: int
    opening: int
    binding: bytes

    SIZE = 8 + SCALAR_SIZE + DIGEST_SIZE

    def __post_init__(self) -> None:
        if abs(self.value) > LARGEST_VALUE:
            raise Malformed("the value is beyond 63 bits")
        if not 0 <= self.opening < ORDER:
            raise Malformed("the opening is not a reduced scalar")
        if len(self.binding) != DIGEST_SIZE:
            raise Malformed(f"the binding has {len(self.binding)} bytes, not {DIGEST_SIZE}")

    def encode(self) -> bytes:
        """Return the 72 bytes of the wire."""
        value = self.value.to_bytes(8, "big", signed=True)
        return value + encode_scalar(self.opening) + self.binding

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the opening of exactly 72 bytes; raise `Malformed` otherwise."""
        if len(data) != cls.SIZE:
            raise Malformed(f"an opening has {cls.SIZE} bytes, not {len(data)}")
        value = int.from_bytes(data[:8], "big", signed=True)
        return cls(value, decode_scalar(data[8:40]), data[40:])

    def verify(self, statement: LinearStatement, commitments: PointVector) -> None:
        """Return if the value is right; raise `ProofRefused` if not.

        `commitments` are those of the statement's days, already verified and in order.
        """
        if len(statement.weights) != len(commitments):
            raise ProofRefused(
                f"the statement has {len(statement.weights)} weights"
                f" for {len(commitments)} commitments"
            )
        binding = _binding(statement, self.value, self.opening)
        if not hmac.compare_digest(binding, self.binding):
            raise ProofRefused("the proof was made for another statement, period or recipient")
        if commitments.weighted_sum(statement.weights) != commit(self.value, self.opening):
            raise ProofRefused("the value does not match the commitments")


def open_linear(
    statement: LinearStatement,
    commitments: PointVector,
    uses: Sequence[int],
    blindings: Sequence[int],
) -> LinearOpening:
    """Return the opened sum; raise `FalseStatement` if uses and commitments do not fit.

    The result has passed `LinearOpening.verify`.
    """
    if not len(uses) == len(blindings) == len(statement.weights):
        raise FalseStatement(f"{len(statement.weights)} weights for {len(uses)} uses")
    value = sum(w * x for w, x in zip(statement.weights, uses, strict=True))
    if abs(value) > LARGEST_VALUE:
        raise FalseStatement("the value is beyond 63 bits")
    opening = sum(w * r for w, r in zip(statement.weights, blindings, strict=True)) % ORDER
    proof = LinearOpening(value, opening, _binding(statement, value, opening))
    try:
        proof.verify(statement, commitments)
    except ProofRefused as refusal:
        raise FalseStatement(f"the uses are not the certified ones: {refusal}") from None
    return proof


def _binding(statement: LinearStatement, value: int, opening: int) -> bytes:
    transcript = statement.transcript()
    transcript.append_integer("value", value)
    transcript.append_scalar("opening", opening)
    return transcript.digest()
