# SPDX-License-Identifier: Apache-2.0
"""Long work: done in a thread, watched by its page, cancelled by whoever began it.

A job calls `tick(done, total)` as it goes; once it is to be cancelled, the next tick raises
`Cancelled` inside it, and transactions that are open are rolled back on the way out.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, Final

from hub.errors import HubError

MOST_RUNNING: Final = 2
KEPT: Final = 32
Tick = Callable[[int, int], None]


class Cancelled(Exception):
    """The job was cancelled."""


class TooManyJobs(HubError):
    """So much is being worked on already that more would only be slower."""

    http_status = 429


class State(enum.StrEnum):
    """How far a job is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class Job:
    """Work that was begun."""

    name: str
    """Random: nobody guesses another's."""
    kind: str
    resident: str
    back: str
    """The page it was begun on."""
    template: str
    """What shows its result."""
    state: State = State.RUNNING
    done: int = 0
    total: int = 0
    result: Any = field(default=None, repr=False)
    refused: Exception | None = None
    """Why it failed; None where that was a bug of ours."""
    _stop: Event = field(default_factory=Event, repr=False)
    thread: Thread | None = field(default=None, repr=False)

    @property
    def percent(self) -> int:
        """How much is done, rounded down."""
        return 100 * self.done // self.total if self.total else 0

    def tick(self, done: int, total: int) -> None:
        """Note how far the work is; raise `Cancelled` if it shall go no further."""
        if self._stop.is_set():
            raise Cancelled
        self.done, self.total = done, total

    def cancel(self) -> None:
        """Ask the job to stop at its next tick."""
        self._stop.set()


@dataclass(slots=True)
class Jobs:
    """The jobs of one server."""

    randomness: Callable[[int], bytes] = field(repr=False)
    shown_errors: tuple[type[Exception], ...]
    """What the work may refuse, in a line for the resident; anything else is a bug of ours."""
    complain: Callable[[str], None]
    _jobs: dict[str, Job] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def begin(
        self, kind: str, resident: str, back: str, template: str, work: Callable[[Tick], Any]
    ) -> Job:
        """Begin `work` in a thread; raise `TooManyJobs` if enough is going on already."""
        job = Job(self.randomness(12).hex(), kind, resident, back, template)
        with self._lock:
            running = [each for each in self._jobs.values() if each.state is State.RUNNING]
            if len(running) >= MOST_RUNNING:
                raise TooManyJobs("two long pieces of work are under way; cancel one or wait")
            over = [each.name for each in self._jobs.values() if each.state is not State.RUNNING]
            for name in over[: max(0, len(self._jobs) + 1 - KEPT)]:
                del self._jobs[name]
            self._jobs[job.name] = job
        job.thread = Thread(target=self._run, args=(job, work), daemon=True)
        job.thread.start()
        return job

    def find(self, name: str, resident: str) -> Job | None:
        """Return the job of that name if it is this resident's, or None."""
        job = self._jobs.get(name)
        return job if job is not None and job.resident == resident else None

    def cancel_all(self, patience: float = 5) -> None:
        """Cancel what is running and wait for it a while."""
        running = [job for job in self._jobs.values() if job.state is State.RUNNING]
        for job in running:
            job.cancel()
        for job in running:
            if job.thread is not None:
                job.thread.join(patience)

    def _run(self, job: Job, work: Callable[[Tick], Any]) -> None:
        state = State.FAILED
        try:
            job.result = work(job.tick)
            state = State.DONE
        except Cancelled:
            state = State.CANCELLED
        except self.shown_errors as error:
            job.refused = error
        finally:
            job.state = state
