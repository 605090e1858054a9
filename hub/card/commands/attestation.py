# SPDX-License-Identifier: Apache-2.0
"""The key for SCP11b that a card is issued with, and the two certificates that vouch for it.

The authority's key is made for this one signature and forgotten: nobody can vouch for another
card with it, and whoever enrols the card notes the certificate.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hub.card.commands.put_key import new_key, private_key
from protocols.iso7816.tlv import Tlv

if TYPE_CHECKING:
    from hub.card.state import Card

__all__ = ["issue_attested_key"]

IDENTIFIER, VERSION = 0x13, 0x01
P256: Final = b"\0"
_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no end


def issue_attested_key(card: "Card", domain: bytes) -> None:
    """Make the key 13/01 of `domain` and keep its certificate chain, leaf last."""
    key = new_key(card, VERSION, IDENTIFIER, P256)
    authority = private_key(new_key(card, VERSION, IDENTIFIER, P256))
    serial = (card.registry.find_property("serial") or b"").hex().upper()
    root = _certificate(card, f"Meterlet authority {serial}", authority, None, authority)
    leaf = _certificate(card, f"Meterlet card {serial}", private_key(key), root.subject, authority)
    card.keys.put(domain, [key])
    bundle = root.public_bytes(Encoding.DER) + leaf.public_bytes(Encoding.DER)
    reference = Tlv.of(0xA6, [Tlv(0x83, bytes((IDENTIFIER, VERSION)))])
    card.certificates.store(domain, [reference, Tlv(0xBF21, bundle)])


def _certificate(
    card: "Card",
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
