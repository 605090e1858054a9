# SPDX-License-Identifier: Apache-2.0
"""The power fails at every write of every operation; the card is as before or as after."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.card.applet_runtime import AppletContext
from hub.card.open import Card
from hub.card.registry import CARD
from hub.vault.database import Component, Database, NotAHubDatabase
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.errors import WireError
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.packages.load_file import build_components
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    ISSUER,
    KEYS,
    MODULE,
    PACKAGE,
    Dice,
    Echo,
    add_applet,
)
from tests.support.card_host import Manager

apsw = pytest.importorskip("apsw")
from tests.hub.card import power  # noqa: E402 - needs apsw

STORE = Component("test_store", ("CREATE TABLE test_store (name INTEGER PRIMARY KEY, value INT);",))
NEW = bytes.fromhex("F0534D480099")
NEW_KEYS = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))


class Book(Echo):
    """An applet that moves an amount from one account to the other, and aborts some of it."""

    database: Database

    def process(self, context: AppletContext, command: CommandApdu) -> ResponseApdu:
        with self.database.transaction() as db:
            for name, value in ((1, 100 - command.p1), (2, command.p1)):
                db.execute("INSERT OR REPLACE INTO test_store VALUES (?, ?)", (name, value))
            with pytest.raises(KeyError), self.database.transaction():
                db.execute("INSERT OR REPLACE INTO test_store VALUES (3, 999)")
                raise KeyError
            for name in range(10, 30):  # enough to need more than one page of the log
                db.execute("INSERT OR REPLACE INTO test_store VALUES (?, ?)", (name, command.p1))
        return ResponseApdu(b"", 0x9000)


def opened(folder: Path) -> Card:
    database = Database(folder / "hub.db", [CARD, STORE])
    runtime = Book()
    runtime.database = database
    options: dict[str, Any] = {"storage_key": bytes(32), "random": Dice(), "runtime": runtime}
    if Card.exists(database):
        return Card(database, **options)
    return Card.create(database, keys=KEYS, **options)


@dataclass(frozen=True)
class State:
    """All that lasts, but for the counters."""

    entries: Any
    contents: Any
    keys: Any
    objects: Any
    store: Any


def state_of(card: Card) -> State:
    entries = card.registry.entries()
    domains = [entry.aid for entry in entries if entry.is_domain]
    return State(
        entries,
        [
            (entry.aid, card.bundle(entry.aid), card.registry.modules(entry.aid))
            for entry in entries
        ],
        [
            (aid, key.version, key.identifier, [(part.type, part.value) for part in key.parts])
            for aid in domains
            for key in card.keys.all(aid)
        ],
        [(aid, list(card.registry.objects(aid))) for aid in domains],
        card.database.connection.execute("SELECT * FROM test_store ORDER BY name").fetchall(),
    )


def sequences(card: Card) -> dict[tuple[bytes, int], int]:
    rows = card.database.connection.execute(
        "SELECT domain, version, sequence FROM card_key_set WHERE base = 1"
    ).fetchall()
    return {(domain, version): sequence for domain, version, sequence in rows}


def load(card: Card) -> None:
    assert Manager(card).load_package(bundle=bytes(range(256)) * 40, aid=PACKAGE) == "9000"


def install(card: Card) -> None:
    assert Manager(card).install(NEW) == "9000"


def put_key(card: Card) -> None:
    assert Manager(card).put_keys(0x31, NEW_KEYS, replaces=0x30).sw == 0x9000


def delete_related(card: Card) -> None:
    assert Manager(card).sw("80E40080", Tlv(0x4F, PACKAGE).encode()) == "9000"


def store_data(card: Card) -> None:
    manager = Manager(card)
    assert manager.sw("80E21000", b"\x42\x82\x01\x00" + bytes(196)) == "9000"
    assert manager.sw("80E29001", bytes([7] * 60) + bytes.fromhex("4503010203")) == "9000"


def rename(card: Card) -> None:
    assert Manager(card).sw("80E29000", Tlv(0x4F, NEW).encode()) == "9000"


def lock(card: Card) -> None:
    assert Manager(card).sw("80F04080", APPLET) == "9000"


def extradite(card: Card) -> None:
    assert Manager(card).sw("80E61000", encode_lv(ISSUER, b"", APPLET, b"", b"", b"")) == "9000"


def transaction(card: Card) -> None:
    assert Manager(card, APPLET, APPLET_KEYS).sw("80104000") == "9000"


def upgrade(card: Card) -> None:
    manager = Manager(card)
    start = Tlv(0xA1, Tlv(0x4F, PACKAGE).encode()).encode()
    assert manager.sw("80EA0100", start) == "9000"
    parts = build_components(PACKAGE, (1, 1), (MODULE,), bytes(range(256)) * 40, "com/x")
    assert manager.install_for_load() == "9000"
    assert manager.load(b"".join(parts.values())) == "9000"


OPERATIONS: dict[str, tuple[bool, Callable[[Card], None]]] = {
    "load": (False, load),
    "install": (True, install),
    "put key": (True, put_key),
    "delete": (True, delete_related),
    "store data": (True, store_data),
    "rename": (True, rename),
    "lock": (True, lock),
    "extradite": (True, extradite),
    "transaction": (True, transaction),
    "upgrade": (True, upgrade),
}


@pytest.mark.parametrize("cut", list(power.Cut), ids=lambda cut: cut.name.lower())
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_power_cut_leaves_the_card_as_before_or_as_after(
    name: str, cut: power.Cut, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_applet, operation = OPERATIONS[name]
    template, trial = tmp_path / "template", tmp_path / "trial"
    template.mkdir()
    card = opened(template)
    if with_applet:
        add_applet(card)
    before, counted = state_of(card), sequences(card)
    card.database.close()
    shutil.copytree(template, trial)
    card = opened(trial)
    operation(card)
    after = state_of(card)
    card.database.close()
    assert before != after

    points, seen = 0, set()
    with power.disk() as disk:
        while True:
            points += 1
            shutil.rmtree(trial)
            shutil.copytree(template, trial)
            disk.begin(points, cut)
            finished = run(trial, operation)
            survived = disk.writes < points
            disk.begin(0, cut)
            state, counters = read(trial)
            assert state in (before, after), f"mixed after a cut at write {points}"
            if finished:
                assert state == after, f"acknowledged, but lost at write {points}"
            for key_set, sequence in counted.items():
                assert counters.get(key_set, sequence) >= sequence
            seen.add(state == after)
            if survived:
                break
    assert seen == {True, False}
    with capsys.disabled():
        print(f"\n{name}, {cut.name.lower()}: {points - 1} cut points", end=" ")  # noqa: T201
    assert points > 10


def run(folder: Path, operation: Callable[[Card], None]) -> bool:
    """Return whether the operation was acknowledged before the power failed."""
    card = None
    try:
        card = opened(folder)
        operation(card)
    except (sqlite3.Error, AssertionError, WireError, NotAHubDatabase):
        return False
    else:
        return True
    finally:
        if card is not None:
            with suppress(sqlite3.Error):
                card.database.close()


def read(folder: Path) -> tuple[State, dict[tuple[bytes, int], int]]:
    """Start again with power, and look; a session must open with what keys there are."""
    card = opened(folder)
    state, counters = state_of(card), sequences(card)
    issuer = card.registry.issuer().aid
    try:
        Manager(card, issuer)
    except RemoteChannelError:
        Manager(card, issuer, NEW_KEYS)
    card.database.close()
    return state, counters


def test_a_challenge_that_was_given_is_never_given_again(tmp_path: Path) -> None:
    template, trial = tmp_path / "template", tmp_path / "trial"
    template.mkdir()
    opened(template).database.close()
    begin = bytes.fromhex("80500000080000000000000000")
    for cut in power.Cut:
        for point in range(1, 12):
            shutil.rmtree(trial, ignore_errors=True)
            shutil.copytree(template, trial)
            given = []
            with power.disk() as disk:
                card = opened(trial)
                disk.begin(point, cut)
                given = [card.connect().transmit(begin) for _ in range(3)]
                with suppress(sqlite3.Error):
                    card.database.close()
                disk.begin(0, cut)
            card = opened(trial)
            given += [card.connect().transmit(begin)]
            card.database.close()
            challenges = [answer for answer in given if len(answer) > 2]
            assert len(set(challenges)) == len(challenges)
            assert all(answer.hex() == "6581" for answer in given if len(answer) == 2)


def test_a_guess_counts_even_if_the_power_is_cut_at_once(tmp_path: Path) -> None:
    """Who takes the card out before the verdict gains no guess: the count was written before."""
    template, trial = tmp_path / "template", tmp_path / "trial"
    template.mkdir()
    opened(template).database.close()
    begin = bytes.fromhex("80500000080000000000000000")
    guess = bytes.fromhex("8482330010") + bytes(16)
    for cut in power.Cut:
        for point in range(1, 14):
            shutil.rmtree(trial, ignore_errors=True)
            shutil.copytree(template, trial)
            with power.disk() as disk:
                card = opened(trial)
                connection = card.connect()
                connection.transmit(begin)
                disk.begin(point, cut)
                verdict = connection.transmit(guess).hex()
                with suppress(sqlite3.Error):
                    card.database.close()
                disk.begin(0, cut)
            card = opened(trial)
            (failures,) = card.database.connection.execute(
                "SELECT failures FROM card_key_set WHERE domain = ?", (ISSUER,)
            ).fetchone()
            card.database.close()
            assert verdict in {"6300", "6581"}
            assert failures == 1 or verdict == "6581"
