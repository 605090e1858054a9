# SPDX-License-Identifier: Apache-2.0
"""The keys of the hub's meters, sealed under the vault's key; nothing shows them again.

A row is one meter of the hub, by the name it has there (nothing for the hub's own): its encryption
key, and its authentication key if it has one. Each is sealed for its row: a row that was moved to
another meter does not open.

Errors: SealBroken
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hub.meters.kinds import MeterKeys
from hub.text import printed_id
from hub.vault.database import Component, Database
from hub.vault.sealing import SealBroken, Sealer, resealed

PURPOSE: Final = "meter keys"
SIZES: Final = (16, 32)
"""Bytes of a key."""
_NUMBER: Final = re.compile(r"(?:[A-Z]{3} )?([0-9A-F]{8})", re.ASCII)

SEALED_KEYS_COMPONENT: Final = Component(
    "meter keys",
    (
        """
        CREATE TABLE meter_key (
            name TEXT PRIMARY KEY,
            sealed BLOB NOT NULL
        ) STRICT;
        """,
    ),
)


def reseal_meter_keys(database: Database, vault_key: bytes) -> Iterator[int]:
    """Seal the keys with a new vault key, within a transaction; yield rows done."""
    connection, old = database.connection, database.sealer(PURPOSE)
    new = Sealer.of(vault_key, PURPOSE)
    for name, sealed in connection.execute("SELECT name, sealed FROM meter_key").fetchall():
        connection.execute(
            "UPDATE meter_key SET sealed = ? WHERE name = ?",
            (resealed(old, new, sealed, name.encode()), name),
        )
        yield 1


@dataclass(frozen=True, slots=True)
class SealedKeys:
    """The keys in a hub's database."""

    database: Database

    def put(self, name: str, keys: MeterKeys) -> None:
        """Keep the keys of a meter in the place of those that it has."""
        if keys.encryption is None:
            raise ValueError("keys without an encryption key")
        both = [keys.encryption] + ([] if keys.authentication is None else [keys.authentication])
        plain = b"".join(bytes([len(key)]) + key for key in both)
        sealed = self.database.sealer(PURPOSE).seal(plain, name.encode())
        with self.database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meter_key VALUES (?, ?)", (name, sealed))

    def forget(self, name: str) -> bool:
        """Forget the keys of a meter; return whether there were any."""
        with self.database.transaction() as connection:
            done = connection.execute("DELETE FROM meter_key WHERE name = ?", (name,))
            return done.rowcount > 0

    def names(self) -> frozenset[str]:
        """Return which meters have keys here."""
        rows = self.database.connection.execute("SELECT name FROM meter_key")
        return frozenset(name for (name,) in rows)

    def find(self, name: str) -> MeterKeys | None:
        """Return the keys of a meter, None if it has none; raise `SealBroken`."""
        row = self.database.connection.execute(
            "SELECT sealed FROM meter_key WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return None
        plain = self.database.sealer(PURPOSE).open(row[0], name.encode())
        keys, at = [], 0
        while at < len(plain):
            size = plain[at]
            keys.append(plain[at + 1 : at + 1 + size])
            at += 1 + size
        if at != len(plain) or not 1 <= len(keys) <= 2 or any(len(k) not in SIZES for k in keys):
            raise SealBroken(f"{PURPOSE}: the row of a meter is not what was written there")
        return MeterKeys(keys[0], keys[1] if len(keys) == 2 else None)


def number_of(meter: bytes) -> str | None:
    """Return the number of an M-Bus meter by its identification, as `LGB 22150101`; or None."""
    match = _NUMBER.fullmatch(printed_id(meter))
    return None if match is None else match[1]
