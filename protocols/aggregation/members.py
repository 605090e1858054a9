# SPDX-License-Identifier: Apache-2.0
"""Who may be a member of a round, and why nobody can be invented.

    MeterCertificate   the metering authority: this certifier measures this meter, in this region
    TermedCertificate  the same for a time; `protocols.aggregation.revocations` ends it earlier
    MemberKeys         the certifier: for the rounds of this nonce, the hub's keys are these
    Member             both, as a roster carries them

An operator who could make up members would form a group of one household and many of his own,
and learn the household's use as a "sum". So every member is a meter that the authority, whose key
the hub got at its installation and not from the operator, has vouched for.

A member's keys are made for a nonce: an X25519 key for the masks and an Ed25519 key to sign
messages. All of them are derived from one secret that stays in the hub. Rounds may share a nonce:
what is derived of the keys, and what is signed with them, names the round's digest.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocols.aggregation.errors import MalformedMessage, RoundRefused
from protocols.aggregation.shared_secret_proof import is_exchange_key
from protocols.aggregation.wire import (
    KEY_SIZE,
    SIGNATURE_SIZE,
    SignedMessage,
    require_size,
    sized,
)

NONCE_SIZE: Final = 32
METER_SIZES: Final = range(1, 33)
REGION_SIZES: Final = range(1, 65)
_LONGEST_UNTERMED: Final = 3 * KEY_SIZE + 2 * SIGNATURE_SIZE + 32
"""Bytes of a member whose certificate has no end; any other is longer, and begins with `_TERM`."""
_TERM: Final = b"meterlet member with a term 2\0\0\0"
_TIME_SIZE: Final = 8


@dataclass(frozen=True, slots=True)
class MeterCertificate(SignedMessage):
    """The authority's word that a certifier measures a meter of a region."""

    LABEL: ClassVar[str] = "meterlet meter certificate 1"

    region: str
    meter: bytes
    certifier: bytes = field(metadata=sized(KEY_SIZE))
    """The certifier's Ed25519 public key."""

    def _check(self) -> None:
        require_region(self.region)
        _require_meter(self.meter)


@dataclass(frozen=True, slots=True)
class TermedCertificate(MeterCertificate):
    """The authority's word for a time: for what was measured in [begins, ends)."""

    LABEL: ClassVar[str] = "meterlet meter certificate 2"

    begins: int = 0
    """Epoch seconds."""
    ends: int = 0

    def _check(self) -> None:
        MeterCertificate._check(self)
        if not 0 <= self.begins < self.ends < 1 << 40:
            raise MalformedMessage("a certificate begins before it ends")


def decode_certificate(data: bytes) -> MeterCertificate:
    """Return the certificate in `data`, with or without an end; raise `MalformedMessage`."""
    try:
        return TermedCertificate.decode(data)
    except MalformedMessage:
        return MeterCertificate.decode(data)


@dataclass(frozen=True, slots=True)
class MemberKeys(SignedMessage):
    """A hub's public keys for the round of a nonce, signed by its certifier."""

    LABEL: ClassVar[str] = "meterlet aggregation keys 1"

    nonce: bytes = field(metadata=sized(NONCE_SIZE))
    meter: bytes
    exchange: bytes = field(metadata=sized(KEY_SIZE))
    """X25519."""
    signing: bytes = field(metadata=sized(KEY_SIZE))
    """Ed25519."""

    @classmethod
    def issue(cls, nonce: bytes, meter: bytes, secret: "MemberSecret", certifier: bytes) -> Self:
        """Return the keys of a secret, signed with the certifier's seed."""
        return cls(nonce, meter, secret.exchange_key, secret.signing_key).signed(certifier)

    def _check(self) -> None:
        _require_meter(self.meter)


@dataclass(frozen=True, slots=True)
class MemberSecret:
    """What a hub derives its secrets of one round from."""

    secret: bytes = field(repr=False)
    nonce: bytes

    def __post_init__(self) -> None:
        require_size("secret", self.secret, KEY_SIZE)
        require_size("nonce", self.nonce, NONCE_SIZE)

    @property
    def exchange_seed(self) -> bytes:
        """The X25519 private key."""
        return self._derive(b"exchange")

    @property
    def signing_seed(self) -> bytes:
        """The Ed25519 private key."""
        return self._derive(b"signing")

    def mask_seed(self, round_digest: bytes) -> bytes:
        """Return the seed of the self mask in the round of this digest."""
        return self._derive(b"self mask" + round_digest)

    @property
    def exchange_key(self) -> bytes:
        """The X25519 public key."""
        key = X25519PrivateKey.from_private_bytes(self.exchange_seed)
        return key.public_key().public_bytes_raw()

    @property
    def signing_key(self) -> bytes:
        """The Ed25519 public key."""
        return (
            Ed25519PrivateKey.from_private_bytes(self.signing_seed).public_key().public_bytes_raw()
        )

    def _derive(self, purpose: bytes) -> bytes:
        message = b"meterlet aggregation secret 1" + self.nonce + purpose
        return hmac.digest(self.secret, message, "sha256")


@dataclass(frozen=True, slots=True)
class RosterMember:
    """A meter of a roster."""

    certificate: MeterCertificate
    keys: MemberKeys

    def __post_init__(self) -> None:
        if self.certificate.meter != self.keys.meter:
            raise MalformedMessage("a member's certificate and keys are of two meters")

    @property
    def meter(self) -> bytes:
        """The meter's id."""
        return self.certificate.meter

    @property
    def name(self) -> bytes:
        """Sixteen bytes that stand for the meter in what a hub remembers."""
        return hashlib.sha256(b"meterlet aggregation member 1" + self.meter).digest()[:16]

    def verify(self, authorities: Iterable[bytes]) -> None:
        """Return if an authority and the certifier have signed; raise `RoundRefused` if not."""
        if not any(self.certificate.is_by(authority) for authority in authorities):
            raise RoundRefused(f"meter {self.meter.hex()}: no authority of ours vouches for it")
        if not self.keys.is_by(self.certificate.certifier):
            raise RoundRefused(f"meter {self.meter.hex()}: its certifier has not signed its keys")
        if not is_exchange_key(self.keys.exchange):
            raise RoundRefused(f"meter {self.meter.hex()}: its exchange key is none")

    def encode(self) -> bytes:
        """Return what a roster says of the member; region and nonce are the round's."""
        certificate, keys, term = self.certificate, self.keys, b""
        if isinstance(certificate, TermedCertificate):
            moments = (certificate.begins, certificate.ends)
            term = _TERM + b"".join(moment.to_bytes(_TIME_SIZE, "big") for moment in moments)
        return term + b"".join((
            certificate.certifier, certificate.signature, keys.exchange, keys.signing,
            keys.signature, self.meter,
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes, region: str, nonce: bytes) -> Self:
        """Return the member; raise `MalformedMessage` if it is none."""
        term = data[: len(_TERM) + 2 * _TIME_SIZE] if len(data) > _LONGEST_UNTERMED else b""
        parts, at = [], len(term)
        for size in (KEY_SIZE, SIGNATURE_SIZE, KEY_SIZE, KEY_SIZE, SIGNATURE_SIZE):
            parts.append(data[at : at + size])
            at += size
        certifier, authorized, exchange, signing, certified = parts
        meter = data[at:]
        certificate = MeterCertificate(region, meter, certifier, signature=authorized)
        if term:
            if not term.startswith(_TERM):
                raise MalformedMessage("not a member")
            begins, ends = (
                int.from_bytes(term[start : start + _TIME_SIZE], "big")
                for start in (len(_TERM), len(_TERM) + _TIME_SIZE)
            )
            certificate = TermedCertificate(
                region, meter, certifier, begins, ends, signature=authorized
            )
        return cls(
            certificate,
            MemberKeys(nonce, meter, exchange, signing, signature=certified),
        )


def _require_meter(meter: bytes) -> None:
    if len(meter) not in METER_SIZES:
        raise MalformedMessage("a meter id has 1 to 32 bytes")


def require_region(region: str) -> None:
    """Raise `MalformedMessage` for a region's name of another length than 1 to 64 bytes."""
    if len(region.encode()) not in REGION_SIZES or not region.isprintable():
        raise MalformedMessage("a region's name has 1 to 64 printable bytes")
