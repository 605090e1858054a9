# SPDX-License-Identifier: Apache-2.0
"""A meter on a serial line, fast forward: a pseudo-terminal, a hub behind it, one clock for all.

The hub runs in a process of its own, with the very code of `meterlet hub ingest`, and can be killed
at any moment. Simulated time stands in memory that both share. The line sends a telegram, and waits
until the hub has done with it.
"""

import mmap
import multiprocessing
import os
import pty
import struct
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hub.device import Device
from hub.doors import DoorOptions, sml_door
from hub.intake import Intake
from hub.meters.line_text import hex_or_bytes
from meterlet.commands.door import follow
from meterlet.commands.intake import live_chunks
from tests.support.waiting import PATIENCE

_CELLS: Final = struct.Struct("qq")
_FORK: Final = multiprocessing.get_context("fork")
JUNK: Final = bytes(4)


@dataclass(slots=True)
class SharedClock:
    """What the line and the hub share: the hub's clock, and how many bytes the hub has taken."""

    cells: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _CELLS.size))

    def now(self) -> int:
        return int(_CELLS.unpack_from(self.cells)[0])

    def set(self, now: int) -> None:
        _CELLS.pack_into(self.cells, 0, now, self.taken())

    def taken(self) -> int:
        return int(_CELLS.unpack_from(self.cells)[1])

    def take(self, number: int) -> None:
        struct.pack_into("q", self.cells, 8, number)


def _serve(folder: Path, device_name: str, clock: SharedClock) -> None:
    """Be the hub: follow the line until killed or told to stop."""

    def counted(chunks: Iterator[bytes]) -> Iterator[bytes]:
        taken = 0
        for chunk in chunks:
            yield chunk
            taken += len(chunk)  # all that came of it is stored
            clock.take(taken)

    with Device.open(folder, now=clock.now) as device:
        source = f"serial://{device_name}?baud=9600"
        intake = Intake(device, sml_door(device, DoorOptions(is_live=True)))
        follow(intake, hex_or_bytes(counted(live_chunks(source))))


@dataclass(slots=True)
class SimulatedLine:
    """The line, with a hub at its other end."""

    folder: Path
    clock: SharedClock = field(default_factory=SharedClock)
    _ends: tuple[int, int] = field(default_factory=pty.openpty)
    _hub: "multiprocessing.process.BaseProcess | None" = None
    _sent: int = 0

    def __post_init__(self) -> None:
        tty.setraw(self._ends[1])

    def start(self) -> None:
        """Switch the hub on, and wait until it listens."""
        self.clock.take(0)
        name = os.ttyname(self._ends[1])
        self._hub = _FORK.Process(target=_serve, args=(self.folder, name, self.clock), daemon=True)
        self._hub.start()
        deadline = time.monotonic() + PATIENCE
        while not self.clock.taken():
            assert time.monotonic() < deadline, "the hub does not listen"
            assert self._hub.is_alive(), "the hub has ended"
            os.write(self._ends[0], JUNK)
            time.sleep(0.02)
        before = -1
        while before != (before := self.clock.taken()):
            time.sleep(0.1)
        self._sent = before

    def send(self, data: bytes) -> None:
        """Send bytes, and wait until the hub has done with them."""
        self.send_only(data)
        self._sent += len(data)
        deadline = time.monotonic() + PATIENCE
        while self.clock.taken() < self._sent:
            assert time.monotonic() < deadline, "the hub has not taken it"
            assert self._hub is not None
            assert self._hub.is_alive(), "the hub has ended"
            time.sleep(0.0005)

    def send_only(self, data: bytes) -> None:
        """Send bytes, whatever becomes of them."""
        os.write(self._ends[0], data)

    def kill(self) -> None:
        """Cut the hub's power."""
        assert self._hub is not None
        self._hub.kill()
        self._hub.join()

    def stop(self) -> None:
        """Ask the hub to end, and wait for it."""
        assert self._hub is not None
        self._hub.terminate()
        self._hub.join(PATIENCE)
        for end in self._ends:
            os.close(end)


Send = Callable[[bytes], None]
