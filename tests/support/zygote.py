# SPDX-License-Identifier: Apache-2.0
"""Commands in processes of their own, which do not each import everything anew.

A process that has imported the commands forks for each that is to be run, with the arguments,
environment, folder and files that it was given; half a second is saved each time. What a command
imports by itself when it is started afresh, `test_processes.py` looks at.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_SIZE: Final = 4


@dataclass
class Zygote:
    """The end of it that tests hold."""

    process: "subprocess.Popen[bytes]"
    line: socket.socket

    @classmethod
    def start(cls) -> "Zygote":
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", __name__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        return cls(process, ours)

    def run(
        self,
        arguments: Sequence[str],
        stdin: bytes | None,
        environment: dict[str, str],
        limit: float,
    ) -> "CompletedProcess[str]":
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
        ):
            given.write(stdin or b"")
            given.seek(0)
            request = json.dumps([list(arguments), str(ROOT), environment]).encode()
            files = [file.fileno() for file in (given, output, errors)]
            socket.send_fds(self.line, [len(request).to_bytes(_SIZE, "big")], files)
            self.line.sendall(request)
            pid = int.from_bytes(take(self.line, _SIZE), "big")
            self.line.settimeout(limit)
            try:
                code = int.from_bytes(take(self.line, _SIZE), "big", signed=True)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self.stop()
                raise TimeoutExpired(list(arguments), limit) from None
            self.line.settimeout(None)
            output.seek(0)
            errors.seek(0)
            return CompletedProcess(
                list(arguments), code, output.read().decode(), errors.read().decode()
            )

    def stop(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


def take(line: socket.socket, size: int) -> bytes:
    """Return so many bytes of a line; raise `EOFError` where it ends before."""
    data = b""
    while len(data) < size:
        piece = line.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _serve(line: socket.socket) -> None:
    while True:
        head, files, _, _ = socket.recv_fds(line, _SIZE, 3)
        if not head:
            return
        arguments, folder, environment = json.loads(take(line, int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            line.close()
            os._exit(child_exit_code(arguments, folder, environment, files))
        for file in files:
            os.close(file)
        line.sendall(pid.to_bytes(_SIZE, "big"))
        _, status = os.waitpid(pid, 0)
        line.sendall(os.waitstatus_to_exitcode(status).to_bytes(_SIZE, "big", signed=True))


def child_exit_code(
    arguments: list[str], folder: str, environment: Mapping[str, str], files: list[int]
) -> int:
    """Run a command, in a process that was forked for it; return its exit code."""
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["meterlet", *arguments]
    code = 1
    try:
        from meterlet.commands.main import main

        main(prog_name="meterlet")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001  (as the interpreter does)
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def import_commands() -> None:
    """Import all that commands may need, so that forks have it."""
    from meterlet.commands.inspect import TARGETS
    from meterlet.commands.main import NOUNS

    for target in (NOUNS | TARGETS).values():
        import_module(target.partition(":")[0])
    from hub.meters.simulator import _standard_profile

    _standard_profile(2025)  # is kept: most synthetic households live in that year


if __name__ == "__main__":
    import_commands()
    with socket.socket(fileno=int(sys.argv[1])) as line_to_tests:
        _serve(line_to_tests)
