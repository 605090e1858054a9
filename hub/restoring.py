# SPDX-License-Identifier: Apache-2.0
"""Brings back a snapshot of the hub, and turns nothing back that must only go on.

The card comes back: its applets, their stores, its objects and keys. What stays as it is now:

    the disclosure log, and so the consents        readings and certified days
    sums that were opened or agreed to             for which times outputs were released
    counters of keys, failures and tries, each at its stricter value
    what strangers did, by the day                 from where recipients have come

The two are joined in a file beside the hub's, which then takes its place in one step.

Errors: DatabaseError, LogTampered
"""

import hmac
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hub.components import COMPONENTS
from hub.device import Device
from hub.disclosure import Disclosure, LogTampered
from hub.vault.database import Database, DatabaseBusy, DatabaseError
from protocols.log_head import LogHead

KEPT = (
    "channel", "reading", "certified_day", "signed_slots", "meter_fact", "inherited_chain",
    "key_announcement", "aggregation_release", "disclosure_bytes", "former_entry",
)  # fmt: skip
"""Tables whose rows are only ever added."""
COUNTERS = (
    "UPDATE card_key_set SET (sequence, failures) ="
    " (SELECT max(k.sequence, card_key_set.sequence), max(k.failures, card_key_set.failures)"
    " FROM current.card_key_set AS k WHERE k.domain = card_key_set.domain"
    " AND k.version = card_key_set.version AND k.base = card_key_set.base)"
    " WHERE EXISTS (SELECT 1 FROM current.card_key_set AS k WHERE k.domain = card_key_set.domain"
    " AND k.version = card_key_set.version AND k.base = card_key_set.base)"
)
STRICTER = (("global PIN tries", "min"), ("confirmation", "max"))
"""The card's properties that count, as bytes of one length."""
BOUNDARIES = (
    "UPDATE applet_output SET boundary = max(boundary, (SELECT o.boundary"
    " FROM current.applet_output AS o WHERE o.applet = applet_output.applet"
    " AND o.name = applet_output.name)) WHERE EXISTS (SELECT 1 FROM current.applet_output AS o"
    " WHERE o.applet = applet_output.applet AND o.name = applet_output.name)"
)

STRANGERS = (
    "INSERT INTO stranger_day SELECT * FROM current.stranger_day WHERE true ON CONFLICT (day)"
    " DO UPDATE SET connections = max(connections, excluded.connections),"
    " turned_away = max(turned_away, excluded.turned_away), wrong = max(wrong, excluded.wrong),"
    " received = max(received, excluded.received), sent = max(sent, excluded.sent)",
    "INSERT INTO known_source SELECT * FROM current.known_source WHERE true ON CONFLICT (name)"
    " DO UPDATE SET last = max(last, excluded.last)",
)
"""Counts stay at the larger value, sources at the later time; more sources than are kept go when
the next one comes."""


def restore(device: Device, snapshot: Path, patience: float) -> None:
    """Put a snapshot, a sound database of a hub, in the place of the device's own.

    Raises `DatabaseError` where it is of another hub, `LogTampered` where its log is not one that
    this hub's goes on from, `DatabaseBusy` where another process holds the hub for longer than
    `patience` seconds; then the hub is as it was.
    """
    with TemporaryDirectory(dir=device.folder) as scratch:
        joined = Path(scratch) / "joined.db"
        joined.touch(mode=0o600)
        _require_same_hub(device, snapshot)
        with (
            closing(sqlite3.connect(f"file:{snapshot}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(joined)) as copy,
        ):
            source.backup(copy)
        with Database(joined, COMPONENTS, patience, key=device.database.key) as restored:
            try:
                head = _join(device, restored)
            except DatabaseBusy:  # it writes under the lock of the hub's file, which is attached
                raise DatabaseBusy(device.database.path) from None
            if (
                device.disclosure.check_log() != head
                and device.disclosure.log.length() > head.length
            ):
                raise DatabaseBusy(device.database.path)  # somebody has asked meanwhile
            _replace(device.database, restored, patience)


def _require_same_hub(device: Device, snapshot: Path) -> None:
    query = "SELECT check_value FROM vault_key"
    (own,) = device.database.connection.execute(query).fetchone()
    with closing(sqlite3.connect(f"file:{snapshot}?mode=ro", uri=True)) as source:
        row = source.execute(query).fetchone()
    if row is None or not hmac.compare_digest(row[0], own):
        raise DatabaseError(f"{snapshot}: a snapshot of another hub")


def _join(device: Device, restored: Database) -> LogHead:
    """Take over what must not be turned back; return the head of the log that stays."""
    theirs = Disclosure(restored, device.now)
    ours, then, now = device.disclosure.log, theirs.check_log(), device.disclosure.check_log()
    is_older = then.length <= now.length
    if (ours.head_at(then.length) if is_older else theirs.log.head_at(now.length)) != (
        then if is_older else now
    ):
        raise LogTampered("the snapshot's log is another than this hub's; nothing was restored")
    restored.connection.execute("ATTACH DATABASE ? AS current", (str(device.database.path),))
    with restored.transaction() as connection:
        for table in KEPT:
            connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM current.{table}")  # noqa: S608 - our own names
        if is_older:
            connection.execute(
                "INSERT INTO disclosure_entry SELECT * FROM current.disclosure_entry"
                " WHERE sequence > ?",
                (then.length,),
            )
            connection.execute(
                "UPDATE disclosure_head SET sealed = (SELECT sealed FROM current.disclosure_head)"
            )
        connection.execute(
            "INSERT OR REPLACE INTO aggregation_round SELECT * FROM current.aggregation_round"
        )
        connection.execute(COUNTERS)
        connection.execute(BOUNDARIES)
        for statement in STRANGERS:
            connection.execute(statement)
        for name, which in STRICTER:
            connection.execute(
                f"UPDATE card_property SET value = {which}(value, (SELECT p.value FROM"  # noqa: S608
                " current.card_property AS p WHERE p.name = ?1)) WHERE name = ?1"
                " AND EXISTS (SELECT 1 FROM current.card_property AS p WHERE p.name = ?1)",
                (name,),
            )
    restored.connection.execute("DETACH DATABASE current")
    return theirs.check_log()


def _replace(database: Database, restored: Database, patience: float) -> None:
    deadline = time.monotonic() + patience

    def wait(status: int, _remaining: int, _total: int) -> None:
        # The driver would try again for ever while another process holds the hub.
        if status == sqlite3.SQLITE_BUSY and time.monotonic() >= deadline:
            raise DatabaseBusy(database.path)

    database.connection.execute("PRAGMA busy_timeout = 0")  # `wait` does it
    restored.connection.backup(database.connection, progress=wait)
