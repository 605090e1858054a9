# SPDX-License-Identifier: Apache-2.0
"""How the messages of a round are written down and signed.

    message   = CBOR [label, item, ...]                     the only encoding
    signed    = CBOR [message, signature]                   Ed25519 over the message

The label names the message and its version, so that no signature stands for two messages.
"""

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.aggregation.errors import MalformedMessage
from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array

SIGNATURE_SIZE: Final = 64
DIGEST_SIZE: Final = 32
KEY_SIZE: Final = 32


def encode_message(label: str, *items: CborItem) -> bytes:
    """Return the message."""
    return encode_array([label, *items])


def decode_message(data: bytes, label: str) -> list[CborItem]:
    """Return the items after the label; raise `MalformedMessage` if it is another message."""
    try:
        items = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a message of type {label!r}: {error}") from None
    if not items or items[0] != label:
        raise MalformedMessage(f"not a message of type {label!r}")
    return items[1:]


def encode_signed(message: bytes, signature: bytes) -> bytes:
    """Return a message together with its signature."""
    return encode_array([message, signature])


def decode_signed(data: bytes) -> tuple[bytes, bytes]:
    """Return message and signature; raise `MalformedMessage` if that is not what `data` is."""
    try:
        items: Sequence[CborItem] = decode_array(data)
    except CborError as error:
        raise MalformedMessage(f"not a signed message: {error}") from None
    match items:
        case [bytes(message), bytes(signature)] if len(signature) == SIGNATURE_SIZE:
            return message, signature
        case _:
            raise MalformedMessage("not a message and its signature")


def sign(message: bytes, seed: bytes) -> bytes:
    """Return the Ed25519 signature under the private key of this seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_signed(message: bytes, signature: bytes, public_key: bytes) -> bool:
    """Return whether the signature is the key's; False for bytes that are no key."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def require_size(name: str, value: bytes, size: int) -> None:
    """Raise `MalformedMessage` unless `value` has `size` bytes."""
    if len(value) != size:
        raise MalformedMessage(f"{name}: {len(value)} bytes, not {size}")
