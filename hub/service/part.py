# SPDX-License-Identifier: Apache-2.0
"""What a part of the service is, from outside and from inside.

From outside it is a `Part`: started, stopped, asked for its state. From inside most parts are
`Work`: a function that runs until its `Life` says so, and that may break; a supervisor makes a part
of it (`hub.service.supervisor`).

    starting ---> up <---> waiting ---> stopped
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Protocol

from hub.service.log import Fact


class PartKind(StrEnum):
    """What a part does."""

    SOURCE = "source"
    SERVE = "serve"
    PAGES = "pages"
    HEALTH = "health"
    CONTROL = "control"
    RECIPIENT = "recipient"


class PartState(StrEnum):
    """How a part is."""

    STARTING = "starting"
    UP = "up"
    WAITING = "waiting"
    """It broke, and is tried again; or what it waits for does not come."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """How a part is, as its owner is told."""

    name: str
    kind: PartKind
    state: PartState
    since: int
    """When it came to be so, in epoch seconds."""
    broken: int = 0
    """How many times it broke since it was started."""
    code: str | None = None
    """Why it waits, as the log has it."""
    reason: str | None = None
    """The same in words. They may name a meter or what it shows: for the owner alone."""
    facts: Mapping[str, Fact] = field(default_factory=dict)


class Part(Protocol):
    """One thing that the service does."""

    @property
    def name(self) -> str:
        """What it is called, in the log and in the status."""
        ...

    def start(self) -> None:
        """Begin, and return at once."""
        ...

    def stop(self) -> None:
        """Ask it to end, and return at once."""
        ...

    def join(self, seconds: float) -> bool:
        """Wait until it has ended, so long at most; return whether it has."""
        ...

    def status(self) -> PartStatus:
        """Return how it is."""
        ...


class Life(Protocol):
    """One run of a part's work: what it is told, and what it tells."""

    @property
    def stopping(self) -> Event:
        """Set when the work is to end."""
        ...

    def when_stopping(self, call: Callable[[], None]) -> None:
        """Have `call` called, from another thread, when the work is to end."""
        ...

    def up(self, address: str | None = None) -> None:
        """Tell that the work does what it is for; `address` is where it listens."""
        ...

    def waiting(self, code: str, reason: str, seconds: float | None = None) -> None:
        """Tell that it cannot just now, and after how long it tries again by itself."""
        ...

    def keep(self, **facts: "Fact | Callable[[], Fact]") -> None:
        """Keep facts for the status, which only the owner is told."""
        ...

    def days_certified(self, days: int) -> None:
        """Tell that days were certified; nothing is told of none."""
        ...

    def set_aside(self, kind: str) -> None:
        """Tell that a telegram of a kind was set aside; told once a kind and run."""
        ...


Work = Callable[[Life], None]
"""Does what a part is for until its life is to end; may raise whatever breaks it."""


def run_async(main: Callable[[asyncio.Event], Awaitable[None]], life: Life) -> None:
    """Run asynchronous work in an event loop of its own; its event is set when it is to end."""

    async def whole() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(stop.set)

        life.when_stopping(end)
        await main(stop)

    asyncio.run(whole())
