# SPDX-License-Identifier: Apache-2.0
"""Who may manage content: authorised domains, delegated ones with a token; and the receipts.

GPCS 2.3.1, 9.1.3 and annex C. A token is a signature over P1, P2, Lc and the data before it, under
the key 01 of version 70 of the domain that verifies tokens. A receipt comes from the domain that
generates them, under its key 01 of version 71:

    length | length of receipt, receipt | 02, confirmation counter | length, card unique data

and signs everything after the receipt, then the AIDs that the operation is about; of a registry
update all its fields, with the domain that it was of before.
"""

from typing import Final

from hub.card.entries import Privilege, RegistryEntry
from hub.card.keys.signatures import sign, verify
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import encode_length, encode_lv

TOKEN_VERSION: Final = 0x70
RECEIPT_VERSION: Final = 0x71
KEY_IDENTIFIER: Final = 0x01
NO_RECEIPT: Final = b"\0"


def authorise(card: CardParts, call: CardCall, token: bytes, signed: bytes) -> None:
    """Return if the selected domain may do what `signed` (the data before the token) says.

    Raises `CardRefusal` for a domain without the privilege and for a missing or wrong token.
    """
    domain = call.domain
    card.content.require_personalised(domain)
    if domain.has(Privilege.AUTHORIZED_MANAGEMENT):
        return
    if not domain.has(Privilege.DELEGATED_MANAGEMENT):
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            "the security domain manages no content: it has neither authorised nor delegated"
            " management (GPCS 9.1.3)",
        )
    if not token:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "delegated management needs a token (9.1.3.2)"
        )
    verifier = _privileged(card, domain, Privilege.TOKEN_VERIFICATION)
    key = verifier and card.keys.find(verifier.aid, TOKEN_VERSION, KEY_IDENTIFIER)
    if not key:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "there is no key to verify tokens (70/01)")
    if not verify(key, _token_message(call.command, signed), token):
        raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, "the token is wrong (GPCS annex C.4)")


def _token_message(command: CommandApdu, signed: bytes) -> bytes:
    length = len(signed)
    lc = bytes((length,)) if length <= 0xFF else b"\0" + length.to_bytes(2, "big")
    return bytes((command.p1, command.p2)) + lc + signed


def _privileged(
    card: CardParts, domain: RegistryEntry, privilege: Privilege
) -> RegistryEntry | None:
    """Return the nearest domain above that has `privilege`."""
    above = card.registry.ancestry(domain)[1:]
    return next((entry for entry in above if entry.has(privilege)), None)


def confirmation_counter(card: CardParts) -> bytes:
    """Return the value of tag C2, two bytes: how many receipts there have been."""
    return card.registry.find_property("confirmation") or b"\0\0"


def confirm(card: CardParts, call: CardCall, *fields: bytes) -> bytes:
    """Return the response data of an operation on `fields`: a receipt, or 00 for none."""
    if not call.domain.has(Privilege.DELEGATED_MANAGEMENT):
        return NO_RECEIPT
    generator = _privileged(card, call.domain, Privilege.RECEIPT_GENERATION)
    key = generator and card.keys.find(generator.aid, RECEIPT_VERSION, KEY_IDENTIFIER)
    if not key:
        return NO_RECEIPT
    count = int.from_bytes(confirmation_counter(card), "big") + 1
    if count > 0xFFFF:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the confirmation counter is at its end")
    card.registry.set_property("confirmation", count.to_bytes(2, "big"))
    issuer = card.registry.issuer().aid
    unique = b"".join(
        card.registry.find_object(issuer, tag) or default
        for tag, default in ((0x42, card.profile.issuer), (0x45, card.profile.image))
    )
    confirmation = encode_lv(count.to_bytes(2, "big"), unique)
    receipt = sign(key, confirmation + encode_lv(*fields))
    if receipt is None:
        return NO_RECEIPT
    body = encode_lv(receipt) + confirmation
    return encode_length(len(body)) + body
