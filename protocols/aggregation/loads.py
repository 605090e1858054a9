# SPDX-License-Identifier: Apache-2.0
"""What a household will contribute to a round, committed to and signed by its certifier.

Public:  A = Σ v[l]·G[l] + r·G, with the round, the meter, the certified days and how many of
         their slots are missing; signed by the certifier.
Secret:  v, the household's limbs (`packing`); r, uniform modulo the order.

The generators G[l] are hashed from labels. A tells nothing of v, and nobody can open it to other
limbs without finding a discrete logarithm. Commitments add up, so the sum of all households' A
can be opened by who knows Σ v and Σ r, and by nobody else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.wire import DIGEST_SIZE, SignedMessage, sized, written
from protocols.proofs import Malformed, Point
from protocols.proofs.generators import generators
from protocols.proofs.group import COMPRESSED_SIZE, multiply_generator

GENERATORS: Final = b"aggregation limb"


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
class CertifiedLoad(SignedMessage):
    """A household's commitment for a round, signed by its certifier."""

    LABEL: ClassVar[str] = "meterlet certified load 1"

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    """The round's digest."""
    meter: bytes
    days: bytes = field(metadata=sized(DIGEST_SIZE))
    """SHA-256 of the certified days' digests, in order."""
    missing: int
    """How many slots of the period are missing, and count as 0."""
    commitment: Point = field(metadata=written(Point.encode, commitment_of))

    def _check(self) -> None:
        if self.commitment.is_infinity:
            raise MalformedMessage("a commitment is the point at infinity")
