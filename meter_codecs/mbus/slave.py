# SPDX-License-Identifier: Apache-2.0
"""A slave of a wired bus, without I/O: the other side of `master`, for simulators and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meter_codecs.mbus.address import Address
from meter_codecs.mbus.errors import EncodingError
from meter_codecs.mbus.frames import (
    BROADCAST,
    BROADCAST_REPLY,
    FCB,
    FCV,
    REQ_UD1,
    REQ_UD2,
    RSP_UD,
    SELECTED,
    SND_NKE,
    SND_UD,
    Ack,
    Frame,
    LongFrame,
    Received,
    ShortFrame,
)
from meter_codecs.mbus.layers import Header
from meter_codecs.mbus.master import SELECT, SPEEDS
from meter_codecs.mbus.records import Body
from meter_codecs.mbus.stream import StreamDecoder

_SPEED_OF: Final = {ci: baud for baud, ci in SPEEDS.items()}
_ACK: Final = Ack().encode()


class Slave:
    """A meter with a primary and a secondary address, and telegrams to be read one by one."""

    def __init__(
        self, primary: int, secondary: Address, bodies: Sequence[Body], *, speed: int = 2400
    ) -> None:
        if not bodies:
            raise EncodingError("a slave has one telegram at least")
        self.speed = speed
        self._primary = primary
        self._secondary = secondary
        self._bodies = tuple(bodies)
        self._stream = StreamDecoder()
        self._selected = False
        self._last_fcb: int | None = None
        self._place = 0
        self._access = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the master; return what to send."""
        answer = b""
        for event in self._stream.feed(data):
            if isinstance(event, Received):
                answer += self.receive(event.frame)
        return answer

    def receive(self, frame: Frame) -> bytes:
        """Take a frame of the master; return what to send, nothing if it is not meant."""
        if isinstance(frame, Ack):
            return b""
        if isinstance(frame, LongFrame) and frame.address == SELECTED and frame.ci == SELECT:
            return self._select(frame)
        if frame.address == BROADCAST:
            self._obey(frame)
            return b""
        mine = frame.address in (self._primary, BROADCAST_REPLY)
        if not mine and not (frame.address == SELECTED and self._selected):
            return b""
        if isinstance(frame, ShortFrame) and frame.control & ~FCB == REQ_UD2 & ~FCB | FCV:
            return self._values(frame.control & FCB)
        return _ACK if self._obey(frame) else b""

    def _select(self, frame: LongFrame) -> bytes:
        selection = _selection(frame.data)
        self._selected = selection is not None and selection.matches(self._secondary)
        self._last_fcb = None
        self._place = 0
        return _ACK if self._selected else b""

    def _obey(self, frame: ShortFrame | LongFrame) -> bool:
        """Do what is asked; return whether it is understood."""
        if isinstance(frame, ShortFrame):
            if frame.control & ~FCB == REQ_UD1:
                return True  # no alarm to tell of
            if frame.control != SND_NKE:
                return False
            self._last_fcb, self._place = None, 0
            if frame.address == SELECTED:
                self._selected = False
            return True
        if frame.control & ~FCB != SND_UD & ~FCB:
            return False
        self.speed = _SPEED_OF.get(frame.ci, self.speed)
        return True

    def _values(self, fcb: int) -> bytes:
        if self._last_fcb is not None and fcb != self._last_fcb:
            self._place = (self._place + 1) % len(self._bodies)
            self._access = (self._access + 1) % 256
        self._last_fcb = fcb
        header = Header(self._access, 0, 0, self._secondary).encode()
        body = self._bodies[self._place].encode()
        return LongFrame(RSP_UD, self._primary, 0x72, header + body).encode()


def _selection(data: bytes) -> Address | None:
    if len(data) != 8:
        return None
    number, maker = data[3::-1].hex(), int.from_bytes(data[4:6], "little")
    return Address(maker, number, data[6], data[7])
