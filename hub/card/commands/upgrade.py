# SPDX-License-Identifier: Apache-2.0
"""MANAGE ELF UPGRADE: a package's new version takes the old one's place (GPC Amendment H v1.1).

    EA   P1  01 start, data A1 {4F the package}    02 resume    04 abort    08 status    P2  00
    answer   00 | length | A1 {90 status, 4F the package}    status  00 none, 02 waits for the load

A session is on the disk: between its commands the power may fail. INSTALL [for load] of the same
AID and LOAD bring the new version, and its last block puts it in the old one's place, all at once.
Instances stay, with their AIDs, domains, privileges and all that they have stored. Until then the
old version answers; the specification would let it sleep.
"""

import enum
from typing import Final

from hub.card.commands.get_data import require_authenticated, within
from hub.card.entries import Kind, Privilege
from hub.card.logical_channel import CardCall
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw, refusing_malformed
from protocols.iso7816.apdu import ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_lv

SESSION: Final = 0xA1
AID, OPTIONS, STATUS = 0x4F, 0x80, 0x90
NO_OPTIONS: Final = frozenset({b"", b"\0"})


class Step(enum.IntEnum):
    """What P1 asks for."""

    START = 0x01
    RESUME = 0x02
    ABORT = 0x04
    STATUS = 0x08


class SessionStatus(enum.IntEnum):
    """How far an upgrade is."""

    NONE = 0x00
    WAITING = 0x02


def manage_upgrade(card: CardParts, call: CardCall) -> ResponseApdu:
    """Begin an upgrade, give it up, or tell how far it is."""
    require_authenticated(call)
    command, package = call.command, card.content.upgrading
    if command.p2 or command.p1 not in set(Step):
        raise CardRefusal(
            Sw.WRONG_P1_P2,
            "P1 of MANAGE ELF UPGRADE is 01, 02, 04 or 08, P2 is 00; there is nothing to recover:"
            " the old version is there until the new one is",
        )
    if command.p1 == Step.STATUS:
        return _answer(package)
    if not call.domain.has(Privilege.AUTHORIZED_MANAGEMENT):
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED, "upgrades are for a domain with authorised management"
        )
    if command.p1 == Step.START:
        return _start(card, call, package)
    if not package:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "no upgrade has begun")
    if command.p1 == Step.ABORT:
        package = b""
        card.content.begin_upgrade(package)
    return _answer(package)


def _start(card: CardParts, call: CardCall, under_way: bytes) -> ResponseApdu:
    with refusing_malformed("MANAGE ELF UPGRADE"):
        outer = Tlv.decode_map(call.command.data)
        fields = Tlv.decode_map(outer.get(SESSION, b""))
    wrong = outer.keys() != {SESSION} or fields.keys() - {AID, OPTIONS} or AID not in fields
    if wrong or fields.get(OPTIONS, b"") not in NO_OPTIONS:
        raise CardRefusal(
            Sw.WRONG_DATA, "an upgrade names its package, A1 {4F AID}, and has no options"
        )
    if under_way:
        raise CardRefusal(
            Sw.CONDITIONS_NOT_SATISFIED,
            f"the upgrade of {under_way.hex().upper()} has begun: load it, or abort it (P1 04)",
        )
    entry = card.registry.find(fields[AID])
    if entry is None or entry.kind is not Kind.PACKAGE or not card.registry.content(entry.aid):
        raise CardRefusal(Sw.REFERENCE_NOT_FOUND, f"no package {fields[AID].hex().upper()}")
    if not within(card, call.domain, entry):
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the package belongs to another domain")
    card.content.begin_upgrade(entry.aid)
    return _answer(entry.aid)


def _answer(package: bytes) -> ResponseApdu:
    status = SessionStatus.WAITING if package else SessionStatus.NONE
    nodes = [Tlv(STATUS, bytes((status,)))]
    nodes += [Tlv(AID, package)] if package else []
    return ResponseApdu(encode_lv(b"", Tlv.of(SESSION, nodes).encode()), Sw.SUCCESS)
