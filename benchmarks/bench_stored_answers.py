# SPDX-License-Identifier: Apache-2.0
"""Thousands of stored answers verified and entered in one run, and what millions would cost.

    python benchmarks/bench_stored_answers.py METERS HOMES SLOT_MINUTES [WORKERS]
    pytest benchmarks/bench_stored_answers.py --benchmark-only                 a small run

HOMES households' months are certified; METERS meters answer with them, renamed and signed anew
(`meterlet.fleet.stored_answers`). All answers are kept in PostgreSQL first, as a gateway keeps
them; then workers take them from NATS JetStream, 32 at a time. Processor time of all processes;
memory of the workers as the run goes on; sizes as PostgreSQL counts them.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from applets.billing.messages import BillQuestion
from benchmarks.bench_pipeline import processor_seconds, unit
from meterlet.fleet.stored_answers import StoredAnswers
from protocols.metrology import Period
from tariffs.source import load_toml
from tests.support import crowd
from tests.support.pipeline import Pipeline, pipeline
from utility_server.pipeline.jetstream import JetStreamQueue
from utility_server.pipeline.worker import Worker
from utility_server.retail.utility import Utility
from utility_server.retail.verification import BillBundle
from utility_server.stack.postgresql_server import USER

TARIFF = Path("examples/tariffs/de-modul3-2025.toml")
MONTH = Period.month(2025, 3)


@dataclass(frozen=True)
class Run:
    """What a run came to."""

    bills: int
    worker_ms: float
    postgresql_ms: float
    nats_ms: float
    u: float
    answer_bytes: float
    stored_bytes: float
    resident_mb: tuple[tuple[int, ...], ...]
    """Of each worker at tenths of its way."""
    seconds: float


def resident_mb() -> int:
    """Return what this process holds in memory now (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def work(
    ready: Callable[[], object], folder: Path, url: str, token: str, expected: int
) -> tuple[float, int, tuple[int, ...]]:
    """Work until nothing comes; return processor seconds, bills, and memory on the way."""
    with (
        Utility.open(folder) as utility,
        closing(JetStreamQueue.open(url, token=token)) as queue,
    ):
        worker = Worker(utility, queue)
        ready()
        begin, idle, sizes = time.process_time(), 0, [0]
        while idle < 4:
            idle = 0 if worker.step(0.5) else idle + 1
            if worker.counts["entered"] * 10 >= len(sizes) * expected:
                sizes.append(resident_mb())
        assert set(worker.counts) <= {"entered"}, worker.counts
        return time.process_time() - begin, worker.counts["entered"], tuple(sizes[1:])


def database_bytes(line: Pipeline) -> int:
    """Return what PostgreSQL's tables take on the disk, without what is deleted."""
    with psycopg.connect(
        host=str(line.postgresql.folder), user=USER, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute("VACUUM FULL")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return 0 if row is None else int(row[0])


def kept(line: Pipeline, meters: int, homes: int, minutes: int) -> Iterator[tuple[bytes, int]]:
    """Make the answers and keep them; yield each one's nonce and size."""
    tariff = load_toml(TARIFF.read_text())
    with tempfile.TemporaryDirectory() as place, Utility.open(line.utility) as utility:
        stored = StoredAnswers(
            folder=Path(place), period=MONTH, meters=meters, homes=homes, slot_minutes=minutes
        )
        for _, path in stored.make(utility, utility.sign(tariff), processes=2):
            bundle = BillBundle.decode(path.read_bytes())
            path.unlink()
            question = BillQuestion.decode(bundle.question)
            utility.questions.answered(question, bundle.answer)
            yield question.about.nonce, len(bundle.answer)


def measure(meters: int, homes: int, minutes: int, workers: int = 2) -> Run:
    """Do it."""
    with pipeline(workers=0) as line:
        made, empty = [], database_bytes(line)
        for one in kept(line, meters, homes, minutes):
            made.append(one)
            if not len(made) % 500:
                print(f"{len(made):,} answers made", file=sys.stderr, flush=True)
        database, nats = line.postgresql.process, line.nats.process
        assert database is not None
        assert nats is not None
        with closing(line.open_queue()) as queue:
            for first in range(0, len(made), 1000):
                queue.publish([nonce for nonce, _ in made[first : first + 1000]])
        before = processor_seconds(database), processor_seconds(nats)
        token, begin = line.nats.token_file.read_text().strip(), time.monotonic()
        calls = [(line.utility, line.nats.url, token, meters // workers)] * workers
        told = crowd.at_once(work, calls)
        seconds = time.monotonic() - begin
        assert all(isinstance(one, tuple) for one in told), told
        after = processor_seconds(database), processor_seconds(nats)
        with Utility.open(line.utility) as utility:
            entries = sum(1 for _ in utility.ledger.entries())
        size = database_bytes(line) - empty
        assert entries == sum(one[1] for one in told) == meters
        each = 1000 / meters
        return Run(
            meters, sum(one[0] for one in told) * each, (after[0] - before[0]) * each,
            (after[1] - before[1]) * each, unit(), sum(size for _, size in made) / meters,
            size / meters, tuple(one[2] for one in told), seconds,
        )  # fmt: skip


def show(run: Run) -> None:
    """Print it, and what millions would cost at the same rates."""
    total = run.worker_ms + run.postgresql_ms + run.nats_ms
    print(
        f"\n{run.bills:,} bills in one run, {run.seconds:.0f} s: worker {run.worker_ms:.2f} ms"
        f" ({run.worker_ms / run.u:.2f} u), PostgreSQL {run.postgresql_ms:.2f} ms, NATS"
        f" {run.nats_ms:.2f} ms a bill; an answer {run.answer_bytes:,.0f} bytes, stored"
        f" {run.stored_bytes:,.0f} bytes a bill"
    )
    for number, sizes in enumerate(run.resident_mb, start=1):
        print(f"worker {number}, MB held at each tenth: {', '.join(map(str, sizes))}")
    for homes in (1_000_000, 10_000_000):
        print(
            f"{homes:>10,} households a month: {total * homes / 3.6e6:,.1f} core-hours,"
            f" {run.answer_bytes * homes / 1e9:,.0f} GB received,"
            f" {run.stored_bytes * homes / 1e9:,.0f} GB stored"
        )


@pytest.mark.benchmark(group="stored answers")
def test_a_small_run(benchmark: Any) -> None:
    show(benchmark.pedantic(measure, args=(64, 4, 60), rounds=1))


if __name__ == "__main__":
    show(measure(*map(int, sys.argv[1:])))
