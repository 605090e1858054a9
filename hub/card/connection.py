# SPDX-License-Identifier: Apache-2.0
"""One conversation with the card: from raw APDUs to handlers and back.

    bytes -> CommandApdu -> chain put together (CLA bit 5, then P1 bit 8) -> secure messaging off
      -> OPEN (SELECT, MANAGE CHANNEL, authentication), security domain, or applet
      -> secure messaging on -> what does not fit is kept for GET RESPONSE -> bytes

Whatever comes in, a status word goes out. A command that is refused has changed nothing but the
counters that must not go back.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hub.card.commands import scp03, select
from hub.card.commands.table import COUNTED, perform
from hub.card.content import instance_of
from hub.card.entries import Kind, RegistryEntry
from hub.card.line import Line
from hub.card.logical_channel import Authentication, CardCall, Conversation, LogicalChannel
from hub.card.state import CardParts
from hub.card.status import CardRefusal, Sw
from protocols.iso7816.apdu import MAX_LE, CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.session import SecurityLevel

MAX_COMMAND: Final = 1 << 24
"""The longest command that a chain may make."""
INS_GET_RESPONSE: Final = 0xC0
INS_SELECT: Final = 0xA4
INS_MANAGE_CHANNEL: Final = 0x70
FILE_SELECTIONS: Final = frozenset({0x00, 0x01, 0x02, 0x03, 0x08, 0x09})
INS_LOAD: Final = 0xE8
LINKED: Final = frozenset({0xE6, 0xE4, 0xD8})
"""INSTALL, DELETE and PUT KEY say in bit 8 of P1 that more follows (GPCS 2.3.1, 11.1.5.1)."""
FULL: Final = 255
"""Bytes of data in the first of two links of a LOAD."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an observer is told of one APDU."""

    raw: bytes
    answer: bytes
    plain: CommandApdu | None
    """The command behind secure messaging, where it was read that far."""
    reason: str | None
    """The rule that refused it."""


class CardConnection:
    """A host's conversation with the card, from insertion to removal."""

    def __init__(self, card: CardParts, line: Line = Line.READER) -> None:
        self.card, self.line = card, line
        self.number = next(card.connection_numbers)
        self.observer: Callable[[Exchange], None] | None = None
        self.max_answer = MAX_LE
        """The most data one response carries, whatever Le allows; the reader sets it."""
        self._chain: CommandApdu | None = None
        """The first link of a chain that is under way."""
        self._chained = bytearray()
        self.has_authenticated = False
        """Whether somebody has proved over it to know keys of the card."""
        self.wrong = 0
        """Wrong authentications, and commands that an applet refused to whoever has no key."""
        self.commands = 0
        """Whole commands that came."""
        self._begin()

    @property
    def selected(self) -> bytes | None:
        """The AID of what is selected on the basic channel: whom most commands are for."""
        basic = self._conversation.channels.get(0)
        return None if basic is None else basic.selected

    @property
    def held(self) -> int:
        """How many bytes of commands are kept of which more is to come."""
        channels = self._conversation.channels.values()
        links = sum(len(link.data) for channel in channels for link in channel.links)
        return len(self._chained) + links

    # The life of a conversation

    def transmit(self, raw: bytes) -> bytes:
        """Answer one APDU; raises nothing but what is broken below the card."""
        with self.card.turn():
            self._plain: CommandApdu | None = None
            self._reason: str | None = None
            try:
                command = CommandApdu.decode(raw)
            except MalformedApdu as error:
                response = self._refuse(CardRefusal(Sw.WRONG_LENGTH, str(error)))
            else:
                response = self._receive(command)
            answer = response.encode()
            if self.observer is not None:
                self.observer(Exchange(raw, answer, self._plain, self._reason))
            return answer

    def reset(self) -> None:
        """Reset the card: sessions, channels and transient data are gone."""
        with self.card.turn():
            self._end()
            self._begin()

    def close(self) -> None:
        """Remove the card."""
        with self.card.turn():
            self._end()

    def _begin(self) -> None:
        self._pending: tuple[int, bytes, int] | None = None
        self._drop_chain()
        basic = LogicalChannel(0, select.default(self.card, self.line), self.line)
        self._conversation = Conversation(self.number, {0: basic}, self.line)
        self.card.begin(self._conversation)
        self._has_entered = not self.line.is_open_to_strangers

    def _end(self) -> None:
        for channel in self._conversation.channels.values():
            channel.forget()
        self._conversation = Conversation(self.number, line=self.line)
        self._pending = None
        self._drop_chain()
        if not self._has_entered:
            return  # a stranger who did no work takes no write lock
        with self.card.database.transaction():
            self.card.runtime.reset(self.number)

    # Bytes

    def _receive(self, command: CommandApdu) -> ResponseApdu:
        try:
            check_class(command)
            channel = self._channel(command.channel)
            if command.ins == INS_GET_RESPONSE and self._pending is not None:
                return self._continue(command)
            self._pending = None
            whole = self._collect(command)
        except CardRefusal as refusal:
            self._drop_chain()
            return self._refuse(refusal)
        if whole is None:
            return ResponseApdu(b"", Sw.SUCCESS)
        self.commands += 1
        response = self._perform(channel, whole, reassembled=whole is not command)
        return self._fit(response, command)

    def _channel(self, number: int) -> LogicalChannel:
        channel = self._conversation.channels.get(number)
        if channel is None:
            raise CardRefusal(Sw.CHANNEL_NOT_SUPPORTED, f"logical channel {number} is not open")
        return channel

    def _collect(self, command: CommandApdu) -> CommandApdu | None:
        """Return the command that a chain makes; None while more is to come (ISO 7816-4, 5.3.3)."""
        if self._chain is not None:
            if replace(command, cla=command.cla | 0x10).header != self._chain.header:
                raise CardRefusal(Sw.LAST_OF_CHAIN_EXPECTED, "another command came within a chain")
        elif not command.is_chained:
            return command
        else:
            self._chain = command
        # Not link by link: a million of them of one byte each would hold and cost far more.
        self._chained += command.data
        if len(self._chained) > MAX_COMMAND:
            raise CardRefusal(Sw.NO_MEMORY, f"a chain makes at most {MAX_COMMAND} bytes")
        if command.is_chained:
            return None
        data = bytes(self._chained)
        self._drop_chain()
        return replace(command, data=data)

    def _drop_chain(self) -> None:
        self._chain = None
        self._chained = bytearray()

    def _fit(self, response: ResponseApdu, command: CommandApdu) -> ResponseApdu:
        limit = min(command.le or (MAX_LE if command.extended else 256), self.max_answer)
        if len(response.data) <= limit:
            return response
        rest = response.data[limit:]
        self._pending = (command.channel, rest, response.sw)
        return ResponseApdu(response.data[:limit], Sw.MORE_DATA | min(len(rest), 0x100) & 0xFF)

    def _continue(self, command: CommandApdu) -> ResponseApdu:
        assert self._pending is not None
        number, data, sw = self._pending
        if command.channel != number:
            self._pending = None
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, "the answer waits on another channel")
        self._pending = None
        return self._fit(ResponseApdu(data, sw), command)

    def _refuse(self, refusal: CardRefusal) -> ResponseApdu:
        self._reason = refusal.reason
        return ResponseApdu(b"", refusal.status_word)

    # Commands

    def _perform(
        self, channel: LogicalChannel, command: CommandApdu, *, reassembled: bool
    ) -> ResponseApdu:
        try:
            if not command.is_secured:
                self._plain = command
                response = self._by_open(channel, command)
                if response is not None:
                    return response
            opening = scp03.find(self.card, channel, command)
            if opening is not None:
                self._plain = command
                return self._open(opening, channel, command)
            if self._is_stranger(channel) and not command.is_secured:
                return self._for_stranger(channel, command)
            return self._protected(channel, command, reassembled=reassembled)
        except CardRefusal as refusal:
            return self._refuse(refusal)
        except sqlite3.Error as error:
            return self._refuse(CardRefusal(Sw.MEMORY_FAILURE, f"the database: {error}"))

    def _open(
        self, opening: scp03.Opening, channel: LogicalChannel, command: CommandApdu
    ) -> ResponseApdu:
        try:
            response = opening(self.card, channel, command)
        except CardRefusal as refusal:
            self.wrong += refusal.status_word == Sw.AUTHENTICATION_FAILED
            raise
        self.has_authenticated |= channel.authenticated is not None
        return response

    def _is_stranger(self, channel: LogicalChannel) -> bool:
        """Whether anybody may be at the other end, and has proved nothing on this channel."""
        return channel.line.is_open_to_strangers and channel.authentication is None

    def _for_stranger(self, channel: LogicalChannel, command: CommandApdu) -> ResponseApdu:
        """Hand a stranger's command to an applet that only takes part in sums, if that is named.

        Whatever it will not do, and whatever is not there, gets one and the same answer.
        """
        response = ResponseApdu(b"", Sw.SECURITY_NOT_SATISFIED)
        if self._protects_itself(channel):
            try:
                response = self._dispatch(channel, command)
            except CardRefusal as refusal:
                self._reason = refusal.reason
            self.wrong += not response.is_answer  # an applet has worked for nothing
        if response.is_answer:
            return response
        return self._refuse(
            CardRefusal(
                Sw.SECURITY_NOT_SATISFIED,
                self._reason or "on a port nothing is told before authentication",
            )
        )

    def _protects_itself(self, channel: LogicalChannel) -> bool:
        entry = None if channel.selected is None else self.card.registry.find(channel.selected)
        if entry is None or entry.kind is not Kind.APPLICATION or not entry.is_selectable:
            return False
        return self.card.runtime.protects_itself(instance_of(entry))

    def _by_open(self, channel: LogicalChannel, command: CommandApdu) -> ResponseApdu | None:
        """Carry out what the OPEN does itself; None for any other command (GPCS 2.3.1, 6.3)."""
        if command.cla & 0x80:
            return None
        if command.ins == INS_SELECT and command.p1 == 4:
            return select.select(self.card, self._conversation, channel, command)
        file = command.ins == INS_SELECT and self._is_file(channel, command)
        if file and not channel.line.is_open_to_strangers:
            return select.select_file(self.card, command)
        if command.ins == INS_MANAGE_CHANNEL:
            return select.manage_channel(self.card, self._conversation, channel, command)
        return None

    def _is_file(self, channel: LogicalChannel, command: CommandApdu) -> bool:
        """Whether a file is selected, by identifier or path, and no applet is there to know it."""
        return command.p1 in FILE_SELECTIONS and self._is_domain(channel)

    def _protected(
        self, channel: LogicalChannel, command: CommandApdu, *, reassembled: bool
    ) -> ResponseApdu:
        authenticated = channel.authentication
        if authenticated is None:
            if command.is_secured:
                raise CardRefusal(
                    Sw.SECURITY_NOT_SATISFIED, "secure messaging without a secure channel"
                )
            return self._dispatch(channel, command)
        linked = self._link(channel, authenticated, command)
        if linked is None:
            return ResponseApdu(b"", Sw.SUCCESS)
        plain = self._unwrap(authenticated, linked, reassembled or linked is not command)
        session = authenticated.session
        try:
            response = self._protected_by_open(channel, plain)
            if response is None:
                response = self._dispatch(channel, plain)
        except CardRefusal as refusal:
            response = self._refuse(refusal)
        except sqlite3.Error as error:
            response = self._refuse(CardRefusal(Sw.MEMORY_FAILURE, f"the database: {error}"))
        answer = session.wrap_response(response) if session.is_open else response
        if channel.is_ending:
            channel.forget()
        return answer

    def _protected_by_open(
        self, channel: LogicalChannel, command: CommandApdu
    ) -> ResponseApdu | None:
        """Carry out a protected command to the OPEN; its answer is the last of the session."""
        kept, channel.authentication = channel.authentication, None
        try:
            response = self._by_open(channel, command)
        except (CardRefusal, sqlite3.Error):
            channel.authentication = kept  # nothing else is selected
            raise
        if response is None or command.ins != INS_SELECT:
            channel.authentication = kept
        return response

    def _unwrap(
        self, authenticated: Authentication, command: CommandApdu, reassembled: bool
    ) -> CommandApdu:
        session = authenticated.session
        if not session.is_open:
            raise CardRefusal(
                Sw.SECURITY_NOT_SATISFIED,
                "the secure channel has ended with an error (GPCS 2.3.1, 10.2.3)",
            )
        try:
            self._plain = session.unwrap_command(command, reassembled=reassembled)
        except RemoteChannelError as error:
            raise CardRefusal(Sw.SECURITY_NOT_SATISFIED, f"{error}; the session ends") from error
        return self._plain

    def _link(
        self, channel: LogicalChannel, authenticated: Authentication, command: CommandApdu
    ) -> CommandApdu | None:
        """Put a command together whose links were protected as a whole; None while more comes.

        Links that carry a MAC of their own go on; the security domain joins them.
        """
        session, links = authenticated.session, channel.links
        follows = not links or (
            (links[0].ins, links[0].p1 & 0x7F, links[0].p2)
            == (command.ins, command.p1 & 0x7F, command.p2)
        )
        if not follows or (links and not command.is_secured):
            # The MAC of the whole can no longer come: end here, before anyone tries for another.
            links.clear()
            session.close()
        linked = self._may_be_link(command, first=not links) and self._is_domain(channel)
        if not session.is_open or not linked or not session.level & SecurityLevel.C_MAC:
            return command
        if not links and (not command.p1 & 0x80 or session.verifies(command)):
            return command
        links.append(command)
        if sum(len(link.data) for link in links) > MAX_COMMAND:
            links.clear()
            session.close()
            raise CardRefusal(Sw.NO_MEMORY, f"a chain makes at most {MAX_COMMAND} bytes")
        more = command.p1 & 0x80 if command.ins in LINKED else len(links) < 2
        if more:
            return None
        data = b"".join(link.data for link in links)
        links.clear()
        return replace(command, data=data)

    def _may_be_link(self, command: CommandApdu, *, first: bool) -> bool:
        """Whether the command is one that may come in links, at most two of a LOAD."""
        if command.ins == INS_LOAD and self.card.profile.links_loads:
            return command.is_secured and (not first or len(command.data) == FULL)
        return command.is_secured and command.ins in LINKED

    def _is_domain(self, channel: LogicalChannel) -> bool:
        entry = None if channel.selected is None else self.card.registry.find(channel.selected)
        return entry is not None and entry.is_domain

    def _dispatch(self, channel: LogicalChannel, command: CommandApdu) -> ResponseApdu:
        if command.ins in COUNTED and self._is_domain(channel):
            # It writes its counter first, in a transaction of its own.
            return self._to_domain(channel, command, self._current(channel))
        with self.card.database.transaction():
            entry = self._current(channel)
            if entry.is_domain:
                return self._to_domain(channel, command, entry)
            if not channel.is_entered:
                self._has_entered = True
                refused = select.enter(self.card, self._conversation, channel, entry)
                if refused is not None:
                    return refused
            context = self._conversation.context(channel, entry)
            try:
                response = self.card.runtime.process(context, command)
                if not response.is_answer:
                    self._reason = self.card.runtime.words(context.instance) or None
                return response
            except MalformedApdu as error:
                # Longer than one APDU, and this runtime takes no more.
                raise CardRefusal(Sw.WRONG_LENGTH, str(error)) from error

    def _to_domain(
        self, channel: LogicalChannel, command: CommandApdu, entry: RegistryEntry
    ) -> ResponseApdu:
        return perform(self.card, CardCall(command, channel, entry, self._conversation))

    def _current(self, channel: LogicalChannel) -> RegistryEntry:
        entry = None if channel.selected is None else self.card.registry.find(channel.selected)
        if entry is not None and entry.is_locked and channel.line.is_open_to_strangers:
            # Here, since SELECT has told nothing.
            raise CardRefusal(Sw.NOT_FOUND, "the application is locked")
        if entry is None or not entry.is_selectable:
            channel.selected = None
            raise CardRefusal(Sw.NOT_SELECTED, "nothing is selected: it is gone or locked")
        state = self.card.registry.card_state()
        if not select.reachable(entry, state):
            raise CardRefusal(Sw.CONDITIONS_NOT_SATISFIED, f"the card is {state.name}")
        return entry


def check_class(command: CommandApdu) -> None:
    """Return if the card knows the class byte; else raise `CardRefusal` (GPCS 2.3.1, 11.1.4)."""
    if command.cla & 0xE0 == 0x20 or command.cla == 0xFF:
        raise CardRefusal(Sw.UNKNOWN_CLASS, f"class {command.cla:02X} is reserved")
    if not command.cla & 0x40 and command.cla & 0x08:
        raise CardRefusal(
            Sw.SECURE_MESSAGING_NOT_SUPPORTED,
            "secure messaging in the format of ISO 7816-4 is not supported",
        )
