# SPDX-License-Identifier: Apache-2.0
"""The hubs that a concentrator reaches, and how it asks many of them at once.

    {"format": "meterlet hubs 1",
     "hubs": [{"meter": hex, "region": "North", "address": "10.0.0.7:7816"}, ...]}

Hubs that dial have no address. They are known by their meters' certifiers, whose keys go into the
certificates with which they dial (`concentrator.dialled`):

    {"format": "meterlet hubs 2",
     "hubs": [{"meter": hex, "region": "North", "certifier": hex}, ...]}

Some hubs are asked at a time, each in a thread, since what they do takes long and their lines are
slow; an answer is handed on before the next hub is asked, so that answers do not pile up.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

from protocols.canonical.foreign_text import read_json
from utility_server.errors import HeadEndError
from utility_server.grid.concentrator.errors import ConcentratorError
from utility_server.grid.concentrator.round_commands import Question
from utility_server.head_end import Address, HeadEnd

FORMAT: Final = "meterlet hubs 1"
DIALLED_FORMAT: Final = "meterlet hubs 2"
CERTIFIER_SIZE: Final = 32
LARGEST_FILE: Final = 1 << 26


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub, and where it listens or how it is known when it dials."""

    meter: bytes
    region: str
    address: Address | None = None
    certifier: bytes = b""
    """The Ed25519 key of its meter's certifier; of a hub that dials."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hub said, or why it said nothing."""

    hub: Hub
    data: bytes | HeadEndError
    sent: int
    received: int


class AsksHubs(Protocol):
    """Asks hubs' applets, whichever way it reaches them."""

    def ask(self, hubs: Sequence[Hub], question: Question) -> AsyncIterator[Answer]:
        """Yield each hub's answer as it comes; whoever stops listening stops the asking."""
        ...

    def close(self) -> None:
        """Ask nobody any more."""
        ...


def read_dialled_hubs(path: Path) -> tuple[Hub, ...]:
    """Return the hubs of a file, all of which dial; raise `ConcentratorError` otherwise."""
    hubs = read_hubs(path)
    if any(hub.address is not None for hub in hubs):
        raise ConcentratorError(f"{path}: hubs that dial are listed as {DIALLED_FORMAT!r}")
    return hubs


def read_listening_hubs(path: Path) -> tuple[Hub, ...]:
    """Return the hubs of a file, all of which listen; raise `ConcentratorError` otherwise."""
    hubs = read_hubs(path)
    if any(hub.address is None for hub in hubs):
        raise ConcentratorError(f"{path}: its hubs dial; the concentrator needs --gateway-port")
    return hubs


def read_hubs(path: Path) -> tuple[Hub, ...]:
    """Return the hubs of a file; raise `ConcentratorError` naming what is wrong in it."""
    if path.stat().st_size > LARGEST_FILE:
        raise ConcentratorError(f"{path}: too long for a list of hubs")
    try:
        members = read_json(path.read_text())
    except ValueError as error:
        raise ConcentratorError(f"{path}: not JSON: {error}") from None
    match members:
        case {"format": "meterlet hubs 1", "hubs": list(entries)} if len(members) == 2:
            hubs = tuple(_hub(f"{path}: hub {n}", entry) for n, entry in enumerate(entries, 1))
        case {"format": "meterlet hubs 2", "hubs": list(entries)} if len(members) == 2:
            hubs = tuple(_dialled(f"{path}: hub {n}", entry) for n, entry in enumerate(entries, 1))
        case _:
            raise ConcentratorError(f"{path}: not a file of {FORMAT!r}")
    if len({hub.meter for hub in hubs}) != len(hubs):
        raise ConcentratorError(f"{path}: a meter is in it twice")
    return hubs


def _hub(place: str, entry: Any) -> Hub:
    match entry:
        case {"meter": str(meter), "region": str(region), "address": str(address)} if (
            len(entry) == 3
        ):
            try:
                return Hub(bytes.fromhex(meter), region, Address.parse(address))
            except (ValueError, HeadEndError) as error:
                raise ConcentratorError(f"{place}: {error}") from None
        case _:
            raise ConcentratorError(f"{place}: it needs just meter, region and address")


def _dialled(place: str, entry: Any) -> Hub:
    match entry:
        case {"meter": str(meter), "region": str(region), "certifier": str(certifier)} if (
            len(entry) == 3
        ):
            try:
                hub = Hub(bytes.fromhex(meter), region, certifier=bytes.fromhex(certifier))
            except ValueError as error:
                raise ConcentratorError(f"{place}: {error}") from None
            if len(hub.certifier) != CERTIFIER_SIZE:
                raise ConcentratorError(f"{place}: a certifier's key has {CERTIFIER_SIZE} bytes")
            return hub
        case _:
            raise ConcentratorError(f"{place}: it needs just meter, region and certifier")


@dataclass(slots=True)
class Hubs:
    """Asks hubs' applets; holds nothing of what they say."""

    at_once: int
    timeout_seconds: float
    randomness: Callable[[int], bytes] = field(default=os.urandom, repr=False)
    """For the nonces of requests; there is nothing secret here."""
    _threads: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.at_once, "hub")

    def close(self) -> None:
        """Let go of the threads; hubs that are being asked are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, hubs: Sequence[Hub], question: Question) -> AsyncIterator[Answer]:
        """Yield each hub's answer as it comes; whoever stops listening stops the asking."""
        loop, waiting = asyncio.get_running_loop(), iter(hubs)

        def ask_next(count: int) -> set[asyncio.Future[Answer]]:
            return {
                loop.run_in_executor(self._threads, self._ask_hub, hub, question)
                for hub in islice(waiting, count)
            }

        pending = ask_next(self.at_once)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for answered in done:
                    yield answered.result()
                pending |= ask_next(len(done))
        finally:
            for unasked in pending:
                unasked.cancel()

    def _ask_hub(self, hub: Hub, question: Question) -> Answer:
        head_end = HeadEnd(self.randomness, self.timeout_seconds)
        conversation = question.ask(head_end.conversations, hub.meter, self.randomness)
        data: bytes | HeadEndError
        try:
            if hub.address is None:
                raise HeadEndError("it dials, and this concentrator does not wait for it")
            data = head_end.hold(hub.address, conversation)
        except HeadEndError as error:
            data = error
        return Answer(hub, data, head_end.traffic.sent, head_end.traffic.received)
