# SPDX-License-Identifier: Apache-2.0
"""Who may look: the residents of a household, each with a passphrase and a role.

They are kept in `residents.db` in the hub's folder, apart from the readings, so that signing in
never waits for a hub that is taking in a year. Of a passphrase only its Argon2id hash is stored.
"""

import enum
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Final, Self

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from hub.inspection.errors import InspectionError
from hub.vault.database import Component, Database

FILE: Final = "residents.db"
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")
SHORTEST, LONGEST = 6, 256
MEMORY_KIB: Final = 19 * 1024
"""With two passes: OWASP's second choice, so that a small hub can check one at a time."""

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
    _hasher: PasswordHasher = field(repr=False)
    _nobody: str = field(repr=False)
    """The hash of a passphrase that nobody knows: unknown names take as long as known ones."""
    _turn: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def open(cls, folder: Path, now: Callable[[], int], randomness: Callable[[int], bytes]) -> Self:
        """Open the file in a hub's folder, made at the first call ever."""
        hasher = PasswordHasher(
            time_cost=2, memory_cost=MEMORY_KIB, parallelism=1, hash_len=32, type=Type.ID
        )
        database = Database(folder / FILE, (RESIDENTS_COMPONENT,))
        return cls(database, now, hasher, hasher.hash(randomness(32)))

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
        hashed = self._hasher.hash(_checked(passphrase))
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
        hashed = self._hasher.hash(_checked(passphrase))
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
        """Return the resident if the passphrase is theirs, else None, after as much work.

        One is checked at a time: a crowd that guesses fills neither memory nor cores.
        """
        row = self.database.connection.execute(
            "SELECT passphrase FROM resident WHERE name = ?", (name,)
        ).fetchone()
        with self._turn:
            try:
                self._hasher.verify(self._nobody if row is None else row[0], _normal(passphrase))
            except (VerificationError, InvalidHashError):
                return None
        return None if row is None else self.find(name)


def _normal(passphrase: str) -> str:
    return unicodedata.normalize("NFKC", passphrase[: 4 * LONGEST])


def _checked(passphrase: str) -> str:
    """Return a passphrase that is worth having; the error never repeats it."""
    normal = _normal(passphrase)
    if not SHORTEST <= len(normal) <= LONGEST:
        reason = f"a PIN or passphrase has {SHORTEST} to {LONGEST} characters"
        raise ResidentError(reason, "passphrase")
    steps = {ord(b) - ord(a) for a, b in pairwise(normal)}
    if len(steps) == 1 and steps <= {-1, 0, 1}:
        reason = "that PIN or passphrase is the first one anybody would try"
        raise ResidentError(reason, "passphrase")
    return normal
