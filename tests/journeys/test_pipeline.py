# SPDX-License-Identifier: Apache-2.0
"""Workers, database and queue are killed at random; each answer becomes its bill once."""

import json
import random
import time
from typing import Final

import pytest

from tests.support.answered_crowd import AnsweredCrowd, answered_crowd
from tests.support.pipeline import Pipeline, pipeline
from tests.support.soak import IS_SOAKING
from tests.support.waiting import PATIENCE
from utility_server.errors import QueueUnreachable, StoreBusy, StoreUnreachable
from utility_server.pipeline.sweeper import Sweeper
from utility_server.retail.audit import check_entry
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

KILLS: Final = 20 if IS_SOAKING else 1
ANSWERS: Final = 400 if IS_SOAKING else 24
KINDS: Final = ("worker", "postgresql", "nats", "all", "stream")


def require_each_once(line: Pipeline, crowd: AnsweredCrowd) -> None:
    with Utility.open(line.utility) as utility:
        entries = list(utility.ledger.entries())
        assert [one.sequence for one in entries] == list(range(1, len(crowd.asked) + 1))
        assert len({entry.meter for entry in entries}) == len(crowd.asked)
        for entry in entries[:: 1 if len(entries) < 50 else 10]:
            check_entry(utility, entry)
        numbers = []
        for question, _ in crowd.asked:
            kept = utility.questions.find(question)
            assert kept.state is State.ENTERED
            numbers.append(utility.questions.invoice(question).number)
        assert sorted(numbers) == [entry.sequence for entry in entries]


def wait_for(line: Pipeline, entries: int) -> None:
    deadline = time.monotonic() + 4 * PATIENCE
    while True:
        try:
            with Utility.open(line.utility) as utility:
                found = sum(1 for _ in utility.ledger.entries())
            if found >= entries:
                return
        except (StoreUnreachable, StoreBusy):
            pass
        assert all(one.poll() is None for one in line.workers), line.log.read_text()[-2000:]
        assert time.monotonic() < deadline, line.log.read_text()[-2000:]
        time.sleep(0.1)


@pytest.mark.process
@pytest.mark.more_in_soak
def test_killed_at_random_each_answer_becomes_its_bill_once() -> None:
    dice = random.Random(18)
    with pipeline() as line:
        with Utility.open(line.utility) as utility:
            crowd = answered_crowd(utility, ANSWERS)
        waiting = crowd.nonces
        per_step = max(1, ANSWERS // (KILLS * len(KINDS)))
        for what in dice.sample(KINDS * KILLS, KILLS * len(KINDS)):
            queue = line.open_queue()
            queue.publish(waiting[:per_step])
            queue.close()
            waiting = waiting[per_step:]
            time.sleep(dice.random() / 2)
            line.hurt(what, dice)
        with Utility.open(line.utility) as utility:
            # What a lost stream has had, and what nobody has published: the sweeper finds it.
            queue = line.open_queue()
            try:
                Sweeper(utility, queue, patience_seconds=0).sweep()
            except QueueUnreachable:
                pytest.fail("the queue's server is up again")
            finally:
                queue.close()
        wait_for(line, len(crowd.asked))
        line.stop()
        require_each_once(line, crowd)
        assert line.restarts == dict.fromkeys(KINDS, KILLS)
        events = [json.loads(one) for one in line.log.read_text().splitlines() if one[:1] == "{"]
        # One that was stopped while it waited for a server says which, as commands do.
        assert {"ready", "entered"} <= {one.get("event") for one in events}
