# SPDX-License-Identifier: Apache-2.0
"""So many connections at once, and whoever is waited for the longest makes room.

A connection costs a descriptor and, over TLS, a third of a megabyte from the moment that it is
accepted, whether anybody speaks on it or not. So each is counted from then on until its descriptor
is closed:

    stranger   was not answered yet                          so many of them at most
    idle       was answered, and is waited for again
    busy       what it has asked is being worked on here     never gives way

Whoever is waited for gives way, in whatever he is slow: a handshake, a request, an answer that he
does not read. Where there are too many strangers the oldest of them does. Where all places are
taken it is the oldest that is idle, unless strangers have most of their own share. So whoever opens
connections without an end has his own ended, and a newcomer has the time in which a whole share of
strangers comes.
"""

import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SPARE_DESCRIPTORS: Final = 256
"""For files, databases and what a process itself dials."""
MOST_ENDING: Final = 64
"""More than these are not told to end before some have."""


def most_connections(wanted: int) -> int:
    """Return how many connections this process may hold, `wanted` at most; at least one.

    Its own limit of descriptors is raised as far as it may be.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    elif soft == resource.RLIM_INFINITY:
        soft = needed
    return max(1, min(wanted, soft - SPARE_DESCRIPTORS))


@dataclass(slots=True, eq=False)
class Guest:
    """One connection."""

    admission: "Admission"
    end: Callable[[], object] = field(repr=False)
    """Ends the connection, from whichever state it is in."""

    def is_idle(self) -> None:
        """Say that somebody who was answered, or is known, is waited for."""
        self.admission.moved(self, self.admission.idle)

    def is_busy(self) -> None:
        """Say that what was asked is being worked on."""
        self.admission.moved(self, self.admission.busy)

    def leaves(self) -> None:
        """Say that the connection has ended; again is no harm."""
        self.admission.left(self)


_Place = OrderedDict[Guest, None]


@dataclass(slots=True)
class Admission:
    """The connections of one server."""

    most: int
    most_strangers: int = 0
    """0: half of all."""
    strangers: _Place = field(default_factory=OrderedDict)
    idle: _Place = field(default_factory=OrderedDict)
    busy: _Place = field(default_factory=OrderedDict)
    ending: set[Guest] = field(default_factory=set)
    """Were told to end, and still have their descriptors."""

    def __post_init__(self) -> None:
        self.most_strangers = min(self.most_strangers or max(1, self.most // 2), self.most)

    def __len__(self) -> int:
        return len(self.strangers) + len(self.idle) + len(self.busy)

    def enter(self, end: Callable[[], object]) -> Guest | None:
        """Count a connection that was accepted; None where there is no room and none is made."""
        if len(self.ending) >= MOST_ENDING:
            return None
        is_full = len(self) >= self.most
        if (is_full or len(self.strangers) >= self.most_strangers) and not self.make_room():
            return None
        guest = Guest(self, end)
        self.strangers[guest] = None
        return guest

    def make_room(self) -> bool:
        """End the connection that is to give way; False: all are busy."""
        has_share = len(self.strangers) > self.most_strangers // 2
        for place in (self.strangers, self.idle) if has_share else (self.idle, self.strangers):
            if place:
                guest, _ = place.popitem(last=False)
                self.ending.add(guest)
                guest.end()
                return True
        return False

    def moved(self, guest: Guest, there: _Place) -> None:
        """Put a guest into another place; one that was told to end, or has left, stays away."""
        for place in (self.strangers, self.idle, self.busy):
            if guest in place:
                if place is not there:
                    del place[guest]
                    there[guest] = None
                return

    def left(self, guest: Guest) -> None:
        """Forget a guest."""
        self.ending.discard(guest)
        for place in (self.strangers, self.idle, self.busy):
            place.pop(guest, None)
