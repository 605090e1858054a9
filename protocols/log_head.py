# SPDX-License-Identifier: Apache-2.0
"""The head of a hub's disclosure log, as the hub shows it and each recipient keeps it.

    digest(n) = seal("meterlet disclosure 2", digest(n−1), leaf(n))

A leaf is the SHA-256 of an entry after a secret salt. So whoever has leaves and digests learns how
many entries there are, and nothing of what is in them. Whoever kept digest(m) accepts digest(n)
only with the leaves m+1 to n that lead to it: a log that was put back, cut or written anew does not
lead there. The command goes over the applet's own channel, and the platform answers it, not the
applet:

    SHOW   80 5E 00 00   the length (8) that the recipient has kept; nothing if it has kept none
                         answer: length (8), digest (32), leaves (32 each, MOST_LEAVES at most)
    KEEP   80 5E 01 00   length (8), digest (32), key id (8), Ed25519 signature (64)
                         answer: nothing
    DAYS   80 5E 02 00   which days are certified (`protocols.certified_span`)

KEEP hands the hub the recipient's signature on a head, which the hub keeps for the resident. The
signature is on "meterlet log head 1" ‖ meter's length (1) ‖ meter ‖ length (8) ‖ digest (32).

Errors: LogHeadError
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.signing import key_id_of
from protocols.errors import MeterletError

CLA: Final = 0x80
INS: Final = 0x5E
P1_SHOW: Final = 0x00
P1_KEEP: Final = 0x01
MOST_LEAVES: Final = 256
"""In one answer, some milliseconds of work; a recipient that was away for longer asks again."""
DIGEST_SIZE: Final = 32
KEY_ID_SIZE: Final = 8
SIGNATURE_SIZE: Final = 64
LARGEST_LENGTH: Final = (1 << 63) - 1
LENGTH_SIZE: Final = 8
_HEAD_SIZE: Final = LENGTH_SIZE + DIGEST_SIZE
_CHAIN: Final = b"meterlet disclosure 2"
_SIGNED: Final = b"meterlet log head 1"


class LogHeadError(MeterletError):
    """A head does not follow the one that was kept, or bytes are none."""


def link(previous: bytes, leaf: bytes) -> bytes:
    """Return the digest that stands for an entry and all before it."""
    return seal(_CHAIN, previous, leaf)


@dataclass(frozen=True, slots=True)
class LogHead:
    """How long a log is, and what stands for all that is in it."""

    length: int
    digest: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.length <= LARGEST_LENGTH or len(self.digest) != DIGEST_SIZE:
            raise LogHeadError("not the head of a log")

    def encode(self) -> bytes:
        """Return its 40 bytes."""
        return self.length.to_bytes(LENGTH_SIZE, "big") + self.digest

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the head in just 40 bytes; raise `LogHeadError` for any others."""
        if len(data) != _HEAD_SIZE:
            raise LogHeadError("not the head of a log")
        return cls(int.from_bytes(data[:LENGTH_SIZE], "big"), data[LENGTH_SIZE:])

    def signed_bytes(self, meter: bytes) -> bytes:
        """Return what a recipient signs of a hub's head."""
        return b"".join((_SIGNED, len(meter).to_bytes(1, "big"), meter, self.encode()))

    def followed_by(self, leaves: Sequence[bytes]) -> "LogHead":
        """Return the head after entries with these leaves."""
        digest = self.digest
        for leaf in leaves:
            digest = link(digest, leaf)
        return LogHead(self.length + len(leaves), digest)


EMPTY: Final = LogHead(0, GENESIS)
"""Of a log without entries: what whoever has kept nothing starts from."""


@dataclass(frozen=True, slots=True)
class ShownHead:
    """What a hub answers to SHOW."""

    head: LogHead
    leaves: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the answer's bytes."""
        return self.head.encode() + b"".join(self.leaves)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answer in `data`; raise `LogHeadError` where it is none."""
        rest = data[_HEAD_SIZE:]
        if len(rest) % DIGEST_SIZE or len(rest) > MOST_LEAVES * DIGEST_SIZE:
            raise LogHeadError("not the head of a log")
        leaves = (rest[at : at + DIGEST_SIZE] for at in range(0, len(rest), DIGEST_SIZE))
        return cls(LogHead.decode(data[:_HEAD_SIZE]), tuple(leaves))

    def after(self, kept: LogHead) -> LogHead:
        """Return how far the leaves lead from a head that was kept.

        That is the shown head, or one on the way to it where there are more leaves than one answer
        holds. Raises `LogHeadError` where the log is shorter than it was, or another.
        """
        if self.head.length < kept.length:
            raise LogHeadError(
                f"the hub's log has {self.head.length} entries, it had {kept.length}:"
                " the hub was put back to an older state"
            )
        missing = self.head.length - kept.length
        if len(self.leaves) != min(missing, MOST_LEAVES):
            raise LogHeadError("the hub does not show how its log goes on")
        reached = kept.followed_by(self.leaves)
        if reached.length == self.head.length and reached != self.head:
            raise LogHeadError(
                f"the hub's log is not the one that had {kept.length} entries:"
                " the hub was put back to an older state, or its log was written anew"
            )
        return reached


@dataclass(frozen=True, slots=True)
class Countersigned:
    """A head, with the signature of the recipient that has seen it."""

    head: LogHead
    key_id: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return what KEEP carries."""
        return self.head.encode() + self.key_id + self.signature

    def verify(self, key: Ed25519PublicKey, meter: bytes) -> None:
        """Return if `key` has signed this head of the meter's hub; raise `LogHeadError` if not."""
        try:
            if self.key_id != key_id_of(key):
                raise InvalidSignature
            key.verify(self.signature, self.head.signed_bytes(meter))
        except InvalidSignature:
            raise LogHeadError("the head was not signed with this key") from None

    @classmethod
    def sign(cls, head: LogHead, key: Ed25519PrivateKey, meter: bytes) -> Self:
        """Return the head signed for the hub of a meter."""
        return cls(head, key_id_of(key.public_key()), key.sign(head.signed_bytes(meter)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what KEEP carries; raise `LogHeadError` for anything else."""
        if len(data) != _HEAD_SIZE + KEY_ID_SIZE + SIGNATURE_SIZE:
            raise LogHeadError("not a signed head")
        head, rest = LogHead.decode(data[:_HEAD_SIZE]), data[_HEAD_SIZE:]
        return cls(head, rest[:KEY_ID_SIZE], rest[KEY_ID_SIZE:])
