# SPDX-License-Identifier: Apache-2.0
"""What hubs may take of a gateway: POSTs by certificate, and shares of its memory.

A limit over all hubs is a pot that one of them could empty for the others. So whatever is counted
here is counted by who takes it, and where a pot is empty, whoever holds the most gives way, never
whoever comes next: a hub with an ordinary answer is served beside others that hoard.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from utility_server.gateway.certificates import HubCertificate

POSTS_PER_SECOND: Final = 50.0
MOST_POSTS_AT_ONCE: Final = 200.0

OwnerT = TypeVar("OwnerT")


def _do_nothing() -> None:
    """Is what a connection does that nobody can cut off."""


@dataclass(slots=True, eq=False)
class Peer:
    """Whoever is at the other end of a connection; the server makes one for each."""

    certificate: bytes
    """DER; TLS has verified it."""
    abort: Callable[[], object] = field(default=_do_nothing, repr=False)
    """Cuts the connection off."""
    known: HubCertificate | None = None
    """None: it does not count, or nobody has looked yet."""
    looked_at: float = float("-inf")


@dataclass(slots=True)
class Pace:
    """How fast each certificate may POST, however many connections it opens."""

    per_second: float = POSTS_PER_SECOND
    """For long; `at_once` at first."""
    at_once: float = MOST_POSTS_AT_ONCE
    _left: "OrderedDict[bytes, tuple[float, float]]" = field(default_factory=OrderedDict)
    """By certificate, the one that came last at the end: what was left, and when."""

    def admits(self, certificate: bytes, now: float) -> bool:
        """Count one POST; False where what it may take is used up."""
        left, since = self._left.pop(certificate, (self.at_once, now))
        left = min(self.at_once, left + (now - since) * self.per_second)
        is_admitted = left >= 1
        self._left[certificate] = left - is_admitted, now
        # Who has been silent for so long has all of it back, and needs no entry.
        whole = now - self.at_once / self.per_second
        while self._left and next(iter(self._left.values()))[1] <= whole:
            self._left.popitem(last=False)
        return is_admitted


@dataclass(slots=True)
class Pot(Generic[OwnerT]):
    """Bytes that owners hold, so many in all."""

    size: int
    held: int = 0
    _by_owner: "Counter[OwnerT]" = field(default_factory=Counter)

    def hold(self, owner: OwnerT, count: int) -> None:
        """Say that an owner holds so many bytes now; 0: none."""
        self.held += count - self._by_owner[owner]
        if count:
            self._by_owner[owner] = count
        else:
            del self._by_owner[owner]

    def add(self, owner: OwnerT, count: int) -> None:
        """Say that an owner holds so many bytes more."""
        self.hold(owner, self._by_owner[owner] + count)

    def greediest(self, group: Callable[[OwnerT], bytes]) -> list[OwnerT]:
        """Return who has to give way: all owners of the group that holds the most.

        Nobody, while there is room.
        """
        if self.held <= self.size:
            return []
        by_group: Counter[bytes] = Counter()
        for owner, count in self._by_owner.items():
            by_group[group(owner)] += count
        [(most, _)] = by_group.most_common(1)
        return [owner for owner in self._by_owner if group(owner) == most]
