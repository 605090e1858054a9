# SPDX-License-Identifier: Apache-2.0
"""A disk whose power fails at the n-th write, for a database that does not know it.

SQLite runs on a file system of our own (an APSW VFS) that counts writes, truncations and
deletions. At the chosen one the power fails: nothing more reaches the disk. What a real disk may do
to the write under way, and to those it had not been told to keep yet, is tried in three ways: the
write is missing, half of it is there (torn), everything since the last sync is gone too (lost).
"""

import enum
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest


class Cut(enum.Enum):
    """What the disk makes of the write at which the power fails."""

    MISSING = enum.auto()
    TORN = enum.auto()
    LOST = enum.auto()


class PowerLost(Exception):
    """There is no power any more."""


class Disk(apsw.VFS):
    """A file system that fails at write number `cut_at`, counting from 1; 0 is never."""

    def __init__(self, name: str) -> None:
        super().__init__(name, base="")
        self.name = name
        self.begin(0, Cut.MISSING)

    def begin(self, cut_at: int, cut: Cut) -> None:
        self.cut_at, self.cut = cut_at, cut
        self.writes = 0
        self.off = False
        self.unsynced: list[tuple[str, int, bytes, int]] = []

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        self.count()
        super().xDelete(name, sync)

    def count(self) -> bool:
        """Count a write; return whether the power fails at it."""
        if self.off:
            raise PowerLost
        self.writes += 1
        if self.writes == self.cut_at:
            self.off = True
        return self.off

    def fail(self) -> None:
        if self.cut is Cut.LOST:
            for path, offset, before, size in reversed(self.unsynced):
                with Path(path).open("r+b") as file:
                    file.seek(offset)
                    file.write(before)
                    file.truncate(size)
        raise PowerLost


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self.disk = disk
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self.disk.count():
            if self.disk.cut is Cut.TORN:
                super().xWrite(data[: len(data) // 2], offset)
            self.disk.fail()
        size = super().xFileSize()
        length = max(0, min(len(data), size - offset))
        before = bytes(super().xRead(length, offset)) if length else b""
        self.disk.unsynced.append((self.path or "", offset, before, size))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        if self.disk.count():
            self.disk.fail()
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        if self.disk.off:
            raise PowerLost
        # The files outlive the test's power cut as they are: no need to wait for the real disk.
        self.disk.unsynced = [item for item in self.disk.unsynced if item[0] != self.path]


class Connected:
    """As much of `sqlite3.Connection` as the hub uses, over APSW."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._connection = apsw.Connection(str(path), vfs=disk.name)
        # APSW's files have no shared memory; alone with the file, SQLite's log needs none.
        self.execute("PRAGMA locking_mode = EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        with translated():
            return Cursor(self._connection.cursor().execute(statement, tuple(values)))

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Any:
        with translated():
            return Cursor(self._connection.cursor().executemany(statement, list(rows)))

    def close(self) -> None:
        with translated():
            self._connection.close()


class Cursor:
    def __init__(self, cursor: Any) -> None:
        with translated():
            self._rows: Iterator[Any] = iter(cursor.fetchall())

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (apsw.Error, PowerLost) as error:
        raise sqlite3.OperationalError(str(error) or "power lost") from error


class Sqlite3:
    """Stands in for the module `sqlite3` where the hub opens its database."""

    DatabaseError = sqlite3.DatabaseError
    Connection = sqlite3.Connection
    complete_statement = staticmethod(sqlite3.complete_statement)

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def connect(self, path: Path, **_: Any) -> "Connected":
        return Connected(path, self._disk)


@contextmanager
def disk() -> Iterator[Disk]:
    """Let every database that the hub opens meanwhile be on a disk that can fail."""
    made = Disk("failing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.vault.database.sqlite3", Sqlite3(made))
        yield made
    made.unregister()
