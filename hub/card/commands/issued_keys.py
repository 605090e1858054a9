# SPDX-License-Identifier: Apache-2.0
"""The keys that a card is issued with, and how a card that has no others left gets them back.

One is for SCP11b, with the two certificates that vouch for it. Their authority is the card's own:
its key is sealed in the card and signs nothing but keys of SCP11 that the card itself has made, so
that nobody can vouch for another card with it. Whoever enrols the card notes the authority's
certificate. A card that comes back to its first keys has another one.
"""

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hub.card.commands.put_key import new_key, private_key
from hub.card.keys.certificates import CARD_KEYS
from hub.card.keys.keystore import Key, KeySet
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.keys import StaticKeys

IDENTIFIER, VERSION = 0x13, 0x01
FIRST_KEYS: Final = "first keys"
AUTHORITY: Final = "authority"
"""The property that holds the authority's secret, sealed."""
AUTHORITY_CERTIFICATE: Final = "authority certificate"
P256: Final = b"\0"
_SCALAR: Final = 32
_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no end


def issue_keys(card: CardParts, keys: StaticKeys) -> None:
    """Give a new card's issuer security domain `keys`, and keep a copy to come back to."""
    secret = card.keys.seal_secret(FIRST_KEYS, (keys.enc, keys.mac, keys.dek))
    card.registry.set_property(FIRST_KEYS, secret)
    restore_keys(card)


def restore_keys(card: CardParts) -> None:
    """Give the issuer's domain, which has no keys left, its first ones again."""
    issuer = card.registry.issuer().aid
    for tag, _ in card.registry.objects(issuer):
        card.registry.set_object(issuer, tag, b"")
    sealed = card.registry.find_property(FIRST_KEYS)
    assert sealed is not None  # `issue_keys` has put it there
    enc, mac, dek = card.keys.open_secret(FIRST_KEYS, sealed)
    card.keys.put_static(issuer, card.profile.key_version, StaticKeys(enc, mac, dek))
    if card.profile.attested:
        _issue_attested_key(card, issuer)


def require_unblocked(card: CardParts, key_set: KeySet) -> None:
    """Return if the key set has attempts left; raise `CardRefusal` otherwise.

    Where the profile says so, what is blocked is removed, for good; a card that has no keys
    left then begins anew with those it was issued with.
    """
    if key_set.failures < card.profile.attempts:
        return
    if card.profile.restores_keys:
        with card.database.transaction():
            card.keys.remove_set(key_set)
            card.certificates.forget(key_set.domain, key_set.base, key_set.version)
            if not card.keys.describe(key_set.domain):
                restore_keys(card)
    raise CardRefusal(
        Sw.BLOCKED, f"key {key_set.version:02X}/{key_set.base:02X}: too many wrong attempts"
    )


def _issue_attested_key(card: CardParts, domain: bytes) -> None:
    """Make the card's authority, and the key 13/01 of `domain` with its certificates."""
    secret = new_key(card, VERSION, IDENTIFIER, P256)
    authority = private_key(secret)
    root = _certificate(card, f"Meterlet authority {_serial(card)}", authority, None, authority)
    scalar = authority.private_numbers().private_value.to_bytes(_SCALAR, "big")
    card.registry.set_property(AUTHORITY, card.keys.seal_secret(AUTHORITY, [scalar]))
    card.registry.set_property(AUTHORITY_CERTIFICATE, root.public_bytes(Encoding.DER))
    key = new_key(card, VERSION, IDENTIFIER, P256)
    card.keys.put(domain, [key])
    attest(card, key)


def attest(card: CardParts, key: Key) -> None:
    """Keep the certificates, leaf last, of a key of SCP11 that the card has made.

    Only a card that was issued with an authority does.
    """
    sealed = card.registry.find_property(AUTHORITY)
    if sealed is None or key.identifier not in CARD_KEYS:
        return
    (scalar,) = card.keys.open_secret(AUTHORITY, sealed)
    authority = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())
    root = card.registry.find_property(AUTHORITY_CERTIFICATE)
    assert root is not None  # goes with the secret
    issuer = x509.load_der_x509_certificate(root).subject
    name = f"Meterlet card {_serial(card)}"
    if (key.identifier, key.version) != (IDENTIFIER, VERSION):
        name += f" {key.identifier:02X}/{key.version:02X}"
    leaf = _certificate(card, name, private_key(key), issuer, authority)
    reference = Tlv.of(0xA6, [Tlv(0x83, bytes((key.identifier, key.version)))])
    bundle = Tlv(0xBF21, root + leaf.public_bytes(Encoding.DER))
    card.certificates.store(card.registry.issuer().aid, [reference, bundle])


def _serial(card: CardParts) -> str:
    return (card.registry.find_property("serial") or b"").hex().upper()


def _certificate(
    card: CardParts,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    serial = int.from_bytes(b"\x01" + card.random(15), "big")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256())
