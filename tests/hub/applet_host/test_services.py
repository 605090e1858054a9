# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.applet_host.store import LOG_LINES, STORE_COMPONENT, AppletStore, HubLog
from hub.vault.database import Database
from protocols.platform.errors import Refusal, Refused

APPLET, OTHER = b"\xf0mine", b"\xf0other"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "hub.db", [STORE_COMPONENT], key=bytes(32)) as database:
        yield database


def test_an_applet_has_its_own_corner_and_its_quota(database: Database) -> None:
    store, other = AppletStore(database, APPLET, 20), AppletStore(database, OTHER, 1000)
    store.put(b"key", b"0123456789")
    other.put(b"key", bytes(900))
    assert store.get(b"key") == b"0123456789"
    with pytest.raises(Refused) as refused:
        store.put(b"more", b"1234")
    assert refused.value.refusal is Refusal.TOO_MUCH
    store.put(b"key", b"0123456789abcdefg")  # what it replaces does not count
    assert (store.keys(), store.get(b"more")) == ([b"key"], None)
    store.delete(b"key")
    store.put(b"more", b"1234")
    store.clear()
    assert (store.keys(), other.keys()) == ([], [b"key"])


def test_an_applets_log_keeps_its_newest_lines_alone(database: Database) -> None:
    log, other = HubLog(database, APPLET, lambda: 7), HubLog(database, OTHER, lambda: 7)
    other.write("quiet")
    for number in range(LOG_LINES + 50):
        log.write(f"line {number}")
    lines = database.connection.execute(
        "SELECT applet, count(*), min(text) FROM applet_log GROUP BY applet ORDER BY applet"
    ).fetchall()
    assert [(applet, number) for applet, number, _ in lines] == [(APPLET, LOG_LINES), (OTHER, 1)]
