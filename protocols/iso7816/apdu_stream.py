# SPDX-License-Identifier: Apache-2.0
"""APDUs on a byte stream: four bytes of length, big-endian, then the APDU.

A response that is longer than one extended APDU still fits one frame only where the reader's
limit allows; the card splits it with 61xx before it comes here.
"""

from typing import Final

from protocols.iso7816.errors import MalformedFrame

MAX_FRAME: Final = 1 << 17
"""Room for the longest extended APDU; a longer frame is refused by either end."""
_HEADER: Final = 4


def encode_frame(payload: bytes) -> bytes:
    """Return `payload` after its length; raise `MalformedFrame` beyond `MAX_FRAME`."""
    if not 0 < len(payload) <= MAX_FRAME:
        raise MalformedFrame(f"a frame holds 1 to {MAX_FRAME} bytes, not {len(payload)}")
    return len(payload).to_bytes(_HEADER, "big") + payload


class ApduFrameDecoder:
    """Cuts a stream into frames, wherever the network cut it."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that `data` completes; raise `MalformedFrame` on a wrong length."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEADER:
            size = int.from_bytes(self._buffer[:_HEADER], "big")
            if not 0 < size <= self._max_frame:
                raise MalformedFrame(f"a frame of {size} bytes, the limit is {self._max_frame}")
            if len(self._buffer) < _HEADER + size:
                break
            frames.append(bytes(self._buffer[_HEADER : _HEADER + size]))
            del self._buffer[: _HEADER + size]
        return frames

    def finish(self) -> None:
        """Return if the stream ended between two frames; raise `MalformedFrame` if within one."""
        if self._buffer:
            raise MalformedFrame(f"the stream ended within a frame, {len(self._buffer)} bytes in")
