# SPDX-License-Identifier: Apache-2.0
"""Reads meters by DLMS over a connection.

    async with await connect("meter.example", 4059, settings, client=1) as meter:
        print(await meter.read(Attribute(3, Obis.parse("1-0:1.8.0"), 2)))
        profile = await meter.read_profile(Obis.parse("1-0:99.1.0"), Entries(1, 96))

Every wait has a limit: a meter that does not answer is asked again over HDLC, and then given up.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol, Self, TypeVar

from dlms_codec.apdus.access import Access, AccessOutcome
from dlms_codec.apdus.action import NO_PARAMETERS, NoParameters
from dlms_codec.apdus.addressing import Attribute, Failure, Method, Value
from dlms_codec.apdus.notifications import DataNotification, EventNotification
from dlms_codec.client_settings import ClientSettings
from dlms_codec.data import Data
from dlms_codec.datetimes import DateTime
from dlms_codec.dialogue import ClientDialogue, ProfileRows
from dlms_codec.errors import (
    ConnectionLost,
    DlmsError,
    EncodingError,
    NoAnswer,
    RequestRefused,
    UnexpectedAnswer,
)
from dlms_codec.link import HdlcLink, Link, Steps, WrapperLink
from dlms_codec.numbers import SizedInt
from dlms_codec.obis import Obis
from dlms_codec.secure_messaging import SendCounter
from dlms_codec.security import CounterGuard
from dlms_codec.selecting import Entries, Range

PIECE: Final = 1 << 16
PARTING_SECONDS: Final = 5.0
"""How long to wait for the answer to a farewell: some meters know none."""
T = TypeVar("T")


class Line(Protocol):
    """What bytes go over: a TCP connection, or a serial line."""

    async def read(self) -> bytes:
        """Return the next bytes; none when the line has ended."""

    async def write(self, data: bytes) -> None:
        """Send bytes."""

    async def close(self) -> None:
        """End the line."""


class TcpLine:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        """Return the next bytes; none when the other end has closed."""
        return await self._reader.read(PIECE)

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError):  # it is closed all the same
            await self._writer.wait_closed()


class DlmsClient:
    """One association with one meter; one request at a time.

    `answer_seconds` limits each wait for an answer, `whole_seconds` each operation as a whole.
    Settings with keys need a `counter`, and should have a `received`, that outlive the client.
    After any error but `RequestRefused` the association is given up: close it and connect anew.
    """

    def __init__(
        self,
        line: Line,
        link: Link,
        settings: ClientSettings,
        *,
        counter: SendCounter | None = None,
        received: CounterGuard | None = None,
        answer_seconds: float = 10.0,
        whole_seconds: float = 600.0,
        retries: int = 2,
    ) -> None:
        if settings.needs_counter and counter is None:
            raise EncodingError("keys need a counter that outlives the client: SendCounter")
        self._line = line
        self._link = link
        self._given_up = False
        self._dialogue = ClientDialogue(
            settings, secrets.token_bytes, counter or SendCounter(), received or CounterGuard()
        )
        self._answer_seconds = answer_seconds
        self._whole_seconds = whole_seconds
        self._retries = retries
        self._turn = asyncio.Lock()

    @property
    def notifications(self) -> deque[DataNotification | EventNotification]:
        """What the meter sent unasked; the last 16."""
        return self._dialogue.notifications

    @property
    def meter_title(self) -> bytes:
        """The meter's system title, once it said so."""
        return self._dialogue.meter_title

    async def open(self) -> None:
        """Begin the link and the association; nothing is left open if that fails."""
        try:
            await self._on_line(self._link.open())
            await self._run(self._dialogue.associate())
        except BaseException:
            self._answer_seconds, self._retries = min(self._answer_seconds, PARTING_SECONDS), 0
            with suppress(DlmsError):
                await self._leave()
            raise

    async def read(self, attribute: Attribute) -> Data:
        """Return the value of an attribute, or of a part of it."""
        return await self._run(self._dialogue.read(attribute))

    async def read_list(self, attributes: Sequence[Attribute]) -> tuple[Value | Failure, ...]:
        """Return the value of each attribute, or why there is none."""
        return await self._run(self._dialogue.read_list(attributes))

    async def read_profile(self, obis: Obis, part: Entries | Range) -> ProfileRows:
        """Return rows of a profile and what its columns hold."""
        return await self._run(self._dialogue.read_profile(obis, part))

    async def read_clock(self) -> DateTime:
        """Return what the meter's clock shows."""
        return await self._run(self._dialogue.read_clock())

    async def set_clock(self, moment: DateTime) -> None:
        """Set the meter's clock."""
        await self._run(self._dialogue.set_clock(moment))

    async def write(self, attribute: Attribute, value: Data) -> None:
        """Write an attribute."""
        await self._run(self._dialogue.write(attribute, value))

    async def invoke(self, method: Method, parameters: Data | NoParameters = NO_PARAMETERS) -> Data:
        """Invoke a method; return what comes back, None if nothing does."""
        return await self._run(self._dialogue.invoke(method, parameters))

    async def access(
        self, accesses: Sequence[Access], data: Sequence[Data]
    ) -> tuple[tuple[Data, AccessOutcome], ...]:
        """Read, write and invoke in one message; return what came back of each, and how it went."""
        return await self._run(self._dialogue.access(accesses, data))

    async def close(self) -> None:
        """End the association, the link and the line; a meter that is gone does not matter."""
        self._answer_seconds, self._retries = min(self._answer_seconds, PARTING_SECONDS), 0
        if not isinstance(self._link, HdlcLink):  # there the end of the link is that of all
            with suppress(DlmsError):
                await self._run(self._dialogue.release())
        with suppress(DlmsError):
            await self._leave()
        await self._line.close()

    async def _leave(self) -> None:
        await self._on_line(self._link.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, steps: Steps[T]) -> T:
        """Go through the steps of an operation."""
        async with self._turn:
            if self._given_up:
                raise ConnectionLost("the association was given up after an error: connect anew")
            self._given_up = True  # until it went well
            try:
                async with asyncio.timeout(self._whole_seconds):
                    out = next(steps)
                    while True:
                        out = steps.send(await self._exchange(self._link.exchange(out)))
            except StopIteration as end:
                result: T = end.value
                self._given_up = False
                return result
            except RequestRefused:
                self._given_up = False
                raise
            except TimeoutError:
                raise NoAnswer(f"not done within {self._whole_seconds:g} s") from None
            finally:
                steps.close()

    async def _on_line(self, steps: Steps[None]) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(self._whole_seconds):
                    await self._exchange(steps)
            except TimeoutError:
                raise NoAnswer(f"no link within {self._whole_seconds:g} s") from None

    async def _exchange(self, steps: Steps[T]) -> T:
        """Go through the steps of a link; what got no answer is sent again, if that may help."""
        attempts = 0
        try:
            out = next(steps)
            while True:
                if out:
                    attempts = 0
                    await self._write(out)
                try:
                    async with asyncio.timeout(self._answer_seconds):
                        piece = await self._read()
                except TimeoutError:
                    again = self._link.repeat()
                    if not again or attempts >= self._retries:
                        raise NoAnswer(
                            f"the meter does not answer within {self._answer_seconds:g} s"
                        ) from None
                    attempts += 1
                    await self._write(again)
                    out = b""
                    continue
                out = steps.send(piece)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _read(self) -> bytes:
        try:
            piece = await self._line.read()
        except OSError:
            piece = b""
        if not piece:
            raise ConnectionLost("the meter closed the connection")
        return piece

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._line.write(data)
        except TimeoutError:
            raise NoAnswer("the meter takes nothing") from None
        except OSError:
            raise ConnectionLost("the connection broke") from None


async def connect(
    host: str,
    port: int,
    settings: ClientSettings,
    *,
    client: int = 16,
    server: int = 1,
    hdlc: bool = False,
    physical: int | None = None,
    counter: SendCounter | None = None,
    received: CounterGuard | None = None,
    answer_seconds: float = 10.0,
    whole_seconds: float = 600.0,
) -> DlmsClient:
    """Return an association with the meter at a TCP address.

    `client` and `server` are the addresses of both; `hdlc` says that HDLC goes over the connection
    instead of the wrapper. Raises `NoAnswer` where nothing answers, `ConnectionLost` where there is
    nobody, and what `ClientDialogue.associate` raises.
    """
    line = await open_tcp(host, port, answer_seconds)
    link = HdlcLink(client, server, physical) if hdlc else WrapperLink(client, server)
    meter = DlmsClient(
        line, link, settings,
        counter=counter, received=received,
        answer_seconds=answer_seconds, whole_seconds=whole_seconds,
    )  # fmt: skip
    try:
        await meter.open()
    except BaseException:
        await line.close()
        raise
    return meter


async def open_tcp(host: str, port: int, seconds: float) -> TcpLine:
    """Return a connection; raise `NoAnswer` or `ConnectionLost` where there is none."""
    try:
        async with asyncio.timeout(seconds):
            return TcpLine(*await asyncio.open_connection(host, port))
    except TimeoutError:
        raise NoAnswer(f"{host} port {port} does not answer within {seconds:g} s") from None
    except OSError as error:
        raise ConnectionLost(f"{host} port {port}: {error.strerror or error}") from None


async def read_counter(
    host: str,
    port: int,
    obis: Obis,
    *,
    client: int = 16,
    server: int = 1,
    hdlc: bool = False,
    physical: int | None = None,
    answer_seconds: float = 10.0,
) -> int:
    """Return the counter that a meter expects to be passed, read by its public client.

    Many meters have it at `0-0:43.1.0`; give `SendCounter(counter + 1)` to the association. Anyone
    on the line can change what comes: never let it lower a counter that you have kept.
    """
    meter = await connect(
        host, port, ClientSettings(),
        client=client, server=server, hdlc=hdlc, physical=physical, answer_seconds=answer_seconds,
    )  # fmt: skip
    async with meter:
        value = await meter.read(Attribute(1, obis, 2))
    if not isinstance(value, SizedInt) or value < 0:
        raise UnexpectedAnswer(f"{obis} is no counter")
    return int(value)
