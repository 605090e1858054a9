# SPDX-License-Identifier: Apache-2.0
"""How both ends of an association prove who they are (DLMS UA 1000-2, clause 9.2.7.4).

    low      the client says a password
    md5      MD5(challenge, secret)                      sha1  SHA-1(challenge, secret)
    sha256   SHA-256(secret, title of the prover, title of the other, challenge, own challenge)
    gmac     security control, counter, tag over the challenge
    ecdsa    signature over title of the prover, title of the other, challenge, own challenge

Each end sends a challenge; the client proves first. `high` (2) is each maker's own and not here.
MD5 and SHA-1 are there for old meters; who listens can look for a short secret at leisure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from dlms_codec.apdus.acse import Mechanism
from dlms_codec.errors import EncodingError, MissingKey, SecurityError
from dlms_codec.protection import AUTHENTICATED, ProtectedText
from dlms_codec.security import Keys, decipher, protect

SHORTEST_CHALLENGE: Final = 8
LONGEST_CHALLENGE: Final = 64
CHALLENGE: Final = 32
"""Bytes of the challenges that this side makes."""
CURVE_BITS: Final = {1: 256, 2: 384}
PROVED: Final = frozenset(
    {Mechanism.MD5, Mechanism.SHA1, Mechanism.GMAC, Mechanism.SHA256, Mechanism.ECDSA}
)
"""Mechanisms in which both ends prove who they are."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one end proves itself with, and the other end checks; nothing of it is shown by `repr`.

    `secret` is the password of low, or the secret of md5, sha1 and sha256; gmac uses the keys.
    """

    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes | None = field(default=None, repr=False)
    signing_key: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)
    """Of this end, for ecdsa: on P-256 in suite 1, on P-384 in suite 2."""
    peer_key: ec.EllipticCurvePublicKey | None = field(default=None, repr=False)
    """Of the other end."""

    def __post_init__(self) -> None:
        if self.mechanism is Mechanism.HIGH:
            raise EncodingError("mechanism 2 is each maker's own: md5, sha1, gmac, sha256, ecdsa")
        needs_secret = {Mechanism.LOW, Mechanism.MD5, Mechanism.SHA1, Mechanism.SHA256}
        if self.mechanism in needs_secret and not self.secret:
            raise MissingKey(f"{self.mechanism.name.lower()} needs a password or secret")
        if self.mechanism is Mechanism.ECDSA and (
            self.signing_key is None or self.peer_key is None
        ):
            raise MissingKey("ecdsa needs the signing key of this end and the other's public key")


NOBODY: Final = Credentials()
"""Who proves nothing."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One proof: who proves to whom, and the challenges of both."""

    prover_title: bytes
    verifier_title: bytes
    challenge: bytes
    """What the verifier sent."""
    own_challenge: bytes
    """What the prover sent."""


def check_suite(credentials: Credentials, suite: int) -> None:
    """Raise `EncodingError` if the curve of ecdsa is not that of the suite."""
    if credentials.mechanism is not Mechanism.ECDSA:
        return
    for key in (credentials.signing_key, credentials.peer_key):
        if key is not None and key.curve.key_size != CURVE_BITS.get(suite):
            raise EncodingError("ecdsa has keys on P-256 in suite 1, on P-384 in suite 2")


def check_challenge(challenge: bytes | None) -> bytes:
    """Return a challenge that came; raise `SecurityError` if it is no challenge."""
    if challenge is None or not SHORTEST_CHALLENGE <= len(challenge) <= LONGEST_CHALLENGE:
        raise SecurityError(f"a challenge has {SHORTEST_CHALLENGE} to {LONGEST_CHALLENGE} bytes")
    return bytes(challenge)


def prove(
    credentials: Credentials, exchange: Exchange, keys: Keys, *, suite: int, counter: int
) -> bytes:
    """Return the answer to a challenge; `counter` is used by gmac alone."""
    match credentials.mechanism:
        case Mechanism.GMAC:
            tagged = protect(
                exchange.challenge,
                exchange.prover_title,
                counter,
                keys,
                control=AUTHENTICATED | suite,
            )
            return bytes([tagged.control]) + counter.to_bytes(4, "big") + tagged.tag
        case Mechanism.ECDSA if credentials.signing_key is not None:
            key = credentials.signing_key
            signature = key.sign(_signed(exchange), ec.ECDSA(_hash(key.curve)))
            size = (key.curve.key_size + 7) // 8
            r, s = decode_dss_signature(signature)
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        case _:
            return _digest(credentials, exchange)


def verify(credentials: Credentials, exchange: Exchange, answer: bytes, keys: Keys) -> int | None:
    """Check the answer to a challenge; raise `SecurityError` if it is wrong.

    Returns the counter that gmac used: the caller takes it once.
    """
    match credentials.mechanism:
        case Mechanism.GMAC:
            if len(answer) != 17 or answer[0] & ~0x0F != AUTHENTICATED:
                raise SecurityError("not an answer to a challenge by gmac")
            counter = int.from_bytes(answer[1:5], "big")
            tagged = ProtectedText(answer[0], counter, exchange.challenge, answer[5:])
            opened = decipher(tagged, exchange.prover_title, keys)
            if opened.authenticated is not True:
                raise MissingKey("gmac needs the encryption and the authentication key")
            return counter
        case Mechanism.ECDSA if credentials.peer_key is not None:
            _verify_signature(credentials.peer_key, _signed(exchange), answer)
        case _:
            if not compare_digest(_digest(credentials, exchange), answer):
                raise SecurityError("the answer to the challenge is wrong")
    return None


def _digest(credentials: Credentials, exchange: Exchange) -> bytes:
    secret = credentials.secret or b""
    match credentials.mechanism:
        case Mechanism.MD5:
            return hashlib.md5(exchange.challenge + secret).digest()  # noqa: S324 (old meters)
        case Mechanism.SHA1:
            return hashlib.sha1(exchange.challenge + secret).digest()  # noqa: S324 (old meters)
        case Mechanism.SHA256:
            return hashlib.sha256(secret + _signed(exchange)).digest()
    raise EncodingError(f"{credentials.mechanism.name.lower()} proves nothing")


def _signed(exchange: Exchange) -> bytes:
    if len(exchange.prover_title) != 8 or len(exchange.verifier_title) != 8:
        raise MissingKey("the system titles of both ends are needed: 8 bytes each")
    titles = exchange.prover_title + exchange.verifier_title
    return titles + exchange.challenge + exchange.own_challenge


def _hash(curve: ec.EllipticCurve) -> HashAlgorithm:
    return SHA256() if curve.key_size == 256 else SHA384()


def _verify_signature(key: ec.EllipticCurvePublicKey, text: bytes, answer: bytes) -> None:
    size = (key.curve.key_size + 7) // 8
    if len(answer) != 2 * size:
        raise SecurityError(f"a signature of {len(answer)} bytes; this curve has {2 * size}")
    r, s = (int.from_bytes(half, "big") for half in (answer[:size], answer[size:]))
    try:
        key.verify(encode_dss_signature(r, s), text, ec.ECDSA(_hash(key.curve)))
    except InvalidSignature:
        raise SecurityError("the signature is wrong") from None
