# SPDX-License-Identifier: Apache-2.0
"""A signed document, taken apart: COSE_Sign1 (RFC 9052) with the one header it may have.

    18([ <<{1: -8, 3: content type, 4: key id}>>, {}, document, signature ])

The content type is `application/meterlet-tariff+cbor` for a tariff, so that nothing else that the
same key signed can be taken for one.

Nothing is checked here but the form. A place that cannot verify (the applet machine has no
cryptography) hands `to_be_signed` and `signature` to one that can.
"""

from dataclasses import dataclass
from typing import Final

from tariffs import _canonical
from tariffs.errors import MalformedTariff, SignatureRefused

__all__ = ["CONTENT_TYPE", "SignedParts", "header", "split_signed", "split_signed_tariff"]

CONTENT_TYPE: Final = "application/meterlet-tariff+cbor"
ALGORITHM, CONTENT, KEY_ID = 1, 3, 4
EDDSA: Final = -8
TAG_SIGN1: Final = b"\xd2"
SIGNATURE_SIZE: Final = 64


def header(key_id: bytes, content: str = CONTENT_TYPE) -> dict[int | str, _canonical.Value]:
    """Return the protected header of a document of this type, signed by the key of this id."""
    return {ALGORITHM: EDDSA, CONTENT: content, KEY_ID: key_id}


@dataclass(frozen=True, slots=True)
class SignedParts:
    """A signed document's parts; nothing in it has been verified."""

    payload: bytes
    """The tariff's canonical document."""
    signature: bytes
    """Ed25519, 64 bytes, over `to_be_signed`."""
    key_id: bytes
    protected: bytes

    @property
    def to_be_signed(self) -> bytes:
        """The Sig_structure of RFC 9052 section 4.4, without external data."""
        return _canonical.encode(["Signature1", self.protected, b"", self.payload])


def split_signed_tariff(document: bytes) -> SignedParts:
    """Return the parts of a signed tariff, unverified; raise `SignatureRefused` for other bytes."""
    return split_signed(document, CONTENT_TYPE)


def split_signed(document: bytes, content: str) -> SignedParts:
    """Return the parts of a signed document of this type, unverified, as for a tariff."""
    if document[:1] != TAG_SIGN1:
        raise SignatureRefused("not a COSE_Sign1 document")
    try:
        parts = _canonical.decode(document[1:])
    except MalformedTariff as error:
        raise SignatureRefused(error.reason) from None
    match parts:
        case [bytes(protected), dict(unprotected), bytes(payload), bytes(signature)]:
            pass
        case _:
            raise SignatureRefused("not the four parts of a COSE_Sign1 document")
    if unprotected:
        raise SignatureRefused("a header that nobody signed")
    if len(signature) != SIGNATURE_SIZE:
        raise SignatureRefused("the signature has not 64 bytes")
    return SignedParts(payload, signature, _key_id(protected, content), protected)


def _key_id(protected: bytes, content: str) -> bytes:
    try:
        match _canonical.decode(protected):
            case dict(found):
                key_id = found.get(KEY_ID)
                if isinstance(key_id, bytes) and key_id and found == header(key_id, content):
                    return key_id
    except MalformedTariff as error:
        raise SignatureRefused(error.reason) from None
    raise SignatureRefused(f"the header is not that of {content} signed with EdDSA")
