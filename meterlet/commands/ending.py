# SPDX-License-Identifier: Apache-2.0
"""How a server's command ends: soon after SIGINT or SIGTERM, whatever it is waiting for.

What computes may finish what it has begun. What waits for something outside (a name, a connection,
a lock, a reply) for `GRACE_SECONDS` is given up: the process ends as if it had been killed, which
loses nothing, since all that counts is in the database by then or is asked for again.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

GRACE_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
"""What computes has so long at most."""
_LOOK_SECONDS: Final = 0.25
_IDLE_SHARE: Final = 0.1
"""A process waits that takes less of a processor than this."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Ending:
    """Whether a process was told to stop, and who has to know."""

    stopping: threading.Event = field(default_factory=threading.Event)
    _tell: list[Callable[[], object]] = field(default_factory=list)
    _last_words: Callable[[], object] | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def on_stop(self, tell: Callable[[], object]) -> None:
        """Call this, in a thread of its own, once the process is told to stop."""
        self._tell.append(tell)
        if self.stopping.is_set():
            tell()

    def say_last(self, last_words: Callable[[], object]) -> None:
        """Call this before the process is ended that goes on waiting."""
        self._last_words = last_words

    def _wait_for_signal(self, wakened: socket.socket) -> None:
        with suppress(OSError):
            if not wakened.recv(1):
                return
            self.stopping.set()
            for tell in self._tell:
                tell()
            self._give_up_what_waits()

    def _give_up_what_waits(self) -> None:
        """End the process once it has waited for something for too long; a clean end is sooner."""
        began, busy_until, spent = time.monotonic(), time.monotonic(), time.process_time()
        while not self._over.wait(_LOOK_SECONDS):
            now, before = time.monotonic(), spent
            spent = time.process_time()
            if spent - before > _IDLE_SHARE * _LOOK_SECONDS:
                busy_until = now
            if now - busy_until >= GRACE_SECONDS or now - began >= LONGEST_SECONDS:
                if self._last_words is not None:
                    self._last_words()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(0)


@contextmanager
def ending() -> Iterator[Ending]:
    """Have SIGINT and SIGTERM end the block; the main thread's, and however long it is stuck.

    A signal's handler runs in the main thread, which may be waiting in the system's library for a
    name. So the number goes to a thread through a socket, as soon as the signal comes.
    """
    watched = Ending()
    wake, wakened = socket.socketpair()
    wake.setblocking(False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
    previous = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=watched._wait_for_signal, args=(wakened,), daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        watched._over.set()
        wake.close()
        thread.join(GRACE_SECONDS)
        wakened.close()
