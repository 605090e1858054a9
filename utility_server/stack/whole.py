# SPDX-License-Identifier: Apache-2.0
"""The whole service on one machine: PostgreSQL, NATS, Mosquitto, workers, a deliverer, both doors.

    FOLDER/utility       the utility: keys, and where its tables are
    FOLDER/postgresql    the database's server
    FOLDER/nats          the queue's server
    FOLDER/broker        the broker that wakes hubs, where Mosquitto is installed
    FOLDER/*.log         what each process says
    FOLDER/stack.lock    held by the one stack that runs here

For trying it out, and for tests that kill its parts. A process that ends is started again. The
servers go on when the rest is stopped in an unusual way; they are found again at the next start.
"""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from itertools import combinations
from pathlib import Path
from typing import Final

from protocols.remote_admin.wake import PORT
from utility_server.errors import StackRefused, StoreError
from utility_server.gateway.certificates import CA_FILE, CertificateAuthority
from utility_server.locations import location_in
from utility_server.retail.utility import Utility
from utility_server.stack import mosquitto_server
from utility_server.stack.mosquitto_server import MosquittoServer
from utility_server.stack.nats_server import NatsServer
from utility_server.stack.own import ANSWER_SECONDS, alone, end_of, is_free, said_since
from utility_server.stack.postgresql_server import PostgresServer

LONGEST_PAUSE_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.5
_STARTING_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 30.0
_MOST_REASON: Final = 400
_HOST: Final = "127.0.0.1"
GATEWAY_SCHEMA: Final = "meterlet.utility.gateway/1"
SERVICE_SCHEMA: Final = "meterlet.utility.serve/1"
"""What the two print once they listen."""
PROGRAM: Final = (sys.executable, "-m", "meterlet")

Told = Callable[[str, Mapping[str, object]], None]


@dataclass(slots=True)
class _Part:
    """One process of the stack."""

    name: str
    command: Sequence[str]
    log: Path
    answers: Callable[[str], bool]
    """Whether it does its work, by what it has said since it was started, or by asking it."""
    process: "subprocess.Popen[bytes] | None" = None
    failures: int = 0
    not_before: float = 0.0
    is_up: bool = False
    begin: int = 0
    """Where in its log it was started the last time."""

    def start(self) -> None:
        self.begin, self.is_up = end_of(self.log), False
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def look_after(self, now: float, told: Told) -> None:
        """Start it where it has ended, after a pause that grows while it keeps ending."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                if not self.is_up and self.answers(said_since(self.log, self.begin)):
                    self.is_up = True
                    told("up", {"part": self.name})
                return
            self.failures += 1
            pause = _pause(self.failures)
            self.process, self.is_up, self.not_before = None, False, now + pause
            why = {"why": reason} if (reason := self.reason()) else {}
            facts = {"part": self.name, "code": code, **why, "log": str(self.log)}
            told("ended", {**facts, "again_in_seconds": pause})
        elif now >= self.not_before:
            self.start()
            told("started", {"part": self.name})

    def reason(self) -> str:
        """Return why it has ended, as it has said itself: its refusal, or its last line."""
        last = ""
        for line in reversed(said_since(self.log, self.begin).splitlines()):
            last = last or line.strip()
            with suppress(ValueError, RecursionError):
                facts = json.loads(line)
                if isinstance(facts, dict) and "exit_code" in facts:
                    last = str(facts.get("message", ""))
                    break
        return last[:_MOST_REASON]

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def wait(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class _Server:
    """PostgreSQL's, NATS's or the broker's server, which outlives a stack that is killed."""

    name: str
    server: PostgresServer | NatsServer | MosquittoServer
    failures: int = 0
    not_before: float = 0.0

    def look_after(self, now: float, told: Told) -> None:
        """Start it where it has ended, after a pause that grows while it does not start."""
        if self.server.process is not None or now < self.not_before:
            return
        facts: dict[str, object] = {"part": self.name, "log": str(self.server.log)}
        if not self.failures:
            told("ended", facts)
        try:
            self.server.start()
        except StoreError as error:
            self.failures += 1
            pause = _pause(self.failures)
            self.not_before = now + pause
            told("not started", {**facts, "why": str(error), "again_in_seconds": pause})
        else:
            self.failures = 0
            told("started", {"part": self.name})


def _pause(failures: int) -> float:
    return float(min(LONGEST_PAUSE_SECONDS, 2.0 ** min(failures, 6) / 2))


@dataclass(slots=True)
class Stack:
    """The service in a folder; start it, and stop it when done."""

    folder: Path
    workers: int = 1
    gateway_port: int = 8443
    """For hubs that dial out."""
    port: int = 8420
    """For people and systems: console and REST, on loopback."""
    broker_port: int = PORT
    """For hubs that are woken, where Mosquitto is installed."""
    must_wake: bool = False
    """Whether there is no stack without Mosquitto."""
    names: Sequence[str] = ("localhost", "127.0.0.1")
    told: Told = field(default=lambda _event, _facts: None, repr=False)
    program: Sequence[str] = PROGRAM
    _parts: list[_Part] = field(default_factory=list)
    _without_broker: str = ""
    """Why there is none."""

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

    @property
    def mosquitto(self) -> MosquittoServer:
        """The broker that wakes hubs."""
        return MosquittoServer(self.folder / "broker", self.broker_port)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run everything while the block lasts; raise what `start` raises, and `StackRefused`.

        It is refused where the folder's stack runs already, or another program has its ports.
        Then nothing was started or stopped.
        """
        try:
            # Root's PostgreSQL is another user's: he must get through to his own folder.
            self.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}") from None
        with alone(self.folder):
            self._without_broker = mosquitto_server.missing()
            if self.must_wake and self._without_broker:
                raise StackRefused(f"--require-broker: {self._without_broker}")
            self._require_ports()
            try:
                self.start()
                yield
            finally:
                self.stop()

    def _require_ports(self) -> None:
        ports = {"--gateway-port": self.gateway_port, "--port": self.port}
        if not self._without_broker and self.mosquitto.process is None:
            ports["--broker-port"] = self.broker_port
        for (one, port), (other, same) in combinations(ports.items(), 2):
            if port == same:
                raise StackRefused(f"{other} and {one} are both {port}: say two ports")
        taken = {name: port for name, port in ports.items() if not is_free(_HOST, port)}
        if taken:
            places = " and ".join(f"{_HOST}:{port}" for port in taken.values())
            raise StackRefused(
                f"{places}: another program listens there: end it, or say another"
                f" {' and '.join(taken)}"
            )

    def start(self) -> None:
        """Start everything, with a new utility where there is none. Raises `StoreError`."""
        self._start_servers()
        self._start_parts(self._start_broker())

    def _start_servers(self) -> None:
        self.postgresql.start()
        self.told("started", {"part": "postgresql"})
        self.nats.find_port()
        self.nats.start()
        self.told("started", {"part": "nats"})
        if location_in(self.utility, "utility.db") is None:
            self._make_utility()

    def _start_parts(self, wake: Sequence[str]) -> None:
        """Start our own processes; `wake` is with which options the gateway wakes hubs."""
        options = (
            "--utility", str(self.utility), "--nats", self.nats.url,
            "--nats-token-file", str(self.nats.token_file), "--json",
        )  # fmt: skip
        names = [word for name in self.names for word in ("--name", name)]
        port = ("--port", str(self.gateway_port))
        commands = {
            "gateway": [*self.program, "utility", "gateway", *options, *port, *names, *wake],
            "service": [
                *self.program, "utility", "serve", *options, "--no-hubs", "--no-worker",
                "--port", str(self.port),
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
            answers = {"gateway": self._gateway_answers, "service": self._service_answers}
            part = _Part(
                name, command, self.folder / f"{name}.log", answers.get(name, _worker_answers)
            )
            part.look_after(time.monotonic(), self.told)
            self._parts.append(part)

    def _start_broker(self) -> list[str]:
        """Start the broker, if it is installed; return with which options the gateway wakes."""
        if self._without_broker:
            self.told("without", {"part": "mosquitto", "why": self._without_broker})
            return []
        mosquitto = self.mosquitto
        with Utility.open(self.utility) as own:
            authority = CertificateAuthority(
                own.folder, own.engine, own.customers, own.now, own.randomness
            )
            mosquitto.write(authority, tuple(self.names))
        mosquitto.start()
        self.told("started", {"part": "mosquitto"})
        return ["--wake", mosquitto.url, "--broker-files", str(mosquitto.folder)]

    def _make_utility(self) -> None:
        Utility.create(self.utility, database=self.postgresql.url).close()
        self.told("made", {"utility": str(self.utility)})

    def run(self, stopping: threading.Event) -> None:
        """Look after the processes and servers until `stopping` is set.

        Tells `ready` once, when each of them answers, and now and then what is missing until then.
        """
        servers = [_Server("postgresql", self.postgresql), _Server("nats", self.nats)]
        wake = {} if self._without_broker else {"wake": self.mosquitto.url}
        if wake:
            servers.append(_Server("mosquitto", self.mosquitto))
        is_ready, began, patience = False, time.monotonic(), _PATIENCE_SECONDS
        while not stopping.wait(_LOOK_SECONDS if is_ready else _STARTING_SECONDS):
            for server in servers:
                server.look_after(time.monotonic(), self.told)
            for part in self._parts:
                part.look_after(time.monotonic(), self.told)
            if is_ready:
                continue
            missing = [one.name for one in self._parts if not one.is_up]
            is_late = time.monotonic() - began > patience
            if not missing or is_late:  # servers write down each time that they were asked
                missing += [one.name for one in servers if not one.server.answers()]
            if not missing:
                is_ready = True
                ports = {"gateway_port": self.gateway_port, "port": self.port}
                self.told("ready", {"utility": str(self.utility), **ports, **wake})
            elif is_late:
                patience *= 2
                self.told("waits", {"for": ", ".join(missing), "logs": str(self.folder)})

    def _gateway_answers(self, said: str) -> bool:
        """Whether the gateway of this utility, and no other server, ends a handshake."""
        if GATEWAY_SCHEMA not in said:
            return False
        with suppress(OSError):
            context = ssl.create_default_context(cafile=self.utility / CA_FILE)
            address = (_HOST, self.gateway_port)
            with socket.create_connection(address, ANSWER_SECONDS) as connection:
                # It wants a certificate, too, and says so only after the handshake.
                context.wrap_socket(connection, server_hostname=self.names[0]).close()
                return True
        return False

    def _service_answers(self, said: str) -> bool:
        if SERVICE_SCHEMA not in said:
            return False
        client = HTTPConnection(_HOST, self.port, timeout=ANSWER_SECONDS)
        with suppress(OSError, HTTPException), closing(client):
            client.request("GET", "/readyz")
            return client.getresponse().status == HTTPStatus.OK
        return False

    def stop(self) -> None:
        """Stop everything: who works first, then the servers."""
        for part in self._parts:
            part.ask_to_stop()
        for part in self._parts:
            part.wait()
            self.told("stopped", {"part": part.name})
        self._parts.clear()
        self.mosquitto.stop()
        self.nats.stop()
        self.postgresql.stop()
        self.told("stopped", {"part": "servers"})


def _worker_answers(said: str) -> bool:
    """Whether a worker has opened database and queue."""
    return '"event": "ready"' in said
