# SPDX-License-Identifier: Apache-2.0
"""Connections on which nobody speaks, or not to the end, keep nobody else from being answered."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from listeners import pages
from listeners.acceptor import listen
from tests.support.tls import self_signed
from tests.support.waiting import PATIENCE

MOST = 5
IDLE_SECONDS = 1
SOME = 40_000
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


async def answers(scope: Any, receive: Any, send: Any) -> None:
    size = {"/long": 64_000_000, "/some": SOME}.get(scope["path"], 2)
    await receive()
    length = (b"content-length", b"%d" % size)
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    for _ in range(max(1, size // 1_000_000)):
        await send(
            {"type": "http.response.body", "body": bytes(min(size, 1_000_000)), "more_body": True}
        )
    await send({"type": "http.response.body"})


@contextmanager
def serving(tls: ssl.SSLContext | None = None, buffer: int = 0) -> Iterator[int]:
    listener = listen("127.0.0.1", 0, 64)
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    port: int = listener.getsockname()[1]
    config = uvicorn.Config(
        answers, http="h11", lifespan="off", log_config=None, access_log=False, ws="none",
        timeout_keep_alive=IDLE_SECONDS,
        ssl_context_factory=None if tls is None else lambda *_: tls,
        h11_max_incomplete_event_size=16 * 1024, timeout_graceful_shutdown=IDLE_SECONDS,
    )  # fmt: skip
    server = pages.PagesServer(config, MOST)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def is_ended(line: socket.socket) -> bool:
    """Whether the server ends a connection; raises `TimeoutError` where it does not."""
    try:
        while line.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("is_secure", [False, True])
def test_silent_connections_make_room_for_whoever_asks(is_secure: bool, tmp_path: Path) -> None:
    tls, trust = self_signed(tmp_path) if is_secure else (None, None)
    with serving(tls) as port, ExitStack() as stack:
        silent = [stack.enter_context(connected(port)) for _ in range(4 * MOST)]
        line = stack.enter_context(connected(port))
        if trust is not None:
            line = stack.enter_context(trust.wrap_socket(line, server_hostname="localhost"))
        line.sendall(GET)
        assert line.recv(1000).startswith(b"HTTP/1.1 200")
        assert all(is_ended(one) for one in silent[: 3 * MOST])


@pytest.mark.parametrize(
    "start",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\na",
        b"POST /long HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",  # and reads nothing
        GET + b"GET / HT",
    ],
)
def test_whoever_is_waited_for_makes_room_however_far_he_has_come(start: bytes) -> None:
    with serving() as port, ExitStack() as stack:
        for _ in range(4 * MOST):
            slow = stack.enter_context(connected(port))
            slow.sendall(start)
            if start.startswith(b"GET"):
                assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        line = stack.enter_context(connected(port))
        line.sendall(GET)
        assert line.recv(1000).startswith(b"HTTP/1.1 200")


def test_the_end_of_an_answer_that_is_not_read_is_not_held_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So little of it that nobody is told to pause, on a connection that is closing."""
    monkeypatch.setattr(pages, "STALLED_SECONDS", 0.3)
    with serving(buffer=4096) as port, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(PATIENCE)
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET /some HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        threading.Event().wait(3 * pages.STALLED_SECONDS)
        got = 0
        with suppress(ConnectionError):
            while chunk := line.recv(65_536):
                got += len(chunk)
        assert got < SOME


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("HEAD_SECONDS", b"GET / HT"),
        ("HEAD_SECONDS", GET + b"GET / HT"),
        ("BODY_SECONDS", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"),
        ("", b""),
        ("", b"\r\n"),
        ("", GET),
    ],
)
def test_a_client_that_takes_its_time_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, name: str, start: bytes
) -> None:
    if name:
        monkeypatch.setattr(pages, name, 0.3)
    with serving() as port, connected(port) as line:
        line.sendall(start)
        assert is_ended(line)


def test_bytes_that_drip_give_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "HEAD_SECONDS", 0.5)
    with serving() as port, connected(port) as line:
        line.settimeout(0.05)
        with pytest.raises(ConnectionError):
            for letter in GET[:-2] + b"X: " + b"y" * 10_000:
                line.sendall(bytes([letter]))
                try:
                    if not line.recv(100):
                        raise ConnectionError
                except TimeoutError:
                    continue


def test_an_answer_that_is_not_read_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STALLED_SECONDS", 0.3)
    with serving() as port, connected(port) as line:
        line.sendall(b"GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
        threading.Event().wait(2 * pages.STALLED_SECONDS)
        got = 0
        try:
            while chunk := line.recv(1 << 20):
                got += len(chunk)
        except ConnectionError:
            pass
        assert got < 64_000_000
