# SPDX-License-Identifier: Apache-2.0
"""pcscd with the virtual reader of vsmartcard, started for a test and stopped after it."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.card.open import Card
from hub.card.reader import PORT, ReaderError, VirtualReader
from hub.card.trace import describe
from tests.support.waiting import PATIENCE

PCSCD = shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SOCKET = Path("/run/pcscd/pcscd.comm")
MISSING = [
    what
    for what, there in (
        ("pcscd", PCSCD),
        ("opensc-tool", shutil.which("opensc-tool")),
        ("vsmartcard-vpcd", Path("/etc/reader.conf.d/vpcd").exists()),
        ("root", os.geteuid() == 0),
    )
    if not there
]


def is_running() -> bool:
    """Whether pcscd answers."""
    with socket.socket(socket.AF_UNIX) as probe:
        return SOCKET.exists() and probe.connect_ex(str(SOCKET)) == 0


@contextmanager
def daemon() -> Iterator[None]:
    """Run pcscd, unless one is there already."""
    process = None
    if not is_running():
        assert PCSCD is not None
        SOCKET.parent.mkdir(exist_ok=True)
        process = subprocess.Popen(
            [PCSCD, "--foreground"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + PATIENCE
        while not is_running():
            assert process.poll() is None, f"pcscd ended with {process.returncode}"
            assert time.monotonic() < end, "pcscd does not answer"
            time.sleep(0.05)
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait(PATIENCE)


def connected(card: Card, trace: list[str]) -> VirtualReader:
    """Wait for the reader and put `card` into it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            return VirtualReader(
                card,
                "127.0.0.1",
                PORT,
                observer=lambda exchange: trace.append(describe(exchange)),
            )
        except ReaderError:
            time.sleep(0.05)
    raise AssertionError("vpcd does not listen")


class Inserted:
    """Keeps a card in the reader, which may let go of it and must be given it again."""

    def __init__(self, card: Card) -> None:
        self.trace: list[str] = []
        self._card, self._stopped = card, threading.Event()
        self._reader = connected(card, self.trace)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._reader.run()
        while not self._stopped.is_set():
            self._reader = connected(self._card, self.trace)
            self._reader.run()

    def close(self) -> None:
        self._stopped.set()
        self._reader.close()
        self._thread.join(PATIENCE)


@contextmanager
def inserted(card: Card) -> Iterator[list[str]]:
    """Put `card` into the virtual reader; yields the trace, which grows."""
    inside = Inserted(card)
    try:
        yield inside.trace
    finally:
        inside.close()


@contextmanager
def linked() -> Iterator[Any]:
    """Connect to the card in the reader, and let everything of PC/SC go at the end."""
    link = _connect()
    try:
        yield link
    finally:
        link.disconnect()
        link.release()


def _connect() -> Any:
    protocol = pytest.importorskip("smartcard.CardConnection").CardConnection.T1_protocol
    errors = pytest.importorskip("smartcard.Exceptions")
    system = pytest.importorskip("smartcard.System")

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for reader in system.readers():
            if "Virtual PCD 00 00" not in str(reader):
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
