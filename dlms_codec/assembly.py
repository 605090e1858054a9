# SPDX-License-Identifier: Apache-2.0
"""From frames to messages: segments put together, the LLC header taken off, blocks put together.

A message that lacks a frame is not made up from the rest: it comes as `Damage`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dlms_codec._make import twin
from dlms_codec.apdus import decode_apdu
from dlms_codec.blocks import BlockAssembler, GeneralBlockTransfer
from dlms_codec.errors import MalformedDlms
from dlms_codec.frames import Damage, DamageKind
from dlms_codec.hdlc import KINDS, FrameKind, HdlcDecoder, HdlcFrame
from dlms_codec.mbus import MbusDecoder, MbusFrame
from dlms_codec.options import DEFAULT_LIMITS, Limits
from dlms_codec.wrapper import WrapperDecoder, WrapperFrame

LLC_REQUEST: Final = b"\xe6\xe6\x00"
LLC_RESPONSE: Final = b"\xe6\xe7\x00"
_LLC: Final = (LLC_REQUEST, LLC_RESPONSE)
_CARRIES: Final = tuple(kind in (FrameKind.I, FrameKind.UI) for kind in KINDS)
"""By control field: whether a frame has a piece of a message."""


class Transport(enum.Enum):
    """What carries the messages."""

    HDLC = "hdlc"
    MBUS = "mbus"
    WRAPPER = "wrapper"


AnyFrame: TypeAlias = HdlcFrame | MbusFrame | WrapperFrame


@dataclass(frozen=True, slots=True)
class Message:
    """An APDU and the frames it came in; `offset` is where the first of them begins."""

    offset: int
    apdu: bytes
    frames: int


Event: TypeAlias = AnyFrame | Damage | Message
_MessageTwin: Final = twin(Message)


def _message(offset: int, apdu: bytes, frames: int) -> Message:
    made: Any = _MessageTwin()
    made.offset = offset
    made.apdu = apdu
    made.frames = frames
    made.__class__ = Message
    message: Message = made
    return message


def strip_llc(information: bytes) -> bytes:
    """Return what is behind the LLC header, if there is one."""
    return information[3:] if information[:3] in _LLC else information


def _is_whole(apdu: bytes) -> bool:
    """Whether a message is one, and not the rest of one.

    Asked where it does not begin as it should: without an LLC header, which some meters never send
    and blocks have in front of the first only, or with another segment than 0.
    """
    try:
        decode_apdu(apdu)
    except MalformedDlms:
        return False
    return True


class _Segments:
    """What one direction of one line has sent of a message so far."""

    __slots__ = (
        "blocks", "blocks_offset", "count", "due", "frames", "headless", "offset", "pieces", "size"
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self.offset = 0
        self.count = 0
        self.due = 0
        self.headless = False
        self.blocks = BlockAssembler(limits=limits)
        self.blocks_offset = 0
        self.frames = 0

    def clear(self) -> None:
        self.pieces, self.size, self.count = [], 0, 0


class MessageDecoder:
    """Turns a stream of one transport into its frames, damage and messages, in order.

    A message follows the frame that ends it. The events are the same however the stream is cut.
    """

    PEERS: Final = 16
    """How many pairs of addresses are kept apart; bounds what hostile bytes can fill."""

    def __init__(self, transport: Transport, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._decoder: HdlcDecoder | MbusDecoder | WrapperDecoder
        match transport:
            case Transport.HDLC:
                self._decoder = HdlcDecoder()
            case Transport.MBUS:
                self._decoder = MbusDecoder()
            case Transport.WRAPPER:
                self._decoder = WrapperDecoder()
        self._limits = limits
        self._peers: dict[object, _Segments] = {}

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return what they complete."""
        return self._messages(self._decoder.feed(data))

    def close(self) -> list[Event]:
        """End the stream; return what it cuts off."""
        events = self._messages(self._decoder.close())
        for peer in self._peers.values():
            self._lose(peer, events, "the stream ended before its last frame")
        self._peers.clear()
        return events

    def _messages(
        self,
        frames: list[HdlcFrame | Damage] | list[MbusFrame | Damage] | list[WrapperFrame | Damage],
    ) -> list[Event]:
        events: list[Event] = []
        for frame in frames:
            events.append(frame)
            if isinstance(frame, HdlcFrame):
                self._hdlc(frame, events)
            elif isinstance(frame, MbusFrame):
                self._mbus(frame, events)
            elif isinstance(frame, WrapperFrame):
                peer = self._peer((frame.source, frame.destination), events)
                self._apdu(peer, frame.offset, frame.apdu, 1, events)
            else:  # a frame is missing: what has begun lacks it
                for peer in self._peers.values():
                    self._lose(peer, events, "a frame of it was damaged")
        return events

    def _peer(self, key: object, events: list[Event]) -> _Segments:
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= self.PEERS:
                oldest = next(iter(self._peers))
                self._lose(self._peers.pop(oldest), events, "too many senders at a time")
            peer = self._peers[key] = _Segments(self._limits)
        return peer

    def _hdlc(self, frame: HdlcFrame, events: list[Event]) -> None:
        information = frame.information
        if not information or not _CARRIES[frame.control]:
            return
        peer = self._peer((frame.source, frame.destination), events)
        has_llc = information[:3] in _LLC
        if has_llc and peer.pieces:
            self._drop_segments(peer, events, "its last segment is missing")
        if not peer.pieces:
            if has_llc and not frame.segmented:  # the whole of it: the way of nearly all frames
                self._apdu(peer, frame.offset, information[3:], 1, events)
                return
            peer.offset = frame.offset
            peer.headless = not has_llc
            information = strip_llc(information)
        self._piece(peer, information, events)
        if peer.pieces and not frame.segmented:
            self._finish(peer, events)

    def _mbus(self, frame: MbusFrame, events: list[Event]) -> None:
        if not frame.carries_dlms:
            return
        peer = self._peer((frame.address, frame.source, frame.destination), events)
        if frame.segment == 0 and peer.pieces:
            self._drop_segments(peer, events, "its last segment is missing")
        if not peer.pieces:
            peer.offset, peer.due = frame.offset, frame.segment
            peer.headless = frame.segment != 0
        if frame.segment != peer.due:
            self._drop_segments(peer, events, f"segment {frame.segment} where {peer.due} is due")
            return
        peer.due = (peer.due + 1) & 0x0F
        self._piece(peer, frame.piece, events)
        if peer.pieces and frame.last:
            self._finish(peer, events)

    def _piece(self, peer: _Segments, piece: bytes, events: list[Event]) -> None:
        peer.pieces.append(piece)
        peer.count += 1
        peer.size += len(piece)
        if peer.size > self._limits.message:
            self._drop_segments(peer, events, f"longer than {self._limits.message} bytes")

    def _finish(self, peer: _Segments, events: list[Event]) -> None:
        apdu, count, size = strip_llc(b"".join(peer.pieces)), peer.count, peer.size
        headless, peer.headless = peer.headless, False
        peer.clear()
        if headless and not _is_whole(apdu):
            reason = "its first segment is missing"
            events.append(Damage(peer.offset, size, DamageKind.INCOMPLETE, reason))
            return
        self._apdu(peer, peer.offset, apdu, count, events)

    def _apdu(
        self, peer: _Segments, offset: int, apdu: bytes, frames: int, events: list[Event]
    ) -> None:
        if not apdu or apdu[0] != 0xE0:
            if peer.blocks.waiting:
                self._lose(peer, events, "its last block is missing")
            events.append(_message(offset, apdu, frames))
            return
        try:
            block = GeneralBlockTransfer.decode(apdu)
            if block.number == 1 or not peer.blocks.waiting:
                if peer.blocks.waiting:
                    self._lose(peer, events, "its last block is missing")
                peer.blocks_offset, peer.frames = offset, 0
            peer.frames += frames
            message = peer.blocks.add(block)
        except MalformedDlms as error:
            peer.blocks.drop()
            start = peer.blocks_offset if peer.frames > frames else offset
            events.append(Damage(start, 0, DamageKind.INCOMPLETE, error.reason))
            return
        if message is not None:
            events.append(_message(peer.blocks_offset, message, peer.frames))

    def _drop_segments(self, peer: _Segments, events: list[Event], reason: str) -> None:
        if peer.pieces:
            events.append(Damage(peer.offset, peer.size, DamageKind.INCOMPLETE, reason))
        peer.clear()

    def _lose(self, peer: _Segments, events: list[Event], reason: str) -> None:
        self._drop_segments(peer, events, reason)
        if peer.blocks.waiting:
            peer.blocks.drop()
            events.append(Damage(peer.blocks_offset, 0, DamageKind.INCOMPLETE, reason))


def decode_messages(
    transport: Transport, data: bytes, *, limits: Limits = DEFAULT_LIMITS
) -> list[Event]:
    """Return what is in a whole capture, in order."""
    decoder = MessageDecoder(transport, limits=limits)
    return decoder.feed(data) + decoder.close()
