# SPDX-License-Identifier: Apache-2.0
"""Signs tariffs, indexes and invoices, and verifies them: COSE_Sign1 with Ed25519."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical import signing
from protocols.canonical.cose import CoseRefused
from tariffs.document import Tariff
from tariffs.envelope import CONTENT_TYPE
from tariffs.errors import SignatureRefused
from tariffs.price_index import INDEX_CONTENT_TYPE, PriceIndex


def sign_document(
    payload: bytes, content: str, private_key: Ed25519PrivateKey, key_id: bytes
) -> bytes:
    """Return `payload` signed as a document of this type; the same input gives the same bytes."""
    try:
        return signing.sign_document(payload, content, private_key, key_id)
    except CoseRefused as error:
        raise SignatureRefused(str(error)) from None


def verify_document(
    document: bytes, content: str, public_key: Ed25519PublicKey, key_id: bytes | None = None
) -> bytes:
    """Return what `public_key` signed as a document of this type.

    Raises `SignatureRefused` for any other document, or one by a key of another id than `key_id`.
    """
    try:
        return signing.verify_document(document, content, public_key, key_id)
    except CoseRefused as error:
        raise SignatureRefused(str(error)) from None


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
