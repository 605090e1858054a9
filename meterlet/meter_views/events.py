# SPDX-License-Identifier: Apache-2.0
"""What comes out of a stream of a meter: telegrams and damage, and what is wrong with each.

A telegram has `values`, or `error` and `fault`; damage has `reason` and `fault`, and no values.
The faults are few words, so that a program and a person tell apart what is to be done:

    checksum                  a frame came whole, and a bit of it is wrong
    cut                       a frame was begun, and ends too early
    incomplete                frames are whole, and another one of their message is missing
    noise                     bytes that begin no frame
    malformed                 it does not add up, though its checksum holds
    no-key                    a key is needed, and none was given
    wrong-key                 the encryption key is another meter's, or in another mode
    wrong-authentication-key  the encryption key is right, and the tag is wrong
    unsupported-mode          enciphered in a way that is not read, whatever the key
    unknown-format            a short telegram needs a full one before it
    unread-content            whole, and in a maker's own language, or no values at all
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from hub.meters.readers.decoding import Decoder

Event: TypeAlias = dict[str, Any]
Found = TypeVar("Found")

CHECKSUM: Final = "checksum"
CUT: Final = "cut"
INCOMPLETE: Final = "incomplete"
NOISE: Final = "noise"
MALFORMED: Final = "malformed"
NO_KEY: Final = "no-key"
WRONG_KEY: Final = "wrong-key"
WRONG_AUTH_KEY: Final = "wrong-authentication-key"
UNSUPPORTED: Final = "unsupported-mode"

NOT_BAD_FRAMES: Final = frozenset({NOISE, INCOMPLETE})
"""What is no frame that was begun and damaged."""

_BY_KIND: Final = {
    "truncated": CUT,
    "restart": CUT,
    "headless": CUT,
    "incomplete": INCOMPLETE,
    "noise": NOISE,
    "checksum": CHECKSUM,
}
_CHECKS: Final = ("crc", "checksum", "fcs", "hcs", "block check")
_BY_ERROR: Final = {
    "MissingKey": NO_KEY,
    "KeyMissing": NO_KEY,
    "WrongKey": WRONG_KEY,
    "WrongAuthenticationKey": WRONG_AUTH_KEY,
    "ForgedMessage": WRONG_AUTH_KEY,
    "SecurityError": UNSUPPORTED,
    "UnsupportedMode": UNSUPPORTED,
    "UnknownFormat": "unknown-format",
    "UnreadContent": "unread-content",
    "ChecksumMismatch": CHECKSUM,
}


class Capture(Protocol):
    """Reads a stream of one kind of meter."""

    @property
    def frames(self) -> int:
        """Whole frames so far."""
        ...

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        ...

    def close(self) -> list[Event]:
        """Return what is left at the end."""
        ...


class DecodedCapture(ABC, Generic[Found]):
    """A `Capture` over a codec's decoder: that finds, and `_shown` says it as JSON."""

    frames: int = 0
    _decoder: Decoder[Found]

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        return self._shown(self._decoder.feed(data))

    def close(self) -> list[Event]:
        """Return what is left at the end."""
        return self._shown(self._decoder.close())

    @abstractmethod
    def _shown(self, found: Found) -> list[Event]:
        """Return what the decoder's findings say."""


def damage_view(offset: int, length: int, kind: str, reason: str) -> Event:
    """Return damage; `kind` is how the decoder calls it."""
    fault = _BY_KIND.get(kind)
    if fault is None:
        small = reason.lower()
        fault = CHECKSUM if any(check in small for check in _CHECKS) else MALFORMED
        fault = NOISE if "begins here" in small else fault
    return {"offset": offset, "length": length, "fault": fault, "reason": reason}


def fault_of(error: Exception) -> str:
    """Return what is wrong with a telegram that cannot be read."""
    return _BY_ERROR.get(type(error).__name__, MALFORMED)


def whole(capture: Capture, data: bytes) -> dict[str, Any]:
    """Return what a whole capture holds."""
    return gathered(capture, capture.feed(data) + capture.close())


def gathered(capture: Capture, events: list[Event]) -> dict[str, Any]:
    """Return the events of a stream as one object."""
    damage = [event for event in events if "reason" in event]
    shown: dict[str, Any] = {
        "frames": capture.frames,
        "frames_bad": sum(event["fault"] not in NOT_BAD_FRAMES for event in damage),
        "telegrams": [event for event in events if "reason" not in event],
    }
    return shown | {"damage": damage} if damage else shown
