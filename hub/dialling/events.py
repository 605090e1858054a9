# SPDX-License-Identifier: Apache-2.0
"""What a caller is told of the hub's dialling, as values for a structured log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What has happened."""

    CONNECTED = "connected"
    """A connection was made, and both ends have shown their certificates."""
    SCRIPT = "script"
    """A script was carried out, or was not: `target`, `commands`, `answers` or `status`."""
    ENDED = "ended"
    """A session is over: `posts`, `scripts`, `received`, `sent`, `next_seconds`."""
    RETRYING = "retrying"
    """The connection broke; the session goes on after `after_seconds`: `why`."""
    RENEWED = "renewed"
    """The hub has its next certificate."""
    NOT_RENEWED = "not-renewed"
    """It has not, and asks again after the next session: `why`."""
    FAILED = "failed"
    """A session was given up: `why`, `is_security`, `next_seconds`."""
    WAKE_UP = "wake-up"
    """The broker has taken the subscription to wake-ups: `broker`."""
    WAKE_DOWN = "wake-down"
    """It is away, and the hub polls: `why`, `again_seconds`. Told once until it is there."""
    WAKE_ODD = "wake-odd"
    """What is no wake-up came, and was ignored: `why`, `bytes`. Told once a connection."""
    WOKEN = "woken"
    """The hub dials since it was called."""


Fact = str | int | float | bool


@dataclass(frozen=True, slots=True)
class DialEvent:
    """One thing that has happened."""

    kind: Kind
    recipient: str
    """The recipient's name, or the address of its server."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
