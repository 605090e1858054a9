# SPDX-License-Identifier: Apache-2.0
"""Proofs that take long: made in the background, while the hub answers others.

    asked, long  -> begun:     the command ends with status word 9300, nothing is kept or told
    asked again  -> under way: 9300 again, at once, without a look at the applet
    asked again  -> over:      the guard decides by the rules of now, and records; then it is told

9300 is what ETSI TS 102 221 (10.2.1.3) has for "busy, other commands are allowed". One process
(`hub.applet_host.prover`) works at a time, niced, so that a second core is all that it takes; the
rest wait their turn. What waits or is over is bounded, for each applet and in all; where there is
no room, the answer is 9300 as well, and nothing is begun. An outcome that nobody fetches is
forgotten after a while, and so is everything when the hub stops: nothing was told, so nothing is
lost but work.

What a job takes is charged to its applet's minute, in a bucket beside that of its commands.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hub
from hub.applet_host.prover import MOST_SECONDS
from hub.errors import HubError
from hub.token_bucket import TokenBucket

SW_BUSY: Final = 0x9300
MOST_JOBS: Final = 8
"""Under way, waiting or over, in all."""
MOST_OF_APPLET: Final = 2
"""A bill asks for two registers."""
KEPT_SECONDS: Final = 900
"""How long an outcome waits to be asked for."""
_PATIENCE_SECONDS: Final = 10 * MOST_SECONDS
"""By the wall, for a computer that is busy with other things."""
_PROGRAM: Final = ("-P", "-m", "hub.applet_host.prover")


class WorkInProgress(HubError):
    """The proof is being made, or waits its turn: the command ends, and is to be asked again."""

    status_word = SW_BUSY

    def __init__(self, question: bytes) -> None:
        super().__init__("the answer is being worked on; ask again in a while")
        self.question = question


@dataclass(slots=True, eq=False)
class _ProofJob:
    applet: bytes
    task: bytes = field(repr=False)
    outcome: bytes | None = field(default=None, repr=False)
    """Empty where the process has failed."""
    process: "subprocess.Popen[bytes] | None" = None
    over_since: int = 0

    @property
    def is_over(self) -> bool:
        return self.outcome is not None


@dataclass(slots=True)
class ProofJobs:
    """The jobs of one hub; safe to use from several threads."""

    now: Callable[[], int]
    _jobs: dict[bytes, _ProofJob] = field(default_factory=dict)
    """By question, in the order in which they were begun."""
    _buckets: dict[bytes, TokenBucket] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _is_closed: bool = False

    def outcome(
        self, applet: bytes, question: bytes, fuel: int, per_minute: int, task: Callable[[], bytes]
    ) -> bytes:
        """Return the outcome of a question's task; raise `WorkInProgress` while there is none.

        Empty where the process has failed. Begins the job where there is none yet and there is
        room. The outcome stays until `forget`, or until it has waited for too long.
        """
        with self._lock:
            self._expire()
            job = self._jobs.get(question)
            if job is not None and job.applet == applet and job.outcome is not None:
                return job.outcome
            if job is None and self._has_room(applet) and self._admits(applet, fuel, per_minute):
                self._jobs[question] = _ProofJob(applet, task())
                self._begin_next()
        raise WorkInProgress(question)

    def has(self, question: bytes) -> bool:
        """Tell whether a question has a job, under way or over."""
        return question in self._jobs

    def is_under_way(self, question: bytes) -> bool:
        """Tell whether a question's job was begun and is not over."""
        job = self._jobs.get(question)
        return job is not None and not job.is_over

    def forget(self, question: bytes) -> None:
        """Forget a job that is over: what it came to was told."""
        with self._lock:
            self._jobs.pop(question, None)

    def forget_applet(self, applet: bytes) -> None:
        """Stop and forget all jobs of an applet that is gone."""
        with self._lock:
            for question, job in list(self._jobs.items()):
                if job.applet == applet:
                    _stop(job)
                    del self._jobs[question]

    def close(self) -> None:
        """Stop and forget everything."""
        with self._lock:
            self._is_closed = True
            for job in self._jobs.values():
                _stop(job)
            self._jobs.clear()

    def _has_room(self, applet: bytes) -> bool:
        own = sum(job.applet == applet for job in self._jobs.values())
        return not self._is_closed and own < MOST_OF_APPLET and len(self._jobs) < MOST_JOBS

    def _admits(self, applet: bytes, fuel: int, per_minute: int) -> bool:
        bucket = self._buckets.setdefault(applet, TokenBucket(per_minute, per_minute))
        bucket.fill(self.now())
        if bucket.is_empty:
            return False
        bucket.take(fuel)
        return True

    def _expire(self) -> None:
        for question, job in list(self._jobs.items()):
            if job.is_over and self.now() - job.over_since >= KEPT_SECONDS:
                del self._jobs[question]

    def _begin_next(self) -> None:
        """Begin the next job that waits, unless one is under way; the lock is held."""
        if self._is_closed or any(job.process is not None for job in self._jobs.values()):
            return
        job = next((job for job in self._jobs.values() if not job.is_over), None)
        if job is None:
            return
        job.process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, *_PROGRAM],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(hub.__file__).parents[1])},
        )  # fmt: skip
        threading.Thread(target=self._attend, args=(job,), name="proofs", daemon=True).start()

    def _attend(self, job: _ProofJob) -> None:
        process = job.process
        assert process is not None
        try:
            outcome, _ = process.communicate(job.task, timeout=_PATIENCE_SECONDS)
        except (subprocess.TimeoutExpired, OSError, ValueError):
            outcome = b""
        finally:
            process.kill()
            process.wait()
        with self._lock:
            job.outcome = outcome if process.returncode == 0 else b""
            job.task, job.process, job.over_since = b"", None, self.now()
            self._begin_next()


def _stop(job: _ProofJob) -> None:
    if job.process is not None:
        job.process.kill()
