# SPDX-License-Identifier: Apache-2.0
"""A Mosquitto broker in a folder of its own, from the program that is installed; it wakes hubs.

It listens on loopback alone, over TLS, and wants certificates of the utility's authority. Its files
are those of `meterlet utility broker-files`.
"""

import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from utility_server.errors import StoreError
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.processes import end_process
from utility_server.stack.own import ANSWER_SECONDS, end_of, said_since

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
_ERROR: Final = "Error: "


def server_program() -> Path | None:
    """Return the broker's program; None where there is none."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("mosquitto", path=places)
    return None if found is None else Path(found)


def missing() -> str:
    """Return what is not there of what wakes hubs; nothing where all is."""
    if server_program() is None:
        return "Mosquitto is not installed (Debian: apt install mosquitto)"
    if importlib.util.find_spec("aiomqtt") is None:
        return "the gateway's client is not there: pip install 'meterlet[mqtt]'"
    return ""


@dataclass(frozen=True, slots=True)
class MosquittoServer:
    """A broker; write its files, start it, and stop it when done."""

    folder: Path
    port: int

    @property
    def files(self) -> BrokerFiles:
        """What it is started with."""
        return BrokerFiles(self.folder)

    @property
    def url(self) -> str:
        """Where hubs and gateway reach it."""
        return f"mqtts://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.folder / "server.log"

    def write(self, authority: CertificateAuthority, names: tuple[str, ...]) -> None:
        """Write its files, or renew them; one that runs with other settings is stopped.

        Raises `StoreError`.
        """
        settings = self.files.settings
        before = settings.read_bytes() if settings.exists() else b""
        settings.unlink(missing_ok=True)  # of another port, or of a folder that this is a copy of
        # As root it would take another user, who may not read these files.
        user = "user root\n" if os.getuid() == 0 else ""
        names = tuple(dict.fromkeys((*names, HOST)))
        self.files.write(authority, names, f"{self.port} {HOST}", user)
        if settings.read_bytes() != before:
            self.stop()

    def start(self) -> None:
        """Start the broker and wait until it answers; one that runs already reads its files again.

        Raises `StoreError` where it does not start.
        """
        program = server_program()
        if program is None:
            raise StoreError(missing())
        if self.files.reload():
            return
        begin = end_of(self.log)
        with self.log.open("ab") as log:
            started = subprocess.Popen(  # noqa: S603 - a program that we have found, and no shell
                [str(program), "-c", str(self.files.settings)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        # Not by the port alone: another program may listen there. Mosquitto writes its number.
        while not (self.process == started.pid and self.answers()):
            if started.poll() is not None or time.monotonic() > deadline:
                said = said_since(self.log, begin).splitlines()
                errors = [line.partition(_ERROR)[2] for line in said if _ERROR in line]
                why = errors[-1] if errors else "it says nothing"
                started.kill()
                started.wait()
                raise StoreError(f"mosquitto did not start: {why}; its log is {self.log}")
            time.sleep(0.02)
        started.returncode = 0  # it is to live longer than we, and its number is in its file

    def answers(self) -> bool:
        """Tell whether the broker, and no other server, ends a handshake."""
        with suppress(OSError):
            context = ssl.create_default_context(cafile=self.folder / "ca.pem")
            with socket.create_connection((HOST, self.port), ANSWER_SECONDS) as connection:
                # It wants a certificate, too, and says so only after the handshake.
                context.wrap_socket(connection, server_hostname=HOST).close()
                return True
        return False

    @property
    def process(self) -> int | None:
        """The process id of the broker; None where it does not run."""
        return self.files.process

    def stop(self) -> None:
        """Stop the broker."""
        end_process(lambda: self.process, START_SECONDS)
