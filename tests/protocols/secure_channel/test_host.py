# SPDX-License-Identifier: Apache-2.0
"""The host's client, against cards that misbehave."""

import pytest

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient

COMMAND = CommandApdu(0x80, 0x10, 0, 0, le=256)


def test_an_answer_in_pieces_is_put_together() -> None:
    pieces = iter(["aa6102", "bb6101", "cc9000"])
    sent: list[str] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw.hex())
        return bytes.fromhex(next(pieces))

    assert CardClient(transmit).send(COMMAND) == ResponseApdu(b"\xaa\xbb\xcc", 0x9000)
    assert sent == ["8010000000", "00c00000000000", "00c00000000000"]


def test_a_card_that_promises_more_and_gives_nothing_is_refused() -> None:
    with pytest.raises(RemoteChannelError, match="does not end"):
        CardClient(lambda _: b"\x61\x10").send(COMMAND)


def test_an_answer_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.secure_channel.host.MAX_ANSWER", 10_000)
    with pytest.raises(RemoteChannelError, match="does not end"):
        CardClient(lambda _: bytes(256) + b"\x61\x00").send(COMMAND)


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_an_answer_without_a_status_word_is_refused(answer: bytes) -> None:
    with pytest.raises(RemoteChannelError, match="not a response"):
        CardClient(lambda _: answer).send(COMMAND)


def test_a_chain_stops_where_the_card_refuses_a_link() -> None:
    sent: list[bytes] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw)
        return b"\x6a\x84" if len(sent) == 2 else b"\x90\x00"

    client = CardClient(transmit, max_data=255)
    assert client.send(CommandApdu(0x80, 1, 0, 0, bytes(1000))).sw == 0x6A84
    assert [raw[0] for raw in sent] == [0x90, 0x90]


def test_a_refusal_names_the_step() -> None:
    client = CardClient(lambda _: b"\x6a\x82")
    with pytest.raises(CardRefused, match="SELECT F001020304: the card answered 6A82"):
        client.select(bytes.fromhex("F001020304"))
    with pytest.raises(CardRefused, match="ask: the card answered 6A82"):
        client.call("ask", COMMAND)


def test_commands_go_out_on_the_clients_channel() -> None:
    sent: list[bytes] = []

    def transmit(raw: bytes) -> bytes:
        sent.append(raw)
        return b"\x90\x00"

    CardClient(transmit, channel=2).send(COMMAND)
    CardClient(transmit, channel=5).send(COMMAND)
    assert [raw[0] for raw in sent] == [0x82, 0xC1]
