# SPDX-License-Identifier: Apache-2.0
"""Signs and verifies documents (`protocols.canonical.cose`) with Ed25519."""

from hashlib import sha256
from hmac import compare_digest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cose import CoseRefused, SignedParts, sig_structure


def key_id_of(public_key: Ed25519PublicKey) -> bytes:
    """Return the short name of a public key: the first 8 bytes of its SHA-256."""
    return sha256(public_key.public_bytes_raw()).digest()[:8]


def sign_document(
    payload: bytes, content_type: str, private_key: Ed25519PrivateKey, key_id: bytes
) -> bytes:
    """Return `payload` signed as a document of this type; the same input gives the same bytes."""
    signature = private_key.sign(sig_structure(content_type, key_id, payload))
    return SignedParts(payload, signature, key_id, content_type).encode()


def verify_document(
    document: bytes, content_type: str, public_key: Ed25519PublicKey, key_id: bytes | None = None
) -> bytes:
    """Return what `public_key` signed as a document of this type.

    Raises `CoseRefused` for any other document, or one by a key of another id than `key_id`.
    """
    parts = SignedParts.decode(document, content_type)
    if key_id is not None and not compare_digest(parts.key_id, key_id):
        raise CoseRefused(f"signed with the key {parts.key_id.hex()}, not {key_id.hex()}")
    try:
        public_key.verify(parts.signature, parts.to_be_signed)
    except InvalidSignature:
        raise CoseRefused("the signature is wrong") from None
    return parts.payload
