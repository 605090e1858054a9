# SPDX-License-Identifier: Apache-2.0
"""What households and concentrator send each other in a round.

    contribute   Contribution   a household's ciphertexts and its certified load
    agree        Contributors   the concentrator: these have contributed, with these digests
                 Agreement      a household: of this round I open the sum over these, and no other
    open         Opening        a household's self-mask seed, its masked blinding, and the keys of
                                its pairs with those that dropped out
    dispute      PairPoints     a household's commitments to the masks of its pairs
                 PairKey        the key of one pair whose ends disagree

Every message of a household is signed with its key of the round and names the round's digest; so
whoever relays them can neither change nor mix them, and needs no key of his own.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final, Self

from protocols.aggregation._wire import (
    DIGEST_SIZE,
    KEY_SIZE,
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
from protocols.aggregation.loads import CertifiedLoad
from protocols.aggregation.masks import SEED_SIZE
from protocols.aggregation.round import Round
from protocols.aggregation.shared_secret_proof import PROOF_SIZE
from protocols.canonical.cbor import CborItem
from protocols.proofs import Malformed, PointVector
from protocols.proofs.group import decode_scalar, encode_scalar

_INDEX_SIZE: Final = 2
_POINT_SIZE: Final = 33
_UNSIGNED: Final = bytes(SIGNATURE_SIZE)


@dataclass(frozen=True, slots=True)
class MemberMessage:
    """A message of one member of one round; `signed` completes it."""

    LABEL: ClassVar[str]

    round: bytes
    """The round's digest."""
    index: int
    """The member's place in the roster."""
    signature: bytes = field(default=_UNSIGNED, kw_only=True)

    def __post_init__(self) -> None:
        require_size("round", self.round, DIGEST_SIZE)
        require_size("signature", self.signature, SIGNATURE_SIZE)
        if not 0 <= self.index < 1 << 8 * _INDEX_SIZE:
            raise MalformedMessage(f"{self.index} is no place in a roster")

    @property
    def message(self) -> bytes:
        """What the member signs."""
        return encode_message(self.LABEL, self.round, self.index, *self._items())

    @property
    def digest(self) -> bytes:
        """SHA-256 of what the member signs."""
        return hashlib.sha256(self.message).digest()

    def signed(self, seed: bytes) -> Self:
        """Return the message, signed with the Ed25519 key of this seed."""
        return replace(self, signature=sign(self.message, seed))

    def is_by(self, signing_key: bytes) -> bool:
        """Return whether the member of this key has signed it."""
        return is_signed(self.message, self.signature, signing_key)

    def encode(self) -> bytes:
        """Return message and signature."""
        return encode_signed(self.message, self.signature)

    def _items(self) -> tuple[CborItem, ...]:
        raise NotImplementedError

    @classmethod
    def _read(cls, data: bytes) -> tuple[bytes, int, bytes, list[CborItem]]:
        """Return round, index, signature, and what the message says besides."""
        message, signature = decode_signed(data)
        match decode_message(message, cls.LABEL):
            case [bytes(about), int(index), *items]:
                return about, index, signature, items
            case _:
                raise MalformedMessage(f"not a message of type {cls.LABEL!r}")


@dataclass(frozen=True, slots=True)
class Contribution(MemberMessage):
    """A household's values, masked and encrypted, and the load that they must open."""

    LABEL: ClassVar[str] = "meterlet contribution 1"

    key_id: bytes
    """Of the Paillier key."""
    load: CertifiedLoad
    ciphertexts: bytes
    """One after the other, each as long as the key's."""
    range_proof: bytes = b""
    """That the load's values fit their bits, in rounds that ask for it."""

    def _items(self) -> tuple[CborItem, ...]:
        load = self.load
        return (
            self.key_id, load.days, load.missing, load.commitment.encode(), load.signature,
            load.meter, self.ciphertexts, self.range_proof,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the contribution; raise `MalformedMessage` if it is none."""
        about, index, signature, items = cls._read(data)
        match items:
            case [
                bytes(key_id), bytes(days), int(missing), bytes(commitment), bytes(certified),
                bytes(meter), bytes(ciphertexts), bytes(proof),
            ]:  # fmt: skip
                load = CertifiedLoad.of(about, meter, days, missing, commitment, certified)
                return cls(about, index, key_id, load, ciphertexts, proof, signature=signature)
            case _:
                raise MalformedMessage("not a contribution")


@dataclass(frozen=True, slots=True)
class Contributors:
    """Who has contributed to a round, in the roster's order, and the digests of what."""

    LABEL: ClassVar[str] = "meterlet contributors 1"

    round: bytes
    indexes: tuple[int, ...]
    contributions: tuple[bytes, ...]
    """The digest of each contribution."""

    def __post_init__(self) -> None:
        require_size("round", self.round, DIGEST_SIZE)
        if list(self.indexes) != sorted(set(self.indexes)) or not self.indexes:
            raise MalformedMessage("contributors are not in order, or one is named twice")
        if not 0 <= self.indexes[0] <= self.indexes[-1] < 1 << 8 * _INDEX_SIZE:
            raise MalformedMessage("a contributor is not in any roster")
        if {len(digest) for digest in self.contributions} != {DIGEST_SIZE}:
            raise MalformedMessage("a contribution's digest has 32 bytes")
        if len(self.contributions) != len(self.indexes):
            raise MalformedMessage("not one digest for each contributor")

    @property
    def digest(self) -> bytes:
        """What agreements name."""
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """Return the list."""
        places = b"".join(index.to_bytes(_INDEX_SIZE, "big") for index in self.indexes)
        return encode_message(self.LABEL, self.round, places, b"".join(self.contributions))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the list; raise `MalformedMessage` if it is none."""
        match decode_message(data, cls.LABEL):
            case [bytes(about), bytes(places), bytes(digests)]:
                indexes = (int.from_bytes(cut, "big") for cut in _cut(places, _INDEX_SIZE))
                return cls(about, tuple(indexes), _cut(digests, DIGEST_SIZE))
            case _:
                raise MalformedMessage("not a list of contributors")


@dataclass(frozen=True, slots=True)
class Agreement(MemberMessage):
    """A household's word to open the sum over these contributors and over no others."""

    LABEL: ClassVar[str] = "meterlet agreement 1"

    contributors: bytes
    """The list's digest."""

    def _items(self) -> tuple[CborItem, ...]:
        require_size("contributors", self.contributors, DIGEST_SIZE)
        return (self.contributors,)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the agreement; raise `MalformedMessage` if it is none."""
        about, index, signature, items = cls._read(data)
        match items:
            case [bytes(contributors)] if len(contributors) == DIGEST_SIZE:
                return cls(about, index, contributors, signature=signature)
            case _:
                raise MalformedMessage("not an agreement")


@dataclass(frozen=True, slots=True)
class Opening(MemberMessage):
    """What lets the sum be opened: shown once every contributor has agreed."""

    LABEL: ClassVar[str] = "meterlet opening 1"

    contributors: bytes
    """The list's digest."""
    blinding: int
    """The load's blinding, masked by the pairs."""
    mask_seed: bytes
    """Of the self mask."""
    dropped_keys: tuple[bytes, ...]
    """The keys of the pairs with members that are no contributors, in the roster's order."""

    def _items(self) -> tuple[CborItem, ...]:
        blinding = encode_scalar(self.blinding)
        return self.contributors, blinding, self.mask_seed, b"".join(self.dropped_keys)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the opening; raise `MalformedMessage` if it is none."""
        about, index, signature, items = cls._read(data)
        match items:
            case [bytes(contributors), bytes(blinding), bytes(seed), bytes(keys)] if (
                len(seed) == SEED_SIZE and len(contributors) == DIGEST_SIZE
            ):
                scalar = _scalar(blinding)
                cut = _cut(keys, KEY_SIZE)
                return cls(about, index, contributors, scalar, seed, cut, signature=signature)
            case _:
                raise MalformedMessage("not an opening")


@dataclass(frozen=True, slots=True)
class PairPoints(MemberMessage):
    """Commitments to the masks that a household shares with each other contributor."""

    LABEL: ClassVar[str] = "meterlet pair points 1"

    contributors: bytes
    """The list's digest."""
    points: PointVector
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

    def _items(self) -> tuple[CborItem, ...]:
        return self.contributors, self.points.encode(_POINT_SIZE)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the points; raise `MalformedMessage` if they are none."""
        about, index, signature, items = cls._read(data)
        match items:
            case [bytes(contributors), bytes(points)] if len(contributors) == DIGEST_SIZE:
                return cls(about, index, contributors, _points(points), signature=signature)
            case _:
                raise MalformedMessage("not the points of pairs")


@dataclass(frozen=True, slots=True)
class PairKey(MemberMessage):
    """The secret of one pair, shown because its ends have signed different points for it."""

    LABEL: ClassVar[str] = "meterlet pair key 1"

    other: int
    """The other member's place in the roster."""
    proof: bytes
    """The shared secret, and that it is the one of both keys (`exchange`)."""

    def _items(self) -> tuple[CborItem, ...]:
        return self.other, self.proof

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the key; raise `MalformedMessage` if it is none."""
        about, index, signature, items = cls._read(data)
        match items:
            case [int(other), bytes(proof)] if len(proof) == PROOF_SIZE:
                return cls(about, index, other, proof, signature=signature)
            case _:
                raise MalformedMessage("not the key of a pair")


def _cut(data: bytes, size: int) -> tuple[bytes, ...]:
    if len(data) % size:
        raise MalformedMessage(f"{len(data)} bytes are not a whole number of {size} bytes")
    return tuple(data[start : start + size] for start in range(0, len(data), size))


def _scalar(data: bytes) -> int:
    try:
        return decode_scalar(data)
    except Malformed as error:
        raise MalformedMessage(str(error)) from None


def _points(data: bytes) -> PointVector:
    try:
        return PointVector.decode(data, _POINT_SIZE)
    except Malformed as error:
        raise MalformedMessage(str(error)) from None
