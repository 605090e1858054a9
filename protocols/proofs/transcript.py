# SPDX-License-Identifier: Apache-2.0
"""The one transcript from which all challenges and digests come (Fiat and Shamir 1986).

A transcript names its protocol and version, takes items and gives challenges. It is a SHA-512
over records, so that no two histories hash alike:

    record = kind (1 byte) | length of label (2) | label | length of content (8) | content

A challenge is a record too: it depends on all that came before it, and all that comes after
depends on it. The verifier replays the same calls and gets the same challenges.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from protocols.proofs.group import COMPRESSED_SIZE, ORDER, Point, encode_scalar

DIGEST_SIZE: Final = 32

_PROTOCOL: Final = 0
_ITEM: Final = 1
_CHALLENGE: Final = 2
_DIGEST: Final = 3


class Transcript:
    """What prover and verifier both saw so far."""

    __slots__ = ("_hash",)

    def __init__(self, protocol: str, version: int) -> None:
        self._hash = hashlib.sha512()
        self._record(_PROTOCOL, "meterlet", f"{protocol}/{version}".encode())

    def append(self, label: str, content: bytes) -> None:
        """Take in bytes."""
        self._record(_ITEM, label, content)

    def append_integer(self, label: str, number: int) -> None:
        """Take in an integer of either sign."""
        self._record(_ITEM, label, b"%d" % number)

    def append_integers(self, label: str, numbers: Iterable[int]) -> None:
        """Take in a list of integers; its length counts."""
        self._record(_ITEM, label, ",".join(map(str, numbers)).encode())

    def append_text(self, label: str, text: str) -> None:
        """Take in a text."""
        self._record(_ITEM, label, text.encode())

    def append_scalar(self, label: str, scalar: int) -> None:
        """Take in a scalar."""
        self._record(_ITEM, label, encode_scalar(scalar))

    def append_point(self, label: str, point: Point) -> None:
        """Take in a point; infinity counts as 33 zero bytes, which no other point has."""
        encoded = bytes(COMPRESSED_SIZE) if point.is_infinity else point.encode()
        self._record(_ITEM, label, encoded)

    def challenge(self, label: str) -> int:
        """Return a scalar in [1, order), uniform to within 2^-256."""
        self._record(_CHALLENGE, label, b"")
        drawn = int.from_bytes(self._hash.digest(), "big")
        return 1 + drawn % (ORDER - 1)

    def digest(self) -> bytes:
        """Return 32 bytes that stand for everything so far; the transcript does not change."""
        other = self.fork()
        other._record(_DIGEST, "", b"")
        return other._hash.digest()[:DIGEST_SIZE]

    def fork(self) -> "Transcript":
        """Return a copy that goes its own way."""
        other = Transcript.__new__(Transcript)
        other._hash = self._hash.copy()
        return other

    def _record(self, kind: int, label: str, content: bytes) -> None:
        name = label.encode()
        frame = bytes([kind]) + len(name).to_bytes(2, "big") + name
        self._hash.update(frame + len(content).to_bytes(8, "big") + content)
