# SPDX-License-Identifier: Apache-2.0
"""The profile `strict`: what a card of the shop refuses, so that scripts work on both."""

from pathlib import Path

import pytest

from hub.card.open import Card
from hub.card.profile import STRICT
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.keys import StaticKeys
from tests.support.card import APPLET, ISSUER, KEYS, PACKAGE, open_card
from tests.support.card_host import Manager, load_block

FIRST, SECOND = bytes.fromhex("F000000001"), bytes.fromhex("F000000002")
OWN = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
BOTH_WAYS = bytes.fromhex("C90C810203708202202087022020")
NEITHER = b"\xc9\x00"


@pytest.fixture
def strict(tmp_path: Path) -> Card:
    return open_card(tmp_path, profile=STRICT)


def move(manager: Manager, what: bytes, where: bytes) -> str:
    return manager.sw("80E61000", encode_lv(where, b"", what, b"", b"", b""))


def test_it_comes_as_cards_are_sold(strict: Card) -> None:
    manager = Manager(strict, keys=KEYS, version=0xFF)
    (entry,) = manager.listing("80").values()
    assert entry[0x9F70] == b"\x01"
    for state in ("07", "0F"):
        assert manager.sw(f"80F080{state}") == "9000"
    assert manager.put_keys(1, OWN).sw == 0x9000
    assert "FF88" not in manager.ok("80CA00E0").hex().upper()  # the first own keys take its place
    Manager(strict, keys=OWN, version=1)


def test_a_domain_holds_and_manages_nothing_until_it_is_personalized(strict: Card) -> None:
    manager = Manager(strict)
    delegated = bytes.fromhex("A00000")
    assert manager.install_domain(FIRST, delegated, parameters=BOTH_WAYS) == "9000"
    assert manager.install_for_load(domain=FIRST) == "6985"
    own = Manager(strict, FIRST)
    assert own.put_keys(1, OWN).sw == 0x9000
    assert manager.state(FIRST) == 0x07  # keys alone do not make it so
    assert manager.install_for_load(domain=FIRST) == "6985"
    own = Manager(strict, FIRST, OWN)
    # By itself, and only here is the token the next thing that is missing.
    reasons: list[str | None] = []
    own.connection.observer = lambda exchange: reasons.append(exchange.reason)
    assert own.install_for_load(digest=bytes(32)) == "6985"
    assert own.sw("80F0400F", FIRST) == "9000"
    assert own.install_for_load(digest=bytes(32)) == "6985"
    told = [reason for reason in reasons if reason]
    assert "not PERSONALIZED" in told[0]
    assert "token" in told[1]
    assert manager.install_for_load(domain=FIRST) == "9000"
    assert manager.load(load_block()) == "9000"
    assert manager.install(APPLET) == "9000"


@pytest.mark.parametrize(
    ("source", "target", "sw"),
    [(BOTH_WAYS, BOTH_WAYS, "9000"), (NEITHER, BOTH_WAYS, "6985"), (BOTH_WAYS, NEITHER, "6985")],
)
@pytest.mark.parametrize("by_update", [False, True])
def test_things_move_where_the_parameters_of_both_domains_allow_it(
    strict: Card, source: bytes, target: bytes, sw: str, by_update: bool
) -> None:
    manager = Manager(strict)
    for aid, parameters in ((FIRST, source), (SECOND, target)):
        assert manager.install_domain(aid, parameters=parameters) == "9000"
        assert manager.sw("80F0400F", aid) == "9000"
    assert manager.load_package(domain=FIRST) == "9000"
    if by_update:
        assert manager.install(APPLET) == "9000"
        fields = encode_lv(SECOND, b"", APPLET, b"", b"", b"")
        assert manager.sw("80E64000", fields) == sw
        moved = APPLET
    else:
        assert move(manager, PACKAGE, SECOND) == sw
        moved = PACKAGE
    entry = strict.find(moved)
    assert entry is not None
    assert entry.domain == (SECOND if sw == "9000" else FIRST)


def test_from_the_issuers_domain_things_go_and_do_not_come_back(strict: Card) -> None:
    manager = Manager(strict)
    assert manager.install_domain(FIRST, parameters=BOTH_WAYS) == "9000"
    assert manager.load_package() == "9000"
    assert move(manager, PACKAGE, FIRST) == "6985"  # it is not PERSONALIZED
    assert manager.sw("80F0400F", FIRST) == "9000"
    assert move(manager, PACKAGE, FIRST) == "9000"
    assert move(manager, PACKAGE, ISSUER) == "6985"
    assert manager.sw("80E40000", Tlv(0x4F, PACKAGE).encode()) == "9000"


def test_other_profiles_ask_for_none_of_it(tmp_path: Path) -> None:
    manager = Manager(open_card(tmp_path))
    assert manager.install_domain(FIRST, parameters=NEITHER) == "9000"
    assert manager.load_package(domain=FIRST) == "9000"
    assert move(manager, PACKAGE, ISSUER) == "9000"
