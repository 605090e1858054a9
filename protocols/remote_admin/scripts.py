# SPDX-License-Identifier: Apache-2.0
"""Scripts of commands and of answers: ETSI TS 102 226, 5.2, expanded format.

                  definite          indefinite
    commands      AA L ...          AE 80 ... 00 00
    answers       AB L ...          AF 80 ... 00 00

    in commands   22 L C-APDU                          one or more
    in answers    80 L number of commands carried out  definite only, first
                  23 L R-APDU                          one for each of them
                  90 01 xx | 83 01 xx | 81 01 01       at most one, last: bad format, chaining,
                                                       suspended

Lengths are BER, the shortest, and definite inside. Actions (81, 82) and chains of scripts (83) are
not carried out: a script that wants them is answered so.

A script is decoded as far as it is sound: the commands before a fault are commands, and the fault
is part of the answer. Answers are decoded strictly.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from protocols.iso7816.errors import MalformedTlv
from protocols.iso7816.tlv import Cursor, Tlv, encode_length
from protocols.remote_admin.errors import MalformedScript

COMMANDS_DEFINITE: Final = 0xAA
COMMANDS_INDEFINITE: Final = 0xAE
ANSWERS_DEFINITE: Final = 0xAB
ANSWERS_INDEFINITE: Final = 0xAF
INDEFINITE: Final = 0x80
END: Final = b"\0\0"
C_APDU: Final = 0x22
R_APDU: Final = 0x23
EXECUTED: Final = 0x80
CHAINING: Final = 0x83
MOST_COMMANDS: Final = 1024
"""In one script."""
SHORTEST_COMMAND: Final = 4
SHORTEST_ANSWER: Final = 2


class Fault(Enum):
    """Why the rest of a script was not carried out: the TLV that says so."""

    UNKNOWN_TAG = bytes.fromhex("900101")
    WRONG_LENGTH = bytes.fromhex("900102")
    LENGTH_NOT_FOUND = bytes.fromhex("900103")
    SUSPENDED = bytes.fromhex("810101")
    NO_PREVIOUS_SCRIPT = bytes.fromhex("830101")
    CHAINING_NOT_SUPPORTED = bytes.fromhex("830102")
    CANNOT_PROCESS = bytes.fromhex("830103")


@dataclass(frozen=True, slots=True)
class CommandScript:
    """Commands for one application."""

    apdus: tuple[bytes, ...]
    is_indefinite: bool = False
    fault: Fault | None = None
    """What is wrong after the last of the commands; only of scripts that came."""

    def encode(self) -> bytes:
        """Return the script's bytes; raise `MalformedScript` for one that nobody may send."""
        if not 1 <= len(self.apdus) <= MOST_COMMANDS or self.fault is not None:
            raise MalformedScript(f"a script has 1 to {MOST_COMMANDS} commands, and no fault")
        tag = COMMANDS_INDEFINITE if self.is_indefinite else COMMANDS_DEFINITE
        return _template(tag, (Tlv(C_APDU, apdu) for apdu in self.apdus), self.is_indefinite)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return a script as far as it is sound; raise `MalformedScript` if it is none at all."""
        if not data or data[0] not in {COMMANDS_DEFINITE, COMMANDS_INDEFINITE}:
            raise MalformedScript("not a script of commands")
        is_indefinite = data[0] == COMMANDS_INDEFINITE
        cursor = _content(data, is_indefinite=is_indefinite)
        apdus: list[bytes] = []
        fault: Fault | None = None
        while not (cursor.at_end or _is_end(cursor, is_indefinite=is_indefinite)):
            tag = cursor.byte()
            if tag != C_APDU or len(apdus) == MOST_COMMANDS:
                fault = Fault.CHAINING_NOT_SUPPORTED if tag == CHAINING else Fault.UNKNOWN_TAG
                break
            try:
                length = cursor.length()
            except MalformedTlv:
                fault = Fault.LENGTH_NOT_FOUND
                break
            try:
                apdu = cursor.take(length)
            except MalformedTlv:
                fault = Fault.WRONG_LENGTH
                break
            if len(apdu) < SHORTEST_COMMAND:
                fault = Fault.WRONG_LENGTH
                break
            apdus.append(apdu)
        if fault is None and is_indefinite:
            fault = _end_of(cursor)
        if not apdus and fault is None:
            raise MalformedScript("a script without a command")
        return cls(tuple(apdus), is_indefinite, fault)


@dataclass(frozen=True, slots=True)
class ResponseScript:
    """What came of a script, command by command."""

    answers: tuple[bytes, ...]
    is_indefinite: bool = False
    fault: Fault | None = None
    """Why it went no further, where it was not an answer."""

    def encode(self) -> bytes:
        """Return the script's bytes."""
        tail = b"" if self.fault is None else self.fault.value
        answers = (Tlv(R_APDU, answer) for answer in self.answers)
        if self.is_indefinite:
            return _template(ANSWERS_INDEFINITE, answers, True, tail=tail)
        count = len(self.answers)
        number = Tlv(EXECUTED, count.to_bytes(1 if count < 0x100 else 2, "big"))
        return _template(ANSWERS_DEFINITE, (number, *answers), False, tail=tail)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the answers that fill `data` exactly; raise `MalformedScript` otherwise."""
        if not data or data[0] not in {ANSWERS_DEFINITE, ANSWERS_INDEFINITE}:
            raise MalformedScript("not a script of answers")
        is_indefinite = data[0] == ANSWERS_INDEFINITE
        try:
            cursor = _content(data, is_indefinite=is_indefinite)
            number = None if is_indefinite else _number(cursor)
            answers: list[bytes] = []
            fault: Fault | None = None
            while not (cursor.at_end or _is_end(cursor, is_indefinite=is_indefinite)):
                if fault is not None:
                    raise MalformedScript("something follows what ended the script")
                tag = cursor.byte()
                value = cursor.take(cursor.length())
                if tag == R_APDU:
                    if len(value) < SHORTEST_ANSWER or len(answers) == MOST_COMMANDS:
                        raise MalformedScript("an answer without a status word, or too many")
                    answers.append(value)
                else:
                    fault = _fault(tag, value)
        except MalformedTlv as error:
            raise MalformedScript(str(error)) from None
        if is_indefinite and _end_of(cursor) is not None:
            raise MalformedScript("the script does not end where it says")
        if number is not None and number != len(answers):
            raise MalformedScript(
                f"{number} commands were carried out, with {len(answers)} answers"
            )
        return cls(tuple(answers), is_indefinite, fault)


def _template(tag: int, nodes: Iterable[Tlv], is_indefinite: bool, tail: bytes = b"") -> bytes:
    content = b"".join(node.encode() for node in nodes) + tail
    if is_indefinite:
        return bytes((tag, INDEFINITE)) + content + END
    try:
        return bytes((tag,)) + encode_length(len(content)) + content
    except MalformedTlv as error:
        raise MalformedScript(str(error)) from None


def _content(data: bytes, *, is_indefinite: bool) -> Cursor:
    """Return a cursor over what a template holds; of an indefinite one its end is still there."""
    cursor = Cursor(data)
    cursor.byte()
    if is_indefinite:
        if data[1:2] != bytes((INDEFINITE,)):
            raise MalformedScript("the script's length is not indefinite")
        cursor.byte()
        return cursor
    try:
        length = cursor.length()
    except MalformedTlv as error:
        raise MalformedScript(str(error)) from None
    if length != len(data) - cursor.offset:
        raise MalformedScript("the script's length is not that of its content")
    return cursor


def _is_end(cursor: Cursor, *, is_indefinite: bool) -> bool:
    # Only between two nodes: a pair of zeros inside a command is data.
    return is_indefinite and cursor.rest_starts_with(END)


def _end_of(cursor: Cursor) -> Fault | None:
    """Return what is wrong with the end of an indefinite script, if anything is."""
    return None if cursor.rest == END else Fault.LENGTH_NOT_FOUND


def _number(cursor: Cursor) -> int:
    if cursor.byte() != EXECUTED:
        raise MalformedScript("how many commands were carried out does not come first")
    value = cursor.take(cursor.length())
    if not 1 <= len(value) <= 2 or (len(value) == 2 and not value[0]):
        raise MalformedScript("not a number of commands")
    return int.from_bytes(value, "big")


def _fault(tag: int, value: bytes) -> Fault:
    try:
        return Fault(bytes((tag,)) + encode_length(len(value)) + value)
    except (ValueError, MalformedTlv):
        raise MalformedScript(f"no such part of an answer: tag {tag:02X}") from None
