# SPDX-License-Identifier: Apache-2.0
"""Runs a part's work in a thread of its own, and again whenever it breaks or ends.

    starting ... up ... breaks | 1 s | ... breaks | 2 s | ... up ... breaks | 1 s | ...

It waits twice as long each time, a minute at most; after it was up for a minute it begins anew.
What breaks one part leaves the others alone, bugs of ours included.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock, Thread
from typing import Final

from hub.service.log import Event, Fact, Level, ServiceLog, code_of
from hub.service.part import PartKind, PartState, PartStatus, Work

FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""Who was up for so long is not broken any more."""


def delay_after(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row, 1 at least."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 30))


@dataclass(slots=True)
class SupervisedPart:
    """A part of the service, made of its work."""

    name: str
    kind: PartKind
    work: Work
    log: ServiceLog
    clock: Callable[[], float] = time.monotonic
    """Seconds of a clock that never goes back."""
    wait: Callable[[float], None] | None = None
    """Waits so long between two runs, or until the part is to end; None: as the clock does."""
    stopping: Flag = field(default_factory=Flag, init=False)
    _state: PartState = field(default=PartState.STOPPED, init=False)
    _since: int = field(default=0, init=False)
    _code: str | None = field(default=None, init=False)
    _reason: str | None = field(default=None, init=False)
    _broken: int = field(default=0, init=False)
    _up_since: float | None = field(default=None, init=False)
    _facts: "dict[str, Fact | Callable[[], Fact]]" = field(default_factory=dict, init=False)
    _odd: set[str] = field(default_factory=set, init=False)
    _calls: list[Callable[[], None]] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _thread: Thread | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Begin, and return at once."""
        self._thread = Thread(target=self.run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end, and return at once."""
        self.stopping.set()
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def join(self, seconds: float) -> bool:
        """Wait until it has ended, so long at most; return whether it has."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def status(self) -> PartStatus:
        """Return how it is."""
        with self._lock:
            kept = dict(self._facts)
            found = (self._state, self._since, self._broken, self._code, self._reason)
        facts = {name: _now(fact) for name, fact in kept.items()}
        told = {name: fact for name, fact in facts.items() if fact is not None}
        return PartStatus(self.name, self.kind, *found, told)

    def run(self) -> None:
        """Do the work until the part is to end; to be called in a thread of its own."""
        failures = 0
        self._change(PartState.STARTING)
        while not self.stopping.is_set():
            self._up_since = None
            code, reason = "ended", "it ended by itself"
            try:
                self.work(self)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                code, reason = code_of(error), str(error) or type(error).__name__
            with self._lock:
                self._calls.clear()
                # What asked a run that is over knows nothing any more.
                self._facts = {one: fact for one, fact in self._facts.items() if not callable(fact)}
            if self.stopping.is_set():
                break
            if self._was_steady():
                failures = 0
            failures += 1
            self._broken += 1
            delay = delay_after(failures)
            self.waiting(code, reason, delay)
            if self.wait is not None:
                self.wait(delay)
            else:
                self.stopping.wait(delay)
        self._change(PartState.STOPPED)

    def _was_steady(self) -> bool:
        return self._up_since is not None and self.clock() - self._up_since >= STEADY_SECONDS

    def when_stopping(self, call: Callable[[], None]) -> None:
        """Have `call` called when the work is to end; at once where it is already."""
        with self._lock:
            if not self.stopping.is_set():
                self._calls.append(call)
                return
        call()

    def up(self, address: str | None = None) -> None:
        """Tell that the work does what it is for; `address` is where it listens."""
        if self._up_since is None:
            self._up_since = self.clock()
        if address is not None:
            self.keep(address=address)
        self._change(PartState.UP, address=address)

    def waiting(self, code: str, reason: str, seconds: float | None = None) -> None:
        """Tell that it cannot just now, and after how long it tries again."""
        retry = None if seconds is None else round(seconds)
        self._change(PartState.WAITING, code, reason, retry)

    def keep(self, **facts: "Fact | Callable[[], Fact]") -> None:
        """Keep facts for the status, which only the owner is told."""
        with self._lock:
            self._facts.update(facts)

    def days_certified(self, days: int) -> None:
        """Tell that days were certified; nothing is told of none."""
        if days:
            self.log.tell(Event.CERTIFIED, part=self.name, days=days)

    def set_aside(self, kind: str) -> None:
        """Tell that a telegram of a kind was set aside; told once a kind, however many come."""
        if kind not in self._odd:
            self._odd.add(kind)
            self.log.tell(Event.SET_ASIDE, level=Level.WARNING, part=self.name, kind=kind)

    def _change(
        self,
        state: PartState,
        code: str | None = None,
        reason: str | None = None,
        retry_seconds: int | None = None,
        address: str | None = None,
    ) -> None:
        """Take on a state; a line is told where it is another one, or for another reason."""
        with self._lock:
            before = self._state
            is_new = (state, code) != (before, self._code)
            if state is not before:
                self._since = self.log.now()
            self._state, self._code, self._reason = state, code, reason
        if is_new:
            self.log.tell(
                Event.PART,
                level=Level.WARNING if state is PartState.WAITING else Level.INFO,
                part=self.name,
                state=str(state),
                code=code,
                retry_seconds=retry_seconds,
                address=address,
                **{"from": str(before)},
            )


def _now(fact: "Fact | Callable[[], Fact]") -> Fact:
    """Return a fact as it is now; None where it cannot be told, as the part ends just then."""
    if not callable(fact):
        return fact
    try:
        return fact()
    except Exception:  # noqa: BLE001 - the status of the others is told all the same
        return None
