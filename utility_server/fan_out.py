# SPDX-License-Identifier: Apache-2.0
"""The same work on many items: here, in processes of this computer, or on Ray.

    for result in how.run(work, items): ...

Results come in the order of the items, whichever is done first, and a few items are under way at a
time, so that neither items nor results pile up. For work that may be repeated: nothing of it
survives whoever began it, and Ray does a task again whose process has died. Work and items travel
to other processes: a function of a module, or a `functools.partial` of one, and plain data.

Ray is no part of what is installed by default, and imported where it is asked for alone.

Errors: FanOutFailed; what work raises comes through
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from utility_server.errors import UtilityError

AHEAD: Final = 2
"""Items under way for each process."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Results = Generator[ResultT, None, None]


class FanOutFailed(UtilityError):
    """The processes that were to do the work are not to be had, or one of them died."""


class FanOut(Protocol):
    """Does work on items."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; whoever stops listening stops the work."""
        ...


@dataclass(frozen=True, slots=True)
class InThisProcess:
    """One after the other, here."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item."""
        yield from map(work, items)


class PartProcesses(ProcessPoolExecutor):
    """Processes that do parts of a long work.

    Ctrl-C is for whoever has begun them, and they end with it, even if it was killed. They are
    spawned: connections to a database must not be in two processes.
    """

    def __init__(self, count: int, begin: Callable[[], object] | None = None) -> None:
        """Let so many work; each calls `begin` first."""
        context = multiprocessing.get_context("spawn")
        super().__init__(count, context, initializer=_begin_part, initargs=(begin,))

    def submit(
        self, fn: Callable[..., ResultT], /, *arguments: Any, **options: Any
    ) -> Future[ResultT]:
        """Have one of them do something; it may be started by this."""
        # What is blocked here is blocked there from the first moment on; an initializer is late.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(fn, *arguments, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_part(begin: Callable[[], object] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True, slots=True)
class InProcesses:
    """In processes of this computer, which begin anew and share nothing with this one."""

    count: int

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; raise `FanOutFailed` if a process dies."""
        with PartProcesses(self.count) as pool:
            waiting = deque[Future[ResultT]]()
            source = iter(items)
            try:
                while True:
                    for item in islice(source, AHEAD * self.count - len(waiting)):
                        waiting.append(pool.submit(work, item))
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            except BrokenProcessPool:
                raise FanOutFailed("a process that worked on a part has died") from None
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class OnRay:
    """As tasks of Ray: on the cluster that `RAY_ADDRESS` names, else on this computer."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; raise `FanOutFailed` if Ray cannot."""
        import ray

        was_there = ray.is_initialized()
        if not was_there:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        try:
            at_once = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            task: Any = ray.remote(_apply)
            waiting, source = deque[Any](), iter(items)
            while True:
                for item in islice(source, at_once - len(waiting)):
                    waiting.append(task.remote(work, item))
                if not waiting:
                    return
                try:
                    yield ray.get(waiting.popleft())
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    raise FanOutFailed(f"Ray: {type(error).__name__}") from None
        finally:
            if not was_there:
                ray.shutdown()


def _apply(work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
    """Do work: Ray takes a function, and a partial is none."""
    return work(item)
