# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from hub.card.open import Card
from tests.support.card_host import Manager
from tests.support.card import APPLET, APPLET_KEYS, DOMAIN, open_card, runtime_of

PIN = b"1234"


@pytest.fixture
def pinned(card: Card) -> Card:
    assert Manager(card).sw("80240100", PIN) == "9000"
    return card


def ask(card: Card, *commands: bytes) -> list[str]:
    connection = card.connect()
    return [connection.transmit(command).hex() for command in commands]


def check(pin: bytes) -> bytes:
    return b"\x00\x20\x00\x00" + bytes((len(pin),)) + pin


STATUS = bytes.fromhex("00200000")


def test_without_a_pin_there_is_nothing_to_verify(card: Card) -> None:
    assert ask(card, check(PIN)) == ["6a88"]


def test_three_wrong_tries_block_and_the_issuer_unblocks(pinned: Card, tmp_path: Path) -> None:
    assert ask(pinned, STATUS, check(b"0000"), check(b"123"), STATUS) == [
        "63c3",
        "63c2",
        "63c1",
        "63c1",
    ]
    assert ask(pinned, check(PIN), STATUS) == ["9000", "9000"]
    assert ask(pinned, *[check(b"0000")] * 3, check(PIN)) == ["63c2", "63c1", "63c0", "6983"]
    pinned.database.close()
    again = open_card(tmp_path)
    assert ask(again, check(PIN)) == ["6983"]
    assert Manager(again).sw("802C0300") == "9000"
    assert ask(again, check(PIN)) == ["9000"]
    again.database.close()


def test_an_applet_learns_that_the_holder_has_shown_the_pin(pinned: Card) -> None:
    connection = pinned.connect()
    select = b"\x00\xa4\x04\x00\x07" + APPLET
    echo = bytes.fromhex("8010000000")
    seen = []
    for command in (check(PIN), select, echo):
        assert connection.transmit(command)[-2:].hex() == "9000"
    seen.append(runtime_of(pinned).contexts[-1].holder_verified)
    connection.reset()
    for command in (select, echo):
        connection.transmit(command)
    seen.append(runtime_of(pinned).contexts[-1].holder_verified)
    assert seen == [True, False]


def test_a_wrong_pin_takes_the_verification_back(pinned: Card) -> None:
    assert ask(pinned, check(PIN), check(b"0000"), STATUS) == ["9000", "63c2", "63c2"]


def test_only_a_domain_that_manages_the_cvm_sets_it(pinned: Card) -> None:
    assert ask(pinned, bytes.fromhex("8024010004") + PIN) == ["6982"]
    assert Manager(pinned, DOMAIN, APPLET_KEYS).sw("80240100", b"9999") == "6985"
    manager = Manager(pinned)
    assert manager.sw("80240100", b"1") == "6700"
    assert manager.sw("80240000", PIN) == "6A86"
    assert manager.sw("802C0000") == "6A86"
    assert ask(pinned, check(PIN)) == ["9000"]


def test_the_pin_is_sealed(pinned: Card, tmp_path: Path) -> None:
    assert Manager(pinned).sw("80240100", b"unmistakable-pin") == "9000"
    assert b"unmistakable-pin" not in b"".join(p.read_bytes() for p in tmp_path.iterdir())
