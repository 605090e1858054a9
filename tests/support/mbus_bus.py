# SPDX-License-Identifier: Apache-2.0
"""A bus of slaves, which may speak at the same time, and a line over a pseudo-terminal."""

import os
import pty
import select
import threading
import tty
from collections.abc import Sequence
from itertools import zip_longest
from types import TracebackType
from typing import Self

from meter_codecs.mbus.master import Request
from meter_codecs.mbus.slave import Slave


class Bus:
    """Slaves on two wires: a zero of any of them wins over the ones of all others."""

    def __init__(self, slaves: Sequence[Slave], *, speed: int = 2400, echo: bool = False) -> None:
        self.slaves = slaves
        self.speed = speed
        self.echo = echo
        self.requests: list[Request] = []

    def exchange(self, request: Request) -> bytes:
        self.requests.append(request)
        if request.speed is not None:
            self.speed = request.speed
        heard = [slave for slave in self.slaves if slave.speed == self.speed]
        answers = [answer for slave in heard if (answer := slave.feed(request.wire))]
        line = bytearray()
        for column in zip_longest(*answers, fillvalue=0xFF):
            byte = 0xFF
            for sent in column:
                byte &= sent
            line.append(byte)
        return (request.wire if self.echo else b"") + bytes(line)


class PtyLine:
    """A master's end of a pseudo-terminal; a thread answers for the slaves at the other end."""

    def __init__(self, slave: Slave, *, silence: float = 0.15) -> None:
        self._slave = slave
        self._silence = silence

    def __enter__(self) -> Self:
        self._master, other = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(other)
        self._other = other
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._other)

    def _answer(self) -> None:
        while not self._ending.is_set():
            if select.select([self._other], [], [], 0.02)[0]:
                answer = self._slave.feed(os.read(self._other, 300))
                for at in range(0, len(answer), 7):  # as a line brings it: in pieces
                    os.write(self._other, answer[at : at + 7])

    def exchange(self, request: Request) -> bytes:
        os.write(self._master, request.wire)
        came = b""
        while select.select([self._master], [], [], self._silence)[0]:
            came += os.read(self._master, 64)
        return came
