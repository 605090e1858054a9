# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server with a data folder of its own, from the programs that are installed.

It listens at a socket in its folder, which is its owner's alone, and on no network. The server
wants no administrator: root runs it as the user `postgres`, which Debian's package makes.
"""

import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from utility_server.errors import StoreError
from utility_server.processes import runs_with
from utility_server.stack.own import ANSWER_SECONDS, end_of, said_since

USER: Final = "meterlet"
OWNER: Final = "postgres"
START_SECONDS: Final = 60.0
_LONGEST_SOCKET: Final = 107  # bytes of a socket's path, on Linux
_SOCKET_NAME: Final = "/.s.PGSQL.5432"
_FATAL: Final = "FATAL:"
_WHETHER_TLS: Final = bytes.fromhex("00000008 04d2162f")
"""PostgreSQL's SSLRequest: the shortest question that a server answers, with one byte."""


def server_programs() -> Path | None:
    """Return the folder of the newest server's programs; None where none is installed."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    if versions:
        return versions[-1].parent
    plain = shutil.which("initdb")
    return None if plain is None else Path(plain).resolve().parent


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server; start it, and stop it when done."""

    folder: Path
    is_durable: bool = True
    """Whether what is committed survives a crash of the computer; without it tests are quicker."""

    def start(self) -> None:
        """Start the server, with a new data folder where there is none, and wait until it answers.

        One that runs already stays. Raises `StoreError` where that does not go.
        """
        programs = server_programs()
        if programs is None:
            raise StoreError(
                "PostgreSQL's server is not installed (Debian: apt install postgresql)"
            )
        if len(os.fsencode(self.folder)) + len(_SOCKET_NAME) > _LONGEST_SOCKET:
            raise StoreError(f"{self.folder}: too long a path for a server's socket")
        if self.process is not None:
            return
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.getuid() == 0:
                owner = pwd.getpwnam(OWNER)
                os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror}") from None
        except KeyError:
            raise StoreError(
                f"PostgreSQL refuses root, and there is no user {OWNER} to run it as"
            ) from None
        if os.getuid() == 0 and not _may_pass(self.folder, owner.pw_uid):
            raise StoreError(
                f"{self.folder}: PostgreSQL refuses root, and its user {OWNER} may not pass through"
                " to there: choose another folder, or chmod o+x those above it"
            )
        data = self.folder / "data"
        quick = () if self.is_durable else ("-c", "fsync=off", "-c", "full_page_writes=off")
        options = (
            "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}",
            "-c", "unix_socket_permissions=0700", "-c", "max_connections=80",
            "-c", "shared_buffers=64MB", *quick,
        )  # fmt: skip
        begin = end_of(self.log)
        try:
            if not (data / "PG_VERSION").exists():
                _run(
                    programs / "initdb", "-D", data, "-U", USER, "--auth=trust", "-E", "UTF8",
                    "--locale=C.UTF-8", "--no-instructions", "--no-sync",
                )  # fmt: skip
            # Of one that was killed; nobody else may use this folder.
            for left in (data / "postmaster.pid", self.folder / f"{_SOCKET_NAME[1:]}.lock"):
                left.unlink(missing_ok=True)
            _run(
                programs / "pg_ctl", "start", "-D", data, "-l", self.log, "-w", "-s",
                "-t", round(START_SECONDS), "-o", shlex.join(options),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            output = getattr(error, "stderr", b"") or str(error).encode()
            line = output.decode(errors="replace").strip().rpartition("\n")[2]
            said = [one for one in said_since(self.log, begin).splitlines() if _FATAL in one]
            why = said[-1].partition(_FATAL)[2].strip() if said else line
            raise StoreError(
                f"{self.folder}: PostgreSQL did not start: {why}; its log is {self.log}"
            ) from None

    def answers(self) -> bool:
        """Tell whether somebody answers at the server's socket."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_SECONDS)
            client.connect(f"{self.folder}{_SOCKET_NAME}")
            client.sendall(_WHETHER_TLS)
            return client.recv(1) in (b"N", b"S")
        return False

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def url(self) -> URL:
        """Where programs of the same user, or root, find its database."""
        return URL.create("postgresql", USER, database="postgres", query={"host": str(self.folder)})

    @property
    def process(self) -> int | None:
        """The process id of the server; None where it does not run."""
        try:
            number = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return number if runs_with(number, self.folder / "data") else None

    def stop(self) -> None:
        """Stop the server; what its clients have not committed is undone."""
        process = self.process
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGINT)  # fast shutdown
        deadline = time.monotonic() + START_SECONDS
        while self.process is not None and time.monotonic() < deadline:
            time.sleep(0.02)


def _may_pass(folder: Path, user: int) -> bool:
    """Tell whether any user but root gets through to a folder of his own."""
    return all(
        above.stat().st_mode & 0o001 or above.stat().st_uid == user for above in folder.parents
    )


def _run(*command: object) -> None:
    # Into files, as the server inherits them: a pipe would never end.
    with tempfile.TemporaryFile() as errors:
        words = _as_owner(*command)
        done = subprocess.run(  # noqa: S603 - programs that we have found, and no shell
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=errors, timeout=2 * START_SECONDS, cwd="/", check=False,
        )  # fmt: skip
        errors.seek(0)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, stderr=errors.read())


def _as_owner(*command: object) -> list[str]:
    words = [str(word) for word in command]
    return ["runuser", "-u", OWNER, "--", *words] if os.getuid() == 0 else words
