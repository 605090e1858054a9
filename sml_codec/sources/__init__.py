# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of meters come from: serial lines, TCP, HTTP and files.

A source is an asynchronous iterator of bytes, in pieces of any size. `telegrams` decodes one:

    async for telegram in telegrams(open_source("tcp://meter.example:2000")):
        ...

Nothing here is imported by `sml_codec` itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final
from urllib.parse import urlsplit

from sml_codec.files import Telegram
from sml_codec.hextext import HexText
from sml_codec.options import DEFAULT_LIMITS, Limits, Quirk
from sml_codec.sources.file import read_file
from sml_codec.sources.http import poll_http
from sml_codec.sources.retry import Interruption, Retry, reconnecting
from sml_codec.sources.serial import SerialLine, read_serial
from sml_codec.sources.tcp import read_tcp
from sml_codec.stream import StreamDecoder

__all__ = [
    "Interruption",
    "Retry",
    "SerialLine",
    "open_source",
    "poll_http",
    "read_file",
    "read_serial",
    "read_tcp",
    "reconnecting",
    "telegrams",
]

HTTP_INTERVAL: Final = 1.0
"""How often `open_source` polls, in seconds."""


async def telegrams(
    source: AsyncIterator[bytes], *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
) -> AsyncIterator[Telegram]:
    """Yield the telegrams of a source, intact and damaged, until it ends."""
    decoder, text = StreamDecoder(limits=limits, quirks=quirks), HexText()
    async for piece in source:
        for telegram in decoder.feed(text.feed(piece)):
            yield telegram
    for telegram in decoder.feed(text.close()) + decoder.close():
        yield telegram


def open_source(
    address: str, *, login: str | None = None, retry: Retry | None = None
) -> AsyncIterator[bytes]:
    """Return the source at an address.

    `tcp://host:port`, `http://...` or `https://...` (polled every second), `serial:///dev/ttyUSB0`
    (optionally `?baud=9600`), or the path of a file or of a serial device. `login` is
    `user:password`, for HTTP alone. With `retry`, any source but a file is opened again whenever it
    breaks or ends. Raises ValueError for another scheme.
    """
    opened, is_live = _source(address, login)
    return opened() if retry is None or not is_live else reconnecting(opened, retry)


def _source(address: str, login: str | None) -> tuple[Callable[[], AsyncIterator[bytes]], bool]:
    """Return what opens a source, and whether it is a live one."""
    parts = urlsplit(address)
    match parts.scheme:
        case "tcp":
            host, port = parts.hostname, parts.port
            if host is None or port is None:
                raise ValueError(f"{address}: a host and a port are due")
            return lambda: read_tcp(host, port), True
        case "http" | "https":
            return lambda: poll_http(address, interval=HTTP_INTERVAL, login=login), True
        case "serial":
            line = SerialLine.parse(address)
            return lambda: read_serial(line), True
        case "" if address.startswith("/dev/"):
            return lambda: read_serial(SerialLine(address)), True
        case "" | "file":
            return lambda: read_file(parts.path), False
    raise ValueError(f"{address}: no source has the scheme {parts.scheme}")
