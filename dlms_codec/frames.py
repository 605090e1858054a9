# SPDX-License-Identifier: Apache-2.0
"""What comes out of a stream of any transport: frames that are whole, and damage."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol


class DamageKind(enum.Enum):
    """What happened to a frame."""

    BAD = "bad"
    """It has an end, but a check or a length is wrong."""
    TRUNCATED = "truncated"
    """The stream ended within it."""
    INCOMPLETE = "incomplete"
    """Frames are whole, but one of their message is missing: a segment or a block."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A frame that was begun and is not whole, or a message that lacks one."""

    offset: int
    length: int
    kind: DamageKind
    reason: str


class Frame(Protocol):
    """A frame that is whole: where it began, and its bytes."""

    @property
    def offset(self) -> int:
        """Where in the stream its first byte stands."""

    @property
    def wire(self) -> bytes:
        """All its bytes."""
