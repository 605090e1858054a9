# SPDX-License-Identifier: Apache-2.0
"""Makes an engine's time pass while something runs on it.

wasmtime interrupts code whose deadline, counted in epochs, has passed. This thread makes an epoch
for every `TICK_SECONDS` of processor time that the process has had, and sleeps while nothing runs:
on a computer that is busy with other things an applet has as much as on an idle one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import wasmtime

TICK_SECONDS: Final = 0.05
_NEARLY: Final = 0.9


class EngineClock:
    """The clock of one engine."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._users = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._tick, name="applet clock", daemon=True).start()

    @contextmanager
    def going(self) -> Iterator[None]:
        """Keep the clock going during the block."""
        with self._changed:
            self._users += 1
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1

    def _tick(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._users > 0)
            before = time.process_time()
            while self._users:
                time.sleep(TICK_SECONDS)
                # What it has had is added up: on a busy computer a tick's worth takes many naps.
                if time.process_time() - before < TICK_SECONDS * _NEARLY:
                    continue
                before = time.process_time()
                try:
                    self._engine.increment_epoch()
                except ValueError:  # closed: the process ends
                    return
