# SPDX-License-Identifier: Apache-2.0
"""The hub's one SQLite file: opened safely, migrated, and written in transactions.

Every part of the hub that keeps state brings a `Component`: a name and its migrations in order.
A file that a newer release has written is refused untouched. Outermost transactions take the
write lock at once (`BEGIN IMMEDIATE`), inner ones are savepoints, so that an applet's
begin/commit/abort nests inside the one transaction of its APDU. Where another process holds that
lock, a transaction waits for it, `PATIENCE_SECONDS` at most.
"""

import hmac
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hub.errors import HubError
from hub.vault.sealing import SealBroken, Sealer, check_value_of

APPLICATION_ID: Final = 0x4D54524C
"""`MTRL`, in SQLite's header: tells a hub's file from any other."""
PATIENCE_SECONDS: Final = 60.0
"""How long to wait for another process that writes, such as one that takes in a year at once."""
TURN_SECONDS: Final = 1.0
"""SQLite waits so long at a time for the write lock; between two turns Ctrl-C is heard."""


class DatabaseError(HubError):
    """Base of what can be wrong with the hub's file."""

    status_word = 0x6581  # memory failure


class NotAHubDatabase(DatabaseError):
    """The file is not a hub's database, or it is damaged."""


class DatabaseBusy(DatabaseError, sqlite3.OperationalError):
    """Another process has held the write lock for all of the patience; nothing was written."""

    http_status = 503

    def __init__(self, path: Path) -> None:
        super().__init__(f"the database {path} is busy; another meterlet process holds it")


class TransactionUndone(DatabaseError, sqlite3.OperationalError):
    """SQLite has taken back the whole transaction, as where the disk is full; nothing is kept."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: what was being written was taken back; is the disk full?")


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the hub that keeps tables of its own."""

    name: str
    migrations: "tuple[str | Callable[[Database], None], ...]"
    """SQL scripts, and functions for what SQL cannot do, such as sealing; the schema's version is
    how many of them have run. A function writes within the transaction that is open."""


class SchemaTooNew(DatabaseError):
    """The file was written by a newer release; it has been left as it was."""

    def __init__(self, path: Path, component: Component, version: int) -> None:
        super().__init__(
            f"{path}: the tables of {component.name} have version {version},"
            f" this release knows {len(component.migrations)}"
        )


class Database:
    """A connection to the hub's file; one a process writes, any number read."""

    def __init__(
        self,
        path: Path,
        components: Sequence[Component],
        patience: float = PATIENCE_SECONDS,
        *,
        key: bytes = b"",
    ) -> None:
        """Open or create the file at `path` and bring the components' tables up to date.

        The file is created with mode 0600. `patience` is how many seconds a transaction waits for
        another process's. `key` is the vault's, for components that seal. Raises
        `NotAHubDatabase`, `SchemaTooNew` or `DatabaseBusy`; in each case nothing has been written.
        """
        self.path = path
        self._patience, self._key = patience, key
        self.require_current: Callable[[], None] = _always_current
        """Called at the start of each transaction; raises where nothing may be written any more."""
        self._sealers: dict[str, Sealer] = {}
        self.after_commit: list[Callable[[], None]] = []
        """Called after each outermost transaction has been committed, its lock held."""
        self._when_undone: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._depth = 0
        fresh = not path.exists() or path.stat().st_size == 0
        if fresh:
            path.touch(mode=0o600)
        try:
            self._connection = sqlite3.connect(
                path, timeout=patience, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise DatabaseError(f"{path}: {error}") from error
        try:
            self._migrate(fresh, components)
        except DatabaseError:
            self._connection.close()
            raise
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if is_busy(error):
                raise DatabaseBusy(path) from error
            raise NotAHubDatabase(f"{path}: {error}") from error

    def _migrate(self, fresh: bool, components: Sequence[Component]) -> None:
        connection = self._connection
        # An index or check that a foreign program left in the file must not run code of its own.
        connection.execute("PRAGMA trusted_schema = OFF")
        # What a migration takes away, or puts sealed in its place, is overwritten.
        connection.execute("PRAGMA secure_delete = ON")
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        if not fresh and application_id != APPLICATION_ID:
            raise NotAHubDatabase(f"{self.path}: not a hub's database")
        if not fresh and self._is_current(components):
            self._configure()  # whoever only looks waits for no one who writes
            return
        with self._exclusive():
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_version"
                " (component TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            versions: dict[str, int] = dict(connection.execute("SELECT * FROM schema_version"))
            for component in components:
                done = versions.get(component.name, 0)
                known = len(component.migrations)
                if done > known:
                    raise SchemaTooNew(self.path, component, done)
                for script in component.migrations[done:]:
                    if callable(script):
                        self._require_own_key()
                        script(self)
                        continue
                    for statement in _statements(script):
                        connection.execute(statement)
                if done < known:
                    connection.execute(
                        "INSERT OR REPLACE INTO schema_version VALUES (?, ?)",
                        (component.name, known),
                    )
        self._configure()

    def _require_own_key(self) -> None:
        """Let nothing of an older release be sealed with another hub's key; raise `SealBroken`."""
        tables = self._connection.execute("SELECT name FROM sqlite_schema").fetchall()
        if ("vault_key",) not in tables:
            return
        row = self._connection.execute("SELECT check_value FROM vault_key").fetchone()
        if row is not None and not hmac.compare_digest(row[0], check_value_of(self.key)):
            raise SealBroken(f"{self.path}: sealed with another key")

    def _is_current(self, components: Sequence[Component]) -> bool:
        tables = self._connection.execute("SELECT name FROM sqlite_schema").fetchall()
        if ("schema_version",) not in tables:
            return False
        versions: dict[str, int] = dict(self._connection.execute("SELECT * FROM schema_version"))
        return all(versions.get(part.name) == len(part.migrations) for part in components)

    def _configure(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        connection.execute("PRAGMA foreign_keys = ON")

    def _begin(self) -> None:
        """Take the write lock, or raise `DatabaseBusy` once the patience has passed."""
        connection, deadline = self._connection, time.monotonic() + self._patience
        self._wait_at_most(min(TURN_SECONDS, self._patience))
        try:
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if not is_busy(error):
                        raise
                    if time.monotonic() >= deadline:
                        raise DatabaseBusy(self.path) from error
        finally:
            self._wait_at_most(self._patience)

    def _wait_at_most(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._begin()
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # on a full disk SQLite has undone it all
                self._connection.execute("ROLLBACK")
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, in autocommit mode; write inside `transaction()` only."""
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction, or as a savepoint of the one that is open.

        Commits when the block ends, rolls back when it raises or cannot be committed. Threads take
        turns. Raises `DatabaseBusy`, before the block, where another process does not let go, and
        `TransactionUndone` where SQLite has taken back the whole transaction on the way.
        """
        with self._lock:
            if self._depth == 0:
                closing, undoing = "COMMIT", ["ROLLBACK"]
                self._begin()
            else:
                self._require_open()
                name = f"level_{self._depth}"
                closing, undoing = f"RELEASE {name}", [f"ROLLBACK TO {name}", f"RELEASE {name}"]
                self._connection.execute(f"SAVEPOINT {name}")
            self._depth += 1
            try:
                if self._depth == 1:
                    self.require_current()  # under the write lock: nobody changes that meanwhile
                yield self._connection
                self._require_open()
                self._connection.execute(closing)
            except BaseException:
                self._undo(undoing)
                raise
            else:
                if self._depth == 1:
                    self._when_undone.clear()
                    for follow in self.after_commit:
                        follow()
            finally:
                self._depth -= 1

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run the block on what one moment's file holds; it waits for nobody who writes.

        Within a transaction, what that has written is seen, too. The block writes nothing.
        """
        with self._lock:
            begun = not self._connection.in_transaction
            if begun:
                self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if begun and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def when_undone(self, forget: Callable[[], None]) -> None:
        """Have `forget` called if the outermost transaction that is open is not committed."""
        self._when_undone.append(forget)

    def _require_open(self) -> None:
        # Past this, statements would be committed one by one: SQLite undoes all on a full disk.
        if not self._connection.in_transaction:
            raise TransactionUndone(self.path)

    def _undo(self, statements: Sequence[str]) -> None:
        try:
            if self._connection.in_transaction:
                for statement in statements:
                    self._connection.execute(statement)
        finally:
            if self._depth == 1:
                undone, self._when_undone = self._when_undone, []
                for forget in undone:
                    forget()

    def sealer(self, purpose: str) -> Sealer:
        """Return what seals for a purpose under the key the file was opened with."""
        if purpose not in self._sealers:
            self._sealers[purpose] = Sealer.of(self.key, purpose)
        return self._sealers[purpose]

    @property
    def key(self) -> bytes:
        """The vault's key, which the file was opened with."""
        if not self._key:
            raise RuntimeError(f"{self.path}: opened without the key that seals what is in it")
        return self._key

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Give what SQLite says of a full disk, a lock or damage the file's name."""
        try:
            yield
        except DatabaseBusy:
            raise
        except sqlite3.Error as error:
            if is_busy(error):
                raise DatabaseBusy(self.path) from error
            raise DatabaseError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; nothing is lost, since every transaction is on the disk."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _always_current() -> None:
    """Do nothing: no part of the hub has said when its file has changed under it."""


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether SQLite gave up because another process holds the file."""
    code: int = getattr(error, "sqlite_errorcode", 0)  # our own errors have none
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the upper bits say more exactly why


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit the transaction that the migration runs in.
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):  # a trigger's body holds semicolons, too
            if statement.strip() != ";":
                yield statement
            statement = ""
