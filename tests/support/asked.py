# SPDX-License-Identifier: Apache-2.0
"""The other end of a line on which meters are asked, by pseudo-terminal or socket; a broker."""

import os
import pty
import select
import shutil
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE

Answers = Callable[[bytes], bytes]
"""Takes bytes of the line; returns what to send."""
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pty_line(answers: Answers) -> Iterator[str]:
    """Answer on a pseudo-terminal; its name is yielded."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            if select.select([ours], [], [], 0.01)[0]:
                sent = answers(os.read(ours, 512))
                for at in range(0, len(sent), 7):  # as a line brings it: in pieces
                    os.write(ours, sent[at : at + 7])

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        ended.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


@contextmanager
def tcp_line(answers: Answers) -> Iterator[int]:
    """Answer on a socket, as a bridge to a bus does; its port is yielded."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            line, _ = server.accept()
            with line:
                while data := line.recv(512):
                    if sent := answers(data):
                        line.sendall(sent)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(PATIENCE)


@contextmanager
def broker(folder: Path, config: str = "allow_anonymous true") -> Iterator[int]:
    """Run a broker of MQTT; its port is yielded. Skips where there is no mosquitto."""
    if MOSQUITTO is None:
        pytest.skip("no mosquitto: `apt-get install mosquitto` and this is tested")
    port = free_port()
    path = folder / "mosquitto.conf"
    own = "user root\n" if os.getuid() == 0 else ""  # else it cannot read this folder
    path.write_text(f"{own}listener {port} 127.0.0.1\n{config}\n")
    with (folder / "mosquitto.log").open("wb") as log:
        ran = subprocess.Popen([MOSQUITTO, "-c", path], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert ran.poll() is None, (folder / "mosquitto.log").read_text()
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield port
    finally:
        ran.terminate()
        ran.wait()
