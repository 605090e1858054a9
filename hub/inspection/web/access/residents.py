# SPDX-License-Identifier: Apache-2.0
"""Who may look: the residents of a household, each with a passphrase and a role.

They are kept in `residents.db` in the hub's folder, apart from the readings, so that signing in
never waits for a hub that is taking in a year. Of a passphrase only its Argon2id hash is stored.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from hub.inspection.errors import InspectionError
from hub.inspection.passphrases import Passphrases, WeakPassphrase
from hub.vault.database import Component, Database

FILE: Final = "residents.db"
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")
RESIDENTS_COMPONENT: Final = Component(
    "residents",
    (
        """
        CREATE TABLE resident (
            name TEXT PRIMARY KEY,
            role TEXT NOT NULL CHECK (role IN ('owner', 'reader')),
            passphrase TEXT NOT NULL,
            added INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE failure (
            who TEXT PRIMARY KEY,
            count INTEGER NOT NULL,
            turned_away INTEGER NOT NULL,
            last INTEGER NOT NULL
        ) STRICT;
        """,
    ),
)


class ResidentError(InspectionError):
    """A resident cannot be added, found or removed."""

    def __init__(self, reason: str, field: str = "") -> None:
        """`field` is what of a form is in fault: the name or the passphrase."""
        super().__init__(reason)
        self.field = field


class ResidentRole(enum.StrEnum):
    """What a resident may do."""

    OWNER = "owner"
    """Everything."""
    READER = "reader"
    """Look and check; neither consents, nor applets, nor exports."""

    def includes(self, other: "ResidentRole") -> bool:
        """Tell whether whoever has this role may do what `other` may."""
        return self is ResidentRole.OWNER or other is ResidentRole.READER


@dataclass(frozen=True, slots=True)
class Resident:
    """Somebody who may sign in."""

    name: str
    role: ResidentRole
    added: int
    """When, in epoch seconds; or when the passphrase was changed last."""


@dataclass(slots=True)
class Residents:
    """The residents of one hub; close it when done."""

    database: Database
    now: Callable[[], int]
    passphrases: Passphrases = field(repr=False)

    @classmethod
    def open(cls, folder: Path, now: Callable[[], int], randomness: Callable[[int], bytes]) -> Self:
        """Open the file in a hub's folder, made at the first call ever."""
        database = Database(folder / FILE, (RESIDENTS_COMPONENT,))
        return cls(database, now, Passphrases.make(randomness))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def all(self) -> list[Resident]:
        """Return the residents in the order of their names."""
        rows = self.database.connection.execute(
            "SELECT name, role, added FROM resident ORDER BY name"
        )
        return [Resident(name, ResidentRole(role), added) for name, role, added in rows]

    def find(self, name: str) -> Resident | None:
        """Return the resident of that name, or None."""
        return next((each for each in self.all() if each.name == name), None)

    def _require(self, name: str) -> Resident:
        if (resident := self.find(name)) is None:
            raise ResidentError(f"there is no resident {name}")
        return resident

    def add(self, name: str, role: ResidentRole, passphrase: str) -> Resident:
        """Add a resident; raise `ResidentError` for a name that is taken or a weak passphrase."""
        if not NAME.fullmatch(name):
            raise ResidentError(
                f"{name!r} is no name: a letter, then letters, digits, '.', '_' or '-', all small",
                "name",
            )
        hashed = self._hashed(passphrase)
        with self.database.transaction() as connection:
            if self.find(name) is not None:
                raise ResidentError(f"there is a resident {name} already", "name")
            resident = Resident(name, role, self.now())
            connection.execute(
                "INSERT INTO resident VALUES (?, ?, ?, ?)", (name, role, hashed, resident.added)
            )
        return resident

    def add_first(self, name: str, passphrase: str) -> Resident:
        """Add the first owner; raise `ResidentError` where there is a resident already."""
        with self.database.transaction():
            if self.all():
                raise ResidentError("this hub has an owner already")
            return self.add(name, ResidentRole.OWNER, passphrase)

    def change(self, name: str, passphrase: str) -> Resident:
        """Give a resident another passphrase; who is signed in so is signed out."""
        hashed = self._hashed(passphrase)
        with self.database.transaction() as connection:
            resident = self._require(name)
            # A session holds for the resident it began with; that one is another from now on.
            changed = Resident(name, resident.role, max(self.now(), resident.added + 1))
            connection.execute(
                "UPDATE resident SET passphrase = ?, added = ? WHERE name = ?",
                (hashed, changed.added, name),
            )
        return changed

    def remove(self, name: str) -> None:
        """Remove a resident; raise `ResidentError` where there is none, or it is the last owner."""
        with self.database.transaction() as connection:
            self._require(name)
            owners = [each.name for each in self.all() if each.role is ResidentRole.OWNER]
            if owners == [name]:
                raise ResidentError(f"{name} is the last owner; add another one first")
            connection.execute("DELETE FROM resident WHERE name = ?", (name,))

    def verify(self, name: str, passphrase: str) -> Resident | None:
        """Return the resident if the passphrase is theirs, else None, after as much work."""
        row = self.database.connection.execute(
            "SELECT passphrase FROM resident WHERE name = ?", (name,)
        ).fetchone()
        if not self.passphrases.holds(None if row is None else row[0], passphrase):
            return None
        return self.find(name)

    def _hashed(self, passphrase: str) -> str:
        try:
            return self.passphrases.hash(passphrase)
        except WeakPassphrase as weak:
            raise ResidentError(str(weak), "passphrase") from None
