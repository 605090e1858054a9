# SPDX-License-Identifier: Apache-2.0
"""What a recipient says to a hub's card, whoever carries it: a head end over TCP, or a gateway.

    select -> SCP03 at level 33, log head -> command, log head -> answer accepted -> head signed

Before the command the hub shows that its disclosure log goes on from the head that was kept; a hub
that was put back to an older state is asked nothing. After it, the hub shows the new head, which is
kept, and gets it back signed (`protocols.log_head`). A hub that is still working on a proof answers
9300: the conversation pauses, and the same command is sent again, byte for byte.

Errors: HubRefused, ChannelBroken, HubPutBack; `WireError` for what is no answer of a card
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from protocols.certified_span import P1_DAYS, CertifiedSpanError, decode_span, span_in_words
from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import MAX_LE, CommandApdu, ResponseApdu
from protocols.log_head import CLA as LOG_CLA
from protocols.log_head import INS as LOG_INS
from protocols.log_head import (
    LENGTH_SIZE,
    P1_KEEP,
    P1_SHOW,
    Countersigned,
    LogHead,
    LogHeadError,
    ShownHead,
)
from protocols.secure_channel.conversation import Conversation, Pause
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardDialogue
from protocols.secure_channel.put_key import putting_static_keys
from protocols.told_outputs import NOT_SET
from utility_server.errors import ChannelBroken, HubPutBack, HubRefused

HOST_CHALLENGE_SIZE: Final = 8
BUSY: Final = 0x9300
INCOMPLETE: Final = 0x6A83

_MEANINGS: Final = {
    NOT_SET: "not set: the applet has never set this output",
    0x6400: "the applet failed; nothing was kept",
    0x6700: "wrong length",
    0x6982: "it may not tell: the resident has not consented to it, or not for these days; ask the"
    " resident, the reasons stay at home",
    0x6983: "asked too often",
    0x6985: "it may not tell: the resident's consents do not allow it, the state was gone on from"
    " before, or the days are a former resident's; the resident's log says which",
    0x6A80: "the question is not one it takes",
    0x6A81: "not supported there; for a bill: the hub has no feed-in register",
    0x6A82: "there is no such applet",
    INCOMPLETE: "days of the period are not certified yet",
    0x6A84: "more than the consent or the memory allows",
    0x6A88: "not found",
    0x6D00: "no such instruction",
    0x6E00: "no such class",
    BUSY: "it is still working on the answer; ask again later",
}


class HeadKeeper(Protocol):
    """Keeps how far each hub's disclosure log has come."""

    def find(self, meter: bytes) -> LogHead | None:
        """Return the newest head of a meter's hub, None where none was kept."""

    def keep(self, meter: bytes, head: LogHead) -> Countersigned:
        """Keep a newer head and return it signed."""


def _accept_silently(_answer: bytes) -> None:
    """Do nothing with an answer but return it."""


@dataclass(frozen=True, slots=True)
class HubConversations:
    """What one recipient says to hubs."""

    randomness: Callable[[int], bytes] = field(repr=False)
    heads: HeadKeeper | None = None
    """Without one, as for a concentrator that has no keys, no hub's log is looked at."""
    timeout_seconds: float = 60.0
    """How long a hub may take to show its log."""
    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)

    def ask(
        self,
        enrolment: Enrolment,
        command: CommandApdu,
        accept: Callable[[bytes], None] = _accept_silently,
    ) -> Conversation[bytes]:
        """Return what the applet answers; raise `HubRefused` for any other status than 9000.

        `accept` is called with the answer before the hub is sent anything more. Raises
        `ChannelBroken` where the hub is not the customer's or somebody has altered what came,
        `HubPutBack` where its disclosure log does not go on from the kept head; then the answer, if
        there was one, is neither accepted nor returned.
        """
        dialogue, meter = CardDialogue(), enrolment.meter
        with in_words():
            yield from dialogue.select(enrolment.applet)
            kept = None if self.heads is None else self.heads.find(meter)
            first = [] if kept is None else [show_command(kept)]
            shown = yield from self._open(dialogue, enrolment, first)
            if kept is not None:
                kept = yield from self._follow(dialogue, meter, kept, shown[0])
            while True:
                # Both in one step: the log is shown as it is once the command is done.
                commands = [command] if self.heads is None else [command, show_command(kept)]
                response, *shown = yield from dialogue.send_all(commands)
                if response.sw != BUSY:
                    break
                yield Pause()
            signed = None
            if self.heads is not None:
                head = yield from self._follow(dialogue, meter, kept, shown[0])
                signed = None if head is None else self.heads.keep(meter, head)
            if response.is_success:
                accept(response.data)
            if signed is not None:
                yield from dialogue.send(log_command(P1_KEEP, signed.encode()))
            days = ""
            if response.sw == INCOMPLETE:
                days = yield from _certified(dialogue, enrolment)
        if not response.is_success:
            raise refused(response.sw, days)
        return response.data

    def replace_keys(self, current: Enrolment, proposed: Enrolment) -> Conversation[None]:
        """Give the applet's channel new keys, by PUT KEY to its security domain.

        Nothing is sent if the hub has them already, from an attempt whose answer was lost. Raises
        as `ask`, and `HubRefused` where neither keys open the channel.
        """
        dialogue = CardDialogue()
        with in_words():
            yield from dialogue.select(current.security_domain)
            try:
                yield from self._open(dialogue, proposed, [])
            except (CardRefused, ChannelBroken):
                yield from dialogue.select(current.security_domain)
                yield from self._open(dialogue, current, [])
                yield from putting_static_keys(
                    dialogue, proposed.key_version, proposed.keys, replaces=current.key_version
                )

    def relay(self, applet: bytes, command: CommandApdu) -> Conversation[bytes]:
        """Return what an applet answers to a command that protects itself: no channel, no keys."""
        dialogue = CardDialogue()
        with in_words():
            yield from dialogue.select(applet)
            response = yield from dialogue.send(command)
        if not response.is_success:
            raise refused(response.sw)
        return response.data

    def _open(
        self, dialogue: CardDialogue, enrolment: Enrolment, first: Sequence[CommandApdu]
    ) -> Conversation[list[ResponseApdu]]:
        challenge = self.randomness(HOST_CHALLENGE_SIZE)
        try:
            _, answers = yield from dialogue.open_scp03_and_send(
                enrolment.keys, challenge, first, key_version=enrolment.key_version
            )
        except RemoteChannelError as error:
            # A hub answers as if to wrong keys where it has not the applet: it tells no stranger.
            reason = f"channel: {error}; or the applet is not on this hub any more"
            raise ChannelBroken(reason) from None
        return answers

    def _follow(
        self, dialogue: CardDialogue, meter: bytes, kept: LogHead | None, response: ResponseApdu
    ) -> Conversation[LogHead | None]:
        """Return the hub's head, which follows the kept one; raise `HubPutBack` otherwise.

        `response` is what the hub has shown first. None for a hub of release 0.1, which shows none.
        """
        deadline = self.monotonic() + self.timeout_seconds
        while True:
            try:
                if not response.is_success and kept is None:
                    return None
                if not response.is_success:
                    raise LogHeadError("the hub does not show its log, as it did before")
                shown = ShownHead.decode(response.data)
                if kept is None:
                    return shown.head
                kept = shown.after(kept)
            except LogHeadError as error:
                raise HubPutBack(meter, str(error)) from None
            if kept.length == shown.head.length:
                return kept
            if self.monotonic() >= deadline:  # a log without end must not hold us for ever
                raise TimeoutError("timed out")
            response = yield from dialogue.send(show_command(kept))


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what a card or the channel to it refuses into the errors of the utility."""
    try:
        yield
    except CardRefused as error:
        raise refused(error.sw) from None
    except RemoteChannelError as error:
        raise ChannelBroken(f"channel: {error}") from None


def _certified(dialogue: CardDialogue, enrolment: Enrolment) -> Conversation[str]:
    """Return which days are certified, in words; nothing where the hub does not say."""
    told = yield from dialogue.send(log_command(P1_DAYS, enrolment.register))
    try:
        return span_in_words(decode_span(told.data)) if told.is_success else ""
    except CertifiedSpanError:
        return ""


def show_command(kept: LogHead | None) -> CommandApdu:
    """Return the command that shows how the log goes on from what was kept."""
    known = b"" if kept is None else kept.length.to_bytes(LENGTH_SIZE, "big")
    return log_command(P1_SHOW, known)


def log_command(p1: int, data: bytes) -> CommandApdu:
    """Return a command about the log, to the platform."""
    return CommandApdu(LOG_CLA, LOG_INS, p1, 0, data, le=MAX_LE, extended=True)


def refused(status_word: int, more: str = "") -> HubRefused:
    """Return a hub's refusal, in words."""
    meaning = _MEANINGS.get(status_word, "see the hub's log")
    return HubRefused(status_word, f"{meaning}: {more}" if more else meaning)
