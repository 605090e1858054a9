# SPDX-License-Identifier: Apache-2.0
"""Messages that are too long for a radio frame and come in several (EN 13757-7, AFL).

Each frame has an authentication layer with its number, from 1, and whether more follow. The message
control, the counter and the authentication code stand in one of them and hold for the whole.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from meter_codecs.mbus.address import Address
from meter_codecs.mbus.errors import MalformedMbus
from meter_codecs.mbus.layers import (
    AFL,
    ELL_LONG,
    ELL_SHORT,
    Authentication,
    read_authentication,
    read_extended_link,
)
from meter_codecs.mbus.link import LinkFrame

MOST_FRAGMENTS: Final = 32
"""The most frames of a message."""
METERS_KEPT: Final = 64
"""How many meters may be in the middle of a message at once; the one longest silent goes first."""


class FragmentJoiner:
    """Joins the frames of long messages, of many meters at once."""

    def __init__(self) -> None:
        self._begun: OrderedDict[Address, list[tuple[Authentication, bytes]]] = OrderedDict()

    def add(self, frame: LinkFrame) -> LinkFrame | None:
        """Return the frame if it is whole, the message that it completes, or None if more follow.

        The frame of a joined message is longer than one on the air and is not encoded again.
        Raises `MalformedMbus` for a fragment whose predecessor is missing; what was begun is then
        forgotten.
        """
        head, at = b"", 0
        if frame.payload[:1] and frame.payload[0] in (ELL_SHORT, ELL_LONG):
            _, at = read_extended_link(frame.payload, 0)
            head = frame.payload[:at]
        if frame.payload[at : at + 1] != bytes([AFL]):
            return frame
        layer, at = read_authentication(frame.payload, at)
        if not layer.is_fragment:
            return frame
        parts = self._begun.pop(frame.address, [])
        number = layer.fragment & 0xFF
        if number == 1:
            parts = []  # a new message, whether or not the last one ended
        if number != len(parts) + 1 or number > MOST_FRAGMENTS:
            raise MalformedMbus(f"fragment {number} after {len(parts)}", offset=at)
        parts.append((layer, frame.payload[at:]))
        if layer.fragment & 0x4000:
            self._begun[frame.address] = parts
            while len(self._begun) > METERS_KEPT:
                self._begun.popitem(last=False)
            return None
        content = b"".join(piece for _, piece in parts)
        whole = _joined([layer for layer, _ in parts])
        if whole.length is not None and whole.length != len(content):
            raise MalformedMbus(
                f"a message of {whole.length} bytes, {len(content)} have come", offset=at
            )
        return replace(frame, payload=head + whole.encode() + content)


def _joined(layers: list[Authentication]) -> Authentication:
    """Return the layer of the whole: each field from the frame that has it."""
    fragment = 0
    for layer in layers:
        fragment |= layer.fragment & 0x3E00
    return Authentication(
        fragment,
        next((layer.control for layer in layers if layer.control is not None), None),
        next((la.key_information for la in layers if la.key_information is not None), None),
        next((layer.counter for layer in layers if layer.counter is not None), None),
        next((layer.mac for layer in layers if layer.mac is not None), None),
        next((layer.length for layer in layers if layer.length is not None), None),
    )
