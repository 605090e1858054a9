# SPDX-License-Identifier: Apache-2.0
"""What households and concentrator send each other in a round.

    contribute   Contribution   a household's ciphertexts and its certified load
    agree        Contributors   the concentrator: these have contributed, with these digests, and
                                their certifiers say that so many slots of theirs are missing
                 Agreement      a household: of this round I open the sum over these, and no other
    open         Opening        a household's self-mask seed, its masked blinding, and the keys of
                                its pairs with those that dropped out
    dispute      PairPoints     a household's commitments to the masks of its pairs
                 PairKey        the key of one pair whose ends disagree

Every message of a household is signed with its key of the round and names the round's digest; so
whoever relays them can neither change nor mix them. The list of contributors is signed by the
concentrator that the operator has named in the round: no other one's list is agreed to.

Contributions and lists of contributors of release 0.1 ("... 1") did not say to the households who
is missing. They are refused like any other message that is not of the round.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.loads import (
    MISSING_SIZE,
    CertifiedLoad,
    SlotCoverage,
    commitment_of,
)
from protocols.aggregation.masks import SEED_SIZE
from protocols.aggregation.round import Round
from protocols.aggregation.shared_secret_proof import PROOF_SIZE
from protocols.aggregation.wire import (
    DIGEST_SIZE,
    KEY_SIZE,
    SIGNATURE_SIZE,
    SignedMessage,
    cut,
    sized,
    written,
)
from protocols.canonical.cbor import CborItem
from protocols.proofs import Malformed, PointVector
from protocols.proofs.group import decode_scalar, encode_scalar

_INDEX_SIZE: Final = 2
_POINT_SIZE: Final = 33


def _read_scalar(data: bytes) -> int:
    try:
        return decode_scalar(data)
    except Malformed as error:
        raise MalformedMessage(str(error)) from None


def _read_points(data: bytes) -> PointVector:
    try:
        return PointVector.decode(data, _POINT_SIZE)
    except Malformed as error:
        raise MalformedMessage(str(error)) from None


def _write_points(points: PointVector) -> bytes:
    return points.encode(_POINT_SIZE)


def _write_indexes(indexes: Sequence[int]) -> bytes:
    return b"".join(index.to_bytes(_INDEX_SIZE, "big") for index in indexes)


def _read_indexes(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(index, "big") for index in cut(data, _INDEX_SIZE))


def _write_counts(counts: Sequence[int]) -> bytes:
    return b"".join(count.to_bytes(MISSING_SIZE, "big") for count in counts)


def _read_counts(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(count, "big") for count in cut(data, MISSING_SIZE))


def _read_signatures(data: bytes) -> tuple[bytes, ...]:
    return cut(data, SIGNATURE_SIZE)


def _read_digests(data: bytes) -> tuple[bytes, ...]:
    return cut(data, DIGEST_SIZE)


def _read_keys(data: bytes) -> tuple[bytes, ...]:
    return cut(data, KEY_SIZE)


@dataclass(frozen=True, slots=True)
class MemberMessage(SignedMessage):
    """A message of one member of one round, signed with its key of the round."""

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    """The round's digest."""
    index: int
    """The member's place in the roster."""

    def _check(self) -> None:
        if not 0 <= self.index < 1 << 8 * _INDEX_SIZE:
            raise MalformedMessage(f"{self.index} is no place in a roster")


@dataclass(frozen=True, slots=True)
class Contribution(MemberMessage):
    """A household's values, masked and encrypted, and the load that they must open."""

    LABEL: ClassVar[str] = "meterlet contribution 2"

    key_id: bytes
    """Of the Paillier key."""
    load: CertifiedLoad
    ciphertexts: bytes
    """One after the other, each as long as the key's."""
    range_proof: bytes = b""
    """That the load's values fit their bits, in rounds that ask for it."""

    # The load is not nested: its items stand among the message's own, and its round is the same.
    def _items(self) -> tuple[CborItem, ...]:
        load = self.load
        return (
            self.round, self.index, self.key_id, load.days, load.missing,
            load.coverage, load.commitment.encode(), load.signature, load.meter,
            self.ciphertexts, self.range_proof,
        )  # fmt: skip

    @classmethod
    def _of(cls, values: Sequence[CborItem], **signature: bytes) -> Self:
        match values:
            case [
                bytes(about), int(index), bytes(key_id), bytes(days), int(missing),
                bytes(covered), bytes(commitment), bytes(certified), bytes(meter),
                bytes(ciphertexts), bytes(proof),
            ]:  # fmt: skip
                load = CertifiedLoad(
                    about, meter, days, missing, covered, commitment_of(commitment),
                    signature=certified,
                )  # fmt: skip
                return cls(about, index, key_id, load, ciphertexts, proof, **signature)
            case _:
                raise MalformedMessage("not a contribution")


@dataclass(frozen=True, slots=True)
class Contributors(SignedMessage):
    """Who has contributed to a round, in the roster's order, the digests of what, who is missing.

    Signed by the round's collector; agreements name the list by its digest.
    """

    LABEL: ClassVar[str] = "meterlet contributors 2"

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    indexes: tuple[int, ...] = field(metadata=written(_write_indexes, _read_indexes))
    contributions: tuple[bytes, ...] = field(metadata=written(b"".join, _read_digests))
    """The digest of each contribution."""
    missing: tuple[int, ...] = field(metadata=written(_write_counts, _read_counts))
    """Of each contributor, how many slots of the period have no reading."""
    coverages: tuple[bytes, ...] = field(metadata=written(b"".join, _read_signatures))
    """The signature of each one's certifier on that number (`SlotCoverage`)."""

    @classmethod
    def of(cls, announced: bytes, contributions: Mapping[int, Contribution]) -> Self:
        """Return the list of these contributions, by place, to the round of this digest.

        It is not signed yet.
        """
        indexes = tuple(sorted(contributions))
        listed = [contributions[index] for index in indexes]
        return cls(
            announced,
            indexes,
            tuple(contribution.digest for contribution in listed),
            tuple(contribution.load.missing for contribution in listed),
            tuple(contribution.load.coverage for contribution in listed),
        )

    def among(self, indexes: Collection[int]) -> Self:
        """Return the list, not signed yet, of those contributors that `indexes` name."""
        places = [place for place, index in enumerate(self.indexes) if index in indexes]
        columns = self.indexes, self.contributions, self.missing, self.coverages
        return type(self)(self.round, *(tuple(row[n] for n in places) for row in columns))  # type: ignore[arg-type]

    def slot_coverage(self, place: int, meter: bytes) -> SlotCoverage:
        """Return what the certifier of the contributor at a place of the list has signed."""
        return SlotCoverage(self.round, meter, self.missing[place], signature=self.coverages[place])

    def _check(self) -> None:
        if list(self.indexes) != sorted(set(self.indexes)) or not self.indexes:
            raise MalformedMessage("contributors are not in order, or one is named twice")
        if not 0 <= self.indexes[0] <= self.indexes[-1] < 1 << 8 * _INDEX_SIZE:
            raise MalformedMessage("a contributor is not in any roster")
        if {len(digest) for digest in self.contributions} != {DIGEST_SIZE}:
            raise MalformedMessage("a contribution's digest has 32 bytes")
        if {len(self.contributions), len(self.missing), len(self.coverages)} != {len(self.indexes)}:
            raise MalformedMessage("not one digest and one coverage for each contributor")
        if not all(0 <= missing < 1 << 8 * MISSING_SIZE for missing in self.missing):
            raise MalformedMessage("not a number of missing slots")
        if {len(signature) for signature in self.coverages} != {SIGNATURE_SIZE}:
            raise MalformedMessage("a signature has 64 bytes")


@dataclass(frozen=True, slots=True)
class SumAgreement(MemberMessage):
    """A household's word to open the sum over these contributors and over no others."""

    LABEL: ClassVar[str] = "meterlet agreement 1"

    contributors: bytes = field(metadata=sized(DIGEST_SIZE))
    """The list's digest."""


@dataclass(frozen=True, slots=True)
class Opening(MemberMessage):
    """What lets the sum be opened: shown once every contributor has agreed."""

    LABEL: ClassVar[str] = "meterlet opening 1"

    contributors: bytes = field(metadata=sized(DIGEST_SIZE))
    """The list's digest."""
    blinding: int = field(metadata=written(encode_scalar, _read_scalar))
    """The load's blinding, masked by the pairs."""
    mask_seed: bytes = field(metadata=sized(SEED_SIZE))
    """Of the self mask."""
    dropped_keys: tuple[bytes, ...] = field(metadata=written(b"".join, _read_keys))
    """The keys of the pairs with members that are no contributors, in the roster's order."""


@dataclass(frozen=True, slots=True)
class PairPoints(MemberMessage):
    """Commitments to the masks that a household shares with each other contributor."""

    LABEL: ClassVar[str] = "meterlet pair points 1"

    contributors: bytes = field(metadata=sized(DIGEST_SIZE))
    """The list's digest."""
    points: PointVector = field(metadata=written(_write_points, _read_points))
    """One for each other contributor, in order."""

    def is_about(self, announced: Round, contributors: Contributors) -> bool:
        """Return whether its member has signed points for all other contributors of the round."""
        return (
            self.round == announced.digest
            and self.contributors == contributors.digest
            and self.index in contributors.indexes
            and len(self.points) == len(contributors.indexes) - 1
            and self.is_by(announced.members[self.index].keys.signing)
        )


@dataclass(frozen=True, slots=True)
class PairKey(MemberMessage):
    """The secret of one pair, shown because its ends have signed different points for it."""

    LABEL: ClassVar[str] = "meterlet pair key 1"

    other: int
    """The other member's place in the roster."""
    proof: bytes = field(metadata=sized(PROOF_SIZE))
    """The shared secret, and that it is the one of both keys (`shared_secret_proof`)."""
