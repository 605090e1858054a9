# SPDX-License-Identifier: Apache-2.0
"""The same work on many items: here, in processes of this computer, or on Ray.

    for result in how.run(work, items): ...
    with how.staying() as do: ... result = do(work, item)

Results come in the order of the items, whichever is done first, and a few items are under way at a
time, so that neither items nor results pile up. For work that may be repeated: nothing of it
survives whoever began it, and Ray does a task again whose process has died. Work and items travel
to other processes: a function of a module, or a `functools.partial` of one, and plain data.

Ray is no part of what is installed by default, and imported where it is asked for alone.

Errors: FanOutFailed; what work raises comes through
"""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from utility_server.errors import UtilityError
from utility_server.with_parent import end_with_parent

AHEAD: Final = 2
"""Items under way for each process."""

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
Results = Generator[ResultT, None, None]


class FanOutFailed(UtilityError):
    """The processes that were to do the work are not to be had, or one of them died."""


class DoesWork(Protocol):
    """Does work on one item, and waits for what comes of it; from several threads at a time."""

    def __call__(self, work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
        """Return what work makes of an item."""
        ...


class FanOut(Protocol):
    """Does work on items."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; whoever stops listening stops the work."""
        ...

    def staying(self) -> AbstractContextManager[DoesWork]:
        """Return what does work on items as they come: its processes stay until the block ends."""
        ...


@dataclass(frozen=True, slots=True)
class InThisProcess:
    """One after the other, here."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item."""
        yield from map(work, items)

    @contextmanager
    def staying(self) -> Iterator[DoesWork]:
        """Yield what does work in the thread that asks."""
        yield _apply


@dataclass(frozen=True, slots=True)
class InThreads:
    """In threads of this process, for work that waits for others, such as hubs.

    The items are taken in the thread that listens. The threads keep no process from ending, and
    nobody waits for them: whoever is interrupted leaves what is under way to itself.
    """

    count: int

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order."""
        waiting, source = deque[Future[ResultT]](), iter(items)
        while True:
            for item in islice(source, self.count - len(waiting)):
                waiting.append(_begun(work, item))
            if not waiting:
                return
            yield waiting.popleft().result()


def _begun(work: Callable[[ItemT], ResultT], item: ItemT) -> "Future[ResultT]":
    result = Future[ResultT]()

    def do() -> None:
        try:
            result.set_result(work(item))
        except BaseException as error:  # noqa: BLE001 - for whoever listens, whatever it is
            result.set_exception(error)

    threading.Thread(target=do, name="fan-out", daemon=True).start()
    return result


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
        with _interrupts_later():
            return super().submit(fn, *arguments, **options)


def _begin_part(begin: Callable[[], object] | None) -> None:
    # A process that waits for work never hears that whoever would give it any was killed.
    end_with_parent()
    if begin is not None:
        begin()


@dataclass(frozen=True, slots=True)
class InProcesses:
    """In processes of this computer, which begin anew and share nothing with this one."""

    count: int

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; raise `FanOutFailed` if a process dies."""
        with self._pool() as pool:
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
                raise FanOutFailed(_DIED) from None
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def staying(self) -> Iterator[DoesWork]:
        """Yield what does work there; raises `FanOutFailed` if a process dies, and begins anew."""
        pools, lock = [self._pool()], threading.Lock()

        def do(work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
            with lock:
                pool = pools[0]
            try:
                return pool.submit(work, item).result()
            except BrokenProcessPool:
                with lock:
                    if pools[0] is pool:
                        pool.shutdown(wait=False)
                        pools[0] = self._pool()
                raise FanOutFailed(_DIED) from None

        try:
            yield do
        finally:
            pools[0].shutdown(wait=True, cancel_futures=True)

    def _pool(self) -> PartProcesses:
        return PartProcesses(self.count)


_DIED: Final = "a process that worked on a part has died"


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Let processes that the block starts be spared a Ctrl-C: whoever started them ends them.

    They inherit what is blocked. What comes to this process meanwhile comes when the block is done.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True, slots=True)
class OnRay:
    """As tasks of Ray: on the cluster that `RAY_ADDRESS` names, else on this computer."""

    def run(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Results[ResultT]:
        """Yield what work makes of each item, in order; raise `FanOutFailed` if Ray cannot."""
        with _ray() as ray:
            at_once = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            task: Any = ray.remote(_apply)
            waiting, source = deque[Any](), iter(items)
            while True:
                for item in islice(source, at_once - len(waiting)):
                    waiting.append(task.remote(work, item))
                if not waiting:
                    return
                yield _got(ray, waiting.popleft())

    @contextmanager
    def staying(self) -> Iterator[DoesWork]:
        """Yield what does work there; raises `FanOutFailed` if Ray cannot."""
        with _ray() as ray:
            task: Any = ray.remote(_apply)

            def do(work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
                result: ResultT = _got(ray, task.remote(work, item))
                return result

            yield do


@contextmanager
def _ray() -> Iterator[Any]:
    """Yield Ray, connected for the block's time unless it was before."""
    import ray

    was_there = ray.is_initialized()
    if not was_there:
        ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    try:
        yield ray
    finally:
        if not was_there:
            ray.shutdown()


def _got(ray: Any, result: Any) -> Any:
    try:
        return ray.get(result)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise FanOutFailed(f"Ray: {type(error).__name__}") from None


def _apply(work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
    """Do work: Ray takes a function, and a partial is none."""
    return work(item)
