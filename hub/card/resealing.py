# SPDX-License-Identifier: Apache-2.0
"""The card's keys, sealed again when the vault gets a new key; counters and ranks stay."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from cryptography.exceptions import InvalidTag

from hub.card.commands.issued_keys import AUTHORITY, FIRST_KEYS
from hub.card.commands.pin import GLOBAL_PIN
from hub.card.keys.keystore import KeyStore
from hub.card.registry import Registry
from hub.vault.database import Database
from hub.vault.resealing import KeyChange, Resealing
from hub.vault.vault import VaultTampered

SECRETS: Final = (FIRST_KEYS, AUTHORITY, GLOBAL_PIN)
"""Properties of the card that `KeyStore.seal_secret` has sealed."""


def _count(connection: sqlite3.Connection) -> int:
    (keys,) = connection.execute("SELECT count(*) FROM card_key").fetchone()
    names = ", ".join("?" for _ in SECRETS)
    (secrets,) = connection.execute(
        f"SELECT count(*) FROM card_property WHERE name IN ({names})",  # noqa: S608 - constant text
        SECRETS,
    ).fetchone()
    return int(keys + secrets)


def _reseal(database: Database, change: KeyChange) -> Iterator[int]:
    registry = Registry(database)
    before = KeyStore(database, change.old, change.randomness)
    after = KeyStore(database, change.new, change.randomness)
    rows = database.connection.execute("SELECT DISTINCT domain FROM card_key ORDER BY domain")
    try:
        for (domain,) in rows.fetchall():
            keys = before.all(domain)
            after.reseal(domain, keys)
            yield sum(len(key.parts) for key in keys)
        for name in SECRETS:
            sealed = registry.find_property(name)
            if sealed is not None:
                parts = before.open_secret(name, sealed)
                registry.set_property(name, after.seal_secret(name, parts))
                yield 1
    except InvalidTag:
        raise VaultTampered("a key of the card is not what was stored") from None


CARD_KEYS: Final = Resealing(_count, _reseal)
