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
from dataclasses import dataclass
from typing import Final, Self

from protocols.aggregation._wire import (
    DIGEST_SIZE,
    SIGNATURE_SIZE,
    decode_message,
    decode_signed,
    encode_message,
    encode_signed,
    is_signed,
    require_size,
    sign,
)
from protocols.aggregation.errors import MalformedMessage
from protocols.proofs import Malformed, Point
from protocols.proofs.generators import generators
from protocols.proofs.group import COMPRESSED_SIZE, multiply_generator

_LOAD: Final = "meterlet certified load 1"
GENERATORS: Final = b"aggregation limb"


def commit_limbs(limbs: Sequence[int], blinding: int) -> Point:
    """Return Σ limbs[l]·G[l] + blinding·G; takes variable time."""
    return generators(GENERATORS, len(limbs)).weighted_sum(limbs) + multiply_generator(blinding)


@dataclass(frozen=True, slots=True)
class CertifiedLoad:
    """A household's commitment for a round."""

    round: bytes
    """The round's digest."""
    meter: bytes
    days: bytes
    """SHA-256 of the certified days' digests, in order."""
    missing: int
    """How many slots of the period are missing, and count as 0."""
    commitment: Point
    signature: bytes

    def __post_init__(self) -> None:
        require_size("round", self.round, DIGEST_SIZE)
        require_size("days", self.days, DIGEST_SIZE)
        require_size("signature", self.signature, SIGNATURE_SIZE)
        if self.commitment.is_infinity:
            raise MalformedMessage("a commitment is the point at infinity")

    @classmethod
    def certify(
        cls,
        round_digest: bytes,
        meter: bytes,
        days: bytes,
        missing: int,
        commitment: Point,
        certifier_seed: bytes,
    ) -> Self:
        """Return the load, signed with the certifier's key."""
        message = encode_message(_LOAD, round_digest, meter, days, missing, commitment.encode())
        return cls(round_digest, meter, days, missing, commitment, sign(message, certifier_seed))

    @property
    def message(self) -> bytes:
        """What the certifier signs."""
        return encode_message(
            _LOAD, self.round, self.meter, self.days, self.missing, self.commitment.encode()
        )

    def is_by(self, certifier: bytes) -> bool:
        """Return whether this certifier has signed it."""
        return is_signed(self.message, self.signature, certifier)

    def encode(self) -> bytes:
        """Return the load's bytes."""
        return encode_signed(self.message, self.signature)

    @classmethod
    def of(
        cls,
        round_digest: bytes,
        meter: bytes,
        days: bytes,
        missing: int,
        commitment: bytes,
        signature: bytes,
    ) -> Self:
        """Return the load of these parts; raise `MalformedMessage` for what is no commitment."""
        if len(commitment) != COMPRESSED_SIZE:
            raise MalformedMessage(f"a commitment has {COMPRESSED_SIZE} bytes")
        try:
            point = Point.decode(commitment)
        except Malformed as error:
            raise MalformedMessage(f"not a certified load: {error}") from None
        return cls(round_digest, meter, days, missing, point, signature)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the load; raise `MalformedMessage` if it is none."""
        message, signature = decode_signed(data)
        match decode_message(message, _LOAD):
            case [bytes(about), bytes(meter), bytes(days), int(missing), bytes(commitment)]:
                return cls.of(about, meter, days, missing, commitment, signature)
            case _:
                raise MalformedMessage("not a certified load")
