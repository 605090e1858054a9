# SPDX-License-Identifier: Apache-2.0
"""Who may be a member of a round, and why nobody can be invented.

    MeterCertificate   the metering authority: this certifier measures this meter, in this region
    MemberKeys         the certifier: for the round of this nonce, the hub's keys are these
    Member             both, as a roster carries them

An operator who could make up members would form a group of one household and many of his own,
and learn the household's use as a "sum". So every member is a meter that the authority, whose key
the hub got at its installation and not from the operator, has vouched for.

A member's keys are made for one round: an X25519 key for the masks and an Ed25519 key to sign
messages. All of them are derived from one secret that stays in the hub.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocols.aggregation._wire import (
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
from protocols.aggregation.errors import MalformedMessage, RoundRefused
from protocols.aggregation.shared_secret_proof import is_exchange_key

NONCE_SIZE: Final = 32
METER_SIZES: Final = range(1, 33)
REGION_SIZES: Final = range(1, 65)

_CERTIFICATE: Final = "meterlet meter certificate 1"
_KEYS: Final = "meterlet aggregation keys 1"


@dataclass(frozen=True, slots=True)
class MeterCertificate:
    """The authority's word that a certifier measures a meter of a region."""

    region: str
    meter: bytes
    certifier: bytes
    """The certifier's Ed25519 public key."""
    signature: bytes

    def __post_init__(self) -> None:
        require_region(self.region)
        if len(self.meter) not in METER_SIZES:
            raise MalformedMessage("a meter id has 1 to 32 bytes")
        require_size("certifier", self.certifier, KEY_SIZE)
        require_size("signature", self.signature, SIGNATURE_SIZE)

    @classmethod
    def issue(cls, region: str, meter: bytes, certifier: bytes, authority_seed: bytes) -> Self:
        """Return the certificate, signed with the authority's key."""
        message = encode_message(_CERTIFICATE, region, meter, certifier)
        return cls(region, meter, certifier, sign(message, authority_seed))

    def is_by(self, authority: bytes) -> bool:
        """Return whether this authority has issued it."""
        message = encode_message(_CERTIFICATE, self.region, self.meter, self.certifier)
        return is_signed(message, self.signature, authority)

    def encode(self) -> bytes:
        """Return the certificate's bytes."""
        message = encode_message(_CERTIFICATE, self.region, self.meter, self.certifier)
        return encode_signed(message, self.signature)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the certificate; raise `MalformedMessage` if it is none."""
        message, signature = decode_signed(data)
        match decode_message(message, _CERTIFICATE):
            case [str(region), bytes(meter), bytes(certifier)]:
                return cls(region, meter, certifier, signature)
            case _:
                raise MalformedMessage("not a meter certificate")


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """A hub's public keys for the round of a nonce, signed by its certifier."""

    nonce: bytes
    meter: bytes
    exchange: bytes
    """X25519."""
    signing: bytes
    """Ed25519."""
    signature: bytes

    def __post_init__(self) -> None:
        require_size("nonce", self.nonce, NONCE_SIZE)
        if len(self.meter) not in METER_SIZES:
            raise MalformedMessage("a meter id has 1 to 32 bytes")
        require_size("exchange key", self.exchange, KEY_SIZE)
        require_size("signing key", self.signing, KEY_SIZE)
        require_size("signature", self.signature, SIGNATURE_SIZE)

    @staticmethod
    def message(nonce: bytes, meter: bytes, exchange: bytes, signing: bytes) -> bytes:
        """Return what the certifier signs."""
        return encode_message(_KEYS, nonce, meter, exchange, signing)

    @classmethod
    def issue(cls, nonce: bytes, meter: bytes, secret: "MemberSecret", certifier: bytes) -> Self:
        """Return the keys of a secret, signed with the certifier's seed."""
        keys = secret.exchange_key, secret.signing_key
        return cls(nonce, meter, *keys, sign(cls.message(nonce, meter, *keys), certifier))

    def is_by(self, certifier: bytes) -> bool:
        """Return whether this certifier has signed it."""
        message = self.message(self.nonce, self.meter, self.exchange, self.signing)
        return is_signed(message, self.signature, certifier)

    def encode(self) -> bytes:
        """Return the message."""
        message = self.message(self.nonce, self.meter, self.exchange, self.signing)
        return encode_signed(message, self.signature)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the keys; raise `MalformedMessage` if they are none."""
        message, signature = decode_signed(data)
        match decode_message(message, _KEYS):
            case [bytes(nonce), bytes(meter), bytes(exchange), bytes(signing)]:
                return cls(nonce, meter, exchange, signing, signature)
            case _:
                raise MalformedMessage("not a member's keys")


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
class Member:
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
        certificate, keys = self.certificate, self.keys
        return b"".join((
            certificate.certifier, certificate.signature, keys.exchange, keys.signing,
            keys.signature, self.meter,
        ))  # fmt: skip

    @classmethod
    def decode(cls, data: bytes, region: str, nonce: bytes) -> Self:
        """Return the member; raise `MalformedMessage` if it is none."""
        parts, at = [], 0
        for size in (KEY_SIZE, SIGNATURE_SIZE, KEY_SIZE, KEY_SIZE, SIGNATURE_SIZE):
            parts.append(data[at : at + size])
            at += size
        certifier, authorized, exchange, signing, certified = parts
        meter = data[at:]
        return cls(
            MeterCertificate(region, meter, certifier, authorized),
            MemberKeys(nonce, meter, exchange, signing, certified),
        )


def require_region(region: str) -> None:
    """Raise `MalformedMessage` for a region's name of another length than 1 to 64 bytes."""
    if len(region.encode()) not in REGION_SIZES or not region.isprintable():
        raise MalformedMessage("a region's name has 1 to 64 printable bytes")
