# SPDX-License-Identifier: Apache-2.0
"""One P1 or D0 telegram: lines of codes and values, as they were sent.

    /ISk5\\2MT382-1000                      identification: three letters of who made it, and more
                                           (an empty line)
    1-0:1.8.1(000004.426*kWh)              code ( value )
    0-1:24.2.1(170102161005W)(00000.107*m3)   code ( value ) ( value )
    0-1:24.3.0(090212160000)(00)(60)(1)(0-1:24.2.1)(m3)
    (00001.001)                            values of the line before
    !6EEE                                  end; CRC-16/ARC of all from / to ! (since DSMR 4)

IEC 62056-21 has the same lines. In its modes A to C a block check takes the CRC's place:

    /XXX5...  STX lines ! CR LF ETX BCC    BCC: all bytes after STX, added without carry

Decoding loses nothing: `encode` gives the bytes that came. What a line's values mean is said in
`readings`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from meter_codecs.p1.crc import bcc, crc16
from meter_codecs.p1.envelope import Ciphering
from meter_codecs.p1.errors import ChecksumMismatch, EncodingError, MalformedP1

CODE: Final = r"(?:\d{1,3}-)?(?:\d{1,3}:)?[0-9A-Z]{1,3}(?:[.:][0-9A-Z]{1,3}){0,4}(?:[*&]\d{1,3})?"
"""A-B:C.D.E*F; IEC 62056-21 may leave out A, B, E and F. DSMR 4.0 has `99:97.0` and `0:96.7.19`."""

_GROUPS: Final = re.compile(r"([^(]*)((?:\([^()]*\))*)(.*)", re.DOTALL).fullmatch
TURN: Final = re.compile(rb"[\r\n](?:\x02?!|/[A-Za-z]{3})")
"""Where a line begins that ends a telegram, or begins another."""

_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,4}").fullmatch
_SET: Final = re.compile(rf"({CODE})((?:\([^()]*\))+)", re.ASCII)
_SETS: Final = re.compile(rf"(?:{CODE}(?:\([^()]*\))+)+", re.ASCII).fullmatch
_READABLE: Final = re.compile(rf"({CODE}|)(\([^()]*\))+|", re.ASCII).fullmatch
_ACKNOWLEDGED: Final = re.compile(r"(\x06[0-9A-Z]{3}\r\n)?\x02").match

STX: Final = "\x02"
ETX: Final = "\x03"


class Line(NamedTuple):
    """A code and its values; `rest` is what does not belong to either.

    Heat meters send several on one line: the next one then `goes_on` where this one ends.
    """

    code: str
    values: tuple[str, ...]
    rest: str = ""
    goes_on: bool = False

    @property
    def text(self) -> str:
        """The line as it is sent, without its end."""
        values = f"({')('.join(self.values)})" if self.values else ""
        return f"{self.code}{values}{self.rest}"

    @property
    def is_readable(self) -> bool:
        """Whether it is a code with values, values alone, or empty."""
        return _READABLE(self.text) is not None

    @classmethod
    def decode(cls, text: str) -> Line:
        """Return any line; `text` gives it back."""
        parts = _GROUPS(text)
        assert parts is not None  # it takes every text
        code, groups, rest = parts.groups()
        return cls(code, tuple(groups[1:-1].split(")(")) if groups else (), rest)

    @classmethod
    def decode_all(cls, text: str) -> list[Line]:
        """Return all that stands on a line."""
        line = cls.decode(text)
        if not line.rest or _SETS(text) is None:
            return [line]
        sets = _SET.findall(text)
        last = len(sets) - 1
        return [
            cls(code, tuple(groups[1:-1].split(")(")), "", number < last)
            for number, (code, groups) in enumerate(sets)
        ]


class Framing(enum.Enum):
    """How a telegram ends."""

    PLAIN = "plain"
    """With `!`, and with a CRC if it has one: P1, and mode D."""
    BLOCK = "block"
    """With a block check: a readout in mode A, B or C."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter sends at once.

    `checksum` is the CRC as it was sent, None without one. `encode` makes a new one where it does
    not fit (any more). `offset` is where the telegram begins in its stream.
    """

    identification: str
    lines: tuple[Line, ...]
    checksum: str | None = "0000"
    newline: str = "\r\n"
    framing: Framing = Framing.PLAIN
    acknowledgement: str = ""
    """What a reader answered before the block, where both were recorded."""
    ciphering: Ciphering | None = field(default=None, compare=False)
    """How it was enciphered; None if it came in the clear."""
    offset: int = field(default=0, compare=False)

    def encode(self) -> bytes:
        """Return the telegram from `/` to the end of its checksum."""
        self._check()
        body = "".join([line.text + ("" if line.goes_on else self.newline) for line in self.lines])
        head = f"/{self.identification}{self.newline}"
        try:
            if self.framing is Framing.BLOCK:
                head += self.acknowledgement + STX
            data = f"{head}{body}!".encode("latin-1")
        except UnicodeEncodeError as error:
            raise EncodingError("a telegram has one byte for each character") from error
        if TURN.search(data, 1, len(data) - 1):
            raise EncodingError("a line of a telegram begins neither with ! nor with /")
        if self.framing is Framing.BLOCK:
            block = data[len(head) :] + f"{self.newline}{ETX}".encode()
            return data[: len(head)] + block + bytes([bcc(block)])
        if self.checksum is None:
            return data
        crc = crc16(data)
        fits = _HEX(self.checksum) is not None and int(self.checksum, 16) == crc
        return data + (self.checksum if fits else f"{crc:04X}").encode()

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The numbers of the lines that are no code with values; only a right CRC excuses them."""
        return tuple(i for i, line in enumerate(self.lines) if not line.is_readable)

    def line(self, code: str) -> Line | None:
        """Return the first line with a code, or None."""
        return next((line for line in self.lines if line.code == code), None)

    @property
    def version(self) -> str | None:
        """What the telegram says about its version: `42`, `50`; in Belgium `50217`."""
        line = self.line("1-3:0.2.8") or self.line("0-0:96.1.4")
        return line.values[0] if line and line.values else None

    def _check(self) -> None:
        head = f"{self.identification}{self.newline}"
        if self.newline not in {"\r\n", "\n"} or head.find("\n") != len(head) - 1:
            raise EncodingError("an identification is one line")
        if self.newline == "\n" and head.endswith("\r\n"):
            raise EncodingError("an identification has the same line end as all lines")
        if any(self.newline in line.text for line in self.lines):
            raise EncodingError("a line of a telegram has no line end in it")
        text, begun = "", 0
        for number, line in enumerate(self.lines, 1):
            text += line.text
            if not line.goes_on:
                if Line.decode_all(text) != list(self.lines[begun:number]):
                    raise EncodingError("a value has no parentheses, and a code is not a value")
                text, begun = "", number
        if text:
            raise EncodingError("the last line does not go on")


def read_telegram(wire: bytes, *, offset: int = 0, ciphering: Ciphering | None = None) -> Telegram:
    """Return the telegram that fills `wire` exactly, from `/` to its checksum.

    Raises `MalformedP1` or `ChecksumMismatch` for anything else.
    """
    end = wire.find(b"\n")
    if not wire.startswith(b"/") or end < 0:
        raise MalformedP1("no / and identification: not a P1 telegram", offset=offset)
    newline = "\r\n" if wire.endswith(b"\r", 0, end) else "\n"
    text = wire.decode("latin-1")
    identification = text[1 : end + 1 - len(newline)]
    body = text[end + 1 :]
    block = _ACKNOWLEDGED(body)
    if block is not None:
        lines = _lines_of_block(wire, end + 1 + block.end(), newline, offset)
        noted = block[1] or ""
        return Telegram(
            identification, lines, None, newline, Framing.BLOCK, noted, ciphering, offset
        )
    close = body.rfind("!")
    if close < 0 or (close and body[close - 1] != "\n"):
        raise MalformedP1("the telegram has no end", offset=offset)
    _check_one(wire, end + 1 + close, offset)
    checksum = body[close + 1 :]
    lines = _lines(body[:close], newline, offset)
    if checksum:
        _check_crc(wire, checksum, offset)
    else:
        _check_without_crc(lines, offset)
    return Telegram(
        identification, lines, checksum or None, newline, Framing.PLAIN, "", ciphering, offset
    )


def _lines_of_block(wire: bytes, begin: int, newline: str, offset: int) -> tuple[Line, ...]:
    """Return the lines of the block after STX at `begin`, once its check is right."""
    tail = f"!{newline}{ETX}".encode()
    close = len(wire) - len(tail) - 1
    if not wire.startswith(tail, max(begin, close)) or wire[close - 1] not in b"\n\x02":
        raise MalformedP1("the block has no end", offset=offset)
    _check_one(wire, close, offset)
    expected = bcc(wire[begin:-1])
    if wire[-1] != expected:
        raise ChecksumMismatch(f"block check {wire[-1]:02X} for {expected:02X}", offset=offset)
    return _lines(wire[begin:close].decode("latin-1"), newline, offset)


def _check_one(wire: bytes, close: int, offset: int) -> None:
    """Refuse a telegram that ends, or in which another begins, before its `!` at `close`."""
    turn = TURN.search(wire, 1, close)
    if turn is not None:
        raise MalformedP1("another telegram begins in this one", offset=offset + turn.start() + 1)


def _lines(text: str, newline: str, offset: int) -> tuple[Line, ...]:
    texts = text.split(newline)
    if texts[-1]:  # the last line ends otherwise than the first
        raise MalformedP1(f"a line without its end: {texts[-1][:40]!r}", offset=offset)
    del texts[-1]
    lines: list[Line] = []
    make, kind = tuple.__new__, Line  # looked up once: a line takes 300 ns
    for line in texts:
        code, _, inner = line.partition("(")
        value = inner[:-1]
        if inner[-1:] == ")" and "(" not in value and ")" not in value:
            lines.append(make(kind, (code, (value,), "", False)))
        else:
            lines += Line.decode_all(line)
    return tuple(lines)


def _check_crc(wire: bytes, checksum: str, offset: int) -> None:
    if _HEX(checksum) is None:
        raise ChecksumMismatch(f"the CRC is no number: {checksum[:8]!r}", offset=offset)
    data = wire[: -len(checksum)]
    expected = crc16(data)
    if int(checksum, 16) == expected:
        return
    reason = f"CRC {checksum} for {expected:04X}"
    if b"\r" not in data and crc16(data.replace(b"\n", b"\r\n")) == int(checksum, 16):
        reason += ": it is right with CR LF, so something has changed the line ends"
    raise ChecksumMismatch(reason, offset=offset)


def _check_without_crc(lines: tuple[Line, ...], offset: int) -> None:
    """Refuse a telegram without CRC that should have one, or that has damaged lines."""
    for line in lines:
        if line.code == "1-3:0.2.8" and line.values and line.values[0] >= "4":
            reason = f"no CRC, though the telegram says that it is of version {line.values[0]}"
            raise ChecksumMismatch(reason, offset=offset)
        text = line.text
        if not (text.isascii() and text.isprintable()) or not line.is_readable:
            hint = "" if text.isascii() else " (a line of seven bits, read with eight?)"
            raise MalformedP1(f"unreadable line {text[:40]!r}{hint}", offset=offset)
