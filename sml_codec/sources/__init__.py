# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of meters come from: serial lines, TCP, HTTP and files.

A source is an asynchronous iterator of bytes, in pieces of any size. `telegrams` decodes one:

    async for telegram in telegrams(open_source("tcp://meter.example:2000")):
        ...

Nothing here is imported by `sml_codec` itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

from sml_codec.files import Telegram
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk
from sml_codec.sources.file import read_file
from sml_codec.sources.http import poll_http
from sml_codec.sources.serial import SerialLine, read_serial
from sml_codec.sources.tcp import read_tcp
from sml_codec.stream import StreamDecoder

__all__ = [
    "SerialLine",
    "open_source",
    "poll_http",
    "read_file",
    "read_serial",
    "read_tcp",
    "telegrams",
]

HTTP_INTERVAL: Final = 1.0
"""How often `open_source` polls, in seconds."""


async def telegrams(
    source: AsyncIterator[bytes], *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> AsyncIterator[Telegram]:
    """Yield the telegrams of a source, intact and damaged, until it ends."""
    decoder = StreamDecoder(limits=limits, quirks=quirks)
    async for piece in source:
        for telegram in decoder.feed(piece):
            yield telegram
    for telegram in decoder.close():
        yield telegram


def open_source(address: str, *, login: str | None = None) -> AsyncIterator[bytes]:
    """Return the source at an address.

    `tcp://host:port`, `http://...` or `https://...` (polled every second), `serial:///dev/ttyUSB0`
    (optionally `?baud=9600`), or the path of a file or of a serial device. `login` is
    `user:password`, for HTTP alone. Raises ValueError for another scheme.
    """
    parts = urlsplit(address)
    match parts.scheme:
        case "tcp":
            if parts.hostname is None or parts.port is None:
                raise ValueError(f"{address}: a host and a port are due")
            return read_tcp(parts.hostname, parts.port)
        case "http" | "https":
            return poll_http(address, interval=HTTP_INTERVAL, login=login)
        case "serial":
            return read_serial(SerialLine.parse(address))
        case "" if address.startswith("/dev/"):
            return read_serial(SerialLine(address))
        case "" | "file":
            return read_file(parts.path)
    raise ValueError(f"{address}: no source has the scheme {parts.scheme}")
