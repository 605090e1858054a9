# SPDX-License-Identifier: Apache-2.0
"""Commands and responses as an applet sees them; `protocols.iso7816` lays out their bytes."""

import enum
from dataclasses import dataclass
from typing import Self, TypeVar

from protocols.iso7816.apdu import MAX_DATA, CommandApdu, ResponseApdu
from protocols.iso7816.errors import MalformedApdu
from protocols.platform.errors import AppletError, StatusWord

InstructionT = TypeVar("InstructionT", bound=enum.IntEnum)


@dataclass(frozen=True, slots=True)
class Command:
    """What the peer asks; `ValueError` if no APDU says so."""

    cla: int
    ins: int
    p1: int = 0
    p2: int = 0
    data: bytes = b""
    expected: int | None = None
    """How many bytes of answer the peer waits for at most; None if it expects no data."""

    def __post_init__(self) -> None:
        if len(self.data) > MAX_DATA:
            raise ValueError(f"a command carries at most {MAX_DATA} bytes")
        try:
            self._apdu()
        except MalformedApdu as error:
            raise ValueError(str(error)) from None

    def _apdu(self) -> CommandApdu:
        return CommandApdu(self.cla, self.ins, self.p1, self.p2, self.data, self.expected)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the command `raw` is; raise `AppletError` WRONG_LENGTH if it is none."""
        try:
            apdu = CommandApdu.decode(raw)
        except MalformedApdu as error:
            raise AppletError(StatusWord.WRONG_LENGTH, str(error)) from None
        return cls(apdu.cla, apdu.ins, apdu.p1, apdu.p2, apdu.data, apdu.le)

    def encode(self) -> bytes:
        """Return the command's bytes, in the short form if its lengths allow."""
        return self._apdu().encode()


@dataclass(frozen=True, slots=True)
class Response:
    """What the applet answers."""

    data: bytes = b""
    status: int = StatusWord.SUCCESS

    def encode(self) -> bytes:
        """Return the data and the status word."""
        if not isinstance(self.data, bytes):
            raise TypeError(f"a response carries bytes, not {type(self.data).__name__}")
        return ResponseApdu(self.data, self.status).encode()


def instruction(kind: type[InstructionT], command: Command) -> InstructionT:
    """Return which of `kind` the command asks for; raise INSTRUCTION_NOT_SUPPORTED if none."""
    try:
        return kind(command.ins)
    except ValueError:
        raise AppletError(
            StatusWord.INSTRUCTION_NOT_SUPPORTED, f"no instruction {command.ins:02X}"
        ) from None
