# SPDX-License-Identifier: Apache-2.0
"""`meterlet` for the scripts of a shell, from a process that has imported the commands already.

A small program of that name hands its arguments, environment, folder and open files to a zygote,
whose fork does the work; signals go the same way. Most of what a short command takes is saved.
`make soak` runs the same scripts with the program as it is installed.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.support.soak import IS_SOAKING
from tests.support.waiting import wait_until
from tests.support.zygote import ROOT, child_exit_code, import_commands, take

_SIZE: Final = 4
_CLIENT: Final = """#!{python} -IS
import json, os, signal, socket, sys

line = socket.socket(socket.AF_UNIX)
line.connect({path!r})
passed_on = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
ignored = [n for n in passed_on if signal.getsignal(n) is signal.SIG_IGN]
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), ignored]).encode()
socket.send_fds(line, [len(request).to_bytes(4, "big")], [0, 1, 2])
line.sendall(request)
for number in set(passed_on) - set(ignored):
    signal.signal(number, lambda number, _: line.send(bytes([number])))
code = int.from_bytes(line.recv(4), "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@dataclass
class QuickProgram:
    """The folder of the small program, and the process behind it."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls) -> "QuickProgram":
        folder = Path(tempfile.mkdtemp(prefix="meterlet-"))
        line = folder / "line"
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", __name__, str(line)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        program = folder / "meterlet"
        program.write_text(_CLIENT.format(python=sys.executable, path=str(line)))
        program.chmod(0o700)
        wait_until(line.exists, "the process behind the quick program")
        return cls(folder, process)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


@cache
def _program() -> QuickProgram:
    return QuickProgram.start()


def program() -> tuple[str, ...]:
    """Return how a command that goes on is started: what its arguments are put behind."""
    if IS_SOAKING:
        return sys.executable, "-W", "error", "-m", "meterlet"
    return (str(_program().folder / "meterlet"),)


def program_path() -> str:
    """Return the folders in which a shell looks for programs, the one with `meterlet` first."""
    installed = str(Path(sys.executable).parent)
    first = installed if IS_SOAKING else f"{_program().folder}{os.pathsep}{installed}"
    return f"{first}{os.pathsep}{os.environ['PATH']}"


def stop_quick_program() -> None:
    """End the process behind it, if there is one."""
    if _program.cache_info().currsize:
        _program().stop()
        _program.cache_clear()


def _serve(listener: socket.socket) -> None:
    while True:
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os._exit(_answer(line))
        line.close()
        while _has_ended():
            pass


def _has_ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _answer(line: socket.socket) -> int:
    """Run one command for the client at the other end."""
    head, files, _, _ = socket.recv_fds(line, _SIZE, 3)
    arguments, folder, environment, ignored = json.loads(take(line, int.from_bytes(head, "big")))
    pid = os.fork()
    if pid == 0:
        line.close()
        os._exit(_run(arguments, folder, environment, ignored, files))
    for file in files:
        os.close(file)
    threading.Thread(target=_pass_on_signals, args=(line, pid), daemon=True).start()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    with suppress(BrokenPipeError):  # the client was killed
        line.sendall(code.to_bytes(_SIZE, "big", signed=True))
    return 0


def _run(
    arguments: list[str],
    folder: str,
    environment: Mapping[str, str],
    ignored: list[int],
    files: list[int],
) -> Any:
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    return child_exit_code(arguments, folder, environment, files)


def _pass_on_signals(line: socket.socket, pid: int) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile
        while number := line.recv(1):
            os.kill(pid, number[0])
        os.kill(pid, signal.SIGKILL)  # the client was killed


if __name__ == "__main__":
    import_commands()
    with socket.socket(socket.AF_UNIX) as listener:
        where = sys.argv[1]
        listener.bind(f"{where}.new")
        listener.listen(64)
        Path(f"{where}.new").rename(where)
        _serve(listener)
