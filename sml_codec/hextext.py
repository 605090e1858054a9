# SPDX-License-Identifier: Apache-2.0
"""Hex where bytes are due: captures in forums, and bridges that answer with text.

    1B1B1B1B 01010101 76 ...        0x1b, 0x1b, 0x1b, ...        1b:1b:1b:1b:...

A stream that begins with nothing but hex digits and what people put between them is taken for hex
from then on. Bytes of a meter do not look like that: its frames begin with 1b, which is no digit.
"""

from __future__ import annotations

from typing import Final

LEAST: Final = 32
"""Bytes that are looked at before it is decided."""
_DIGITS: Final = b"0123456789abcdefABCDEF"
_BETWEEN: Final = b" \t\r\n:,;-xX"


class HexText:
    """Turns pieces of a stream into bytes, whether they are bytes or hex."""

    def __init__(self) -> None:
        self._waiting = b""
        self._is_hex: bool | None = None

    @property
    def is_hex(self) -> bool:
        """Whether the stream is hex, as far as is known."""
        return bool(self._is_hex)

    def feed(self, data: bytes) -> bytes:
        """Return the bytes that `data` completes."""
        if self._is_hex is False:
            return data
        self._waiting += data
        if self._is_hex is None:
            if not _looks_like_hex(self._waiting):
                self._is_hex = False
                waiting, self._waiting = self._waiting, b""
                return waiting
            if len(self._waiting) < LEAST:
                return b""
            self._is_hex = True
        return self._digits(last=False)

    def close(self) -> bytes:
        """Return what is left at the end of the stream."""
        return self._digits(last=True) if self._waiting else b""

    def _digits(self, *, last: bool) -> bytes:
        """Return the bytes of all pairs of digits that are there; keep what may go on."""
        text = self._waiting.replace(b"0x", b" ").replace(b"0X", b" ")
        kept = 0
        if not last and text[-1:] == b"0":
            kept = 1  # it may begin the next 0x
        digits = text[: len(text) - kept].translate(None, _BETWEEN)
        whole = len(digits) - len(digits) % 2
        self._waiting = digits[whole:] + text[len(text) - kept :]
        return bytes.fromhex(digits[:whole].decode())


def _looks_like_hex(data: bytes) -> bool:
    return not data.translate(None, _DIGITS + _BETWEEN)


def as_bytes(data: bytes) -> bytes:
    """Return a whole capture as bytes, whether it is bytes or hex."""
    text = HexText()
    return text.feed(data) + text.close()
