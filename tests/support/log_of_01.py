# SPDX-License-Identifier: Apache-2.0
"""A disclosure log as release 0.1 wrote it: entries in clear, chained without a key."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.disclosure import CONSENT_COMPONENT, LOG_COMPONENT
from hub.vault.database import Component, Database
from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import encode_row

COMPONENTS_OF_01 = (
    Component(LOG_COMPONENT.name, LOG_COMPONENT.migrations[:1]),
    Component(CONSENT_COMPONENT.name, CONSENT_COMPONENT.migrations[:3]),
)


def make_file(path: Path, consent_version: int = 3) -> None:
    """Make the file with the tables of the log and the consents as they were."""
    log, consents = COMPONENTS_OF_01
    consents = Component(consents.name, consents.migrations[:consent_version])
    Database(path, [log, consents]).close()


def write_entry(
    connection: sqlite3.Connection, time: int, kind: str, facts: Mapping[str, Any]
) -> None:
    """Add an entry, in its place in the chain."""
    sequence, previous = connection.execute(
        "SELECT sequence, digest FROM disclosure_entry ORDER BY sequence DESC LIMIT 1"
    ).fetchone() or (0, GENESIS)
    body = encode_row([sequence + 1, time, kind, facts])
    digest = seal(b"meterlet disclosure 1", previous, body)
    connection.execute(
        "INSERT INTO disclosure_entry VALUES (?, ?, ?, ?)", (sequence + 1, kind, body, digest)
    )
