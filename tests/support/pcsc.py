# SPDX-License-Identifier: Apache-2.0
"""pcscd with the virtual reader of vsmartcard, started for a test and stopped after it."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.card.connection import Exchange
from hub.card.open import Card
from hub.card.reader import PORT, ReaderError, VirtualReader
from hub.card.trace import describe
from tests.support.waiting import PATIENCE

PCSCD = shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SOCKET = Path("/run/pcscd/pcscd.comm")
READERS = Path("/etc/reader.conf.d/vpcd")
TURN = Path(tempfile.gettempdir()) / "meterlet-pcsc.lock"
"""Held by whoever uses the one daemon and the one virtual reader of this computer."""
VIRTUAL = "Virtual PCD"
CONTACTLESS = bytes.fromhex("3B8D80018073C021C057597562694B6579F9")
"""The answer that a reader of contactless cards makes up for ours (PC/SC part 3, 3.1.3.2.3.1)."""
MISSING = [
    what
    for what, there in (
        ("pcscd", PCSCD),
        ("opensc-tool", shutil.which("opensc-tool")),
        ("vsmartcard-vpcd", READERS.exists()),
        ("root", os.geteuid() == 0),
    )
    if not there
]


def is_running() -> bool:
    """Whether pcscd answers."""
    with socket.socket(socket.AF_UNIX) as probe:
        return SOCKET.exists() and probe.connect_ex(str(SOCKET)) == 0


@contextmanager
def daemon(reader: str = VIRTUAL) -> Iterator[None]:
    """Run pcscd, unless one is there already; clients see the virtual reader as `reader`.

    One test at a time has it, whichever process it runs in.
    """
    with TURN.open("w") as turn:
        _wait_for_turn(turn.fileno())
        process = None
        with tempfile.TemporaryDirectory() as folder:
            if not is_running():
                process = _started(reader, Path(folder) / "vpcd")
            elif reader != VIRTUAL:
                pytest.skip(f"A PCSCD THAT IS NOT OURS RUNS: nothing is tested as {reader}")
            try:
                yield
            finally:
                if process is not None:
                    process.terminate()
                    process.wait(PATIENCE)


def _wait_for_turn(turn: int) -> None:
    end = time.monotonic() + 10 * PATIENCE
    while True:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert time.monotonic() < end, f"another test keeps {TURN}"
            time.sleep(0.1)
        else:
            return


def _started(reader: str, configuration: Path) -> "subprocess.Popen[bytes]":
    assert PCSCD is not None
    configuration.write_text(READERS.read_text().replace(VIRTUAL, reader))
    SOCKET.parent.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [PCSCD, "--foreground", "--config", str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while not is_running():
        assert process.poll() is None, f"pcscd ended with {process.returncode}"
        assert time.monotonic() < end, "pcscd does not answer"
        time.sleep(0.05)
    return process


class ContactlessReader(VirtualReader):
    """A reader that says that it has no contacts."""

    def __init__(self, card: Card, observer: Callable[[Exchange], None]) -> None:
        super().__init__(card, "127.0.0.1", PORT, observer=observer)
        self._atr = CONTACTLESS


def connected(card: Card, trace: list[str], *, contactless: bool = False) -> VirtualReader:
    """Wait for the reader and put `card` into it."""
    end = time.monotonic() + PATIENCE

    def observer(exchange: Exchange) -> None:
        trace.append(describe(exchange))

    while time.monotonic() < end:
        try:
            if contactless:
                return ContactlessReader(card, observer)
            return VirtualReader(card, "127.0.0.1", PORT, observer=observer)
        except ReaderError:
            time.sleep(0.05)
    raise AssertionError("vpcd does not listen")


class Inserted:
    """Keeps a card in the reader, which may let go of it and must be given it again."""

    def __init__(self, card: Card, *, contactless: bool = False) -> None:
        self.trace: list[str] = []
        self._card, self._contactless = card, contactless
        self._stopped = threading.Event()
        self._reader = connected(card, self.trace, contactless=contactless)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._reader.run()
        while not self._stopped.is_set():
            self._reader = connected(self._card, self.trace, contactless=self._contactless)
            self._reader.run()

    def close(self) -> None:
        self._stopped.set()
        self._reader.close()
        self._thread.join(PATIENCE)


@contextmanager
def inserted(card: Card, *, contactless: bool = False) -> Iterator[list[str]]:
    """Put `card` into the virtual reader; yields the trace, which grows."""
    inside = Inserted(card, contactless=contactless)
    try:
        yield inside.trace
    finally:
        inside.close()


@contextmanager
def linked(reader: str = VIRTUAL) -> Iterator[Any]:
    """Connect to the card in the reader, and let everything of PC/SC go at the end."""
    link = _connect(reader)
    try:
        yield link
    finally:
        link.disconnect()
        link.release()


def _connect(name: str) -> Any:
    protocol = pytest.importorskip("smartcard.CardConnection").CardConnection.T1_protocol
    errors = pytest.importorskip("smartcard.Exceptions")
    system = pytest.importorskip("smartcard.System")

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for reader in system.readers():
            if f"{name} 00 00" not in str(reader):
                continue
            link = reader.createConnection()
            try:
                link.connect(protocol)
                # pcscd polls: it may still see the card of the test before.
                link.transmit(list(bytes.fromhex("00A4040000")))
            except (errors.CardConnectionException, errors.NoCardException):
                link.release()
                time.sleep(0.05)
            else:
                return link
        time.sleep(0.05)
    raise AssertionError("no card in the reader")
