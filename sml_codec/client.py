# SPDX-License-Identifier: Apache-2.0
"""Asks SML servers (gateways, hubs, meters with a bidirectional interface) over a connection.

async with await connect("gateway.example", 4059) as client:
    [[values]] = await client.ask([GetListReq(client_id=b"me", list_name=name)])
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Self

from sml_codec.codec import encode_file
from sml_codec.dialogue import Enquiry, Request
from sml_codec.errors import ConnectionLost, SessionError
from sml_codec.frames import encode_frame
from sml_codec.messages import Body
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk
from sml_codec.stream import StreamDecoder

PIECE: Final = 1 << 16


class SmlClient:
    """One connection to a server; one file of requests at a time.

    `client_id` names this client; request files are numbered from 1.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client_id: bytes,
        username: bytes | None = None,
        password: bytes | None = None,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._client_id = client_id
        self._username = username
        self._password = password
        self._decoder = StreamDecoder(limits=limits, quirks=quirks)
        self._files = 0
        self._turn = asyncio.Lock()

    async def ask(
        self, requests: Sequence[Request], *, server_id: bytes | None = None, timeout: float = 30.0
    ) -> list[list[Body]]:
        """Send requests; return the bodies that answer each of them, in order.

        Raises `RequestRefused` for an attention, `ConnectionLost` if the line ends first, and
        `SessionError` if a request stays without answer or `timeout` (seconds) is over.
        """
        async with self._turn:
            self._files += 1
            enquiry = Enquiry(
                b"%d" % self._files,
                requests,
                self._client_id,
                server_id,
                self._username,
                self._password,
            )
            try:
                async with asyncio.timeout(timeout):
                    self._writer.write(encode_frame(encode_file(enquiry.messages())))
                    await self._writer.drain()
                    return await self._answer(enquiry)
            except TimeoutError:
                raise SessionError(f"no answer within {timeout} s") from None
            except ConnectionError:
                raise ConnectionLost("the connection broke") from None

    async def _answer(self, enquiry: Enquiry) -> list[list[Body]]:
        """Read until the file that answers has come; pushed values are passed over."""
        while piece := await self._reader.read(PIECE):
            for telegram in self._decoder.feed(piece):
                if telegram.is_intact:
                    answers = enquiry.accept(telegram.file.messages)
                    if answers is not None:
                        return answers
        raise ConnectionLost("the server closed the connection")

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(ConnectionError):  # it is closed all the same
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def connect(
    host: str,
    port: int,
    *,
    client_id: bytes = b"sml_codec",
    username: bytes | None = None,
    password: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> SmlClient:
    """Return a client of the server at a TCP address; raise OSError where there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    return SmlClient(
        reader, writer, client_id=client_id, username=username, password=password, limits=limits
    )
