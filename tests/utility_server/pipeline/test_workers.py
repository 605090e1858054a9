# SPDX-License-Identifier: Apache-2.0
"""Workers, the queue of one process, and the sweeper."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.support.answered_crowd import answered_crowd
from utility_server.errors import QueueUnreachable, StoreBusy, StoreError, StoreUnreachable
from utility_server.pipeline import worker as module
from utility_server.pipeline.outages import Fewer
from utility_server.pipeline.queue import MOST_DELIVERIES, LocalQueue
from utility_server.pipeline.sweeper import Sweeper
from utility_server.pipeline.worker import Worker
from utility_server.retail import entering
from utility_server.retail.entering import enter_answers
from utility_server.retail.questions import Questions, State
from utility_server.retail.utility import Utility

NONCES = [bytes([one]) * 16 for one in range(5)]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility", now=lambda: 1_750_000_000) as utility:
        yield utility


def test_what_is_not_acknowledged_comes_again_and_nothing_twice_at_a_time() -> None:
    clock = Clock()
    queue = LocalQueue(clock)
    queue.publish(NONCES)
    queue.publish(NONCES)
    first = queue.fetch(3, 0.0)
    assert [one.nonce for one in first] == NONCES[:3]
    queue.publish(NONCES)  # they are being worked on
    assert [one.nonce for one in queue.fetch(9, 0.0)] == NONCES[3:]
    queue.retry(first[:1], 5.0)
    queue.acknowledge(first[1:])
    assert queue.fetch(9, 0.0) == []
    clock.sleep(5.0)
    assert [(one.nonce, one.times) for one in queue.fetch(9, 0.0)] == [(NONCES[0], 2)]
    queue.publish(NONCES[1:2])
    assert [one.times for one in queue.fetch(9, 0.0)] == [1]


def test_the_queue_is_bounded_and_the_rest_waits_in_the_database() -> None:
    queue = LocalQueue(most=3)
    queue.publish(NONCES)
    assert len(queue.fetch(9, 0.0)) == 3


def test_a_worker_enters_what_the_sweeper_finds(utility: Utility) -> None:
    crowd = answered_crowd(utility, 5, wrong=(2,))
    queue, told = LocalQueue(), list[tuple[str, Any]]()
    worker = Worker(utility, queue, 4, lambda event, facts: told.append((event, facts)))
    assert Sweeper(utility, queue).sweep() == 0  # they may be on their way
    assert Sweeper(utility, queue, patience_seconds=0).sweep() == 5
    assert [worker.step(0.0), worker.step(0.0), worker.step(0.0)] == [4, 1, 0]
    assert worker.counts == {"entered": 4, "refused": 1}
    assert [event for event, _ in told].count("refused") == 1
    assert Sweeper(utility, queue, patience_seconds=0).sweep() == 0
    assert len(list(utility.ledger.entries())) == 5
    assert str(crowd.asked[2][1][:20].hex()) not in str(told)


def failing(bad: bytes) -> Any:
    def enter(utility: Utility, nonces: Sequence[bytes]) -> Any:
        if bad in nonces:
            raise ZeroDivisionError("an error of ours")
        return enter_answers(utility, nonces)

    return patch.object(module, "enter_answers", enter)


def test_one_that_cannot_be_worked_on_holds_up_no_other_and_is_set_aside(
    utility: Utility,
) -> None:
    crowd, clock = answered_crowd(utility, 4), Clock()
    queue = LocalQueue(clock)
    worker = Worker(utility, queue, sleep=clock.sleep)
    queue.publish(crowd.nonces)
    with failing(crowd.nonces[1]):
        assert worker.step(0.0) == 4
        assert worker.counts == {"entered": 3}
        for _ in range(MOST_DELIVERIES - 1):
            assert worker.step(0.0) == 0
            clock.sleep(1_000)
            assert worker.step(0.0) == 1
    assert worker.counts["aside"] == 1
    reasons = utility.questions.reasons_aside()
    assert reasons == {crowd.nonces[1]: "ZeroDivisionError: an error of ours"}
    assert utility.questions.find(crowd.asked[1][0]).state is State.ANSWERED
    other = LocalQueue()
    assert Sweeper(utility, other, patience_seconds=0).sweep() == 0
    assert utility.questions.taken_up_again() == 1
    assert Sweeper(utility, other, patience_seconds=0).sweep() == 1
    assert Worker(utility, other).step(0.0) == 1
    assert len(list(utility.ledger.entries())) == 4


def test_what_is_waited_for_is_told_less_and_less_often_and_at_once_when_it_is_new() -> None:
    clock, told = Clock(), list[tuple[float, object]]()
    fewer = Fewer(lambda _event, facts: told.append((clock.now, facts.get("why"))), clock)
    for _ in range(3_600):  # one try a second, for an hour
        fewer("waits", {"why": "the database"})
        clock.sleep(1.0)
    moments = [moment for moment, _ in told]
    assert moments[:5] == [0, 2, 6, 14, 30]
    assert len(moments) <= 14
    fewer("waits", {"why": "the queue"})
    fewer("entered", {})
    fewer("entered", {})
    assert [why for _, why in told[-3:]] == ["the queue", None, None]
    clock.sleep(10_000.0)  # another outage: told as the first one
    begin = len(told)
    for _ in range(7):
        fewer("waits", {"why": "the database"})
        clock.sleep(1.0)
    assert [moment - told[begin][0] for moment, _ in told[begin:]] == [0, 2, 6]


def test_a_worker_comes_back_less_and_less_often_and_at_once_when_all_is_well(
    utility: Utility,
) -> None:
    crowd, clock, slept = answered_crowd(utility, 1), Clock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.sleep(seconds)

    queue = LocalQueue(clock)
    worker = Worker(utility, queue, sleep=sleep)
    with patch.object(LocalQueue, "fetch", side_effect=QueueUnreachable("not reached")):
        for _ in range(6):
            worker.step(0.0)
    assert slept == [1, 2, 4, 8, 15, 15]
    queue.publish(crowd.nonces)
    assert worker.step(0.0) == 1
    with patch.object(LocalQueue, "fetch", side_effect=QueueUnreachable("not reached")):
        worker.step(0.0)
    assert slept[-1] == 1


@pytest.mark.parametrize("error", [StoreUnreachable("gone"), StoreBusy("busy")])
def test_a_worker_that_works_once_ends_with_the_error_and_loses_nothing(
    utility: Utility, error: StoreError
) -> None:
    crowd = answered_crowd(utility, 2)
    worker = Worker(utility, LocalQueue(), is_patient=False)
    worker.queue.publish(crowd.nonces)
    with patch.object(module, "enter_answers", side_effect=error), pytest.raises(type(error)):
        worker.step(0.0)
    assert [utility.questions.find(one).state for one, *_ in crowd.asked] == [State.ANSWERED] * 2


def test_while_the_database_is_not_reached_everything_waits(utility: Utility) -> None:
    crowd, clock, told = answered_crowd(utility, 2), Clock(), list[str]()
    queue = LocalQueue(clock)
    worker = Worker(utility, queue, 32, lambda event, _: told.append(event), clock.sleep)
    queue.publish(crowd.nonces)
    with patch.object(module, "enter_answers", side_effect=StoreUnreachable("not reached")):
        for _ in range(3 * MOST_DELIVERIES):
            worker.step(0.0)
            clock.sleep(10.0)
    assert set(told) == {"waits"}
    assert worker.step(0.0) == 2
    assert worker.counts == {"entered": 2}


def test_what_was_set_aside_and_is_tried_again_comes_from_the_same_queue(utility: Utility) -> None:
    crowd, clock = answered_crowd(utility, 1), Clock()
    queue = LocalQueue(clock)
    worker = Worker(utility, queue, sleep=clock.sleep)
    queue.publish(crowd.nonces)
    with failing(crowd.nonces[0]):
        for _ in range(MOST_DELIVERIES):
            worker.step(0.0)
            clock.sleep(1_000)
    assert worker.counts["aside"] == 1
    assert utility.questions.taken_up_again() == 1
    assert Sweeper(utility, queue, patience_seconds=0).sweep() == 1
    worker.step(0.0)
    assert worker.counts["entered"] == 1


def test_a_batch_holds_so_many_bytes_at_once(
    utility: Utility, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = answered_crowd(utility, 5)
    size = len(utility.questions.kept_answers(crowd.nonces)[0][1])
    monkeypatch.setattr(entering, "MOST_BATCH_BYTES", 2 * size + size // 2)
    assert [
        utility.questions.first_within(crowd.nonces[start:], entering.MOST_BATCH_BYTES)
        for start in (0, 2, 4)
    ] == [2, 2, 1]
    assert len(enter_answers(utility, crowd.nonces)) == 5
    assert utility.questions.first_within(crowd.nonces, 1) == 5  # none waits any more


def test_a_worker_ends_for_no_error_and_what_it_had_comes_again(utility: Utility) -> None:
    crowd, clock, told = answered_crowd(utility, 2), Clock(), list[str]()
    queue = LocalQueue(clock)
    worker = Worker(utility, queue, 32, lambda event, _: told.append(event), clock.sleep)
    queue.publish(crowd.nonces)
    broken = patch.object(Questions, "set_aside", side_effect=StoreBusy("for a minute"))
    with failing(crowd.nonces[1]), broken:
        for _ in range(MOST_DELIVERIES + 1):
            worker.step(0.0)
            clock.sleep(1_000)
    assert told[-1] == "waits"
    with patch.object(LocalQueue, "acknowledge", side_effect=ZeroDivisionError):
        worker.step(0.0)
        clock.sleep(1_000)
    assert told[-1] == "failed"
    worker.step(0.0)
    assert [entry.kind for entry in utility.ledger.entries()] == ["bill"] * 2


def test_a_queue_that_is_not_reached_is_tried_again(utility: Utility) -> None:
    told, clock = list[str](), Clock()
    queue = LocalQueue(clock)
    worker = Worker(utility, queue, 32, lambda event, _: told.append(event), clock.sleep)
    with patch.object(LocalQueue, "fetch", side_effect=QueueUnreachable("gone")):
        assert worker.step(0.0) == 0
    assert told == ["waits"]
    assert clock.now > 0


def test_threads_share_a_queue_and_enter_each_answer_once(utility: Utility) -> None:
    crowd = answered_crowd(utility, 9)
    queue, stopping = LocalQueue(), threading.Event()
    queue.publish(crowd.nonces)
    workers = [Worker(utility, queue, 2) for _ in range(2)]
    threads = [threading.Thread(target=one.run, args=(stopping,)) for one in workers]
    for thread in threads:
        thread.start()
    while sum(one.counts["entered"] for one in workers) < 9:
        stopping.wait(0.01)
    stopping.set()
    for thread in threads:
        thread.join()
    assert [one.sequence for one in utility.ledger.entries()] == list(range(1, 10))
