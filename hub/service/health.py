# SPDX-License-Identifier: Apache-2.0
"""`/healthz`: whether the service and its parts are up, for whoever watches over it.

    GET /healthz  ->  200 {"status": "up", "parts": {"source-1": "up", "serve": "up"}}
                      503 where one of them is down

A stranger may ask. So no name, address, reason, reading or meter is in the answer: a part is called
what it does, with a number where there are several. Nothing else is served, and who asks has
little: so many connections at once, so many bytes and seconds each.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from hub.service.configuration import Address
from hub.service.part import Life, PartKind, PartState, PartStatus, run_async

PATH: Final = "/healthz"
MOST_CONNECTIONS: Final = 16
LONGEST_REQUEST: Final = 4096
REQUEST_SECONDS: Final = 5.0
_REASONS: Final = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    503: "Service Unavailable",
}  # fmt: skip


def health_of(parts: Sequence[PartStatus]) -> tuple[bool, dict[str, str]]:
    """Return whether all is up, and each part's state by what it does."""
    counted = Counter(one.kind for one in parts)
    numbers: Counter[PartKind] = Counter()
    told = {}
    for one in parts:
        numbers[one.kind] += 1
        is_one_of_several = one.kind in (PartKind.SOURCE, PartKind.RECIPIENT)
        is_one_of_several = is_one_of_several or counted[one.kind] > 1
        name = f"{one.kind}-{numbers[one.kind]}" if is_one_of_several else str(one.kind)
        told[name] = "up" if one.state is PartState.UP else "down"
    return all(state == "up" for state in told.values()), told


def answer_to(request: bytes, parts: Callable[[], Sequence[PartStatus]]) -> bytes:
    """Return the whole answer to the head of a request."""
    words = request.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return _answer(400, {})
    method, target, _ = words
    if target.partition(b"?")[0] != PATH.encode():
        return _answer(404, {})
    if method not in (b"GET", b"HEAD"):
        return _answer(405, {}, "Allow: GET, HEAD\r\n")
    is_up, told = health_of(parts())
    facts = {"status": "up" if is_up else "down", "parts": told}
    return _answer(200 if is_up else 503, facts, is_head=method == b"HEAD")


def _answer(status: int, facts: object, fields: str = "", *, is_head: bool = False) -> bytes:
    body = json.dumps(facts).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{fields}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if is_head else body)


@dataclass(slots=True)
class HealthWork:
    """Answers at an address."""

    address: Address
    parts: Callable[[], Sequence[PartStatus]]
    _open: dict[asyncio.StreamWriter, None] = field(default_factory=dict, init=False)
    """The connections, oldest first."""

    def __call__(self, life: Life) -> None:
        """Answer until the life is to end; raise `OSError` where the address is not free."""

        async def main(stop: asyncio.Event) -> None:
            server = await asyncio.start_server(
                self._attend, self.address.host, self.address.port, limit=LONGEST_REQUEST
            )
            async with server:
                host, port = server.sockets[0].getsockname()[:2]
                life.up(str(Address(host, port)))
                await stop.wait()

        run_async(main, life)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST_CONNECTIONS:  # a newcomer takes the place of who waits longest
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            with suppress(TimeoutError, OSError, EOFError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer_to(request, self.parts))
                    await writer.drain()
        finally:
            self._open.pop(writer, None)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
