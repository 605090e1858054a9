# SPDX-License-Identifier: Apache-2.0
"""The file of the vault's key, and how a new key takes its place without a moment in between.

    keys/vault.key         the key
    keys/vault.key.next    a key that is about to replace it, while or after a rotation

The database holds a check value of the key that its rows are sealed with. It changes in the same
transaction as the rows. So this value says which of the two files is the key, whenever a rotation
is cut off: before the commit the old one, after it the new one.

Errors: SecretFileError, VaultTampered, KeyReplaced
"""

import hmac
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Final

from hub.durable import synchronise
from hub.vault.sealing import check_value_of
from hub.vault.secret_file import SecretFileError, read_secret
from hub.vault.vault import KEY_SIZE, VaultTampered

VAULT_KEY: Final = "vault.key"
NEXT_SUFFIX: Final = ".next"


def next_key_file(path: Path) -> Path:
    """Return where the successor of the key at `path` lies during a rotation."""
    return path.with_name(path.name + NEXT_SUFFIX)


def current_vault_key(path: Path, database: Path) -> bytes:
    """Return the key that a database's rows are sealed with; finish a rotation that was cut off.

    `database` is its file. A successor that never came into force stays where it is and is used for
    nothing: another process may be about to commit it. Raises `VaultTampered` where neither file is
    the key.
    """
    for _ in range(2):  # another process may put the new key in place between two looks
        expected = _check_value_in(database)
        if expected is None:
            return read_secret(path, size=KEY_SIZE)  # a new database takes the key that is there
        if (key := _matching(path, expected)) is not None:
            return key
        if (key := _matching(next_key_file(path), expected)) is not None:
            put_in_force(path)
            return key
    read_secret(path, size=KEY_SIZE)  # a missing file or wrong mode is said as such
    raise VaultTampered(f"{database}: sealed with another key than {path}")


def put_in_force(path: Path) -> None:
    """Put the successor in the place of the key; nothing happens where that is done already."""
    try:
        next_key_file(path).replace(path)
    except FileNotFoundError:
        return
    synchronise(path.parent)


def _check_value_in(database: Path) -> bytes | None:
    """Return the check value in a file, None if there is none: `Database` says what is wrong."""
    if not database.exists() or database.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(database)) as connection:
            row = connection.execute("SELECT check_value FROM vault_key").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else bytes(row[0])


def _matching(path: Path, expected: bytes) -> bytes | None:
    """Return the key in a file if its check value is this; None if not, or if there is none."""
    try:
        key = read_secret(path, size=KEY_SIZE)
    except SecretFileError:
        return None
    return key if hmac.compare_digest(check_value_of(key), expected) else None


def fingerprint(key: bytes) -> str:
    """Return eight bytes in hex by which people tell keys apart; they say nothing of the key."""
    return sha256(b"meterlet vault key fingerprint 1" + check_value_of(key)).hexdigest()[:16]
