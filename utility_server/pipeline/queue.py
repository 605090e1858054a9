# SPDX-License-Identifier: Apache-2.0
"""The queue of answers that wait to be verified, and the one of a process by itself."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from utility_server.errors import QueueRefused

MOST_DELIVERIES: Final = 5
"""So often an answer is tried that our own error keeps from its verdict, before it is set aside."""
RETRY_SECONDS: Final = 5.0
_SCHEMES: Final = ("nats", "tls")
_PORT: Final = 4222


class Delivery(Protocol):
    """A nonce that was taken from the queue; it comes again unless it is acknowledged."""

    @property
    def nonce(self) -> bytes:
        """Of the question whose answer waits."""
        ...

    @property
    def times(self) -> int:
        """How often it was delivered, this time included."""
        ...


class Queue(Protocol):
    """Carries nonces from who receives answers to who verifies them."""

    def publish(self, nonces: Sequence[bytes]) -> None:
        """Add nonces; returns when the queue has them. Raises `QueueUnreachable`."""
        ...

    def fetch(self, most: int, wait_seconds: float) -> list[Delivery]:
        """Take `most` at most; wait so long for the first one, none may come."""
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Say that these are done, and need not come again."""
        ...

    def retry(self, deliveries: Sequence[Delivery], after_seconds: float) -> None:
        """Let these come again after so long."""
        ...

    def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Put one that cannot be worked on aside, for people to look at."""
        ...

    def close(self) -> None:
        """Let go of the queue."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDelivery:
    """A delivery of `LocalQueue`."""

    nonce: bytes
    times: int


@dataclass(slots=True)
class LocalQueue:
    """The queue of one process, for threads: what it holds ends with the process.

    The database still has it, and the sweeper puts it back.
    """

    monotonic: Callable[[], float] = field(default=time.monotonic, repr=False)
    most: int = 100_000
    """More than these are not held: they wait in the database."""
    aside: dict[bytes, str] = field(default_factory=dict)
    """What was set aside, and why."""
    _ready: deque[LocalDelivery] = field(default_factory=deque)
    _later: list[tuple[float, LocalDelivery]] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def publish(self, nonces: Sequence[bytes]) -> None:
        """Add nonces that are neither waiting nor being worked on."""
        with self._changed:
            for nonce in nonces:
                if len(self._known) < self.most and nonce not in self._known:
                    self._known.add(nonce)
                    self._ready.append(LocalDelivery(nonce, 1))
            self._changed.notify_all()

    def fetch(self, most: int, wait_seconds: float) -> list[Delivery]:
        """Take `most` at most; wait so long for the first one."""
        deadline = self.monotonic() + wait_seconds
        with self._changed:
            while True:
                now = self.monotonic()
                due = [one for moment, one in self._later if moment <= now]
                self._later = [(moment, one) for moment, one in self._later if moment > now]
                self._ready.extend(due)
                if self._ready or now >= deadline:
                    return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
                soonest = min([deadline, *(moment for moment, _ in self._later)])
                self._changed.wait(max(0.0, soonest - now))

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Forget these."""
        with self._changed:
            self._known -= {one.nonce for one in deliveries}
            self._changed.notify_all()

    def retry(self, deliveries: Sequence[Delivery], after_seconds: float) -> None:
        """Let these come again after so long."""
        with self._changed:
            due = self.monotonic() + after_seconds
            self._later += [(due, LocalDelivery(one.nonce, one.times + 1)) for one in deliveries]
            self._changed.notify_all()

    def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Keep one out of the way, as long as the process lives."""
        with self._changed:
            self.aside[delivery.nonce] = reason
            self._known.discard(delivery.nonce)
            self._changed.notify_all()

    def wait_for(self, nonce: bytes, seconds: float) -> bool:
        """Wait until a published nonce is done; return whether that came within so long."""
        with self._changed:
            return self._changed.wait_for(lambda: nonce not in self._known, seconds)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def server_place(url: str) -> str:
    """Return which host and port a URL of NATS names; raise `QueueRefused` for any other URL.

    Of the URL, which may hold a password, nothing else is shown.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme not in _SCHEMES or not host or parts.path.strip("/"):
        raise QueueRefused("the queue's URL is none of a NATS server: say nats://HOST:PORT")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
