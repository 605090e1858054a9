# SPDX-License-Identifier: Apache-2.0
"""Walks over the fields of an APDU; nothing comes up short, nothing is left over."""

from __future__ import annotations

from dlms_codec.axdr import read_data, read_length
from dlms_codec.data import Data, OctetString
from dlms_codec.errors import MalformedDlms
from dlms_codec.options import DEFAULT_LIMITS, Limits


class Reader:
    """Where in an APDU one is."""

    __slots__ = ("at", "data", "limits")

    def __init__(self, data: bytes, at: int = 0, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self.data = data
        self.at = at
        self.limits = limits

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        stop = self.at + size
        if stop > len(self.data):
            raise MalformedDlms("cut short", offset=len(self.data))
        piece = self.data[self.at : stop]
        self.at = stop
        return piece

    def uint(self, size: int) -> int:
        """Return a number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def flag(self) -> bool:
        """Return whether an optional field is there, or a truth: 00 or 01."""
        value = self.uint(1)
        if value > 1:
            raise MalformedDlms(f"{value:02x} where 00 or 01 is due", offset=self.at - 1)
        return bool(value)

    def length(self) -> int:
        """Return a length or a count, sent in the shortest way."""
        return self.wide_length()[0]

    def wide_length(self) -> tuple[int, int]:
        """Return a length, and its width if it was not sent in the shortest way, else 0."""
        if self.at >= len(self.data):
            raise MalformedDlms("cut short", offset=len(self.data))
        value, self.at, width = read_length(self.data, self.at)
        return value, width

    def count(self) -> int:
        """Return how many items follow; raise if that cannot be, or is not the shortest way."""
        start = self.at
        value, width = self.wide_length()
        if width or value > len(self.data) - self.at:
            raise MalformedDlms("count of a list", offset=start)
        return value

    def octets(self) -> bytes:
        """Return a length's worth of bytes, with the width of the length."""
        size, width = self.wide_length()
        raw = self.take(size)
        return OctetString(raw, width) if width else raw

    def value(self) -> Data:
        """Return the value that stands here."""
        value, self.at = read_data(self.data, self.at, limits=self.limits)
        return value

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self.data) - self.at)

    def tag(self, expected: int, what: str) -> None:
        """Go past a byte that must be `expected`."""
        if self.uint(1) != expected:
            raise MalformedDlms(f"not {what}", offset=self.at - 1)

    def end(self) -> None:
        """Raise if something is left."""
        if self.at != len(self.data):
            left = len(self.data) - self.at
            raise MalformedDlms(f"{left} bytes behind the message", offset=self.at)
