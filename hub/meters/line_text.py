# SPDX-License-Identifier: Apache-2.0
"""The bytes of a stream that may be written as hex; lines of radio receivers stay as they are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from hub.meters.readers.radio_frames import is_line, may_be_line
from hub.meters.recognition import MeterKind
from sml_codec.hextext import HexText

RAW: Final = frozenset({MeterKind.WIRELESS, MeterKind.MQTT})
"""Kinds whose streams are text of their own."""


class _Form(Enum):
    OPEN = auto()
    LINES = auto()
    BYTES = auto()


@dataclass(slots=True)
class LineText:
    """Takes a stream in pieces of any size, and gives the bytes of its telegrams.

    `kind` is what is spoken there, where that is known.
    """

    kind: MeterKind | None = None
    _head: bytes = b""
    """What came until it was clear how the stream is written."""
    _form: _Form = _Form.OPEN
    _text: HexText = field(default_factory=HexText)

    def __post_init__(self) -> None:
        if self.kind in RAW:
            self._form = _Form.LINES

    def feed(self, piece: bytes) -> bytes:
        """Return the bytes that a piece completes."""
        if self._form is _Form.LINES:
            return piece
        if self._form is _Form.BYTES:
            return self._text.feed(piece)
        self._head += piece
        return b"" if may_be_line(self._head) else self._decide()

    def close(self) -> bytes:
        """Return what is left at the end."""
        head = self._decide() if self._form is _Form.OPEN else b""
        return head + self._text.close()

    def _decide(self) -> bytes:
        head, self._head = self._head, b""
        self._form = _Form.LINES if is_line(head) else _Form.BYTES
        return self.feed(head)


def hex_or_bytes(chunks: Iterator[bytes], kind: MeterKind | None = None) -> Iterator[bytes]:
    """Yield the bytes of a stream; raises what `chunks` raises."""
    text = LineText(kind)
    for chunk in chunks:
        yield text.feed(chunk)
    yield text.close()
