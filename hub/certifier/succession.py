# SPDX-License-Identifier: Apache-2.0
"""A new key for the certifier: announced, and in force with the transaction that says so.

    keys/certifier.key         the keys, with the announcements that led to them
    keys/certifier.key.next    keys that are about to replace them, while or after a rotation
    keys/certifier-NAME.key    the same of the further meter of that name

The database has the announcements, too. Whichever file has just these is the certifier's. So a
rotation that is cut off before its commit has not happened, and one that is cut off after it is
finished when the hub is opened. The old seed is then in no file.

Errors: KeyFileError, KeyReplaced
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

from hub.certifier.errors import KeyFileError
from hub.certifier.keys import CertifierKeys
from hub.vault.database import Component, Database
from hub.vault.key_file import next_key_file, put_in_force
from hub.vault.vault import KeyReplaced
from protocols.metrology import KeyAnnouncement

CERTIFIER_KEY: Final = "certifier.key"

ANNOUNCEMENT_COMPONENT: Final = Component(
    "certifier_keys",
    (
        """
        CREATE TABLE key_announcement (
            place INTEGER PRIMARY KEY,
            encoded BLOB NOT NULL
        ) STRICT;
        CREATE TRIGGER announcement_is_never_changed BEFORE UPDATE ON key_announcement
        BEGIN SELECT RAISE(ABORT, 'announcements are append-only'); END;
        CREATE TRIGGER announcement_is_never_deleted BEFORE DELETE ON key_announcement
        BEGIN SELECT RAISE(ABORT, 'announcements are append-only'); END;
        """,
        """
        CREATE TABLE meter_key_announcement (
            name TEXT NOT NULL,
            place INTEGER NOT NULL,
            encoded BLOB NOT NULL,
            PRIMARY KEY (name, place)
        ) STRICT;
        CREATE TRIGGER meter_announcement_is_never_changed BEFORE UPDATE ON meter_key_announcement
        BEGIN SELECT RAISE(ABORT, 'announcements are append-only'); END;
        CREATE TRIGGER meter_announcement_is_never_deleted BEFORE DELETE ON meter_key_announcement
        BEGIN SELECT RAISE(ABORT, 'announcements are append-only'); END;
        """,
    ),
)


def certifier_key_file(name: str = "") -> str:
    """Return the file of a meter's certifier keys: of the hub's own meter, or of a further one."""
    return f"certifier-{name}.key" if name else CERTIFIER_KEY


def announced(database: Database, name: str = "") -> list[bytes]:
    """Return the announcements that are in force of a meter, encoded, in order."""
    if name:
        rows = database.connection.execute(
            "SELECT encoded FROM meter_key_announcement WHERE name = ? ORDER BY place", (name,)
        )
    else:
        rows = database.connection.execute("SELECT encoded FROM key_announcement ORDER BY place")
    return [bytes(encoded) for (encoded,) in rows]


def put_announcement(database: Database, place: int, encoded: bytes, name: str = "") -> None:
    """Put an announcement in force, within the caller's transaction."""
    if name:
        database.connection.execute(
            "INSERT INTO meter_key_announcement VALUES (?, ?, ?)", (name, place, encoded)
        )
    else:
        database.connection.execute("INSERT INTO key_announcement VALUES (?, ?)", (place, encoded))


def current_certifier_keys(path: Path, database: Database, name: str = "") -> CertifierKeys:
    """Return the keys that are in force of a meter; finish a rotation that was cut off.

    Raises `KeyFileError` where neither file has the announcements that the database has: an old
    copy of the keys signs nothing.
    """
    for _ in range(2):  # another process may put the new keys in place between two looks
        expected = announced(database, name)
        if (keys := _matching(path, expected)) is not None:
            return keys
        if (keys := _matching(next_key_file(path), expected)) is not None:
            put_in_force(path)
            return keys
    CertifierKeys.load(path)  # a missing file or wrong mode is said as such
    raise KeyFileError(f"{path}: not the key that the hub has announced last")


def announce_successor(
    database: Database,
    path: Path,
    keys: CertifierKeys,
    meter: bytes,
    first_day: date,
    randomness: Callable[[int], bytes],
    name: str = "",
) -> KeyAnnouncement:
    """Make the keys that sign from that day on, and return their announcement.

    They are in force once the transaction commits. The caller calls `put_in_force` then.
    """
    successor = next_key_file(path)
    with database.transaction():
        # Under the write lock: no other process is between writing this file and its commit.
        with suppress(FileNotFoundError):
            successor.unlink()
        new = keys.succeeded(meter, first_day, randomness)
        new.save(successor)
        announcement = new.announcements[-1]
        put_announcement(database, announcement.place, announcement.encode(), name)
    return announcement


def require_current_keys(database: Database, keys: CertifierKeys, name: str = "") -> None:
    """Return if no later keys are in force; raise `KeyReplaced` if there are."""
    if len(announced(database, name)) != len(keys.announcements):
        raise KeyReplaced(database.path, "certifier")


def _matching(path: Path, expected: list[bytes]) -> CertifierKeys | None:
    """Return the keys in a file if they have these announcements; None if not, or if none are."""
    try:
        keys = CertifierKeys.load(path)
    except KeyFileError:
        return None
    return keys if [one.encode() for one in keys.announcements] == expected else None
