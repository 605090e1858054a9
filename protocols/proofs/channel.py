# SPDX-License-Identifier: Apache-2.0
"""A proof as a one-way conversation: what is said goes into the transcript and onto the wire.

The prover sends points (33 bytes) and scalars (32 bytes) through an `Outgoing` channel, the
verifier receives the same items in the same order through an `Incoming` one; both draw the same
challenges. The wire needs no tags or lengths: the protocol alone says what comes next, and a byte
too few or too many is refused.

A proof is bound to its context by its challenges. One that draws none, as where sums are opened
over commitments slot by slot, ends with the transcript's digest instead (32 bytes). That is a
checksum which anyone can compute, not a signature: the secure channel says who sent it.
"""

import hmac

from protocols.proofs.errors import Malformed, ProofRefused
from protocols.proofs.group import (
    COMPRESSED_SIZE,
    SCALAR_SIZE,
    Point,
    decode_scalar,
    encode_scalar,
)
from protocols.proofs.transcript import DIGEST_SIZE, Transcript


class Outgoing:
    """The prover's end."""

    __slots__ = ("_data", "_is_bound", "transcript")

    def __init__(self, transcript: Transcript) -> None:
        self.transcript, self._data, self._is_bound = transcript, bytearray(), False

    def send_point(self, label: str, point: Point) -> None:
        """Send a point; raise `Malformed` for infinity, which has no encoding."""
        self._data += point.encode()
        self.transcript.append_point(label, point)

    def send_scalar(self, label: str, scalar: int) -> None:
        """Send a scalar."""
        self._data += encode_scalar(scalar)
        self.transcript.append_scalar(label, scalar)

    def challenge(self, label: str) -> int:
        """Return the challenge that follows what was sent so far."""
        self._is_bound = True
        return self.transcript.challenge(label)

    def data(self) -> bytes:
        """Return what was sent so far."""
        return bytes(self._data)

    def finish(self) -> bytes:
        """Return the proof, bound to its transcript."""
        if not self._is_bound:
            self._data += self.transcript.digest()
        return self.data()


class Incoming:
    """The verifier's end."""

    __slots__ = ("_at", "_data", "_is_bound", "transcript")

    def __init__(self, transcript: Transcript, data: bytes) -> None:
        self.transcript, self._data, self._at, self._is_bound = transcript, data, 0, False

    def receive_point(self, label: str) -> Point:
        """Return the next point; raise `Malformed` if there is none."""
        point = Point.decode(self._take(COMPRESSED_SIZE))
        self.transcript.append_point(label, point)
        return point

    def receive_scalar(self, label: str) -> int:
        """Return the next scalar; raise `Malformed` if there is none or it is not reduced."""
        scalar = decode_scalar(self._take(SCALAR_SIZE))
        self.transcript.append_scalar(label, scalar)
        return scalar

    def challenge(self, label: str) -> int:
        """Return the challenge that follows what was received so far."""
        self._is_bound = True
        return self.transcript.challenge(label)

    def own_challenge(self) -> int:
        """Return a challenge for merging equations, of which the prover needs no knowledge."""
        return self.transcript.fork().challenge("merge")

    def finish(self, *, accept_unbound: bool = False) -> None:
        """Return if the proof is complete and was made for this transcript.

        Raises `Malformed` if bytes are missing or left over, `ProofRefused` for the proof of
        another transcript. `accept_unbound` takes what version 0.1 made as well: it bound no proof
        without challenges.
        """
        left = len(self._data) - self._at
        if not (self._is_bound or (accept_unbound and not left)):
            binding = self.transcript.digest()
            if not hmac.compare_digest(binding, self._take(DIGEST_SIZE)):
                raise ProofRefused("the proof was made for another statement, period or recipient")
        if self._at != len(self._data):
            raise Malformed(f"{len(self._data) - self._at} bytes follow the proof")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise Malformed(f"the proof ends {size - len(taken)} bytes early")
        self._at += size
        return taken
