# SPDX-License-Identifier: Apache-2.0
"""Scripts of commands, carried out by the card: one conversation with it for each target.

    target A, A, B, A    -->  a conversation with A for two scripts, one with B, a new one with A

So a secure channel lives from script to script of one target, and ends where the target changes
(GPC_SPE_011 v1.2, 3.6). Every script is untrusted at its target, which demands a secure channel
of its own. The agent selects; a script that selects by name or opens logical channels is refused.

A script stops after an answer that is neither 9000 nor a warning. The rest of a long answer (61xx)
is fetched here, so that a script's answer is whole.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from hub.card.line import Line
from protocols.iso7816.apdu import MAX_LE, CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu
from protocols.remote_admin.http import ScriptStatus, Target
from protocols.remote_admin.scripts import CommandScript, ResponseScript
from protocols.secure_channel.conversation import goes_on

INS_SELECT: Final = 0xA4
BY_NAME: Final = 0x04
INS_MANAGE_CHANNEL: Final = 0x70
INS_GET_RESPONSE: Final = 0xC0
MORE: Final = 0x61
CUT_OFF: Final = b"\x62\xf1"
MOST_ANSWER_BYTES: Final = 1 << 23
"""Of all answers to one script together."""


class CardEnd(Protocol):
    """A conversation with the card."""

    has_authenticated: bool
    wrong: int

    def transmit(self, raw: bytes) -> bytes:
        """Answer one APDU."""
        ...

    def close(self) -> None:
        """End the conversation."""
        ...


class Connects(Protocol):
    """The card, for whoever begins a conversation with it."""

    def connect(self, line: Line) -> CardEnd:
        """Begin a conversation that comes in over `line`."""
        ...


@dataclass(slots=True)
class CommandSessions:
    """The conversations of one session with a server; close them when it ends."""

    card: Connects
    wrong: int = 0
    """Wrong authentications so far."""
    has_authenticated: bool = False
    """Whether somebody at the other end has proved to know keys of the card."""
    _target: Target | None = None
    _end: CardEnd | None = field(default=None, repr=False)

    def run(self, target: Target | None, script: CommandScript) -> ResponseScript | ScriptStatus:
        """Return the answers to a script, or why there are none."""
        if any(_leaves_target(apdu) for apdu in script.apdus):
            return ScriptStatus.SCRIPT_FORMAT_ERROR
        if target is None:  # no security domain is that of the TLS session: it must be named
            return ScriptStatus.UNKNOWN_APPLICATION
        end = self._end if target == self._target else self._select(target)
        if end is None:
            return ScriptStatus.UNKNOWN_APPLICATION
        answers: list[bytes] = []
        room = MOST_ANSWER_BYTES
        before = end.wrong
        for apdu in script.apdus:
            answer = _whole_answer(end, apdu, room)
            answers.append(answer)
            room -= len(answer)
            if not goes_on(answer):
                break
        self.wrong += end.wrong - before
        self.has_authenticated |= end.has_authenticated
        is_whole = len(answers) == len(script.apdus)
        return ResponseScript(tuple(answers), fault=script.fault if is_whole else None)

    def close(self) -> None:
        """End the conversation with the card, and what was authenticated in it."""
        end, self._end, self._target = self._end, None, None
        if end is not None:
            end.close()

    def _select(self, target: Target) -> CardEnd | None:
        self.close()
        end = self.card.connect(Line.DIALLED)
        command = CommandApdu(0, INS_SELECT, BY_NAME, 0, target.aid, le=256)
        if not goes_on(_whole_answer(end, command.encode(), MAX_LE)):
            end.close()
            return None
        self._end, self._target = end, target
        return end


def _leaves_target(apdu: bytes) -> bool:
    """Whether a command would select another application, or open a way to one."""
    if len(apdu) < 4:
        return False
    ins, p1 = apdu[1], apdu[2]
    return (ins == INS_SELECT and p1 == BY_NAME) or (
        ins == INS_MANAGE_CHANNEL and not apdu[0] & 0x80
    )


def _whole_answer(end: CardEnd, apdu: bytes, room: int) -> bytes:
    answer = end.transmit(apdu)
    if len(answer) < 2 or answer[-2] != MORE:
        return answer if len(answer) <= room else CUT_OFF
    collected = bytearray(answer[:-2])
    try:
        channel = CommandApdu.decode(apdu).channel
    except MalformedApdu:
        channel = 0
    more = CommandApdu(0, INS_GET_RESPONSE, 0, 0, le=MAX_LE).on_channel(channel).encode()
    while answer[-2] == MORE:
        answer = end.transmit(more)
        collected += answer[:-2]
        if len(collected) > room or (answer[-2] == MORE and len(answer) == 2):
            return CUT_OFF
    return ResponseApdu(bytes(collected), int.from_bytes(answer[-2:], "big")).encode()
