# SPDX-License-Identifier: Apache-2.0
"""vpcd's protocol, with a vpcd of our own; and what a trace shows."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hub.card.open import Card
from hub.card.reader import ReaderError, VirtualReader, answer_to_reset
from hub.card.trace import describe
from protocols.secure_channel.keys import StaticKeys
from tests.support.card import APPLET_KEYS, KEYS
from tests.support.card_host import Manager
from tests.support.sockets import free_port
from tests.support.waiting import PATIENCE


@contextmanager
def reader(card: Card) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inside = VirtualReader(card, "127.0.0.1", server.getsockname()[1])
        thread = threading.Thread(target=inside.run)
        thread.start()
        stream, _ = server.accept()
        stream.settimeout(PATIENCE)
        with stream:
            yield stream
        thread.join(PATIENCE)
        assert not thread.is_alive()


def ask(stream: socket.socket, frame: bytes) -> bytes:
    # In two segments, as vpcd sends them.
    stream.sendall(len(frame).to_bytes(2, "big"))
    stream.sendall(frame)
    return take(stream, int.from_bytes(take(stream, 2), "big"))


def take(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        assert piece
        data += piece
    return data


def tell(stream: socket.socket, control: int) -> None:
    stream.sendall(bytes((0, 1, control)))


def test_only_the_question_for_the_atr_is_answered(card: Card) -> None:
    with reader(card) as stream:
        tell(stream, 1)
        assert ask(stream, b"\x04") == answer_to_reset(card)
        assert ask(stream, bytes.fromhex("0070000001")).hex() == "019000"
        tell(stream, 2)
        assert ask(stream, bytes.fromhex("01A4040000")).hex() == "6881"


def test_the_atr_offers_t1_alone_and_checks(card: Card) -> None:
    atr = answer_to_reset(card)
    assert atr.hex().startswith("3bfe1300008131fe458073c021df")
    check = 0
    for byte in atr[1:]:
        check ^= byte
    assert check == 0


def test_the_longest_frame_is_not_exceeded(card: Card) -> None:
    with reader(card) as stream:
        ask(stream, bytes.fromhex("00A4040007F0534D48010101"))
        answer = ask(stream, bytes.fromhex("80010050000000"))
        assert (len(answer), answer[-2:].hex()) == (65535, "6100")


def test_a_reader_that_is_not_there_is_named() -> None:
    port = free_port()
    with pytest.raises(ReaderError, match=f"no reader .* at 127.0.0.1:{port}"):
        VirtualReader(None, "127.0.0.1", port)  # type: ignore[arg-type]  # it does not come that far


def test_a_reader_that_goes_away_takes_the_card_out(card: Card) -> None:
    with reader(card) as stream:
        ask(stream, bytes.fromhex("00A4040000"))


def test_a_trace_names_the_rule_and_shows_no_secret(card: Card) -> None:
    lines: list[str] = []
    manager = Manager(card)
    manager.connection.observer = lambda exchange: lines.append(describe(exchange))
    keys = StaticKeys(bytes([0xA1] * 16), bytes([0xA2] * 16), bytes([0xA3] * 16))
    manager.put_keys(7, keys)
    assert manager.sw("80E29000", bytes.fromhex("5F2004DEADBEEF")) == "9000"
    assert manager.sw("80F0807E") == "6A86"
    manager.connection.transmit(b"\x80")
    text = "\n".join(lines)
    assert "PUT KEY 84D80081, protected: 70 bytes" in text
    assert "<- 6A86 wrong P1 or P2\n   because the card has no state 7E" in text
    assert "because a command has at least 4 bytes, not 1" in text
    for secret in (*(getattr(keys, name) for name in ("enc", "mac", "dek")), KEYS.enc,
                   APPLET_KEYS.enc, bytes.fromhex("DEADBEEF")):  # fmt: skip
        assert secret.hex().upper() not in text.upper()
