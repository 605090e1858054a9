# SPDX-License-Identifier: Apache-2.0
"""What is not sent twice: a roster under its digest, and a list of contributors under its own.

    roster      = CBOR [label, member, ...]        the members of a round, as its message has them
    named round = CBOR [label, SHA-256 of the roster, all else that the round says, signature]

A roster has most of a round's bytes, and is the same in one round after another. A hub that has
contributed to a round keeps its roster; the next round may then be told it as a named round. The
hub puts both together and gets the very bytes that the operator has signed, or bytes that no
signature fits: a named round says nothing that its whole announcement does not say, and all that
is checked of that is checked of it. Digest, masks and messages of a round are the same whichever
way a hub was told it, so that hubs of before, which know whole announcements only, and others take
part in one round.

Likewise a hub keeps the list of contributors that it has agreed to, and is told its digest with
the signatures of all others.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.round import Round
from protocols.aggregation.wire import (
    DIGEST_SIZE,
    SIGNATURE_SIZE,
    WireMessage,
    decode_message,
    encode_message,
    sized,
)
from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array

_ROSTER: Final = "meterlet roster 1"


@dataclass(frozen=True, slots=True)
class Roster:
    """The members of a round, encoded, in its order."""

    members: tuple[bytes, ...]

    @classmethod
    def of(cls, announced: Round) -> Self:
        """Return a round's roster."""
        return cls(tuple(member.encode() for member in announced.members))

    def encode(self) -> bytes:
        """Return the roster's bytes."""
        return encode_message(_ROSTER, *self.members)

    @property
    def digest(self) -> bytes:
        """SHA-256 of its bytes, which names it."""
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the roster of exactly these bytes; raise `MalformedMessage` otherwise."""
        items = decode_message(data, _ROSTER)
        members = tuple(item for item in items if isinstance(item, bytes))
        if len(members) != len(items) or not members:
            raise MalformedMessage("not a roster: something in it is no member")
        return cls(members)


@dataclass(frozen=True, slots=True)
class NamedRound(WireMessage):
    """A round that names its roster by digest."""

    LABEL: ClassVar[str] = "meterlet named round 1"

    roster: bytes = field(metadata=sized(DIGEST_SIZE))
    head: bytes
    """CBOR: what the round says before it comes to its members."""
    signed: bytes = field(metadata=sized(SIGNATURE_SIZE))
    """The operator's signature on the whole."""

    @classmethod
    def of(cls, announced: Round) -> Self:
        """Return a round, told by the digest of its roster."""
        items = decode_array(announced.message)
        head = encode_array(items[: len(items) - len(announced.members)])
        return cls(Roster.of(announced).digest, head, announced.signature)

    def announcement(self, roster: Roster) -> bytes:
        """Return the whole announcement, to be decoded and checked like any other.

        Raises `MalformedMessage` if the roster is not the one that is named.
        """
        if roster.digest != self.roster:
            raise MalformedMessage("another roster than the round names")
        items: Sequence[CborItem] = [*_head_items(self.head), *roster.members]
        return encode_array([encode_array(items), self.signed])


def _head_items(head: bytes) -> list[CborItem]:
    try:
        return decode_array(head)
    except CborError as error:
        raise MalformedMessage(f"not a named round: {error}") from None


@dataclass(frozen=True, slots=True)
class NamedContributors(WireMessage):
    """The list of contributors that a hub has agreed to, by its digest."""

    LABEL: ClassVar[str] = "meterlet named contributors 1"

    round: bytes = field(metadata=sized(DIGEST_SIZE))
    """The round's digest."""
    contributors: bytes = field(metadata=sized(DIGEST_SIZE))
    """The list's."""


def named_round(data: bytes) -> NamedRound | None:
    """Return the named round in `data`, None where it is something else."""
    try:
        return NamedRound.decode(data)
    except MalformedMessage:
        return None


def named_contributors(data: bytes) -> NamedContributors | None:
    """Return the named list in `data`, None where it is something else."""
    try:
        return NamedContributors.decode(data)
    except MalformedMessage:
        return None
