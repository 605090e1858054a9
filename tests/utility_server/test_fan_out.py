# SPDX-License-Identifier: Apache-2.0
"""Work that is spread: in order, in processes that stay, and without harm where one dies."""

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.support.ray import on_ray
from utility_server.errors import VerificationFailed
from utility_server.fan_out import (
    FanOut,
    FanOutFailed,
    InProcesses,
    InThisProcess,
    InThreads,
)

pytestmark = pytest.mark.sqlite_file
"""No database has a part in it."""
WAYS = pytest.mark.parametrize(
    "make", [InThisProcess, lambda: InProcesses(2), on_ray], ids=["here", "processes", "ray"]
)


def squared(number: int) -> int:
    if number < 0:
        raise VerificationFailed("number", f"{number} is below 0")
    return number * number


def dies(number: int) -> int:
    os._exit(number)


def blocked(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@WAYS
def test_what_stays_does_one_item_after_the_other_and_says_what_is_wrong(
    make: Callable[[], FanOut],
) -> None:
    with make().staying() as do:
        assert [do(squared, number) for number in range(4)] == [0, 1, 4, 9]
        with pytest.raises(VerificationFailed, match="number: -1 is below 0") as refused:
            do(squared, -1)
        assert refused.value.check == "number"


def test_a_process_that_dies_is_said_and_the_next_item_has_another() -> None:
    with InProcesses(1).staying() as do:
        with pytest.raises(FanOutFailed, match="has died"):
            do(dies, 1)
        assert do(squared, 3) == 9


def test_an_interrupt_is_not_for_the_processes_that_work() -> None:
    """The terminal sends it to all; whoever has begun them ends them, without a word of theirs."""
    assert list(InProcesses(1).run(blocked, [1])) == [True]
    assert not blocked(1)


def test_threads_come_in_order_and_nobody_waits_for_them() -> None:
    begun, hanging = list[int](), threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            hanging.wait()
        time.sleep(0.01 * (3 - number))
        return number

    results = InThreads(2).run(work, range(9))
    try:
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        results.close()
        assert len(begun) <= 5, "no more is begun than is under way"
    finally:
        hanging.set()
    with pytest.raises(VerificationFailed):
        list(InThreads(2).run(squared, [1, -1]))


def test_threads_take_their_items_where_they_are_listened_to() -> None:
    here = threading.get_ident()
    taken = [threading.get_ident() for _ in InThreads(3).run(partial(max, 1), range(3))]
    assert set(taken) == {here}
