# SPDX-License-Identifier: Apache-2.0
"""Versions of packages that are kept beside the one that is in place.

    OFFERED    waits for the resident's yes          PREVIOUS   was in place before; may come back
    REFUSED    the resident has said no to it: its version and digest alone

None of them runs. A package has one of each at most; all go with the package.
"""

import enum
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from hub.vault.database import Database
from protocols.iso7816.tlv import Cursor, encode_lv
from protocols.packages.load_file import LoadFile, PackageImport


class Place(enum.IntEnum):
    """What a version is kept for."""

    OFFERED = 1
    PREVIOUS = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version that is kept, with what of it is needed to put it in place."""

    package: bytes
    version: bytes
    """Major and minor."""
    digest: bytes
    """SHA-256 of its content."""
    content: bytes = field(default=b"", repr=False)
    modules: tuple[bytes, ...] = ()
    imports: tuple[PackageImport, ...] = ()

    @property
    def file(self) -> LoadFile:
        """The load file that brought it."""
        return LoadFile(self.package, self.version, self.modules, self.content, self.imports)


def kept(
    package: bytes,
    version: bytes,
    content: bytes,
    modules: Sequence[bytes],
    imports: Sequence[PackageImport],
) -> KeptVersion:
    """Return a version with its digest."""
    digest = sha256(content).digest()
    return KeptVersion(package, version, digest, content, tuple(modules), tuple(imports))


@dataclass(frozen=True, slots=True)
class OtherVersions:
    """The kept versions in the card's database; write inside a transaction."""

    database: Database

    def find(self, package: bytes, place: Place) -> KeptVersion | None:
        """Return what is kept in a place, None where there is nothing."""
        row = self._connection.execute(
            "SELECT version, digest, content, modules, imports FROM card_other_version"
            " WHERE package = ? AND place = ?",
            (package, place),
        ).fetchone()
        if row is None:
            return None
        version, digest, content, modules, imports = row
        pairs = _fields(imports)
        return KeptVersion(
            package,
            version,
            digest,
            content,
            tuple(_fields(modules)),
            tuple(PackageImport(*pair) for pair in zip(pairs[::2], pairs[1::2], strict=True)),
        )

    def keep(self, place: Place, version: KeptVersion) -> None:
        """Keep a version in a place, instead of what was there."""
        imports = [part for one in version.imports for part in (one.aid, one.version)]
        self._connection.execute(
            "INSERT OR REPLACE INTO card_other_version VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                version.package, place, version.version, version.digest, version.content,
                encode_lv(*version.modules), encode_lv(*imports),
            ),
        )  # fmt: skip

    def drop(self, package: bytes, *places: Place) -> None:
        """Forget what is kept in these places."""
        for place in places:
            self._connection.execute(
                "DELETE FROM card_other_version WHERE package = ? AND place = ?", (package, place)
            )

    def offered(self) -> list[bytes]:
        """Return the packages of which a version waits for the resident."""
        query = "SELECT package FROM card_other_version WHERE place = ? ORDER BY package"
        return [aid for (aid,) in self._connection.execute(query, (Place.OFFERED,))]

    @property
    def _connection(self) -> sqlite3.Connection:
        return self.database.connection


def _fields(data: bytes) -> list[bytes]:
    cursor, fields = Cursor(data), []
    while not cursor.at_end:
        fields.append(cursor.take(cursor.length()))
    return fields
