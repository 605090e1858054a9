# SPDX-License-Identifier: Apache-2.0
"""A signed document: COSE_Sign1 (RFC 9052, section 4.2) with the one header it may have.

    18([ <<{1: -8, 3: content type, 4: key id}>>, {}, payload, signature ])

in deterministic CBOR, signed with Ed25519 (RFC 9053, section 2.2). The content type is under the
signature, so that no document can be taken for one of another type that the same key signed.

Only the form is checked here. A place that cannot verify (the applet machine has no cryptography)
hands `to_be_signed` and `signature` to one that can; `protocols.canonical.signing` is for the rest.
"""

from dataclasses import dataclass
from typing import Final, Self

from protocols.canonical.cbor import CborError, decode, encode

TAG_SIGN1: Final = b"\xd2"
ALGORITHM, CONTENT_TYPE, KEY_ID = 1, 3, 4
EDDSA: Final = -8
SIGNATURE_SIZE: Final = 64


class CoseRefused(ValueError):
    """A signed document is malformed, or not signed by the key it should be."""


@dataclass(frozen=True, slots=True)
class SignedParts:
    """A signed document's parts; nothing in it has been verified."""

    payload: bytes
    signature: bytes
    """Ed25519, 64 bytes, over `to_be_signed`."""
    key_id: bytes
    content_type: str

    def __post_init__(self) -> None:
        if not self.key_id:
            raise CoseRefused("a key id has a byte at least")
        if len(self.signature) != SIGNATURE_SIZE:
            raise CoseRefused("the signature has not 64 bytes")

    @property
    def protected(self) -> bytes:
        """The header, which is signed."""
        return _header(self.content_type, self.key_id)

    @property
    def to_be_signed(self) -> bytes:
        """The Sig_structure."""
        return sig_structure(self.content_type, self.key_id, self.payload)

    def encode(self) -> bytes:
        """Return the document."""
        return TAG_SIGN1 + encode([self.protected, {}, self.payload, self.signature])

    @classmethod
    def decode(cls, document: bytes, content_type: str) -> Self:
        """Return the parts of a document of this type; raise `CoseRefused` for other bytes."""
        if document[:1] != TAG_SIGN1:
            raise CoseRefused("not a COSE_Sign1 document")
        try:
            parts = decode(document[1:])
            match parts:
                case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
                    header = decode(protected)
                case _:
                    raise CoseRefused("not the four parts of a COSE_Sign1 document")
        except CborError as error:
            raise CoseRefused(f"document: {error}") from None
        if unprotected:
            raise CoseRefused("a header that nobody signed")
        key_id = header.get(KEY_ID) if isinstance(header, dict) else None
        if not isinstance(key_id, bytes) or protected != _header(content_type, key_id):
            raise CoseRefused(f"the header is not that of {content_type} signed with EdDSA")
        return cls(payload, signature, key_id, content_type)


def _header(content_type: str, key_id: bytes) -> bytes:
    return encode({ALGORITHM: EDDSA, CONTENT_TYPE: content_type, KEY_ID: key_id})


def sig_structure(content_type: str, key_id: bytes, payload: bytes) -> bytes:
    """Return what is signed: RFC 9052, section 4.4, without external data."""
    return encode(["Signature1", _header(content_type, key_id), b"", payload])
