# SPDX-License-Identifier: Apache-2.0
"""SCP11 on the card: certificates of hosts and key agreement (GPC Amendment F v1.4, 6 and 7).

A host's certificates come leaf last, as X.509 or in GlobalPlatform's own form (7F21). The first is
signed with a CA key that the security domain holds (identifier 10, or 20 to 2F), each further one
with the one before. The card has no clock: validity periods are not looked at; the allow list of
serial numbers is how a certificate is taken out of use.
"""

import warnings
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from hub.card.commands.issued_keys import require_unblocked
from hub.card.commands.put_key import new_key, private_key
from hub.card.entries import CardState
from hub.card.keys.curves import CURVES
from hub.card.keys.keystore import Key, KeySet, KeyType
from hub.card.keys.signatures import load_public
from hub.card.logical_channel import Authentication, LogicalChannel
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.scp11 import Scp11, Variant, curve_hash
from protocols.secure_channel.session import Role

AUTHORITIES: Final = frozenset({0x10, *range(0x20, 0x30)})
VARIANTS: Final = {variant.value: variant for variant in Variant}
MORE: Final = 0x80
MAX_CERTIFICATES: Final = 8
MAX_CERTIFICATE: Final = 1 << 14
HOST_AUTHORITY: Final = 0x10
_NOT_A_CERTIFICATE: Final = (
    ValueError,
    KeyError,
    MalformedTlv,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)


@dataclass(frozen=True, slots=True)
class HostChain:
    """Certificates of a host that have come so far, and the key the last one vouches for."""

    domain: bytes
    authority: Key
    key: ec.EllipticCurvePublicKey
    serial: int
    count: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a host's certificate says, whichever form it has."""

    serial: int
    key: ec.EllipticCurvePublicKey
    signed: bytes
    signature: bytes
    """DER."""

    @classmethod
    def decode(cls, data: bytes) -> "Certificate":
        """Read X.509 or 7F21; raise `CardRefusal` for anything else."""
        try:
            return cls._own_form(data) if data[:2] == b"\x7f\x21" else cls._x509(data)
        except _NOT_A_CERTIFICATE as error:
            raise CardRefusal(Sw.WRONG_DATA, f"not a certificate: {error}") from error

    @classmethod
    def _x509(cls, data: bytes) -> "Certificate":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library only frowns at is judged here
            certificate = x509.load_der_x509_certificate(data)
            key, serial = certificate.public_key(), certificate.serial_number
        if serial <= 0:
            raise ValueError("the serial number is not positive (RFC 5280, 4.1.2.2)")
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("the key is on no elliptic curve")
        signed = certificate.tbs_certificate_bytes
        return cls(serial, key, signed, certificate.signature)

    @classmethod
    def _own_form(cls, data: bytes) -> "Certificate":
        """Read the form of Amendment F, 6.1: the signature (5F37) covers all that is before it."""
        (outer,) = Tlv.decode_all(data)
        nodes = list(Tlv.decode_all(outer.value))
        if not nodes or nodes[-1].tag != 0x5F37:
            raise ValueError("the signature is not the last object")
        fields = Tlv.decode_map(outer.value)
        public = Tlv.decode_map(fields[0x7F49])
        curve = CURVES.get(int.from_bytes(public.get(0xF0, b"\0"), "big"))
        if curve is None:
            raise ValueError("unknown curve")
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve(), public[0xB0])
        raw = fields[0x5F37]
        half = len(raw) // 2
        r, s = (int.from_bytes(piece, "big") for piece in (raw[:half], raw[half:]))
        signed = b"".join(node.encode() for node in nodes[:-1])
        serial = int.from_bytes(fields[0x93], "big")
        return cls(serial, key, signed, encode_dss_signature(r, s))

    def check(self, signer: ec.EllipticCurvePublicKey) -> None:
        """Return if `signer` signed it; raise `CardRefusal` otherwise."""
        if not self.is_signed_by(signer):
            raise CardRefusal(Sw.WRONG_DATA, "the certificate's signature is wrong")

    def is_signed_by(self, signer: ec.EllipticCurvePublicKey) -> bool:
        """Tell whether `signer` signed it."""
        try:
            signer.verify(self.signature, self.signed, ec.ECDSA(curve_hash(signer.curve)))
        except (InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def _require_alive(card: CardParts) -> None:
    if card.registry.card_state() is CardState.TERMINATED:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the card is TERMINATED")


def _find_key(card: CardParts, channel: LogicalChannel, command: CommandApdu) -> tuple[bytes, Key]:
    """Return a key that the command's P1 and P2 name, and the domain that holds it."""
    _require_alive(card)
    identifier, version = command.p2 & ~MORE, command.p1 & ~MORE
    for domain in _domains(card, channel):
        key = card.keys.find(domain, version, identifier)
        if key is not None:
            return domain, key
    raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no key {version:02X}/{identifier:02X}")


def _domains(card: CardParts, channel: LogicalChannel) -> list[bytes]:
    """Return the domains whose keys are meant, from the selected one's up."""
    entry = None if channel.selected is None else card.registry.find(channel.selected)
    if entry is None or not entry.is_selectable:
        raise CardRefusal(Sw.NOT_SELECTED, "nothing is selected: it is gone or locked")
    return [domain.aid for domain in card.registry.ancestry(entry)]


def _require_in_charge(card: CardParts, channel: LogicalChannel, holder: bytes) -> None:
    """Return unless a nearer domain than `holder` has keys of SCP03, as for SCP03 itself.

    Its owner shares it with nobody: a host that the parent knows is none of its own.
    """
    for domain in _domains(card, channel):
        if domain == holder:
            return
        if card.keys.find_set(domain, 0) is not None:
            raise CardRefusal(
                Sw.REFERENCE_NOT_FOUND, "the security domain has keys of its own: use those"
            )


def _signer_of(
    card: CardParts, channel: LogicalChannel, certificate: Certificate, version: int
) -> tuple[bytes, Key]:
    """Return the CA key that has signed `certificate`, where the host names none (P2 is 00).

    Where none has, the first is returned: with that one the certificate is refused.
    """
    held = [
        (domain, key)
        for domain in _domains(card, channel)
        for key in card.keys.all(domain)
        if key.identifier in AUTHORITIES and version in {0, key.version}
    ]
    for domain, key in held:
        signer = load_public(key)
        if isinstance(signer, ec.EllipticCurvePublicKey) and certificate.is_signed_by(signer):
            return domain, key
    if not held:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, "no CA key of hosts (10, 20 to 2F)")
    return held[0]


def _authority_for(card: CardParts, domain: bytes, key: Key) -> Key:
    """Return the CA key that is meant: some clients name the card's key of SCP11 instead."""
    if key.identifier in AUTHORITIES:
        return key
    found = None
    if key.identifier in VARIANTS:
        found = card.keys.find(domain, key.version, HOST_AUTHORITY)
        found = found or card.keys.find(domain, 0, HOST_AUTHORITY)
    if found is None:
        raise CardRefusal(Sw.WRONG_P1_P2, "certificates are checked with the keys 10 and 20 to 2F")
    return found


def _begin(card: CardParts, channel: LogicalChannel, domain: bytes, key: Key) -> KeySet:
    """Count an attempt before it is looked at; raise `CardRefusal` where there are none left.

    Only at the local reader is it counted: elsewhere nobody is to block the resident's keys.
    """
    key_set = card.keys.set_of(domain, key)
    if channel.line.blocks:
        require_unblocked(card, key_set)
        card.keys.count_failure(key_set)
    return key_set


def perform_security_operation(
    card: CardParts, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Take one certificate of a host; P2's bit 8 says that more come, P1's that more of it does."""
    channel.certificate += command.data
    if command.p1 & MORE:
        if len(channel.certificate) > MAX_CERTIFICATE:
            channel.certificate.clear()
            raise CardRefusal(Sw.WRONG_DATA, f"a certificate has at most {MAX_CERTIFICATE} bytes")
        return ResponseApdu(b"", Sw.SUCCESS)
    data = bytes(channel.certificate)
    channel.certificate.clear()
    before, channel.host = channel.host, None
    if command.p2 & ~MORE:
        domain, named = _find_key(card, channel, command)
        authority = _authority_for(card, domain, named)
        key_set = _begin(card, channel, domain, authority)
        certificate = Certificate.decode(data)
    else:
        _require_alive(card)
        certificate = Certificate.decode(data)
        if isinstance(before, HostChain) and not before.complete:
            domain, authority = before.domain, before.authority
        else:
            domain, authority = _signer_of(card, channel, certificate, command.p1)
        key_set = _begin(card, channel, domain, authority)
    same = isinstance(before, HostChain) and (before.domain, before.authority) == (
        domain,
        authority,
    )
    count = 1
    if same and isinstance(before, HostChain) and not before.complete:
        certificate.check(before.key)
        count = before.count + 1
    else:
        signer = load_public(authority)
        if not isinstance(signer, ec.EllipticCurvePublicKey):
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the CA key is on no elliptic curve")
        certificate.check(signer)
    if count > MAX_CERTIFICATES:
        raise CardRefusal(Sw.WRONG_DATA, f"a chain has at most {MAX_CERTIFICATES} certificates")
    complete = not command.p2 & MORE
    if complete:
        allowed = card.certificates.allowed(domain, authority.identifier, authority.version)
        if allowed is not None and certificate.serial not in allowed:
            raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, "the certificate is not on the allow list")
    if channel.line.blocks:
        card.keys.clear_failures(key_set)
    channel.host = HostChain(
        domain, authority, certificate.key, certificate.serial, count, complete
    )
    return ResponseApdu(b"", Sw.SUCCESS)


def authenticate(card: CardParts, channel: LogicalChannel, command: CommandApdu) -> ResponseApdu:
    """Agree keys with a host; whatever secure channel there was ends."""
    chain = channel.host
    channel.forget()
    variant = VARIANTS.get(command.p2)
    if variant is None or variant.instruction != command.ins:
        raise CardRefusal(Sw.WRONG_P1_P2, "P2 names a key of SCP11: 11, 13 or 15")
    domain, key = _find_key(card, channel, command)
    if variant is not Variant.B:
        _require_in_charge(card, channel, domain)
    if key.part(KeyType.EC_PRIVATE) is None:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, "the key is no private one")
    key_set = _begin(card, channel, domain, key)
    host_key = None
    if variant is not Variant.B:
        if not isinstance(chain, HostChain) or not chain.complete or chain.domain != domain:
            raise CardRefusal(Sw.WRONG_DATA, "no host's certificate has come before")
        host_key = chain.key
    static = private_key(key)
    if host_key is not None and host_key.curve.name != static.curve.name:
        raise CardRefusal(Sw.WRONG_DATA, "the host's key is on another curve")
    reference = key.part(KeyType.EC_PARAMETERS) or b"\0"
    ephemeral = private_key(new_key(card, key.version, key.identifier, reference))
    session = Scp11(Role.CARD, variant)
    try:
        data = session.answer(command.data, static, ephemeral, host_key=host_key)
    except RemoteChannelError as error:
        raise CardRefusal(Sw.WRONG_DATA, str(error)) from error
    if channel.line.blocks:
        card.keys.clear_failures(key_set)
    channel.authentication = Authentication(
        session,
        domain,
        key.version,
        host_authenticated=variant is not Variant.B,
        may_manage=variant is not Variant.C or card.profile.scp11c_manages,
    )
    return ResponseApdu(data, Sw.SUCCESS)
