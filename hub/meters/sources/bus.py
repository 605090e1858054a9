# SPDX-License-Identifier: Apache-2.0
"""A master on an M-Bus: asks each meter for what it counts, every so often.

    mbus:///dev/ttyUSB0?baud=2400&every=15min               all meters that a search finds
    mbus:///dev/ttyUSB0?address=1,2                         two of them, by primary address
    mbus+tcp://192.0.2.7:10001?address=12345678,1           one by the number printed on it

A bus begins with SND_NKE to all. A meter that does not answer is told, and asked again in the next
round. Only what the meter that was asked has answered is handed on.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, TypeVar

from hub.meters.sources.asking import Asking, asked
from hub.meters.sources.ports import BITS_OF_A_BYTE, Port, PortOpener, settle
from meter_codecs.mbus import (
    ANYONE,
    NO_KEYS,
    Address,
    KeyRing,
    MbusError,
    NoAnswer,
    Telegram,
)
from meter_codecs.mbus.frames import BROADCAST, SND_NKE, ShortFrame
from meter_codecs.mbus.master import LAST_PRIMARY, Master, Operation, Request

MOST_TARGETS: Final = 250
_NUMBER: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_PRIMARY: Final = re.compile(r"\d{1,3}", re.ASCII)

Answer = TypeVar("Answer")
Target = int | Address
"""A meter by primary address, or by the selection of a secondary one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for an answer, in seconds."""

    first: float = 0.5
    """For its first byte: a meter has 330 bit times and 50 ms, a bridge some more."""
    silence: float = 0.1
    """Without a byte, and the answer has ended."""


BY_TCP: Final = Patience(first=1.0, silence=0.3)


def targets_of(text: str) -> tuple[Target, ...]:
    """Return the meters that `1,2,12345678` names; raise ValueError for anything else."""
    found = tuple(_target(one) for one in text.split(","))
    if len(found) > MOST_TARGETS or len(set(found)) < len(found):
        raise ValueError(f"address={text}: name each meter once, {MOST_TARGETS} at most")
    return found


def _target(text: str) -> Target:
    if _NUMBER.fullmatch(text):
        return Address(ANYONE.manufacturer_code, text, ANYONE.version, ANYONE.device_type)
    if _PRIMARY.fullmatch(text) and int(text) <= LAST_PRIMARY:
        return int(text)
    raise ValueError(
        f"address={text}: a primary address from 0 to {LAST_PRIMARY}, or a number of 8 digits"
    )


@dataclass(slots=True)
class BusMaster:
    """One master on an open line."""

    asking: Asking
    targets: tuple[Target, ...] = ()
    """Who is asked; nobody named: whoever a search finds."""
    baud: int = 2400
    patience: Patience = Patience()
    keys: KeyRing = NO_KEYS
    _master: Master = field(init=False)
    _found: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        self._master = Master(keys=self.keys)

    async def round(self, port: Port) -> AsyncIterator[bytes]:
        """Ask every meter once; yield the frames of each one's answer."""
        await self._broadcast(port)
        targets = self.targets or self._found or await self._search(port)
        for target in targets:
            try:
                telegrams = await self._do(self._reading(target), port)
            except MbusError as error:
                self.asking.heard(f"{_printed(target)}: {error}")
            else:
                yield b"".join(one.encode() for one in telegrams)

    def _reading(self, target: Target) -> Operation[tuple[Telegram, ...]]:
        """Begin anew with a meter, and read all its telegrams."""
        if isinstance(target, Address):
            return (yield from self._master.read_selected(target))
        with suppress(NoAnswer):  # some acknowledge nothing, and answer all the same
            yield from self._master.reset(target)
        return (yield from self._master.read(target))

    async def _broadcast(self, port: Port) -> None:
        """Let every meter begin anew; nobody answers."""
        await settle(port)
        await port.send(ShortFrame(SND_NKE, BROADCAST).encode())
        await asyncio.sleep(self.patience.silence)

    async def _search(self, port: Port) -> tuple[Target, ...]:
        try:
            self._found = await self._do(self._master.search(), port)
        except MbusError as error:
            self.asking.heard(f"search: {error}; name the meters, as ?address=1,2")
        if not self._found:
            self.asking.heard("search: no meter answers")
        return self._found

    async def _do(self, operation: Operation[Answer], port: Port) -> Answer:
        """Do an operation of the master; raise OSError where the line breaks."""
        try:
            request = next(operation)
            while True:
                request = operation.send(await self._exchange(port, request))
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def _exchange(self, port: Port, request: Request) -> bytes:
        """Send a request; return what came until the line was silent, or had too much to say."""
        await settle(port)
        if request.speed is not None:
            await port.set_baud(request.speed)
        await port.send(request.wire)
        most = request.longest_answer + len(request.wire)  # a converter may echo
        bits = BITS_OF_A_BYTE * (most + len(request.wire))
        end = monotonic() + self.patience.first + bits / self.baud
        came = await port.receive(self.patience.first)
        while came and len(came) <= most and monotonic() < end:
            piece = await port.receive(self.patience.silence)
            if not piece:
                break
            came += piece
        return came[: most + 1]


def _printed(target: Target) -> str:
    return f"address {target}" if isinstance(target, int) else f"meter {target.number}"


def read_bus(
    opened: PortOpener,
    asking: Asking,
    *,
    targets: tuple[Target, ...] = (),
    baud: int = 2400,
    patience: Patience = Patience(),
    keys: KeyRing = NO_KEYS,
) -> AsyncIterator[bytes]:
    """Yield what the meters of a bus answer, asked every so often."""
    master = BusMaster(asking, targets, baud, patience, keys)
    return asked(opened, master.round, asking)
