# SPDX-License-Identifier: Apache-2.0
"""Applets that call each other, with and without leave; and their own transactions."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from hub.card.applet_runtime import AppletRefused, RegisteredApplet
from hub.card.open import Card
from hub.card.sharing import MAX_DEPTH, Firewall
from hub.card.transactions import AppletTransaction
from tests.support.card_host import Manager
from tests.support.card import APPLET, DOMAIN, PACKAGE, add_instance

NAMES = [APPLET, *(APPLET + bytes((number,)) for number in range(1, 7))]


@dataclass
class Sharing:
    """Servers that share interface 1 with the client they name, and pass requests on."""

    friends: dict[bytes, bytes]
    firewall: Firewall | None = None
    asked: list[tuple[bytes, bytes, int]] = field(default_factory=list)

    def grants(self, server: RegisteredApplet, client: bytes, interface: int) -> bool:
        self.asked.append((server.aid, client, interface))
        return interface == 1 and self.friends.get(server.aid) == client

    def serve(
        self, server: RegisteredApplet, client: bytes, interface: int, request: bytes
    ) -> bytes:
        if not request:
            return server.aid
        assert self.firewall is not None
        following, rest = NAMES[request[0]], request[1:]
        return self.firewall.call(server.aid, following, interface, rest)


@pytest.fixture
def sharing(card: Card) -> Sharing:
    for aid in NAMES[1:]:
        add_instance(card, aid)
    friends = {server: client for client, server in pairwise(NAMES)}
    made = Sharing(friends)
    made.firewall = Firewall(card.registry, made)
    return made


def call(
    sharing: Sharing, client: int, server: int, request: bytes = b"", interface: int = 1
) -> bytes:
    assert sharing.firewall is not None
    return sharing.firewall.call(NAMES[client], NAMES[server], interface, request)


def refused(sharing: Sharing, *arguments: object) -> None:
    with pytest.raises(AppletRefused, match="6982: no applet of that name shares"):
        call(sharing, *arguments)  # type: ignore[arg-type]  # a test's shorthand


def test_a_granted_interface_answers_and_the_server_knows_the_client(sharing: Sharing) -> None:
    assert call(sharing, 0, 1) == NAMES[1]
    assert sharing.asked == [(NAMES[1], NAMES[0], 1)]


def test_what_is_not_granted_is_refused_alike(sharing: Sharing, card: Card) -> None:
    refused(sharing, 0, 2)  # shares with another
    refused(sharing, 0, 1, b"", 2)  # another interface
    refused(sharing, 0, 0)  # itself
    assert sharing.firewall is not None
    for aid in (b"nobody", DOMAIN, PACKAGE):
        with pytest.raises(AppletRefused, match="6982: no applet"):
            sharing.firewall.call(NAMES[0], aid, 1, b"")
    Manager(card).sw("80F04080", NAMES[1])
    refused(sharing, 0, 1)  # locked


def test_a_call_goes_on_but_not_back_and_not_for_ever(sharing: Sharing) -> None:
    assert call(sharing, 0, 1, bytes([2, 3])) == NAMES[3]
    sharing.friends[NAMES[0]] = NAMES[1]
    refused(sharing, 0, 1, bytes([0]))  # back to the first
    refused(sharing, 0, 1, bytes(range(2, MAX_DEPTH + 1)))
    assert call(sharing, 0, 1) == NAMES[1]  # a refusal leaves nothing behind


def test_an_applets_transaction_is_kept_or_taken_back(card: Card) -> None:
    def value() -> bytes | None:
        return card.registry.find_property("test")

    def put(content: bytes) -> None:
        card.registry.set_property("test", content)

    transaction = AppletTransaction(card.database)
    with card.database.transaction():
        put(b"0")
        transaction.begin()
        put(b"1")
        transaction.abort()
        assert value() == b"0"
        transaction.begin()
        put(b"2")
        transaction.commit()
        assert value() == b"2"
        transaction.begin()
        put(b"3")
        with pytest.raises(AppletRefused, match="open already"):
            transaction.begin()
        transaction.end()  # the applet returned without committing
        assert not transaction.is_open
    assert value() == b"2"
    for step in (transaction.commit, transaction.abort):
        with pytest.raises(AppletRefused, match="no transaction is open"):
            step()
    with pytest.raises(KeyError), card.database.transaction():
        transaction.begin()
        put(b"4")
        transaction.commit()
        raise KeyError
    assert value() == b"2"
