# SPDX-License-Identifier: Apache-2.0
"""Commands and responses as ISO/IEC 7816-4 (2020), clause 5, puts them into bytes.

    case 1   CLA INS P1 P2
    case 2   CLA INS P1 P2 Le              extended: Le = 00 xx xx
    case 3   CLA INS P1 P2 Lc data         extended: Lc = 00 xx xx
    case 4   CLA INS P1 P2 Lc data Le      extended: Lc = 00 xx xx, Le = xx xx

    response data SW1 SW2

Every byte string is either refused or reproduced by `encode`.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

from protocols.iso7816.errors import MalformedApdu

MAX_DATA: Final = 65535
"""The most data one command carries; longer ones travel as a chain (clause 5.3.3)."""
MAX_LE: Final = 65536

CHAINING: Final = 0x10
SECURE_FIRST: Final = 0x04  # GPCS 11.1.4: secure messaging in GlobalPlatform's own format
SECURE_FURTHER: Final = 0x20
FURTHER: Final = 0x40  # channels 4 to 19


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """One command; `data` may exceed `MAX_DATA` only as a chain put together again."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None
    """How many bytes of answer are wanted at most, 1 to 65536; None is no Le field."""
    extended: bool = False
    """Whether length fields have the long form; set by itself where they must."""

    def __post_init__(self) -> None:
        if not 0 <= self.cla | self.ins | self.p1 | self.p2 <= 0xFF:
            raise MalformedApdu("CLA, INS, P1 and P2 are bytes")
        if self.le is not None and not 1 <= self.le <= MAX_LE:
            raise MalformedApdu(f"Le {self.le} is not within 1 to {MAX_LE}")
        bare = not self.data and self.le is None
        must = len(self.data) > 0xFF or (self.le or 0) > 0x100
        object.__setattr__(self, "extended", not bare and (self.extended or must))

    @property
    def header(self) -> bytes:
        """CLA, INS, P1 and P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    @property
    def channel(self) -> int:
        """The logical channel, 0 to 19, that the class byte names."""
        return (self.cla & 0x0F) + 4 if self.cla & FURTHER else self.cla & 0x03

    @property
    def is_secured(self) -> bool:
        """Whether the class byte announces GlobalPlatform secure messaging."""
        if self.cla & FURTHER:
            return bool(self.cla & SECURE_FURTHER)
        return self.cla & 0x0C == SECURE_FIRST

    @property
    def is_chained(self) -> bool:
        """Whether more of this command follows (bit 5 of the class byte)."""
        return bool(self.cla & CHAINING)

    @property
    def plain_class(self) -> int:
        """The class byte on channel 0, without chaining and secure messaging."""
        return self.cla & 0x80

    def on_channel(self, channel: int) -> Self:
        """Return the command addressed to `channel`, 0 to 19."""
        secured = self.is_secured
        if channel < 4:
            low = channel | (SECURE_FIRST if secured else 0)
        else:
            low = FURTHER | (channel - 4) | (SECURE_FURTHER if secured else 0)
        return replace(self, cla=(self.cla & (0x80 | CHAINING)) | low)

    def encode(self) -> bytes:
        """Return the bytes on the wire; raise `MalformedApdu` beyond `MAX_DATA`."""
        length = len(self.data)
        if length > MAX_DATA:
            raise MalformedApdu(f"{length} bytes of data need a chain of commands")
        if self.extended:
            lc = b"\0" + length.to_bytes(2, "big") if length else b""
            le = b"" if self.le is None else (self.le % MAX_LE).to_bytes(2, "big")
            if le and not lc:
                le = b"\0" + le
        else:
            lc = bytes((length,)) if length else b""
            le = b"" if self.le is None else bytes((self.le % 0x100,))
        return self.header + lc + self.data + le

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the command that fills `raw` exactly; raise `MalformedApdu` otherwise."""
        size = len(raw)
        if size < 4:
            raise MalformedApdu(f"a command has at least 4 bytes, not {size}")
        cla, ins, p1, p2 = raw[:4]
        if size == 4:
            return cls(cla, ins, p1, p2)
        first = raw[4]
        if size == 5:
            return cls(cla, ins, p1, p2, le=first or 0x100)
        if first:
            return cls._with_data(raw, 5, first, le_size=1)
        if size < 7:
            raise MalformedApdu("an extended length field is cut off")
        length = int.from_bytes(raw[5:7], "big")
        if size == 7:
            return cls(cla, ins, p1, p2, le=length or MAX_LE, extended=True)
        if not length:
            raise MalformedApdu("Lc is zero but data follows")
        return cls._with_data(raw, 7, length, le_size=2)

    @classmethod
    def _with_data(cls, raw: bytes, start: int, length: int, *, le_size: int) -> Self:
        data, rest = raw[start : start + length], raw[start + length :]
        if len(data) < length or len(rest) not in {0, le_size}:
            raise MalformedApdu(f"Lc says {length} bytes, {len(raw) - start} follow")
        le = (int.from_bytes(rest, "big") or 1 << 8 * le_size) if rest else None
        cla, ins, p1, p2 = raw[:4]
        return cls(cla, ins, p1, p2, data, le, extended=le_size == 2)


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """What a card answers: data, often none, and a status word."""

    data: bytes
    sw: int

    def __post_init__(self) -> None:
        if not 0 <= self.sw <= 0xFFFF:
            raise MalformedApdu("the status word is not two bytes")

    @property
    def is_success(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == 0x9000

    @property
    def is_answer(self) -> bool:
        """Whether it is a success or a warning (62xx, 63xx), so that its data count."""
        return self.sw == 0x9000 or self.sw >> 8 in {0x62, 0x63}

    def encode(self) -> bytes:
        """Return the bytes on the wire."""
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Return the response; raise `MalformedApdu` where there is no status word."""
        if len(raw) < 2:
            raise MalformedApdu(f"a response has at least 2 bytes, not {len(raw)}")
        return cls(bytes(raw[:-2]), int.from_bytes(raw[-2:], "big"))
