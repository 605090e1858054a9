# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a line: each end knows the other's Ed25519 key beforehand.

    server -> client   challenge   label ‖ S                  X25519, fresh
    client -> server   proof       C ‖ Ed25519 signature of the client over ("client", S, C, s, c)
    server -> client   welcome         Ed25519 signature of the server over ("server", S, C, s, c)
    then               frames      AES-256-GCM, a key for each direction, nonces counted

s and c are the pinned keys. A server says nothing to a stranger but a fresh key, and does nothing
for one but check a signature. The keys of frames are HKDF's of X25519(S, C) and all of the above; a
frame that was altered, left out, repeated or moved does not open. This is release 0.2's line; who
speaks the plain one of release 0.1 is a stranger.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.canonical.cbor import encode_array
from utility_server.grid.concentrator.errors import LineError

LABEL: Final = b"meterlet line 2\n"
KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
CHALLENGE_SIZE: Final = len(LABEL) + KEY_SIZE
PROOF_SIZE: Final = KEY_SIZE + SIGNATURE_SIZE
WELCOME_SIZE: Final = SIGNATURE_SIZE
TAG_SIZE: Final = 16
_NONCE_SIZE: Final = 12


class NotThePeer(LineError):
    """Whoever is at the other end does not hold the pinned key."""


@dataclass(frozen=True, slots=True)
class LineKeys:
    """Our key, and the one that the other end of a line has to hold."""

    own: Ed25519PrivateKey = field(repr=False)
    peer: bytes
    """An Ed25519 public key."""

    @property
    def public(self) -> bytes:
        """What the other end has to know of us."""
        return self.own.public_key().public_bytes_raw()


class FrameSeals:
    """Both directions of a line whose ends have proved who they are."""

    def __init__(self, sending: bytes, receiving: bytes) -> None:
        self._sending, self._receiving = AESGCM(sending), AESGCM(receiving)
        self._sent = self._received = 0

    def seal(self, body: bytes) -> bytes:
        """Return the next frame's body, which `TAG_SIZE` bytes are added to."""
        nonce, self._sent = self._sent.to_bytes(_NONCE_SIZE, "big"), self._sent + 1
        return self._sending.encrypt(nonce, body, None)

    def open(self, sealed: bytes) -> bytes:
        """Return what the other end's next frame says; raise `LineError` if it is not that."""
        nonce, self._received = self._received.to_bytes(_NONCE_SIZE, "big"), self._received + 1
        try:
            return self._receiving.decrypt(nonce, sealed, None)
        except InvalidTag:
            raise LineError("a frame was altered on its way, or is not the next one") from None


@dataclass(frozen=True, slots=True)
class _Handshake:
    """What both ends have seen of each other."""

    server_exchange: bytes
    client_exchange: bytes
    server: bytes
    client: bytes

    def signed_by(self, role: str) -> bytes:
        """Return what the end of this role signs; both keys are in it, so it is for no other."""
        return encode_array([
            f"meterlet line 2 {role}", self.server_exchange, self.client_exchange, self.server,
            self.client,
        ])  # fmt: skip

    def keys(self, ours: X25519PrivateKey, theirs: bytes) -> tuple[bytes, bytes]:
        """Return the keys of frames to the server and to the client; raise `NotThePeer`."""
        try:
            secret = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:
            raise NotThePeer("no exchange key") from None
        derived = HKDF(SHA256(), 2 * KEY_SIZE, None, self.signed_by("frames")).derive(secret)
        return derived[:KEY_SIZE], derived[KEY_SIZE:]


@dataclass(frozen=True, slots=True)
class ServerGreeting:
    """The end that is connected to; made anew for each connection."""

    keys: LineKeys
    exchange: X25519PrivateKey = field(repr=False)

    @classmethod
    def begin(cls, keys: LineKeys, randomness: Callable[[int], bytes]) -> Self:
        """Return a greeting with a fresh key."""
        return cls(keys, X25519PrivateKey.from_private_bytes(randomness(KEY_SIZE)))

    @property
    def challenge(self) -> bytes:
        """The first bytes of the line."""
        return LABEL + self.exchange.public_key().public_bytes_raw()

    def welcome(self, proof: bytes) -> tuple[bytes, FrameSeals]:
        """Return the answer to the pinned peer's proof; raise `NotThePeer` for any other's."""
        theirs, signature = proof[:KEY_SIZE], proof[KEY_SIZE:]
        ours = self.exchange.public_key().public_bytes_raw()
        seen = _Handshake(ours, theirs, self.keys.public, self.keys.peer)
        _require_signature(self.keys.peer, signature, seen.signed_by("client"))
        to_server, to_client = seen.keys(self.exchange, theirs)
        return self.keys.own.sign(seen.signed_by("server")), FrameSeals(to_client, to_server)


@dataclass(frozen=True, slots=True)
class ClientGreeting:
    """The end that connects."""

    keys: LineKeys
    challenge: bytes
    exchange: X25519PrivateKey = field(repr=False)

    @classmethod
    def begin(cls, keys: LineKeys, challenge: bytes, randomness: Callable[[int], bytes]) -> Self:
        """Return the answer to a challenge; raise `LineError` if it is none."""
        if len(challenge) != CHALLENGE_SIZE or not challenge.startswith(LABEL):
            raise LineError("no challenge came: that is no concentrator or trustee of this release")
        return cls(keys, challenge, X25519PrivateKey.from_private_bytes(randomness(KEY_SIZE)))

    @property
    def proof(self) -> bytes:
        """What shows the server who we are."""
        ours = self.exchange.public_key().public_bytes_raw()
        return ours + self.keys.own.sign(self._seen.signed_by("client"))

    def finish(self, welcome: bytes) -> FrameSeals:
        """Return the line's seals; raise `NotThePeer` if the server is not the pinned one."""
        _require_signature(self.keys.peer, welcome, self._seen.signed_by("server"))
        to_server, to_client = self._seen.keys(self.exchange, self._seen.server_exchange)
        return FrameSeals(to_server, to_client)

    @property
    def _seen(self) -> _Handshake:
        ours = self.exchange.public_key().public_bytes_raw()
        theirs = self.challenge[len(LABEL) :]
        return _Handshake(theirs, ours, self.keys.peer, self.keys.public)


def _require_signature(key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise NotThePeer("the other end does not hold the key that it is known by") from None
