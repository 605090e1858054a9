# SPDX-License-Identifier: Apache-2.0
"""Commands and responses as ISO/IEC 7816-4 lays them out (5.1, 5.2).

    command    CLA INS P1 P2 [Lc data] [Le]    Lc, Le: one byte each, or extended: 00 and two
    response   [data] SW1 SW2

Both forms are understood; `encode` writes the short one unless a length asks for the other.
"""

import enum
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from applets.sdk.errors import AppletError, StatusWord

__all__ = ["Command", "Response", "instruction"]

SHORT_DATA: Final = 255
SHORT_EXPECTED: Final = 256
EXTENDED_DATA: Final = 65_535
EXTENDED_EXPECTED: Final = 65_536

InstructionT = TypeVar("InstructionT", bound=enum.IntEnum)


@dataclass(frozen=True, slots=True)
class Command:
    """What the peer asks."""

    cla: int
    ins: int
    p1: int = 0
    p2: int = 0
    data: bytes = b""
    expected: int | None = None
    """How many bytes of answer the peer waits for at most; None if it expects no data."""

    def __post_init__(self) -> None:
        if any(not 0 <= byte <= 0xFF for byte in (self.cla, self.ins, self.p1, self.p2)):
            raise ValueError("CLA, INS, P1 and P2 are bytes")
        if len(self.data) > EXTENDED_DATA:
            raise ValueError(f"a command carries at most {EXTENDED_DATA} bytes")
        if self.expected is not None and not 1 <= self.expected <= EXTENDED_EXPECTED:
            raise ValueError(f"a command expects 1 to {EXTENDED_EXPECTED} bytes")

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the command `raw` is; raise `AppletError` WRONG_LENGTH if it is none."""
        if len(raw) < 4:
            raise AppletError(StatusWord.WRONG_LENGTH, "a command has at least four bytes")
        cla, ins, p1, p2 = raw[:4]
        data, expected = _decode_body(raw[4:])
        return cls(cla, ins, p1, p2, data, expected)

    def encode(self) -> bytes:
        """Return the command's bytes."""
        header = bytes((self.cla, self.ins, self.p1, self.p2))
        if len(self.data) <= SHORT_DATA and (self.expected or 0) <= SHORT_EXPECTED:
            length = bytes((len(self.data),)) if self.data else b""
            le = b"" if self.expected is None else bytes((self.expected & 0xFF,))
            return header + length + self.data + le
        length = len(self.data).to_bytes(2, "big") if self.data else b""
        le = b"" if self.expected is None else (self.expected & 0xFFFF).to_bytes(2, "big")
        return header + b"\0" + length + self.data + le


def _decode_body(body: bytes) -> tuple[bytes, int | None]:
    if not body:
        return b"", None
    if len(body) == 1:
        return b"", body[0] or SHORT_EXPECTED
    if body[0]:
        width, start = 1, 1
    elif len(body) == 3:
        return b"", int.from_bytes(body[1:], "big") or EXTENDED_EXPECTED
    else:
        width, start = 2, 3
    length = int.from_bytes(body[start - width : start], "big")
    data, le = body[start : start + length], body[start + length :]
    if not length or len(data) < length or len(le) not in (0, width):
        raise AppletError(StatusWord.WRONG_LENGTH, "Lc does not fit the command")
    most = SHORT_EXPECTED if width == 1 else EXTENDED_EXPECTED
    return data, (int.from_bytes(le, "big") or most) if le else None


@dataclass(frozen=True, slots=True)
class Response:
    """What the applet answers."""

    data: bytes = b""
    status: int = StatusWord.SUCCESS

    def encode(self) -> bytes:
        """Return the data and the status word."""
        if not isinstance(self.data, bytes):
            raise TypeError(f"a response carries bytes, not {type(self.data).__name__}")
        return self.data + self.status.to_bytes(2, "big")


def instruction(kind: type[InstructionT], command: Command) -> InstructionT:
    """Return which of `kind` the command asks for; raise INSTRUCTION_NOT_SUPPORTED if none."""
    try:
        return kind(command.ins)
    except ValueError:
        raise AppletError(
            StatusWord.INSTRUCTION_NOT_SUPPORTED, f"no instruction {command.ins:02X}"
        ) from None
