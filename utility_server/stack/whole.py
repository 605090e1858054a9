# SPDX-License-Identifier: Apache-2.0
"""The whole service on one machine: PostgreSQL, NATS, workers, a deliverer, and both doors.

    FOLDER/utility       the utility: keys, and where its tables are
    FOLDER/postgresql    the database's server
    FOLDER/nats          the queue's server
    FOLDER/*.log         what each process says

For trying it out, and for tests that kill its parts. A process that ends is started again. The two
servers go on when the rest is stopped in an unusual way; they are found again at the next start.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from utility_server.errors import StoreError
from utility_server.locations import location_in
from utility_server.retail.utility import Utility
from utility_server.stack.nats_server import NatsServer
from utility_server.stack.postgresql_server import PostgresServer

LONGEST_PAUSE_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.5
PROGRAM: Final = (sys.executable, "-m", "meterlet")

Told = Callable[[str, Mapping[str, object]], None]


@dataclass(slots=True)
class _Part:
    """One process of the stack."""

    name: str
    command: Sequence[str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    failures: int = 0
    not_before: float = 0.0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def look_after(self, now: float, told: Told) -> None:
        """Start it where it has ended, after a pause that grows while it keeps ending."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.failures += 1
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self.failures, 6) / 2)
            self.process, self.not_before = None, now + pause
            told("ended", {"part": self.name, "code": code, "again_in_seconds": pause})
        elif now >= self.not_before:
            self.start()
            told("started", {"part": self.name})

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Stack:
    """The service in a folder; start it, and stop it when done."""

    folder: Path
    workers: int = 1
    gateway_port: int = 8443
    """For hubs that dial out."""
    port: int = 8420
    """For people and systems: console and REST, on loopback."""
    names: Sequence[str] = ("localhost", "127.0.0.1")
    told: Told = field(default=lambda _event, _facts: None, repr=False)
    program: Sequence[str] = PROGRAM
    _parts: list[_Part] = field(default_factory=list)

    @property
    def utility(self) -> Path:
        """The utility's folder."""
        return self.folder / "utility"

    @property
    def postgresql(self) -> PostgresServer:
        """The database's server."""
        return PostgresServer(self.folder / "postgresql")

    @property
    def nats(self) -> NatsServer:
        """The queue's server."""
        return NatsServer(self.folder / "nats")

    def start(self) -> None:
        """Start everything, with a new utility where there is none. Raises `StoreError`."""
        try:
            # Root's PostgreSQL is another user's: he must get through to his own folder.
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}") from None
        self.postgresql.start()
        self.told("started", {"part": "postgresql"})
        self.nats.start()
        self.told("started", {"part": "nats"})
        if location_in(self.utility, "utility.db") is None:
            self._make_utility()
        options = (
            "--utility", str(self.utility), "--nats", self.nats.url,
            "--nats-token-file", str(self.nats.token_file), "--json",
        )  # fmt: skip
        names = [word for name in self.names for word in ("--name", name)]
        port = ("--port", str(self.gateway_port))
        commands = {
            "gateway": [*self.program, "utility", "gateway", *options, *port, *names],
            "service": [
                *self.program,
                "utility",
                "serve",
                *options,
                "--no-hubs",
                "--no-worker",
                "--port",
                str(self.port),
            ],
            "deliverer": [
                *self.program, "utility", "deliver", "--utility", str(self.utility), "--watch",
                "--json",
            ],
            **{
                f"worker-{number}": [*self.program, "utility", "worker", *options]
                for number in range(1, self.workers + 1)
            },
        }  # fmt: skip
        for name, command in commands.items():
            part = _Part(name, command, self.folder / f"{name}.log")
            part.look_after(time.monotonic(), self.told)
            self._parts.append(part)

    def _make_utility(self) -> None:
        Utility.create(self.utility, database=self.postgresql.url).close()
        self.told("made", {"utility": str(self.utility)})

    def run(self, stopping: threading.Event) -> None:
        """Look after the processes and servers until `stopping` is set."""
        while not stopping.wait(_LOOK_SECONDS):
            for name, server in (("postgresql", self.postgresql), ("nats", self.nats)):
                if server.process is None:
                    self.told("ended", {"part": name})
                    server.start()
                    self.told("started", {"part": name})
            for part in self._parts:
                part.look_after(time.monotonic(), self.told)

    def stop(self) -> None:
        """Stop everything: who works first, then the servers."""
        for part in self._parts:
            part.stop()
            self.told("stopped", {"part": part.name})
        self._parts.clear()
        self.nats.stop()
        self.postgresql.stop()
        self.told("stopped", {"part": "servers"})
