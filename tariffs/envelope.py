# SPDX-License-Identifier: Apache-2.0
"""A signed tariff, taken apart: a document as `protocols.canonical.cose` describes it.

The content type is `application/meterlet-tariff+cbor` for a tariff, so that nothing else that the
same key signed can be taken for one.
"""

from typing import Final

from protocols.canonical.cose import CoseRefused
from protocols.canonical.cose import SignedParts as SignedParts  # for whoever imports tariffs
from tariffs.errors import SignatureRefused

CONTENT_TYPE: Final = "application/meterlet-tariff+cbor"


def split_signed_tariff(document: bytes) -> SignedParts:
    """Return the parts of a signed tariff, unverified; raise `SignatureRefused` for other bytes."""
    return split_signed(document, CONTENT_TYPE)


def split_signed(document: bytes, content: str) -> SignedParts:
    """Return the parts of a signed document of this type, unverified, as for a tariff."""
    try:
        return SignedParts.decode(document, content)
    except CoseRefused as error:
        raise SignatureRefused(str(error)) from None
