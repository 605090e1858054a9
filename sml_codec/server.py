# SPDX-License-Identifier: Apache-2.0
"""Answers SML requests over TCP, so that values can be fetched and not only pushed.

table = {GetListReq: lambda request: [current_values()]}
server = await serve(Responder(server_id, table), "::", 4059)
"""

from __future__ import annotations

import asyncio
from typing import Final

from sml_codec.codec import encode_file
from sml_codec.dialogue import Responder
from sml_codec.frames import encode_frame
from sml_codec.options import DEFAULT_LIMITS, Quirk, SmlLimits
from sml_codec.stream import StreamDecoder

PIECE: Final = 1 << 16


async def serve(
    responder: Responder,
    host: str,
    port: int,
    *,
    idle_seconds: float = 300.0,
    limits: SmlLimits = DEFAULT_LIMITS,
    quirks: Quirk = Quirk.ALL,
) -> asyncio.Server:
    """Return a server that answers every file of requests; close it to stop.

    A connection that stays silent for `idle_seconds` is closed. Damaged frames are not answered:
    the client's patience ends, and it asks again.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = StreamDecoder(limits=limits, quirks=quirks)
        try:
            while piece := await asyncio.wait_for(reader.read(PIECE), idle_seconds):
                for answer in answers(responder, decoder, piece):
                    writer.write(answer)
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # the client went away, or sleeps: nobody to tell
        finally:
            writer.close()

    return await asyncio.start_server(talk, host, port)


def answers(responder: Responder, decoder: StreamDecoder, piece: bytes) -> list[bytes]:
    """Return the frames that answer the requests that `piece` completes."""
    frames = []
    for telegram in decoder.feed(piece):
        if telegram.is_intact:
            response = responder.respond(telegram.file.messages)
            if response:
                frames.append(encode_frame(encode_file(response)))
    return frames
