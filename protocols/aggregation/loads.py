# SPDX-License-Identifier: Apache-2.0
"""What a household will contribute to a round, committed to and signed by its certifier.

Public:  A = Σ v[l]·G[l] + r·G, with the round, the meter, the certified days and how many of
         their slots are missing; signed by the certifier. How many are missing is signed once
         more by itself (`SlotCoverage`), for the round's other households.
Secret:  v, the household's limbs (`packing`); r, uniform modulo the order.

The generators G[l] are hashed from labels. A tells nothing of v, and nobody can open it to other
limbs without finding a discrete logarithm. Commitments add up, so the sum of all households' A
can be opened by who knows Σ v and Σ r, and by nobody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.wire import (
    DIGEST_SIZE,
    SIGNATURE_SIZE,
    SignedMessage,
    sized,
    written,
)
from protocols.proofs import Malformed, Point
from protocols.proofs.generators import generators
from protocols.proofs.group import COMPRESSED_SIZE, multiply_generator

GENERATORS: Final = b"aggregation limb"
MISSING_SIZE: Final = 3
"""Bytes of a number of slots: a year of five minutes has some 105,000."""


def commit_limbs(limbs: Sequence[int], blinding: int) -> Point:
    """Return Σ limbs[l]·G[l] + blinding·G; takes variable time."""
    return generators(GENERATORS, len(limbs)).weighted_sum(limbs) + multiply_generator(blinding)


def commitment_of(data: bytes) -> Point:
    """Return the commitment; raise `MalformedMessage` for what is none."""
    if len(data) != COMPRESSED_SIZE:
        raise MalformedMessage(f"a commitment has {COMPRESSED_SIZE} bytes")
    try:
        return Point.decode(data)
    except Malformed as error:
        raise MalformedMessage(f"not a certified load: {error}") from None


@dataclass(frozen=True, slots=True)
class SlotCoverage(SignedMessage):
    """A certifier's word on how many slots of a round's period have no reading.

    The other households count by it who is really in a sum: a slot without a reading adds 0, and
    hides nobody.
    """

    LABEL: ClassVar[str] = "meterlet slot coverage 1"

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    """The round's digest."""
    meter: bytes
    missing: int

    def _check(self) -> None:
        if not 0 <= self.missing < 1 << 8 * MISSING_SIZE:
            raise MalformedMessage(f"{self.missing} is no number of slots")


@dataclass(frozen=True, slots=True)
class CertifiedLoad(SignedMessage):
    """A household's commitment for a round, signed by its certifier."""

    LABEL: ClassVar[str] = "meterlet certified load 2"

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    """The round's digest."""
    meter: bytes
    days: bytes = field(metadata=sized(DIGEST_SIZE))
    """SHA-256 of the certified days' digests, in order."""
    missing: int
    """How many slots of the period are missing, and count as 0."""
    coverage: bytes = field(metadata=sized(SIGNATURE_SIZE))
    """The certifier's signature on just that number (`SlotCoverage`)."""
    commitment: Point = field(metadata=written(Point.encode, commitment_of))

    @classmethod
    def certify(
        cls, covered: SlotCoverage, days: bytes, commitment: Point, certifier: bytes
    ) -> Self:
        """Return the load of a meter's covered slots, signed with the certifier's seed."""
        signature = covered.signed(certifier).signature
        about = covered.round, covered.meter, days, covered.missing
        return cls(*about, signature, commitment).signed(certifier)

    @property
    def slot_coverage(self) -> SlotCoverage:
        """What the other households see of it."""
        return SlotCoverage(self.round, self.meter, self.missing, signature=self.coverage)

    def _check(self) -> None:
        if self.commitment.is_infinity:
            raise MalformedMessage("a commitment is the point at infinity")
        self.slot_coverage  # noqa: B018  (raises for what is no number of slots)
