# SPDX-License-Identifier: Apache-2.0
"""The head end, with somebody else than a hub at the other end of the line."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from protocols.iso7816.apdu import CommandApdu
from tests.support.enrolment import GOOD
from utility_server.errors import HeadEndError
from utility_server.head_end import Address, HeadEnd

QUESTION = CommandApdu(0x80, 0x10, 0, 0, b"?", le=256)


@contextmanager
def peer(act: Callable[[socket.socket, threading.Event], None]) -> Iterator[Address]:
    """Somebody who takes one connection and does with it what `act` does."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                act(line, over)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address("127.0.0.1", server.getsockname()[1])
        finally:
            over.set()
            thread.join()


def say(data: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def act(line: socket.socket, over: threading.Event) -> None:
        line.recv(1000)
        line.sendall(data)
        over.wait(10)

    return act


def drip(line: socket.socket, over: threading.Event) -> None:
    line.sendall((1000).to_bytes(4, "big"))
    while not over.wait(0.05):
        try:
            line.sendall(b"\0")
        except OSError:
            return


def hang_up(line: socket.socket, over: threading.Event) -> None:
    line.recv(1000)


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "a frame of"),
        (say(bytes(8)), "a frame of 0 bytes"),
        (say(b"\0\0\0\2\x90\0" * 2), "more answers than questions"),
        (say(b"\0\0\0\1\x90"), "channel: the card's answer is not a response"),
        (hang_up, "the hub hung up"),
        (drip, "timed out"),
    ],
)
def test_a_peer_that_is_no_hub_is_one_error_that_names_it(
    act: Callable[[socket.socket, threading.Event], None], why: str
) -> None:
    with peer(act) as address, pytest.raises(HeadEndError) as caught:
        HeadEnd(os.urandom, timeout_seconds=0.5).ask(address, GOOD, QUESTION)
    assert str(caught.value).startswith((f"{address}: ", "channel: "))
    assert why in str(caught.value)


def test_a_hub_that_is_off_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address("127.0.0.1", server.getsockname()[1])
    with pytest.raises(HeadEndError, match=f"{address}: Connection refused"):
        HeadEnd(os.urandom).ask(address, GOOD, QUESTION)


@pytest.mark.parametrize("host", ["a" * 300, "é..x"])
def test_a_name_that_no_host_has_is_refused(host: str) -> None:
    with pytest.raises(HeadEndError, match="no host can have that name"):
        HeadEnd(os.urandom).ask(Address(host, 1), GOOD, QUESTION)
