# SPDX-License-Identifier: Apache-2.0
"""How generous a decoder is: which departures from the standard it takes, and how much."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Quirk(enum.Flag):
    """Departures from the standard that real meters show; each can be switched off."""

    TAGGED_TIME = enum.auto()
    """Kaifa and older Kamstrup put a data tag before the notification's date-time: 09 0c for 0c."""

    BARE_DESCRIPTORS = enum.auto()
    """Czech meters begin a structure with class, OBIS code and attribute without data tags. It is
    tried only where the strict reading does not add up."""

    ALL = TAGGED_TIME | BARE_DESCRIPTORS


NO_QUIRK = Quirk(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a decoder takes from a stranger.

    `message` bounds what is put together of segments and blocks, in bytes; `depth` the nesting of
    arrays and structures.
    """

    message: int = 1 << 20
    depth: int = 32


DEFAULT_LIMITS = Limits()
