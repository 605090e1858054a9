# SPDX-License-Identifier: Apache-2.0
"""Signs documents and verifies them: COSE_Sign1 with Ed25519 (RFC 9052, RFC 9053 section 2.2)."""

from hmac import compare_digest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cwt import COSE, COSEKey, CWTError
from cwt.cose_key_interface import COSEKeyInterface

from tariffs.document import Tariff
from tariffs.envelope import CONTENT_TYPE, header, split_signed
from tariffs.errors import SignatureRefused
from tariffs.price_index import INDEX_CONTENT_TYPE, PriceIndex

__all__ = [
    "sign_document",
    "sign_index",
    "sign_tariff",
    "verify_document",
    "verify_signed_index",
    "verify_signed_tariff",
]


def _cose_key(key: Ed25519PrivateKey | Ed25519PublicKey, key_id: bytes) -> COSEKeyInterface:
    if isinstance(key, Ed25519PrivateKey):
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    else:
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    return COSEKey.from_pem(pem, kid=key_id)


def sign_document(
    payload: bytes, content: str, private_key: Ed25519PrivateKey, key_id: bytes
) -> bytes:
    """Return `payload` signed as a document of this type; the same input gives the same bytes."""
    if not key_id:
        raise SignatureRefused("a key id has a byte at least")
    document = COSE.new(deterministic_header=True).encode_and_sign(
        payload, _cose_key(private_key, key_id), protected=dict(header(key_id, content))
    )
    assert isinstance(document, bytes)
    split_signed(document, content)
    return document


def verify_document(
    document: bytes, content: str, public_key: Ed25519PublicKey, key_id: bytes | None = None
) -> bytes:
    """Return what `public_key` signed as a document of this type.

    Raises `SignatureRefused` for any other document, or one by a key of another id than `key_id`.
    """
    parts = split_signed(document, content)
    if key_id is not None and not compare_digest(parts.key_id, key_id):
        raise SignatureRefused(f"signed with the key {parts.key_id.hex()}, not {key_id.hex()}")
    try:
        payload = COSE.new().decode(document, _cose_key(public_key, parts.key_id))
    except CWTError:
        raise SignatureRefused("the signature is wrong") from None
    assert payload == parts.payload
    return parts.payload


def sign_tariff(tariff: Tariff, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
    """Return the signed document; the same tariff and key give the same bytes."""
    return sign_document(tariff.encode(), CONTENT_TYPE, private_key, key_id)


def verify_signed_tariff(
    document: bytes, public_key: Ed25519PublicKey, key_id: bytes | None = None
) -> Tariff:
    """Return the tariff that `public_key` signed.

    Raises `SignatureRefused` as `verify_document` does, `MalformedTariff` if what was signed is no
    tariff.
    """
    return Tariff.decode(verify_document(document, CONTENT_TYPE, public_key, key_id))


def sign_index(index: PriceIndex, private_key: Ed25519PrivateKey, key_id: bytes) -> bytes:
    """Return the signed document of a price index."""
    return sign_document(index.encode(), INDEX_CONTENT_TYPE, private_key, key_id)


def verify_signed_index(document: bytes, public_key: Ed25519PublicKey) -> PriceIndex:
    """Return the index that `public_key` signed; raise as `verify_signed_tariff` does."""
    return PriceIndex.decode(verify_document(document, INDEX_CONTENT_TYPE, public_key))
