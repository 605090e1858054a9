# SPDX-License-Identifier: Apache-2.0
"""GET DATA and GET STATUS: what the card tells of itself (GPCS 2.3.1, 11.3 and 11.4; annex H)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from hub.card.commands.tokens_receipts import confirmation_counter
from hub.card.entries import Kind, Privilege, RegistryEntry
from hub.card.keys.keystore import Key, KeyType
from hub.card.logical_channel import CardCall, LogicalChannel
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Cursor, Tlv

PAGE: Final = 239
"""As much as fits a short response at the highest level and S16: 240 encrypted, 16 of MAC."""


def require_authenticated(call: CardCall) -> None:
    """Return if the host has proved that it knows the domain's keys; else raise `CardRefusal`."""
    if call.channel.authenticated is None:
        raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, "the host has not authenticated (GPCS 11.1.2)")
    if call.channel.authentication is not None and not call.channel.authentication.may_manage:
        raise CardRefusal(
            Sw.SECURITY_NOT_SATISFIED, "a session of SCP11c is for applications, not for management"
        )


# GET DATA

PRODUCTION_PARTS: Final = (0x9F67, 0x9F66)
"""Pre-personalisation and personalisation: who, when and with which equipment."""
PRODUCTION_PART: Final = 8
OID: Final = bytes.fromhex("2A864886FC6B")  # 1.2.840.114283, globalPlatform


def card_data(card: CardParts, _: RegistryEntry) -> bytes:
    """Return the value of tag 66: what the card is and which secure channels it speaks (H.2)."""

    def oid(tail: str) -> Tlv:
        return Tlv(0x06, OID + bytes.fromhex(tail))

    protocols = [oid(f"0403{card.profile.option:02X}")]
    protocols += [oid(f"0411{option:02X}") for option in card.profile.scp11_options]
    recognition = Tlv.of(
        0x73,
        [
            oid("01"),
            Tlv.of(0x60, [oid("02020301")]),
            Tlv.of(0x63, [oid("03")]),
            *(Tlv.of(0x64, [protocol]) for protocol in protocols),
        ],
    )
    return recognition.encode()


def capabilities(card: CardParts, _: RegistryEntry) -> bytes:
    """Return the value of tag 67: protocols, privileges and algorithms (H.4)."""
    scp03 = [Tlv(0x80, b"\x03"), Tlv(0x81, bytes((card.profile.option,))), Tlv(0x82, b"\x07")]
    parts = [Tlv.of(0xA0, scp03)]
    if card.profile.scp11_options:
        options = bytes(card.profile.scp11_options)
        scp11 = [Tlv(0x80, b"\x11"), Tlv(0x81, options), Tlv(0x82, b"\x07")]
        parts.append(Tlv.of(0xA0, scp11))
    parts += [
        Tlv(0x81, bytes.fromhex("FFFE80")),  # privileges a security domain may get
        Tlv(0x82, bytes.fromhex("040200")),  # and an application
        Tlv(0x83, bytes((1, 2, 3, 4))),  # hashes of load files: SHA-1, SHA-256, SHA-384, SHA-512
        Tlv(0x85, bytes.fromhex("FB03")),  # tokens: RSA, AES-CMAC, ECDSA
        Tlv(0x86, bytes.fromhex("FB03")),  # receipts
        Tlv(0x87, bytes.fromhex("FB03")),  # DAP
    ]
    return b"".join(part.encode() for part in parts)


def production_data(card: CardParts, _: RegistryEntry) -> bytes:
    """Return the 42 bytes of CPLC, tag 9F7F (GPCS 2.3.1, annex H.6), those of no real chip.

    Who prepared and who personalised the card, the last 16 bytes, STORE DATA may tell.
    """
    serial = card.registry.find_property("serial") or bytes(8)
    fabricator, chip, system = b"\x4d\x45", b"\x54\x45", b"\x52\x4c"
    made = (fabricator + chip + system + bytes(6) + serial).ljust(26, b"\0")
    issuer = card.registry.issuer().aid
    stored = (card.registry.find_object(issuer, tag) for tag in PRODUCTION_PARTS)
    return made + b"".join(value or bytes(PRODUCTION_PART) for value in stored)


def key_information(card: CardParts, domain: RegistryEntry) -> bytes:
    """Return the value of tag E0: each key's identifier, version, types and lengths (11.3.3.1).

    A length of 00 is 256, so that most keys have the basic form: not every client reads the other.
    A domain without keys of its own has the object all the same, an empty one.
    """
    nodes = []
    for version, identifier, parts in card.keys.describe(domain.aid):
        head = bytes((identifier, version))
        if all(length <= 0x100 for _, length in parts):
            key = card.keys.find(domain.aid, version, identifier)
            body = b"".join(_basic_form(key, kind, length) for kind, length in parts)
        else:
            body = b"".join(
                bytes((0xFF, kind)) + length.to_bytes(2, "big") for kind, length in parts
            )
            body += b"\0\0"  # no key usage, no key access
        nodes.append(Tlv(0xC0, head + body))
    return b"".join(node.encode() for node in nodes)


def _basic_form(key: Key | None, kind: int, length: int) -> bytes:
    """Return type and length of one part, and the curve's reference after its length.

    A public point counts without the 04 of its encoding (11.3.3.1.1).
    """
    if kind == KeyType.EC_PUBLIC:
        length -= 1
    curve = key.part(KeyType.EC_PARAMETERS) if key and kind == KeyType.EC_PARAMETERS else None
    return bytes((kind, length & 0xFF)) + (curve or b"")


def resources(card: CardParts, _: RegistryEntry) -> bytes:
    """Return the value of tag FF21: installed applications and memory left (ETSI TS 102 226)."""
    applications = sum(entry.kind is Kind.APPLICATION for entry in card.registry.entries())
    free = min(card.content.free_code_memory(), 0xFFFFFFFF)
    parts = [
        Tlv(0x81, bytes((min(applications, 0xFF),))),
        Tlv(0x82, free.to_bytes(4, "big")),
        Tlv(0x83, card.profile.volatile_memory.to_bytes(4, "big")),
    ]
    return b"".join(part.encode() for part in parts)


def sequence_counter(card: CardParts, domain: RegistryEntry) -> bytes:
    """Return the value of tag C1: the sequence counter of the default key set."""
    for ancestor in card.registry.ancestry(domain):
        key_set = card.keys.find_set(ancestor.aid, 0)
        if key_set is not None:
            return key_set.sequence.to_bytes(3, "big")
    return b""


def applications(card: CardParts, domain: RegistryEntry, *, everybodys: bool = True) -> bytes:
    """Return the value of tag 2F00: the applications that can be selected (11.3.3.1).

    All of them, or what belongs to `domain` alone.
    """
    return b"".join(
        Tlv.of(0x61, [Tlv(0x4F, entry.aid)]).encode()
        for entry in card.registry.entries()
        if entry.is_selectable and (everybodys or within(card, domain, entry))
    )


APPLICATIONS_TAG: Final = 0x2F00
KEY_INFORMATION: Final = 0xE0
"""Every security domain has it, an empty one without keys (11.3.2.1): clients look before they put
the first ones."""
Source: TypeAlias = Callable[[CardParts, RegistryEntry], bytes]
SOURCES: Final[Mapping[int, Source]] = {
    # The issuer identification number and the card image number, the domain's own or the card's.
    0x42: lambda card, domain: card.registry.find_object(domain.aid, 0x42) or card.profile.issuer,
    0x45: lambda card, domain: card.registry.find_object(domain.aid, 0x45) or card.profile.image,
    0x66: card_data,
    0x67: capabilities,
    0x9F7F: production_data,
    0xC1: sequence_counter,
    0xC2: lambda card, _: confirmation_counter(card),
    0xCF: lambda card, domain: card.diversification(domain.aid),
    KEY_INFORMATION: key_information,
    APPLICATIONS_TAG: applications,
    0xFF21: resources,
}
OF_THE_CARD: Final = frozenset({0xC2, 0xFF21})
"""What tells of the whole card, and so of other recipients' applets."""
AUTHORITIES: Final = frozenset({0xFF33, 0xFF34})
KEY_REFERENCE: Final = 0x83
SECURITY_LEVEL: Final = 0xD3


def get_data(card: CardParts, call: CardCall) -> ResponseApdu:
    """Answer GET DATA: the value alone with class 00, the whole TLV with class 80."""
    command, on_port = call.command, call.channel.line.is_open_to_strangers
    tag = command.p1 << 8 | command.p2
    if tag == 0xBF21:
        value = card.certificates.get(call.domain.aid, command.data)
    elif tag == KEY_REFERENCE:
        value = card.certificates.find_key(call.domain.aid, command.data)
    else:
        if command.data and tag != APPLICATIONS_TAG:
            raise CardRefusal(Sw.WRONG_DATA, f"GET DATA {tag:04X} carries no data")
        source = SOURCES.get(tag)
        if tag == SECURITY_LEVEL:
            value = bytes((call.channel.level,))
        elif on_port and tag in OF_THE_CARD:
            value = b""
        elif on_port and tag == APPLICATIONS_TAG:
            value = applications(card, call.domain, everybodys=False)
        elif source is not None:
            value = source(card, call.domain)
        elif tag in AUTHORITIES:
            value = card.certificates.authorities(call.domain.aid, tag)
        else:
            value = card.registry.find_object(call.domain.aid, tag) or b""
    if not value and tag != KEY_INFORMATION:
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"the security domain holds no object {tag:04X}")
    return ResponseApdu(Tlv(tag, value).encode() if command.cla & 0x80 else value, Sw.SUCCESS)


# GET STATUS

ISSUER, APPLICATIONS, PACKAGES, MODULES = 0x80, 0x40, 0x20, 0x10
NEXT, TLV_FORM = 0x01, 0x02
TAGS: Final = (0x4F, 0x9F70, 0xC5, 0xCF, 0xC4, 0xCE, 0x84, 0xCC)


@dataclass(slots=True)
class Listing:
    """A listing that has not come to its end, and what it was asked for."""

    question: tuple[int, int, bytes]
    items: list[bytes]


def within(card: CardParts, domain: RegistryEntry, entry: RegistryEntry) -> bool:
    """Whether `entry` is `domain` or belongs to it, directly or through others."""
    return any(ancestor.aid == domain.aid for ancestor in card.registry.ancestry(entry))


def get_status(card: CardParts, call: CardCall) -> ResponseApdu:
    """List what the registry holds of one kind, in pages (6310 says that more follows)."""
    require_authenticated(call)
    command, channel = call.command, call.channel
    if command.p2 & ~(NEXT | TLV_FORM) or command.p1 not in {
        ISSUER,
        APPLICATIONS,
        PACKAGES,
        MODULES,
    }:
        raise CardRefusal(Sw.WRONG_P1_P2, "GET STATUS lists 80, 40, 20 or 10, in form 00 or 02")
    question = (command.p1, command.p2 & TLV_FORM, command.data)
    if command.p2 & NEXT:
        listing = channel.process
        if not isinstance(listing, Listing) or listing.question != question:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no such listing is under way")
    else:
        listing = Listing(question, list(_items(card, call)))
        if not listing.items:
            raise CardRefusal(Sw.REFERENCE_NOT_FOUND, "nothing of this kind and name")
    return _page(channel, listing)


def _page(channel: LogicalChannel, listing: Listing) -> ResponseApdu:
    page = bytearray()
    while listing.items and (not page or len(page) + len(listing.items[0]) <= PAGE):
        page += listing.items.pop(0)
    channel.process = listing if listing.items else None
    return ResponseApdu(bytes(page), Sw.MORE_ENTRIES if listing.items else Sw.SUCCESS)


def _items(card: CardParts, call: CardCall) -> Iterable[bytes]:
    command = call.command
    prefix, tags = _criteria(command)
    for entry in card.registry.entries():
        if not entry.aid.startswith(prefix) or not _listed(command.p1, entry):
            continue
        everything = call.domain.has(Privilege.GLOBAL_REGISTRY)
        if not everything and not within(card, call.domain, entry):
            continue
        modules = card.registry.modules(entry.aid) if command.p1 == MODULES else []
        shown = replace(entry, privileges=card.content.held_privileges(entry))
        if command.p2 & TLV_FORM:
            yield _describe(shown, modules, tags)
        else:
            yield _describe_shortly(shown, modules, listed_modules=command.p1 == MODULES)


def _listed(scope: int, entry: RegistryEntry) -> bool:
    match scope:
        case 0x80:
            return entry.kind is Kind.ISSUER_DOMAIN
        case 0x40:
            return entry.kind in {Kind.DOMAIN, Kind.APPLICATION}
        case _:
            return entry.kind is Kind.PACKAGE


def _criteria(command: CommandApdu) -> tuple[bytes, frozenset[int] | None]:
    """Return the beginning of AID that is searched for, and the tags that are wanted.

    Criteria that the card does not know are ignored (11.4.2.3), and all are where only the issuer's
    domain can be meant (11.4.2.1).
    """
    with refusing_malformed("GET STATUS"):
        fields = Tlv.decode_map(command.data)
        tags: list[int] = []
        if 0x5C in fields:
            cursor = Cursor(fields[0x5C])
            while not cursor.at_end:
                tags.append(cursor.tag())
    prefix = fields.get(0x4F, b"")
    if len(prefix) > 16:
        raise CardRefusal(
            Sw.WRONG_DATA, "the AID that GET STATUS searches for has 16 bytes at most"
        )
    if command.p1 == ISSUER:
        prefix = b""
    return prefix, frozenset(tags) if 0x5C in fields else None


def _describe(entry: RegistryEntry, modules: Iterable[bytes], tags: frozenset[int] | None) -> bytes:
    package = entry.kind is Kind.PACKAGE
    values: list[tuple[int, bytes]] = [
        (0x4F, entry.aid),
        (0x9F70, bytes((entry.life_cycle,))),
        (0xC5, b"" if package else entry.privileges.encode()),
        (0xCF, entry.implicit),
        (0xC4, entry.package),
        (0xCE, entry.version),
        *((0x84, module) for module in modules),
        (0xCC, b"" if entry.kind is Kind.ISSUER_DOMAIN else entry.domain),
    ]
    wanted = (
        Tlv(tag, value)
        for tag, value in values
        if value and (tags is None or tag in tags or tag == 0x4F)
    )
    return Tlv.of(0xE3, wanted).encode()


def _describe_shortly(entry: RegistryEntry, modules: list[bytes], *, listed_modules: bool) -> bytes:
    """Return the old form: lengths and values, one byte of privileges (table 11-35)."""
    privileges = 0 if entry.kind is Kind.PACKAGE else entry.privileges >> 16
    item = bytes((len(entry.aid),)) + entry.aid + bytes((entry.life_cycle, privileges))
    if listed_modules:
        item += bytes((len(modules),))
        item += b"".join(bytes((len(module),)) + module for module in modules)
    return item
