# SPDX-License-Identifier: Apache-2.0
"""Answers that come at the same time are kept in one transaction: a commit is what costs most.

Nobody waits for others to come: whoever finds nobody writing writes at once, and what comes
meanwhile is written together next.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from applets.billing.messages import BillQuestion
from utility_server.errors import UtilityError
from utility_server.retail.questions import KeptQuestion

MOST_TOGETHER: Final = 32

Kept = KeptQuestion | UtilityError
KeepAll = Callable[[Sequence[tuple[BillQuestion, bytes]]], Sequence[Kept]]


@dataclass(slots=True, eq=False)
class _Waiting:
    question: BillQuestion
    answer: bytes
    is_next: threading.Event = field(default_factory=threading.Event)
    """Set once it is done, or its thread is to write."""
    outcome: Kept | Exception | None = None


@dataclass(slots=True)
class Gathering:
    """Threads keep answers here; each returns when its own is on the disk."""

    keep_all: KeepAll
    _waiting: list[_Waiting] = field(default_factory=list)
    _is_writing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def keep(self, question: BillQuestion, answer: bytes) -> KeptQuestion:
        """Keep an answer; return and raise what `Questions.answered` does."""
        own = _Waiting(question, answer)
        with self._lock:
            self._waiting.append(own)
            writes, self._is_writing = not self._is_writing, True
        if not writes:
            own.is_next.wait()  # whoever writes wakes it, whatever becomes of that
        if own.outcome is None:
            self._write()
        assert own.outcome is not None
        if isinstance(own.outcome, Exception):
            raise own.outcome
        return own.outcome

    def _write(self) -> None:
        """Write what waits, the oldest first, and let the next thread write what has come since."""
        with self._lock:
            together, self._waiting = (
                self._waiting[:MOST_TOGETHER],
                self._waiting[MOST_TOGETHER:],
            )
        try:
            outcomes = self.keep_all([(one.question, one.answer) for one in together])
            for one, outcome in zip(together, outcomes, strict=True):
                one.outcome = outcome
        except Exception as error:  # noqa: BLE001 - each of the threads raises it
            for one in together:
                one.outcome = error
        finally:
            with self._lock:
                after = self._waiting[0] if self._waiting else None
                self._is_writing = after is not None
            for one in together:
                one.is_next.set()
            if after is not None:
                after.is_next.set()
