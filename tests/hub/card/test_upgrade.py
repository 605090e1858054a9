# SPDX-License-Identifier: Apache-2.0
"""MANAGE ELF UPGRADE, as tools send it (GPC Amendment H v1.1)."""

from dataclasses import replace
from pathlib import Path

import pytest

from hub.card.open import Card
from protocols.iso7816.tlv import Tlv
from protocols.packages.load_file import build_components
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    MODULE,
    PACKAGE,
    add_instance,
    open_card,
    runtime_of,
)
from tests.support.card_host import DOMAIN_PACKAGE, Manager

START = Tlv(0xA1, Tlv(0x4F, PACKAGE).encode()).encode()
NONE, WAITING = bytes.fromhex("0005A103900100"), bytes.fromhex("000CA10A900102") + START[2:]


def block(
    version: tuple[int, int] = (1, 1), bundle: bytes = b"newer", module: bytes = MODULE
) -> bytes:
    return b"".join(build_components(PACKAGE, version, (module,), bundle, "com/x").values())


def load(manager: Manager, content: bytes) -> str:
    sw = manager.install_for_load()
    return sw if sw != "9000" else manager.load(content)


def test_a_new_version_takes_the_place_and_all_instances_stay(card: Card) -> None:
    add_instance(card, APPLET + b"\2")
    before = [entry for entry in card.entries() if entry.aid != PACKAGE]
    manager = Manager(card)
    assert load(manager, block()) == "6985"  # the AID is taken
    assert manager.ok("80EA0800") == NONE
    assert manager.ok("80EA0100", START) == WAITING
    assert manager.ok("80EA0800") == manager.ok("80EA0200") == WAITING
    assert load(manager, block()) == "9000"
    assert manager.ok("80EA0800") == NONE
    assert card.bundle(PACKAGE) == b"newer"
    assert [entry for entry in card.entries() if entry.aid != PACKAGE] == before
    assert manager.listing("20")[PACKAGE.hex().upper()][0xCE] == b"\x01\x01"
    upgraded = ("upgrade", (PACKAGE, [APPLET, APPLET + b"\2"]))
    assert upgraded in runtime_of(card).calls
    assert ("uninstall", APPLET) not in runtime_of(card).calls
    assert load(manager, block((1, 2))) == "6985"  # that was one upgrade


@pytest.mark.parametrize(
    ("content", "sw"),
    [
        (block((1, 0)), "6985"),
        (block((0, 9)), "6985"),
        (block(module=MODULE + b"\1"), "6A80"),
        (block(bundle=b"bad"), "6A80"),
        (block()[:-1], "6A80"),
    ],
)
def test_what_is_refused_leaves_the_old_version(card: Card, content: bytes, sw: str) -> None:
    manager = Manager(card)
    assert manager.ok("80EA0100", START) == WAITING
    before = card.entries()
    assert load(manager, content) == sw
    assert (card.bundle(PACKAGE), card.entries()) == (b"bundle", before)
    assert manager.ok("80EA0800") == WAITING  # another try is allowed
    assert load(manager, block()) == "9000"


def test_an_upgrade_outlives_a_power_cut_and_can_be_given_up(tmp_path: Path, card: Card) -> None:
    assert Manager(card).ok("80EA0100", START) == WAITING
    again = open_card(tmp_path)
    manager = Manager(again)
    assert manager.ok("80EA0800") == WAITING
    assert manager.sw("80EA0100", START) == "6985"
    assert manager.ok("80EA0400") == NONE
    assert manager.sw("80EA0400") == manager.sw("80EA0200") == "6985"
    assert load(manager, block()) == "6985"
    assert again.bundle(PACKAGE) == b"bundle"


@pytest.mark.parametrize(
    ("header", "data", "sw"),
    [
        ("80EA0300", b"", "6A86"),
        ("80EA0101", START, "6A86"),
        ("80EA0100", b"", "6A80"),
        ("80EA0100", Tlv(0x4F, PACKAGE).encode(), "6A80"),
        ("80EA0100", Tlv(0xA1, START[2:] + b"\x80\x01\x01").encode(), "6A80"),
        ("80EA0100", Tlv(0xA1, Tlv(0x4F, APPLET).encode()).encode(), "6A88"),
        ("80EA0100", Tlv(0xA1, Tlv(0x4F, DOMAIN_PACKAGE).encode()).encode(), "6A88"),
    ],
)
def test_an_upgrade_names_a_package_and_nothing_else(
    card: Card, header: str, data: bytes, sw: str
) -> None:
    assert Manager(card).sw(header, data) == sw


def test_who_may_not_manage_may_not_upgrade(card: Card) -> None:
    own = Manager(card, DOMAIN, APPLET_KEYS)
    assert own.sw("80EA0100", START) == "6985"
    assert own.ok("80EA0800") == NONE
    assert card.connect().transmit(bytes.fromhex("80EA080000")).hex() == "6982"
    assert Manager(card).ok("80EA0100", START) == WAITING
    assert own.sw("80EA0400") == "6985"
    assert own.install_for_load() == "6985"


def test_a_new_version_stays_in_its_domain(card: Card) -> None:
    manager = Manager(card)
    assert manager.ok("80EA0100", START) == WAITING
    assert manager.install_for_load(domain=ISSUER) == "6A80"
    assert manager.install_for_load(domain=DOMAIN) == "9000"
    assert manager.load(block()) == "9000"
    entry = card.find(PACKAGE)
    assert entry is not None
    assert entry.domain == DOMAIN


def test_a_quota_holds_for_the_new_version(card: Card) -> None:
    with card.turn(), card.database.transaction():
        card.registry.update(replace(card.content.domain(DOMAIN), code_quota=20))
    manager = Manager(card)
    assert manager.ok("80EA0100", START) == WAITING
    assert load(manager, block(bundle=bytes(21))) == "6A84"
    assert load(manager, block(bundle=bytes(20))) == "9000"


def test_a_package_that_is_deleted_meanwhile_is_not_waited_for(card: Card) -> None:
    manager = Manager(card)
    assert manager.ok("80EA0100", START) == WAITING
    assert manager.sw("80E40080", Tlv(0x4F, PACKAGE).encode()) == "9000"
    assert manager.ok("80EA0800") == NONE
    assert load(manager, block()) == "9000"  # as a new one
