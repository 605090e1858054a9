# SPDX-License-Identifier: Apache-2.0
"""SELECT and MANAGE CHANNEL: what the card's OPEN does itself (GPCS 2.3.1, 6.4, 11.7, 11.9)."""

from typing import Final

from hub.card.commands.parameters import CONTACTS
from hub.card.entries import CardState, Kind, Privilege, RegistryEntry
from hub.card.line import Line
from hub.card.logical_channel import Conversation, LogicalChannel
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Tlv

FIRST, NEXT = 0x00, 0x02
_NO_DATA: Final = 0x0C
MASTER_FILE: Final = b"\x3f\x00"
SELECTED: Final = CommandApdu(0, 0xA4, 4, 0)
"""What an applet is told of a SELECT on a port."""


def default(card: CardParts, line: Line, channel: int = 0) -> bytes | None:
    """Return the AID that is selected without being asked for, on a channel that opens.

    That is whoever was installed for this channel (CF), or else has Card Reset, or else the
    issuer's domain (GPCS 6.4.1, 6.4.2). On a port nothing is: nobody knows yet who is there.
    """
    if line.is_open_to_strangers:
        return None
    issuer = card.registry.issuer()
    if issuer.life_cycle < CardState.LOCKED:
        entries = [entry for entry in card.registry.entries() if entry.is_selectable]
        for entry in entries:
            if entry.implicit == bytes((CONTACTS | channel,)):
                return entry.aid
        for entry in entries:
            if entry.kind is not Kind.ISSUER_DOMAIN and entry.has(Privilege.CARD_RESET):
                return entry.aid
    return issuer.aid


def select(
    card: CardParts, conversation: Conversation, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Select an application by its AID or the beginning of it; a secure channel ends."""
    if channel.line.is_open_to_strangers:
        return _select_unseen(card, conversation, channel, command)
    if command.p2 & ~(_NO_DATA | NEXT):
        raise CardRefusal(Sw.WRONG_P1_P2, "SELECT knows the first and the next occurrence only")
    with card.database.transaction():
        state = card.registry.card_state()
        if state is CardState.TERMINATED:
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the card is TERMINATED")
        entry = _search(card, channel, command, state)
        _leave(card, conversation, channel)
        response = _enter(card, conversation, channel, entry, command)
    if state is CardState.LOCKED and response.is_success:
        return ResponseApdu(response.data, Sw.CARD_IS_LOCKED)
    return response


def _select_unseen(
    card: CardParts, conversation: Conversation, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Take the full name that is given on a port; the answer is the same whoever has it.

    An applet is told that it is selected when it is to work (`enter`): until then a stranger has
    not used up any of its allowance. The issuer's domain is nobody here.
    """
    if command.p2 & ~_NO_DATA or not 5 <= len(command.data) <= 16:
        raise CardRefusal(Sw.WRONG_P1_P2, "on a port SELECT takes a whole AID")
    _leave(card, conversation, channel)
    entry = card.registry.find(command.data)
    if entry is not None and entry.kind in {Kind.DOMAIN, Kind.APPLICATION}:
        channel.selected = entry.aid
        channel.is_entered = entry.is_domain
    return ResponseApdu(b"", Sw.SUCCESS)


def enter(
    card: CardParts, conversation: Conversation, channel: LogicalChannel, entry: RegistryEntry
) -> ResponseApdu | None:
    """Tell an applet that was named on a port that it is selected; None unless it refuses."""
    response = card.runtime.select(conversation.context(channel, entry), SELECTED)
    channel.is_entered = response.is_answer
    return None if response.is_answer else ResponseApdu(b"", response.sw)


def _search(
    card: CardParts, channel: LogicalChannel, command: CommandApdu, state: CardState
) -> RegistryEntry:
    name, issuer = command.data, card.registry.issuer()
    if len(name) > 16:
        raise CardRefusal(Sw.WRONG_LENGTH, "an AID has at most 16 bytes")
    aliases = card.profile.aliases
    if not name:
        candidates = [issuer]
    else:
        candidates = [entry for entry in card.registry.entries() if entry.aid.startswith(name)]
        if issuer not in candidates and any(alias.startswith(name) for alias in aliases):
            candidates.append(issuer)
        # A full name means exactly that entry, whatever else begins with it.
        full = issuer.aid if name in aliases else name
        candidates.sort(key=lambda entry: entry.aid != full)
    found = [entry for entry in candidates if entry.is_selectable and reachable(entry, state)]
    if command.p2 & NEXT:
        names = [entry.aid for entry in found]
        place = names.index(channel.selected) + 1 if channel.selected in names else 0
        found = found[place:]
    if not found:
        locked = any(entry.is_locked for entry in candidates)
        raise CardRefusal(
            Sw.NOT_FOUND,
            "the application is locked" if locked else "no selectable application has this AID",
        )
    return found[0]


def reachable(entry: RegistryEntry, state: CardState) -> bool:
    """Whether the card's state lets anyone talk to the application (GPCS 5.1.1)."""
    return state < CardState.LOCKED or entry.has(Privilege.FINAL_APPLICATION)


def _leave(card: CardParts, conversation: Conversation, channel: LogicalChannel) -> None:
    entry = None if channel.selected is None else card.registry.find(channel.selected)
    if entry is not None and not entry.is_domain and channel.is_entered:
        card.runtime.deselect(conversation.context(channel, entry))
    channel.forget()
    channel.selected, channel.is_entered = None, True


def _enter(
    card: CardParts,
    conversation: Conversation,
    channel: LogicalChannel,
    entry: RegistryEntry,
    command: CommandApdu,
) -> ResponseApdu:
    channel.selected = entry.aid
    wants_nothing = command.p2 & _NO_DATA == _NO_DATA
    if entry.is_domain:
        return ResponseApdu(b"" if wants_nothing else domain_information(entry), Sw.SUCCESS)
    response = card.runtime.select(conversation.context(channel, entry), command)
    if not response.is_answer:
        channel.selected = None
        return response
    if wants_nothing or response.data:
        return response
    return ResponseApdu(Tlv(0x6F, Tlv(0x84, entry.aid).encode()).encode(), response.sw)


def domain_information(entry: RegistryEntry) -> bytes:
    """Return a security domain's FCI: its AID and the longest command data (GPCS 11.9.3.1)."""
    proprietary = Tlv.of(0xA5, [Tlv(0x9F65, b"\xff")])
    return Tlv.of(0x6F, [Tlv(0x84, entry.aid), proprietary]).encode()


def select_file(card: CardParts, command: CommandApdu) -> ResponseApdu:
    """Answer SELECT by file identifier: only clients of SIM cards look for a master file."""
    if card.profile.file_system and command.data in {b"", MASTER_FILE}:
        nodes = [Tlv(0x82, b"\x78\x21"), Tlv(0x83, MASTER_FILE), Tlv(0x8A, b"\x05")]
        return ResponseApdu(Tlv.of(0x62, nodes).encode(), Sw.SUCCESS)
    raise CardRefusal(Sw.NOT_FOUND, "this card has applications and no files")


def manage_channel(
    card: CardParts, conversation: Conversation, channel: LogicalChannel, command: CommandApdu
) -> ResponseApdu:
    """Open or close a logical channel (GPCS 2.3.1, 11.7; ISO/IEC 7816-4, 11.1.2)."""
    if channel.line.is_open_to_strangers and channel.authenticated is None:
        raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, "a stranger has one channel")
    if command.data:
        raise CardRefusal(Sw.WRONG_LENGTH, "MANAGE CHANNEL carries no data")
    match command.p1:
        case 0x00:
            return _open(card, conversation, command)
        case 0x80:
            return _close(card, conversation, command.p2)
        case _:
            raise CardRefusal(Sw.WRONG_P1_P2, "MANAGE CHANNEL opens (00) or closes (80)")


def _open(card: CardParts, conversation: Conversation, command: CommandApdu) -> ResponseApdu:
    if card.registry.card_state() in {CardState.LOCKED, CardState.TERMINATED}:
        raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "a locked card opens no channels")
    limit, number = card.profile.channels, command.p2
    if not number:
        free = (n for n in range(1, limit) if n not in conversation.channels)
        number = next(free, limit)
        if number == limit:
            raise CardRefusal(Sw.FUNCTION_NOT_SUPPORTED, f"all {limit} channels are open")
        answer = bytes((number,))
    else:
        if number >= limit or number in conversation.channels:
            raise CardRefusal(Sw.WRONG_P1_P2, f"channel {number} is open or does not exist")
        answer = b""
    conversation.channels[number] = LogicalChannel(
        number, default(card, conversation.line, number), conversation.line
    )
    return ResponseApdu(answer, Sw.SUCCESS)


def _close(card: CardParts, conversation: Conversation, number: int) -> ResponseApdu:
    if not number:
        raise CardRefusal(Sw.WRONG_P1_P2, "the basic channel cannot be closed")
    closing = conversation.channels.get(number)
    if closing is None:
        raise CardRefusal(Sw.WRONG_P1_P2, f"channel {number} is not open")
    with card.database.transaction():
        _leave(card, conversation, closing)
    del conversation.channels[number]
    return ResponseApdu(b"", Sw.SUCCESS)
