# SPDX-License-Identifier: Apache-2.0
"""MANAGE ELF UPGRADE: a package's new version takes the old one's place (GPC Amendment H v1.1).

    EA   P1  01 start, data A1 {4F the package}    02 resume    04 abort    08 status    P2  00
    answer   00 | length | A1 {90 status, 4F the package}    status  00 none, 02 waits for the load

A session is on the disk: between its commands the power may fail. INSTALL [for load] of the same
AID and LOAD bring the new version, and its last block puts it in the old one's place, all at once.
Instances stay, with their AIDs, domains, privileges and all that they have stored. Until then the
old version answers; the specification would let it sleep. Each domain has a session of its own.

This card's own are statuses 03 and 04, and what follows (`hub.card.upgrades` has the rules):

    08, data A1 {4F}      how a package is: A1 {90, 4F, E1 in place, E2 offered, E3 may be put back,
                          E4 refused by the resident}, each of E1 to E4 {CE version, C1 SHA-256}
    10, data A1 {4F}      put the version back that was in place before
    04, data A1 {4F}      the recipient takes back what it has offered
    02, data A1 {4F, C1}  the issuer's domain, for the resident: accept what is offered
    04, data A1 {4F, C1}  the same: refuse it
"""

import enum
from typing import Final

from hub.card.commands.get_data import require_authenticated, within
from hub.card.entries import Kind, Privilege, RegistryEntry
from hub.card.logical_channel import CardCall
from hub.card.other_versions import Place, kept
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_lv

SESSION: Final = 0xA1
AID, OPTIONS, STATUS = 0x4F, 0x80, 0x90
VERSION, DIGEST = 0xCE, 0xC1
IN_PLACE: Final = 0xE1
KEPT: Final = {Place.OFFERED: 0xE2, Place.PREVIOUS: 0xE3, Place.REFUSED: 0xE4}
DIGEST_SIZE: Final = 32
NO_OPTIONS: Final = frozenset({b"", b"\0"})


class Step(enum.IntEnum):
    """What P1 asks for."""

    START = 0x01
    RESUME = 0x02
    ABORT = 0x04
    STATUS = 0x08
    PUT_BACK = 0x10


class SessionStatus(enum.IntEnum):
    """How far an upgrade is."""

    NONE = 0x00
    WAITING = 0x02
    OFFERED = 0x03
    REFUSED = 0x04


def manage_upgrade(card: CardParts, call: CardCall) -> ResponseApdu:
    """Begin an upgrade, give it up, put one back, or tell how far it is."""
    require_authenticated(call)
    command, awaited = call.command, card.upgrades.awaited(call.domain)
    if command.p2 or command.p1 not in set(Step):
        raise CardRefusal(
            Sw.WRONG_P1_P2,
            "P1 of MANAGE ELF UPGRADE is 01, 02, 04, 08 or 10, P2 is 00; there is nothing to"
            " recover: the old version is there until the new one is",
        )
    if command.p1 == Step.STATUS:
        if command.data:
            return _how_it_is(card, call, _named(card, call)[0])
        return _answer(awaited)
    if not call.domain.has(Privilege.AUTHORIZED_MANAGEMENT):
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "upgrades are for a domain with authorised management"
        )
    if command.p1 == Step.START:
        return _start(card, call, awaited)
    if command.data or command.p1 == Step.PUT_BACK:
        return _decide(card, call)
    if not awaited:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no upgrade has begun")
    if command.p1 == Step.ABORT:
        awaited = b""
        card.upgrades.begin(call.domain, awaited)
    return _answer(awaited)


def _start(card: CardParts, call: CardCall, under_way: bytes) -> ResponseApdu:
    entry, digest = _named(card, call)
    if digest:
        raise CardRefusal(Sw.WRONG_DATA, "an upgrade begins with its package's AID alone")
    if under_way:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"the upgrade of {under_way.hex().upper()} has begun: load it, or abort it (P1 04)",
        )
    card.upgrades.begin(call.domain, entry.aid)
    return _answer(entry.aid)


def _decide(card: CardParts, call: CardCall) -> ResponseApdu:
    """Say yes or no to what is offered, take it back, or put the version before back."""
    entry, digest = _named(card, call)
    by_resident = call.domain.kind is Kind.ISSUER_DOMAIN
    match call.command.p1, by_resident, bool(digest):
        case Step.RESUME, True, True:
            card.upgrades.accept(entry.aid, digest)
        case Step.ABORT, True, True:
            card.upgrades.refuse(entry.aid, digest)
        case Step.ABORT, False, False:
            card.upgrades.take_back(entry.aid)
        case Step.PUT_BACK, _, False:
            card.upgrades.put_back(call.domain, entry.aid)
        case _:
            raise CardRefusal(
                Sw.CONDITIONS_NOT_SATISFIED,
                "the issuer's domain accepts or refuses what is offered, and names its digest;"
                " a recipient's takes back what it has offered",
            )
    return _how_it_is(card, call, entry)


def _named(card: CardParts, call: CardCall) -> tuple[RegistryEntry, bytes]:
    """Return the package that is named, which must be the domain's, and perhaps a digest."""
    with refusing_malformed("MANAGE ELF UPGRADE"):
        outer = Tlv.decode_map(call.command.data)
        fields = Tlv.decode_map(outer.get(SESSION, b""))
    known = outer.keys() == {SESSION} and {AID} <= fields.keys() <= {AID, OPTIONS, DIGEST}
    sized = len(fields.get(DIGEST, bytes(DIGEST_SIZE))) == DIGEST_SIZE
    if not (known and sized) or fields.get(OPTIONS, b"") not in NO_OPTIONS:
        raise CardRefusal(
            Sw.WRONG_DATA, "an upgrade names its package, A1 {4F AID}, and has no options"
        )
    entry = card.registry.find(fields[AID])
    if entry is None or entry.kind is not Kind.PACKAGE or not card.registry.content(entry.aid):
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no package {fields[AID].hex().upper()}")
    if not within(card, call.domain, entry):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the package belongs to another domain")
    return entry, fields.get(DIGEST, b"")


def _how_it_is(card: CardParts, call: CardCall, entry: RegistryEntry) -> ResponseApdu:
    # Read anew: a version may just have come into its place.
    now = card.registry.find(entry.aid) or entry
    others = {place: card.upgrades.others.find(now.aid, place) for place in KEPT}
    status = SessionStatus.NONE
    if others[Place.OFFERED] is not None:
        status = SessionStatus.OFFERED
    elif others[Place.REFUSED] is not None:
        status = SessionStatus.REFUSED
    elif card.upgrades.awaited(call.domain) == now.aid:
        status = SessionStatus.WAITING
    content = card.registry.content(now.aid) or b""
    nodes = [
        Tlv(STATUS, bytes((status,))),
        Tlv(AID, now.aid),
        _version(IN_PLACE, now.version, kept(now.aid, now.version, content, (), ()).digest),
    ]
    nodes += [
        _version(tag, other.version, other.digest)
        for place, tag in KEPT.items()
        if (other := others[place]) is not None
    ]
    return ResponseApdu(encode_lv(b"", Tlv.of(SESSION, nodes).encode()), Sw.SUCCESS)


def _version(tag: int, version: bytes, digest: bytes) -> Tlv:
    return Tlv.of(tag, [Tlv(VERSION, version), Tlv(DIGEST, digest)])


def _answer(package: bytes) -> ResponseApdu:
    status = SessionStatus.WAITING if package else SessionStatus.NONE
    nodes = [Tlv(STATUS, bytes((status,)))]
    nodes += [Tlv(AID, package)] if package else []
    return ResponseApdu(encode_lv(b"", Tlv.of(SESSION, nodes).encode()), Sw.SUCCESS)
