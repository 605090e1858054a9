# SPDX-License-Identifier: Apache-2.0
"""SCP11 (GPC Amendment F v1.4): key agreement with elliptic curves instead of shared secrets.

    host -> card   [PERFORM SECURITY OPERATION  certificates]          a and c
    host -> card   A6 {90 11 params, 95 usage, 80 key type, 81 key length}  5F49 host's ephemeral
    card -> host   5F49 card's ephemeral (in c: its static key)  86 receipt

    Z = ECDH(ephemeral, ephemeral) | ECDH(host's static or ephemeral key, card's static key)
    receipt key | S-ENC | S-MAC | S-RMAC | DEK = X9.63-KDF(Z, usage | key type | key length)
    receipt = CMAC(receipt key, request | 5F49 ..)

In variant a both ends authenticate, in b the card alone, in c a host that prepared its commands
in advance. The messages that follow are SCP03's; the receipt is their first chaining value.
"""

import enum
import hmac
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import CardRefused, LocalChannelError, RemoteChannelError
from protocols.secure_channel.keys import AES_SIZES, SessionKeys, cmac
from protocols.secure_channel.session import Role, SecureSession, SecurityLevel, Step

INS_PERFORM_SECURITY_OPERATION: Final = 0x2A
INS_MUTUAL_AUTHENTICATE: Final = 0x82
INS_INTERNAL_AUTHENTICATE: Final = 0x88
_AES: Final = b"\x88"
_LEVELS: Final = {0x34: SecurityLevel.C_MAC_R_MAC, 0x3C: SecurityLevel.FULL}
_MAC_SIZE: Final = 8
REFERENCE, SCP, USAGE, KEY_TYPE, KEY_LENGTH = 0xA6, 0x90, 0x95, 0x80, 0x81
EPHEMERAL, RECEIPT = 0x5F49, 0x86


class Variant(enum.Enum):
    """Who authenticates; the value is the identifier of the card's key."""

    A = 0x11
    B = 0x13
    C = 0x15

    @property
    def parameter(self) -> int:
        """The second byte of tag 90 (Amendment F, table 6-12)."""
        return {Variant.A: 1, Variant.B: 0, Variant.C: 3}[self]

    @property
    def instruction(self) -> int:
        """MUTUAL or INTERNAL AUTHENTICATE."""
        return INS_INTERNAL_AUTHENTICATE if self is Variant.B else INS_MUTUAL_AUTHENTICATE


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a host asks for: the variant, the level, the size of keys, and its ephemeral point."""

    variant: Variant
    usage: int
    key_size: int
    point: bytes

    def encode(self) -> bytes:
        """Return the command's data."""
        reference = [
            Tlv(SCP, bytes((0x11, self.variant.parameter))),
            Tlv(USAGE, bytes((self.usage,))),
            Tlv(KEY_TYPE, _AES),
            Tlv(KEY_LENGTH, bytes((self.key_size,))),
        ]
        return Tlv.of(REFERENCE, reference).encode() + Tlv(EPHEMERAL, self.point).encode()

    @classmethod
    def decode(cls, variant: Variant, data: bytes) -> Self:
        """Return what fills `data` exactly; raise `RemoteChannelError` otherwise."""
        try:
            outer = Tlv.decode_map(data)
            inner = Tlv.decode_map(outer.get(REFERENCE, b""))
        except MalformedTlv as error:
            raise RemoteChannelError(f"key agreement: {error}") from error
        sizes = inner.get(KEY_LENGTH, b"")
        usage = inner.get(USAGE, b"")
        known = (
            outer.keys() == {REFERENCE, EPHEMERAL}
            and inner.keys() == {SCP, USAGE, KEY_TYPE, KEY_LENGTH}
            and inner[SCP] == bytes((0x11, variant.parameter))
            and inner[KEY_TYPE] == _AES
            and len(sizes) == 1
            and sizes[0] in AES_SIZES
            and len(usage) == 1
            and usage[0] in _LEVELS
        )
        if not known:
            raise RemoteChannelError("key agreement: not a request that SCP11 knows")
        agreement = cls(variant, usage[0], sizes[0], outer[EPHEMERAL])
        if agreement.encode() != data:
            raise RemoteChannelError("key agreement: the fields are out of order")
        return agreement


class Scp11(SecureSession):
    """One SCP11 session, seen from either end."""

    def __init__(self, role: Role, variant: Variant) -> None:
        super().__init__(role)
        self._variant = variant

    # The host

    def request(
        self,
        card_key: ec.EllipticCurvePublicKey,
        ephemeral: ec.EllipticCurvePrivateKey,
        *,
        static: ec.EllipticCurvePrivateKey | None = None,
        key_version: int,
        usage: int = 0x3C,
        key_size: int = 16,
    ) -> CommandApdu:
        """Return the command that begins the agreement; `static` is needed but in variant B."""
        self._act(Role.HOST, Step.CHALLENGE)
        if (static is None) != (self._variant is Variant.B):
            raise LocalChannelError("a static key goes with the variants A and C, not with B")
        self._card_key, self._ephemeral, self._static = card_key, ephemeral, static
        self._agreement = Agreement(self._variant, usage, key_size, encode_point(ephemeral))
        data = self._agreement.encode()
        return CommandApdu(
            0x80, self._variant.instruction, key_version, self._variant.value, data, le=256
        )

    def receive(self, response: ResponseApdu) -> None:
        """Check the card's receipt; the session is open then."""
        self._act(Role.HOST, Step.AUTHENTICATE)
        if not response.is_success:
            self.close()
            raise CardRefused("key agreement", response.sw)
        try:
            fields = Tlv.decode_map(response.data)
        except MalformedTlv as error:
            self._refuse(f"key agreement: {error}")
        if list(fields) != [EPHEMERAL, RECEIPT]:
            self._refuse("key agreement: the card's answer has other fields")
        theirs = self._point(self._ephemeral.curve, fields[EPHEMERAL])
        own = self._static or self._ephemeral
        secret = self._ephemeral.exchange(ec.ECDH(), theirs)
        secret += own.exchange(ec.ECDH(), self._card_key)
        receipt = self._agree(self._agreement, secret, fields[EPHEMERAL], own.curve)
        if not hmac.compare_digest(receipt, fields[RECEIPT]):
            self._refuse("the card's receipt is wrong: it does not hold the key")

    # The card

    def answer(
        self,
        data: bytes,
        card_key: ec.EllipticCurvePrivateKey,
        ephemeral: ec.EllipticCurvePrivateKey,
        *,
        host_key: ec.EllipticCurvePublicKey | None = None,
    ) -> bytes:
        """Return the response data to a host's request; the session is open then.

        `host_key` is what the host's certificates vouch for, in the variants A and C. Raises
        `RemoteChannelError` for a request that is none.
        """
        self._act(Role.CARD, Step.CHALLENGE)
        self._act(Role.CARD, Step.AUTHENTICATE)
        if (host_key is None) != (self._variant is Variant.B):
            raise LocalChannelError("a host key goes with the variants A and C, not with B")
        try:
            agreement = Agreement.decode(self._variant, data)
        except RemoteChannelError as error:
            self._refuse(str(error))
        theirs = self._point(card_key.curve, agreement.point)
        own = card_key if self._variant is Variant.C else ephemeral
        secret = own.exchange(ec.ECDH(), theirs)
        secret += card_key.exchange(ec.ECDH(), host_key or theirs)
        point = encode_point(own)
        receipt = self._agree(agreement, secret, point, card_key.curve)
        return Tlv(EPHEMERAL, point).encode() + Tlv(RECEIPT, receipt).encode()

    # Both

    def _agree(
        self, agreement: Agreement, secret: bytes, card_point: bytes, curve: ec.EllipticCurve
    ) -> bytes:
        size = agreement.key_size
        shared = bytes((agreement.usage,)) + _AES + bytes((size,))
        block = X963KDF(curve_hash(curve), 5 * size, shared).derive(secret)
        first, enc, mac, rmac, dek = (block[n : n + size] for n in range(0, 5 * size, size))
        receipt = cmac(first, agreement.encode() + Tlv(EPHEMERAL, card_point).encode())
        level = _LEVELS[agreement.usage]
        self._open(SessionKeys(enc, mac, rmac, dek), level, _MAC_SIZE, receipt, counter=0)
        return receipt

    def _point(self, curve: ec.EllipticCurve, encoded: bytes) -> ec.EllipticCurvePublicKey:
        # Loading checks that the point is on the curve; no compressed form is taken.
        try:
            if encoded[:1] != b"\x04":
                raise ValueError("not an uncompressed point")
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded)
        except ValueError as error:
            self._refuse(f"key agreement: {error}")


def encode_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the uncompressed public point of `key`."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def curve_hash(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    """Return the hash that goes with a curve (GPCS 2.3.1, table B-3)."""
    if curve.key_size < 384:
        return hashes.SHA256()
    return hashes.SHA384() if curve.key_size < 512 else hashes.SHA512()
