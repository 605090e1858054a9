# SPDX-License-Identifier: Apache-2.0
"""The head end, with somebody else than a hub at the other end of the line."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from protocols.enrolment import Enrolment
from protocols.iso7816.apdu import CommandApdu
from tests.support.enrolment import GOOD
from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE
from utility_server.errors import HeadEndError, HubRefused
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
        over.wait(PATIENCE)

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
    seconds = 0.5 if act is drip else PATIENCE
    with peer(act) as address, pytest.raises(HeadEndError) as caught:
        HeadEnd(os.urandom, timeout_seconds=seconds).ask(address, GOOD, QUESTION)
    assert str(caught.value).startswith((f"{address}: ", "channel: "))
    assert why in str(caught.value)


def test_a_hub_that_is_off_is_named() -> None:
    address = Address("127.0.0.1", free_port())
    refused = f"{address}: Connection refused; is `meterlet hub serve` running"
    with pytest.raises(HeadEndError, match=refused):
        HeadEnd(os.urandom).ask(address, GOOD, QUESTION)


@pytest.mark.parametrize("host", ["a" * 300, "é..x"])
def test_a_name_that_no_host_has_is_refused(host: str) -> None:
    with pytest.raises(HeadEndError, match="no host can have that name"):
        HeadEnd(os.urandom).ask(Address(host, 1), GOOD, QUESTION)


class BusyHub(HeadEnd):
    """Answers 9300 so many times, and then the question."""

    def __init__(self, times: int, waits: list[float]) -> None:
        super().__init__(os.urandom, sleep=waits.append)
        self.times = times
        self.asked: list[bytes] = []

    def _ask_once(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
        self.asked.append(command.encode())
        if len(self.asked) <= self.times:
            raise HubRefused(0x9300, "busy")
        return command.data


def test_a_hub_that_works_on_an_answer_is_asked_again_after_longer_and_longer_waits() -> None:
    waits: list[float] = []
    hub = BusyHub(7, waits)
    assert hub.ask(Address("hub", 1), GOOD, QUESTION) == b"?"
    assert waits == [0.5, 1, 2, 4, 8, 15, 15]
    assert set(hub.asked) == {QUESTION.encode()}  # byte for byte: anything else is a new question


def test_the_wait_for_a_busy_hub_has_an_end() -> None:
    waits: list[float] = []
    with pytest.raises(HubRefused) as caught:
        BusyHub(1_000, waits).ask(Address("hub", 1), GOOD, QUESTION)
    assert caught.value.status_word == 0x9300
    assert 300 <= sum(waits) <= 315


def test_other_refusals_are_not_asked_again() -> None:
    class Refusing(BusyHub):
        def _ask_once(self, address: Address, enrolment: Enrolment, command: CommandApdu) -> bytes:
            self.asked.append(command.encode())
            raise HubRefused(0x6985, "no")

    hub = Refusing(0, [])
    with pytest.raises(HubRefused):
        hub.ask(Address("hub", 1), GOOD, QUESTION)
    assert len(hub.asked) == 1
