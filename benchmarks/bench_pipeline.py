# SPDX-License-Identifier: Apache-2.0
"""From kept answers to entered bills: what all the rest costs beside the verification.

    pytest benchmarks/bench_pipeline.py --benchmark-only    one run of each, as ratios
    python benchmarks/bench_pipeline.py [ANSWERS]           the table

Answers of a month of quarter-hours are kept in PostgreSQL, their nonces are published to NATS
JetStream (`sync_interval: always`), and one or two worker processes verify and enter them 32 at a
time. Everything is processor time, as the system counts it for each process: the worker's by
itself, PostgreSQL's and nats-server's of all their processes, the publisher's. What opening them
takes is left out, and so is each worker's first batch, a small one: workers run for days. `u` is
the time to decode a month's compressed points, measured in the same run.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protocols.metrology import Period
from protocols.proofs import PointVector, commit_many, derive_blindings
from tests.support import crowd
from tests.support.answered_crowd import answered_crowd
from tests.support.pipeline import Pipeline, pipeline
from utility_server.pipeline.jetstream import JetStreamQueue
from utility_server.pipeline.worker import Worker
from utility_server.retail import entering
from utility_server.retail.utility import Utility

MONTH = Period.month(2025, 3)
SLOTS = 31 * 96 - 4
FIRST = 4
"""Answers in each worker's first batch."""
ANSWERS = int(os.environ.get("METERLET_BENCH_ANSWERS", "128"))


@dataclass(frozen=True)
class Cost:
    """Processor milliseconds a bill."""

    workers: int
    verify: float
    rest: float
    postgresql: float
    nats: float
    publish: float
    u: float

    @property
    def share(self) -> float:
        """All else as a share of the verification."""
        return (self.rest + self.postgresql + self.nats + self.publish) / self.verify


def unit() -> float:
    """Return u in milliseconds: the median of a few."""
    encoded = commit_many(range(SLOTS), derive_blindings(bytes(32), b"u", SLOTS)).encode(33)
    times = []
    for _ in range(9):
        begin = time.process_time()
        PointVector.decode(encoded, 33)
        times.append(time.process_time() - begin)
    return 1000 * sorted(times)[4]


def processor_seconds(process: int) -> float:
    """Return what a process, its children and those that it has waited for have used (Linux)."""
    ticks = 0
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for one, fields in ((process, 4), *((int(child), 2) for child in children)):
        stat = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, stat[11 : 11 + fields]))
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Worked:
    """What one worker has used, in seconds, and how many bills it has entered."""

    spent: float
    verify: float
    entered: int
    before: tuple[float, float]
    """What PostgreSQL and nats-server had used when it began."""
    after: tuple[float, float]


def work(
    ready: Callable[[], object], folder: Path, url: str, token: str, servers: tuple[int, int]
) -> Worked:
    """Work until nothing comes any more."""
    verifying, real = [0.0], entering.check_kept

    def timed(*arguments: Any) -> Any:
        begin = time.process_time()
        checked = real(*arguments)
        verifying[0] += time.process_time() - begin
        return checked

    entering.check_kept = timed  # type: ignore[assignment]
    with (
        Utility.open(folder) as utility,
        closing(JetStreamQueue.open(url, token=token)) as queue,
    ):
        Worker(utility, queue, batch=FIRST).step(5.0)
        worker = Worker(utility, queue)
        ready()
        verifying[0] = 0.0
        before, begin = used_by(servers), time.process_time()
        while worker.step(0.5):  # all is published: where nothing comes, nothing is left
            pass
        spent = time.process_time() - begin
        return Worked(spent, verifying[0], worker.counts["entered"], before, used_by(servers))


def used_by(servers: tuple[int, int]) -> tuple[float, float]:
    """Return what two servers have used."""
    return processor_seconds(servers[0]), processor_seconds(servers[1])


def measure(line: Pipeline, workers: int, first: int, answers: int) -> Cost:
    """Return what so many answers cost, beside each worker's first ones."""
    published = answers + workers * FIRST
    with Utility.open(line.utility) as utility:
        made = answered_crowd(utility, published, MONTH, 15, first=first)
    token = line.nats.token_file.read_text().strip()
    assert line.postgresql.process is not None
    assert line.nats.process is not None
    servers = line.postgresql.process, line.nats.process
    with closing(line.open_queue()) as queue:
        before, begin = used_by(servers), time.process_time()
        queue.publish(made.nonces)
        publish = (time.process_time() - begin) * answers / published
        after = used_by(servers)
    queued = (after[1] - before[1]) * answers / published
    told: list[Worked] = crowd.at_once(
        work, [(line.utility, line.nats.url, token, servers)] * workers
    )
    assert sum(one.entered for one in told) == answers, told
    spent, verify = sum(one.spent for one in told), sum(one.verify for one in told)
    postgresql, nats = (
        max(one.after[place] for one in told) - min(one.before[place] for one in told)
        for place in range(2)
    )
    each = 1000 / answers
    return Cost(
        workers, verify * each, (spent - verify) * each, postgresql * each,
        (nats + queued) * each, publish * each, unit(),
    )  # fmt: skip


def table(answers: int) -> list[Cost]:
    """Measure one and two workers."""
    with pipeline(workers=0) as line:
        return [
            measure(line, workers, first, answers)
            for workers, first in ((1, 0), (2, 1000), (1, 2000))
        ]


@pytest.mark.benchmark(group="pipeline")
def test_everything_but_the_verification(benchmark: Any) -> None:
    costs = benchmark.pedantic(table, args=(ANSWERS,), rounds=1)
    show(costs)


def show(costs: list[Cost]) -> None:
    """Print the table."""
    print("\n workers  verify  u       rest  postgres  nats  publish  all else / verify")
    for one in costs:
        print(
            f" {one.workers:7} {one.verify:7.2f} {one.verify / one.u:5.2f} {one.rest:7.2f}"
            f" {one.postgresql:8.2f} {one.nats:6.2f} {one.publish:7.2f}   {one.share:8.1%}"
        )


if __name__ == "__main__":
    show(table(int(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS))
