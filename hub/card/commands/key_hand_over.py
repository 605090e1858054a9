# SPDX-License-Identifier: Apache-2.0
"""A domain's keys, agreed with their owner through STORE DATA (GPC Amendment A, scenario 3).

The card's side of `protocols.secure_channel.key_hand_over`. The key of the card is that of the
controlling authority: a domain of this AID, with an EC key of version 74 and the certificate (7F21)
that the owner checks. Who manages the card installs it, as any other domain.

Afterwards the domain is the owner's alone: the receipt is the last answer of the session that the
request came in, and every other session in the domain is over, too. Keys without random bytes of
the card's (parameter 02) are not agreed: the same request would bring the same keys again, with
their counter at its start, and so what somebody has recorded of their sessions would be good again.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from hub.card.commands.get_data import SOURCES
from hub.card.commands.put_key import private_key, store_keys
from hub.card.entries import Kind, RegistryEntry
from hub.card.keys.keystore import DEK, ENC, MAC, Key, KeyPart, KeyType
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.key_hand_over import (
    CURVE_SIZE,
    POINT_GROUP,
    RANDOM,
    RANDOM_SIZE,
    RECEIPT,
    REPLACES,
    REQUEST_GROUP,
    WITH_RANDOM,
    AgreedKeys,
    KeyRequest,
)

AUTHORITY: Final = bytes.fromhex("A00000015153504341534400")
"""The controlling authority's domain, by the AID that Amendment A gives it."""
AUTHORITY_VERSION: Final = 0x74
GROUPS: Final = [REQUEST_GROUP, POINT_GROUP]


def agree_keys(card: CardParts, call: CardCall, groups: list[tuple[int, bytes]]) -> bytes:
    """Give the selected domain the keys that its owner asks for; return the receipt."""
    if [name for name, _ in groups] != GROUPS:
        raise CardRefusal(
            Sw.WRONG_DATA, "a request for keys is DGI 00A6 and then 7F49, and nothing else"
        )
    try:
        request = KeyRequest.decode(groups[0][1])
    except RemoteChannelError as error:
        raise CardRefusal(Sw.WRONG_DATA, str(error)) from None
    if not request.parameters & WITH_RANDOM:
        raise CardRefusal(
            Sw.WRONG_DATA,
            "the request is without random bytes of the card's: ask with 02 in parameters (90), or"
            " the same request would bring the same keys again",
        )
    if call.domain.kind is Kind.ISSUER_DOMAIN or call.domain.aid == AUTHORITY:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            "the domains of the issuer and of the controlling authority are handed to nobody:"
            " PUT KEY replaces their keys",
        )
    names = [SOURCES[tag](card, _authority(card)) for tag in (0x42, 0x45)]
    if request.image not in {b"", SOURCES[0x45](card, call.domain)}:
        raise CardRefusal(Sw.WRONG_DATA, "45 is the image number of another domain")
    secret = _secret(card, groups[1][1])
    random = card.random(RANDOM_SIZE)
    agreed = AgreedKeys.of(request, secret, random, names)
    if request.parameters & REPLACES:
        for version, identifier, _ in card.keys.describe(call.domain.aid):
            card.certificates.forget(call.domain.aid, identifier, version)
        card.keys.remove(call.domain.aid)
    triple = ((ENC, agreed.keys.enc), (MAC, agreed.keys.mac), (DEK, agreed.keys.dek))
    keys = [
        Key(request.version, number, (KeyPart(KeyType.AES, value),)) for number, value in triple
    ]
    store_keys(card, call, keys, 0)
    _end_sessions(card, call)
    return Tlv(RANDOM, random).encode() + Tlv(RECEIPT, agreed.receipt).encode()


def _end_sessions(card: CardParts, call: CardCall) -> None:
    """End all sessions in the domain, and of what belongs to it; this one after its answer."""
    for conversation in card.conversations():
        for channel in conversation.channels.values():
            entry = None if channel.selected is None else card.registry.find(channel.selected)
            if entry is None or call.domain.aid not in _domains_of(card, entry):
                continue
            if channel is call.channel:
                channel.is_ending = True
            else:
                channel.forget()


def _domains_of(card: CardParts, entry: RegistryEntry) -> list[bytes]:
    return [domain.aid for domain in card.registry.ancestry(entry)]


def _authority(card: CardParts) -> RegistryEntry:
    entry = card.registry.find(AUTHORITY)
    if entry is None or not entry.is_domain or entry.is_locked:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"the card has no domain of a controlling authority, {AUTHORITY.hex().upper()}",
        )
    return entry


def _secret(card: CardParts, point: bytes) -> bytes:
    """Return what the authority's key and the owner's point have in common."""
    domain = _authority(card).aid
    for key in card.keys.all(domain):
        if key.version != AUTHORITY_VERSION or key.part(KeyType.EC_PRIVATE) is None:
            continue
        secret = private_key(key)
        if secret.curve.key_size != CURVE_SIZE:
            continue
        try:
            theirs = ec.EllipticCurvePublicKey.from_encoded_point(secret.curve, point)
        except ValueError:
            raise CardRefusal(
                Sw.WRONG_DATA, "the owner's point (7F49) is not on the authority's curve"
            ) from None
        return secret.exchange(ec.ECDH(), theirs)
    raise CardRefusal(
        Sw.CONDITIONS_NOT_SATISFIED,
        f"the controlling authority's domain has no key {AUTHORITY_VERSION:X} on a curve of"
        f" {CURVE_SIZE} bits",
    )
