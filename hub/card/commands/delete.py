# SPDX-License-Identifier: Apache-2.0
"""DELETE: applications, domains, packages and keys go (GPCS 2.3.1, 9.5 and 11.2)."""

from typing import Final

from hub.card.commands.get_data import require_authenticated, within
from hub.card.commands.issued_keys import restore_keys
from hub.card.commands.parameters import check_reference
from hub.card.commands.tokens_receipts import NO_RECEIPT, authorise, confirm
from hub.card.entries import Kind, Privilege, RegistryEntry
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Tlv

RELATED, LAST_KEY = 0x80, 0x01
AID, TOKEN, REFERENCE, KEY, VERSION = 0x4F, 0x9E, 0xB6, 0xD0, 0xD2
_SCP03: Final = frozenset({1, 2, 3})


def delete(card: CardParts, call: CardCall, data: bytes) -> ResponseApdu:
    """Delete an object (4F) or keys (D0, D2); `data` is that of the whole chain."""
    require_authenticated(call)
    with refusing_malformed("DELETE"):
        fields = Tlv.decode_map(data)
    if call.command.p2 & ~(RELATED | LAST_KEY):
        raise CardRefusal(Sw.WRONG_P1_P2, "P2 of DELETE is 00, 80, or 01 for the last key")
    if AID in fields:
        if fields.keys() - {AID, TOKEN, REFERENCE}:
            raise CardRefusal(Sw.WRONG_DATA, "DELETE names an object (4F) or keys (D0, D2)")
        return _delete_object(card, call, fields, data)
    if not fields or fields.keys() - {KEY, VERSION} or any(len(v) != 1 for v in fields.values()):
        raise CardRefusal(Sw.WRONG_DATA, "DELETE names an object (4F) or keys (D0, D2)")
    return _delete_keys(card, call, fields)


def _delete_object(
    card: CardParts, call: CardCall, fields: dict[int, bytes], data: bytes
) -> ResponseApdu:
    aid, token = fields[AID], fields.get(TOKEN, b"")
    check_reference(card, fields.get(REFERENCE, b""))
    entry = card.registry.find(aid)
    if entry is None:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"nothing to delete: {aid.hex().upper()}")
    if not call.domain.has(Privilege.GLOBAL_DELETE):
        signed = data
        if token:
            signed = b"".join(node.encode() for node in Tlv.decode_all(data) if node.tag != TOKEN)
        authorise(card, call, token, signed)
        if not within(card, call.domain, entry):
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the object belongs to another domain")
    if entry.aid == call.domain.aid:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "a security domain does not delete itself")
    gone = card.content.doomed(aid, related=bool(call.command.p2 & RELATED))
    _require_unselected(call, gone)
    card.content.delete(gone)
    return ResponseApdu(confirm(card, call, aid), Sw.SUCCESS)


def _require_unselected(call: CardCall, gone: list[RegistryEntry]) -> None:
    """Return unless one of `gone` is selected on another logical channel (GPCS 9.5.1).

    Another connection is another host: what that one has selected keeps nobody from deleting it.
    """
    names = {entry.aid for entry in gone}
    for channel in call.conversation.channels.values():
        if channel.selected in names:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                f"it is selected on logical channel {channel.number}: close that first (9.5.1)",
            )


def _delete_keys(card: CardParts, call: CardCall, fields: dict[int, bytes]) -> ResponseApdu:
    identifier, version = (fields.get(tag, b"\0")[0] for tag in (KEY, VERSION))
    domain = call.domain.aid
    held = [(v, k) for v, k, _ in card.keys.describe(domain)]
    gone = [(v, k) for v, k in held if version in {0, v} and identifier in {0, k}]
    if not gone:
        raise CardRefusal(
            Sw.REFERENCE_NOT_FOUND, f"no key {version:02X}/{identifier:02X} in the domain"
        )
    last = len(gone) == len(held)
    if last and call.domain.kind is Kind.ISSUER_DOMAIN and not call.command.p2 & LAST_KEY:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "the card's last key would go (P2 01 allows it)"
        )
    partly = {v for v, k in gone if k in _SCP03} & {
        v for v, k in held if k in _SCP03 and (v, k) not in gone
    }
    if partly:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "the keys of an SCP03 key set go together, by version"
        )
    card.keys.remove(domain, version=version, identifier=identifier)
    for v, k in gone:
        card.certificates.forget(domain, k, v)
    if card.profile.restores_keys and not card.keys.describe(domain):
        restore_keys(card)
    return ResponseApdu(NO_RECEIPT, Sw.SUCCESS)
