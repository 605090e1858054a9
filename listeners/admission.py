# SPDX-License-Identifier: Apache-2.0
"""So many connections at once, and whoever is waited for the longest makes room.

A connection costs a descriptor and, over TLS, a third of a megabyte from the moment that it is
accepted, whether anybody speaks on it or not. So each is counted from then on:

    stranger   nothing whole has come yet: no handshake, no request     gives way first
    idle       was answered, and has asked nothing since                gives way where none is left
    busy       is being answered                                        never gives way

A newcomer is a stranger: whoever opens connections without an end has their own oldest ones ended,
and is turned away at the worst.
"""

import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SPARE_DESCRIPTORS: Final = 256
"""For files, databases and what a process itself dials."""


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
        """Say that nothing is asked at the moment, by somebody who is no stranger any more."""
        self.admission.moved(self, self.admission.idle)

    def is_busy(self) -> None:
        """Say that a request has begun to come, or is being answered."""
        self.admission.moved(self, self.admission.busy)

    def leaves(self) -> None:
        """Say that the connection has ended; again is no harm."""
        self.admission.moved(self, None)


_Place = OrderedDict[Guest, None]


@dataclass(slots=True)
class Admission:
    """The connections of one server."""

    most: int
    strangers: _Place = field(default_factory=OrderedDict)
    idle: _Place = field(default_factory=OrderedDict)
    busy: _Place = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self.strangers) + len(self.idle) + len(self.busy)

    def enter(self, end: Callable[[], object]) -> Guest | None:
        """Count a connection that was accepted; None where there is no room and none is made."""
        if len(self) >= self.most and not self.make_room():
            return None
        guest = Guest(self, end)
        self.strangers[guest] = None
        return guest

    def make_room(self) -> bool:
        """End the connection that has been waited for the longest; False: all are busy."""
        for place in (self.strangers, self.idle):
            if place:
                guest, _ = place.popitem(last=False)
                guest.end()
                return True
        return False

    def moved(self, guest: Guest, there: "_Place | None") -> None:
        """Put a guest into another place; one that has left stays away."""
        for place in (self.strangers, self.idle, self.busy):
            if guest in place:
                del place[guest]
                if there is not None:
                    there[guest] = None
                return
