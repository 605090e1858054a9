# SPDX-License-Identifier: Apache-2.0
"""General block transfer: a message in numbered pieces (DLMS UA 1000-2, clause 9.3.10).

    e0 | block control | number, 2 bytes | acknowledged, 2 bytes | length | piece

Block control: 80 the last block, 40 more come without being asked for, low six bits the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from dlms_codec._make import twin
from dlms_codec.axdr import encode_octets, read_length
from dlms_codec.data import OctetString
from dlms_codec.errors import EncodingError, LimitExceeded, MalformedDlms
from dlms_codec.options import DEFAULT_LIMITS, Limits

LAST_BLOCK: Final = 0x80
STREAMING: Final = 0x40


@dataclass(frozen=True, slots=True)
class GeneralBlockTransfer:
    """One block."""

    control: int
    number: int
    acknowledged: int
    piece: bytes
    tag: ClassVar[int] = 0xE0

    def __post_init__(self) -> None:
        if not (0 <= self.control < 256 and 0 <= self.number < 65536 > self.acknowledged >= 0):
            raise EncodingError("block control has one byte, block numbers two")

    @property
    def last(self) -> bool:
        """Whether the message ends with this block."""
        return bool(self.control & LAST_BLOCK)

    @property
    def streaming(self) -> bool:
        """Whether more blocks come without being asked for."""
        return bool(self.control & STREAMING)

    @property
    def window(self) -> int:
        """How many blocks the sender takes at a time."""
        return self.control & 0x3F

    def encode(self) -> bytes:
        """Return the APDU."""
        numbers = self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        return bytes([self.tag, self.control]) + numbers + encode_octets(self.piece)

    @classmethod
    def decode(cls, apdu: bytes) -> GeneralBlockTransfer:
        """Return the block that an APDU is."""
        if len(apdu) < 7 or apdu[0] != 0xE0:
            raise MalformedDlms("not a block", offset=0)
        size, begin, width = read_length(apdu, 6)
        piece = apdu[begin:]
        if len(piece) != size:
            raise MalformedDlms(f"{len(piece)} bytes in a block of {size}", offset=begin)
        made: Any = _BlockTwin()
        made.control = apdu[1]
        made.number = apdu[2] << 8 | apdu[3]
        made.acknowledged = apdu[4] << 8 | apdu[5]
        made.piece = OctetString(piece, width) if width else piece
        made.__class__ = GeneralBlockTransfer
        block: GeneralBlockTransfer = made
        return block


_BlockTwin: Final = twin(GeneralBlockTransfer)


class BlockAssembler:
    """Puts the blocks of one direction together; a message with a block missing is dropped."""

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        self._longest = limits.message
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._pieces)

    def drop(self) -> None:
        """Forget a message that has begun."""
        self._pieces, self._size = [], 0

    def add(self, block: GeneralBlockTransfer) -> bytes | None:
        """Return the message that `block` ends; None while there is more to come.

        Raises `MalformedDlms` for a block that is not the next one; the message is dropped. The
        first block starts another.
        """
        if block.number == 1:
            self.drop()
        if block.number != len(self._pieces) + 1:
            due = len(self._pieces) + 1
            self.drop()
            raise MalformedDlms(f"block {block.number} where {due} is due", offset=0)
        self._pieces.append(block.piece)
        self._size += len(block.piece)
        if self._size > self._longest:
            self.drop()
            raise LimitExceeded(f"longer than {self._longest} bytes", offset=0)
        if not block.last:
            return None
        message = b"".join(self._pieces)
        self.drop()
        return message


def split(message: bytes, size: int, *, window: int = 1) -> list[GeneralBlockTransfer]:
    """Return a message in blocks of at most `size` bytes, streamed."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    return [
        GeneralBlockTransfer(
            (LAST_BLOCK if number == len(pieces) else STREAMING) | window, number, 0, piece
        )
        for number, piece in enumerate(pieces, 1)
    ]
