# SPDX-License-Identifier: Apache-2.0
"""The card's registry in the hub's database: entries, packages, data objects, properties.

Nothing is cached: what a transaction takes back is gone from here too. Keys have a module of
their own, `keystore`; their tables are made here, with the rest of the card's.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final

from hub.card.entries import CardState, Kind, Privilege, RegistryEntry
from hub.vault.database import Component, Database
from protocols.packages.load_file import PackageImport

CARD: Final = Component(
    "card",
    (
        """
        CREATE TABLE card_property (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
        CREATE TABLE card_entry (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            aid BLOB NOT NULL UNIQUE CHECK (length(aid) BETWEEN 5 AND 16),
            kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
            life_cycle INTEGER NOT NULL CHECK (life_cycle BETWEEN 1 AND 255),
            privileges INTEGER NOT NULL CHECK (privileges BETWEEN 0 AND 0xFFFFFF),
            domain BLOB NOT NULL REFERENCES card_entry (aid)
                ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
            package BLOB NOT NULL,
            module BLOB NOT NULL,
            version BLOB NOT NULL,
            implicit BLOB NOT NULL,
            code_quota INTEGER,
            volatile_quota INTEGER,
            data_quota INTEGER
        ) STRICT;
        CREATE TABLE card_package (
            aid BLOB PRIMARY KEY REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            content BLOB NOT NULL
        ) STRICT;
        CREATE TABLE card_module (
            package BLOB NOT NULL REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            position INTEGER NOT NULL,
            aid BLOB NOT NULL,
            PRIMARY KEY (package, position)
        ) STRICT;
        CREATE TABLE card_object (
            domain BLOB NOT NULL REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            tag INTEGER NOT NULL,
            value BLOB NOT NULL,
            PRIMARY KEY (domain, tag)
        ) STRICT;
        CREATE TABLE card_key_set (
            domain BLOB NOT NULL REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            version INTEGER NOT NULL CHECK (version BETWEEN 1 AND 255),
            base INTEGER NOT NULL,
            sequence INTEGER NOT NULL CHECK (sequence BETWEEN 0 AND 0xFFFFFF),
            failures INTEGER NOT NULL CHECK (failures >= 0),
            rank INTEGER NOT NULL,
            PRIMARY KEY (domain, version, base)
        ) STRICT;
        CREATE TABLE card_key (
            domain BLOB NOT NULL,
            version INTEGER NOT NULL,
            base INTEGER NOT NULL,
            identifier INTEGER NOT NULL CHECK (identifier BETWEEN 0 AND 127),
            part INTEGER NOT NULL,
            type INTEGER NOT NULL,
            length INTEGER NOT NULL,
            sealed BLOB NOT NULL,
            PRIMARY KEY (domain, version, identifier, part),
            FOREIGN KEY (domain, version, base)
                REFERENCES card_key_set (domain, version, base)
                ON DELETE CASCADE ON UPDATE CASCADE
        ) STRICT;
        """,
        """
        CREATE TABLE card_import (
            package BLOB NOT NULL REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            position INTEGER NOT NULL,
            imported BLOB NOT NULL REFERENCES card_entry (aid),
            version BLOB NOT NULL CHECK (length(version) = 2),
            PRIMARY KEY (package, position)
        ) STRICT;
        """,
        """
        CREATE TABLE card_other_version (
            package BLOB NOT NULL REFERENCES card_entry (aid)
                ON DELETE CASCADE ON UPDATE CASCADE,
            place INTEGER NOT NULL CHECK (place BETWEEN 1 AND 3),
            version BLOB NOT NULL CHECK (length(version) = 2),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            content BLOB NOT NULL,
            modules BLOB NOT NULL,
            imports BLOB NOT NULL,
            PRIMARY KEY (package, place)
        ) STRICT;
        """,
    ),
)

GENERATION: Final = "generation"
"""The card's property that counts replaced contents, and says what came last."""
_COLUMNS: Final = (
    "aid, kind, life_cycle, privileges, domain, package, module, version, implicit,"
    " code_quota, volatile_quota, data_quota"
)


class Registry:
    """Entries, packages, data objects and properties; write inside a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._database.connection

    # Entries

    def find(self, aid: bytes) -> RegistryEntry | None:
        """Return the entry with exactly this AID, or None."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM card_entry WHERE aid = ?",  # noqa: S608 - constant names
            (aid,),
        ).fetchone()
        return None if row is None else _entry(row)

    def entries(self) -> list[RegistryEntry]:
        """Return every entry, oldest first: the issuer's domain leads."""
        query = f"SELECT {_COLUMNS} FROM card_entry ORDER BY number"  # noqa: S608
        return [_entry(row) for row in self._connection.execute(query)]

    def issuer(self) -> RegistryEntry:
        """Return the issuer security domain."""
        query = f"SELECT {_COLUMNS} FROM card_entry WHERE kind = 1"  # noqa: S608
        return _entry(self._connection.execute(query).fetchone())

    def card_state(self) -> CardState:
        """Return the card's life cycle."""
        return CardState(self.issuer().life_cycle)

    def add(self, entry: RegistryEntry) -> None:
        """Add an entry whose AID is new."""
        self._connection.execute(
            f"INSERT INTO card_entry ({_COLUMNS})"  # noqa: S608 - constant names
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _row(entry),
        )

    def update(self, entry: RegistryEntry) -> None:
        """Write what has changed in the entry with this AID."""
        self._connection.execute(
            "UPDATE card_entry SET aid = ?, kind = ?, life_cycle = ?, privileges = ?, domain = ?,"
            " package = ?, module = ?, version = ?, implicit = ?, code_quota = ?,"
            " volatile_quota = ?, data_quota = ? WHERE aid = ?",
            (*_row(entry), entry.aid),
        )

    def rename(self, old: bytes, new: bytes) -> None:
        """Give an entry another AID, and all that refers to it."""
        self._connection.execute("UPDATE card_entry SET aid = ? WHERE aid = ?", (new, old))

    def remove(self, aid: bytes) -> None:
        """Remove an entry and what hangs on it: keys, objects, content."""
        self._connection.execute("DELETE FROM card_entry WHERE aid = ?", (aid,))

    def ancestry(self, entry: RegistryEntry) -> list[RegistryEntry]:
        """Return the security domains from the entry's own (or itself) up to the issuer's.

        A domain that was extradited to itself heads a hierarchy of its own and ends the list.
        """
        here = entry if entry.is_domain else self._domain_of(entry)
        chain = [here]
        while here.domain != here.aid:
            here = self._domain_of(here)
            chain.append(here)
        return chain

    def _domain_of(self, entry: RegistryEntry) -> RegistryEntry:
        found = self.find(entry.domain)
        assert found is not None  # a foreign key
        return found

    # Packages

    def add_package(
        self,
        aid: bytes,
        content: bytes,
        modules: Sequence[bytes],
        imports: Sequence[PackageImport] = (),
    ) -> None:
        """Keep what a load file carried."""
        self._connection.execute("INSERT INTO card_package VALUES (?, ?)", (aid, content))
        self._connection.executemany(
            "INSERT INTO card_module VALUES (?, ?, ?)",
            [(aid, position, module) for position, module in enumerate(modules)],
        )
        self._connection.executemany(
            "INSERT INTO card_import VALUES (?, ?, ?, ?)",
            [(aid, position, one.aid, one.version) for position, one in enumerate(imports)],
        )

    def replace_package(
        self,
        aid: bytes,
        content: bytes,
        modules: Sequence[bytes],
        imports: Sequence[PackageImport] = (),
    ) -> None:
        """Keep another content, other modules and other imports in a package's place."""
        self._connection.execute("DELETE FROM card_import WHERE package = ?", (aid,))
        self._connection.execute("DELETE FROM card_module WHERE package = ?", (aid,))
        self._connection.execute("DELETE FROM card_package WHERE aid = ?", (aid,))
        self.add_package(aid, content, modules, imports)
        # The digest beside the count: one that was undone is not taken for another's.
        count = int.from_bytes(self.generation()[:8], "big") + 1
        digest = sha256(aid + content).digest()
        self.set_property(GENERATION, count.to_bytes(8, "big") + digest)

    def generation(self) -> bytes:
        """Return what is another value whenever a package's content was replaced."""
        return self.find_property(GENERATION) or b""

    def content(self, package: bytes) -> bytes | None:
        """Return what a load file carried, or None where there is no such package."""
        return self._value("SELECT content FROM card_package WHERE aid = ?", package)

    def modules(self, package: bytes) -> list[bytes]:
        """Return the AIDs of a package's modules."""
        query = "SELECT aid FROM card_module WHERE package = ? ORDER BY position"
        return [aid for (aid,) in self._connection.execute(query, (package,))]

    def imports(self, package: bytes) -> list[PackageImport]:
        """Return what a package imports."""
        query = "SELECT imported, version FROM card_import WHERE package = ? ORDER BY position"
        return [PackageImport(*row) for row in self._connection.execute(query, (package,))]

    def importers(self, library: bytes) -> dict[bytes, PackageImport]:
        """Return the packages that import one, and what they ask of it."""
        query = "SELECT package, imported, version FROM card_import WHERE imported = ?"
        rows = self._connection.execute(query, (library,)).fetchall()
        return {package: PackageImport(imported, version) for package, imported, version in rows}

    def content_sizes(self) -> dict[bytes, int]:
        """Return how many bytes each package holds, with its other versions."""
        query = (
            "SELECT aid, length(content) + (SELECT coalesce(sum(length(other.content)), 0)"
            " FROM card_other_version AS other WHERE other.package = aid) FROM card_package"
        )
        return dict(self._connection.execute(query).fetchall())

    # Data objects and properties

    def set_object(self, domain: bytes, tag: int, value: bytes) -> None:
        """Keep a data object of a domain; an empty value removes it."""
        if value:
            self._connection.execute(
                "INSERT OR REPLACE INTO card_object VALUES (?, ?, ?)", (domain, tag, value)
            )
        else:
            self._connection.execute(
                "DELETE FROM card_object WHERE domain = ? AND tag = ?", (domain, tag)
            )

    def find_object(self, domain: bytes, tag: int) -> bytes | None:
        """Return a data object of a domain, or None."""
        return self._value(
            "SELECT value FROM card_object WHERE domain = ? AND tag = ?", domain, tag
        )

    def objects(self, domain: bytes) -> Iterable[tuple[int, bytes]]:
        """Return a domain's data objects, by tag."""
        query = "SELECT tag, value FROM card_object WHERE domain = ? ORDER BY tag"
        return self._connection.execute(query, (domain,)).fetchall()

    def set_property(self, name: str, value: bytes) -> None:
        """Keep a property of the card itself."""
        self._connection.execute(
            "INSERT OR REPLACE INTO card_property VALUES (?, ?)", (name, value)
        )

    def find_property(self, name: str) -> bytes | None:
        """Return a property of the card itself, or None."""
        return self._value("SELECT value FROM card_property WHERE name = ?", name)

    def _value(self, query: str, *parameters: str | bytes | int) -> bytes | None:
        row = self._connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]


def _row(entry: RegistryEntry) -> tuple[bytes | int | None, ...]:
    return (
        entry.aid, int(entry.kind), entry.life_cycle, int(entry.privileges), entry.domain,
        entry.package, entry.module, entry.version, entry.implicit, entry.code_quota,
        entry.volatile_quota, entry.data_quota,
    )  # fmt: skip


def _entry(row: tuple[Any, ...]) -> RegistryEntry:
    aid, kind, life_cycle, privileges, *rest = row
    return RegistryEntry(aid, Kind(kind), life_cycle, Privilege(privileges), *rest)
