# SPDX-License-Identifier: Apache-2.0
"""What works on the runs: a thread of the service, which shares them with those of other processes.

A run that meets a bug of ours fails, and says so; the others go on.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final, Protocol

from utility_server.errors import StoreError, UtilityError, kind_of
from utility_server.service.jobs.bill_run import Slice
from utility_server.service.jobs.store import (
    ALL_KINDS,
    LEASE_SECONDS,
    Job,
    JobLost,
    Jobs,
    JobState,
    Kinds,
)
from utility_server.service.words import place_of

IDLE_SECONDS: Final = 0.5
STORE_PAUSE_SECONDS: Final = 10.0
"""After the database was not to be had."""
_RANDOM_SIZE: Final = 6


class JobWork(Protocol):
    """What knows how to do one kind of run."""

    def work(self, job: Job, is_cancelled: Callable[[], bool]) -> Slice:
        """Do a slice."""
        ...

    def cancel(self, job: Job) -> Slice:
        """Leave nothing half done."""
        ...


@dataclass(slots=True)
class Runner:
    """Works on runs until it is stopped."""

    jobs: Jobs
    kinds: Mapping[str, JobWork]
    randomness: Callable[[int], bytes] = field(repr=False)
    tell: Callable[[str, Mapping[str, str]], None] = lambda event, facts: None
    """Told what comes of runs, for the log."""
    tick: Callable[[], None] = lambda: None
    """Called between slices: begins what a schedule says."""
    takes: Kinds = ALL_KINDS
    """Which runs it works on; others are another runner's."""
    holder: str = field(init=False)
    _stop: Event = field(default_factory=Event, repr=False)
    _thread: Thread | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        name = f"{socket.gethostname()[:40]} {os.getpid()}"
        self.holder = f"{name} {self.randomness(_RANDOM_SIZE).hex()}"

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread = Thread(target=self._run, name="runs", daemon=True)
        self._thread.start()

    def stop(self, patience: float = 30) -> None:
        """End after the hub that is being asked; what is not done goes on at the next start."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
                is_idle = not self.step()
            except StoreError as error:
                self.tell("runs-wait", {"why": kind_of(error)})
                self._stop.wait(STORE_PAUSE_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - a bug; no run may end all others
                self.tell("runs-wait", {"why": kind_of(error), "at": place_of(error)})
                self._stop.wait(STORE_PAUSE_SECONDS)
                continue
            if is_idle:
                self._stop.wait(IDLE_SECONDS)

    def step(self) -> bool:
        """Do a slice of a run that is due; return whether there was one."""
        due = self.jobs.has_due(self.takes)
        job = self.jobs.take(self.holder, self.takes) if due else None
        if job is None:
            return False
        try:
            self._slice(job)
        except JobLost:
            self.tell("run-lost", {"run": job.identification})
        return True

    def _slice(self, job: Job) -> None:
        work = self.kinds.get(job.kind)
        if work is None:
            self._finish(job, JobState.FAILED, _failed(job, "no-such-kind"))
            return
        is_cancelling = job.state is JobState.CANCELLING
        ended = Event()
        holding = Thread(target=self._hold, args=(job, ended), daemon=True)
        holding.start()
        try:
            if is_cancelling:
                done = work.cancel(job)
            else:
                done = work.work(job, lambda: self._is_cancelled(job))
        except StoreError as error:
            self.jobs.release(
                job, self.holder, job.done, job.total, job.result,
                self.jobs.now() + int(STORE_PAUSE_SECONDS),
            )  # fmt: skip
            self.tell("runs-wait", {"run": job.identification, "why": kind_of(error)})
            return
        except UtilityError as error:
            self._finish(job, JobState.FAILED, _failed(job, kind_of(error), str(error)[:300]))
            return
        except Exception as error:  # noqa: BLE001 - said in the run and in the log
            # A bug: the run would meet it again and again.
            self._finish(job, JobState.FAILED, _failed(job, "internal-error"))
            self.tell("run-failed", {"run": job.identification, "why": kind_of(error)})
            return
        finally:
            ended.set()
            holding.join()
        if is_cancelling:
            self._finish(job, JobState.CANCELLED, done)
        elif done.due is None:
            self._finish(job, JobState.DONE, done)
        else:
            self.jobs.release(job, self.holder, done.done, done.total, done.result, done.due)

    def _finish(self, job: Job, state: JobState, done: Slice) -> None:
        self.jobs.finish(job, self.holder, state, done.done, done.total, done.result)
        self.tell("run-over", {"run": job.identification, "kind": job.kind, "state": str(state)})

    def _is_cancelled(self, job: Job) -> bool:
        if self._stop.is_set():
            return True
        now = self.jobs.find(job.identification)
        return now is None or now.state is JobState.CANCELLING

    def _hold(self, job: Job, ended: Event) -> None:
        while not ended.wait(LEASE_SECONDS / 4):
            try:
                if not self.jobs.hold_on(job, self.holder):
                    return
            except StoreError:
                continue


def _failed(job: Job, reason: str, why: str = "") -> Slice:
    return Slice(job.done, job.total, {**job.result, "reason": reason, "why": why}, None)
