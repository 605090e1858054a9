# SPDX-License-Identifier: Apache-2.0
"""A hub's files replaced by those of another custody, all of them or none.

    .custody          the new files, while they are made
    .custody.ready    the same once they are whole: from then on they are the hub's

Renaming the folder is the one step that counts. Whoever is cut off before it has the hub as it was;
after it, opening the hub finishes what is left: what lies sealed of the former custody is
overwritten, its keys are, and the new files take their places. Each step may be done again.

Errors: DatabaseBusy
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from hub.durable import synchronise
from hub.vault.database import DatabaseBusy, is_busy
from hub.vault.key_file import NEXT_SUFFIX

MAKING: Final = ".custody"
READY: Final = ".custody.ready"
DATABASE: Final = "hub.db"
KEYS: Final = "keys"
BESIDE: Final = ("inspection.db", "residents.db")
"""Databases of the pages: sums, tokens, accounts. They are made again when they are used."""
ENROLMENTS: Final = "enrolments"
"""Files with keys of channels, which the pages have written."""
RECIPIENTS: Final = "recipients"
"""Keys and certificates with which the hub dials (`hub.dialling`)."""
SIDE_FILES: Final = ("-wal", "-shm", "-journal")
NO_KEY: Final = bytes(32)
"""In the place of a key's check value: no process that has the former key writes any more."""


@contextmanager
def new_files(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for the new files; they go unless `put_in_place` has taken them."""
    making = folder / MAKING
    _remove(making)
    making.mkdir(mode=0o700)
    descriptor = os.open(making, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # no other process takes them for left over
        yield making
    except BaseException:
        _remove(making)
        raise
    finally:
        os.close(descriptor)


def _remove_left_over(folder: Path) -> None:
    """Remove new files that nobody is making any more: there are keys among them."""
    try:
        descriptor = os.open(folder / MAKING, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder / MAKING)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


def put_in_place(folder: Path) -> None:
    """Make the new files the hub's; what is left to do is for `finish_replacing`."""
    for path in sorted((folder / MAKING).rglob("*")):
        synchronise(path)
    (folder / MAKING).rename(folder / READY)
    synchronise(folder)


def finish_replacing(folder: Path, step: Callable[[str], None] = lambda _: None) -> None:
    """Put new files that are whole in their places; nothing happens where there are none.

    Files of a hand-over that was cut off before they were whole are removed.

    `step` hears what is done next. Raises `DatabaseBusy` where another process keeps the former
    database to itself.
    """
    ready = folder / READY
    _remove_left_over(folder)
    with _alone(ready) as is_due:
        if not is_due:
            return
        if (ready / DATABASE).exists():
            for name in (DATABASE, *BESIDE):
                step(f"overwrite {name}")
                _overwrite_database(folder / name)
            step("remove what the pages have written")
            for name in BESIDE:
                _unlink_database(folder / name)
            _remove(folder / ENROLMENTS)
            _remove(folder / RECIPIENTS)
        for key in sorted((ready / KEYS).glob("*")):  # none where only this folder is left
            step(f"replace {key.name}")
            old = folder / KEYS / key.name
            _overwrite(old.with_name(old.name + NEXT_SUFFIX))
            _overwrite(old)
            key.replace(old)
        for path in sorted(ready.iterdir()):
            if path.name in (KEYS, DATABASE):
                continue
            step(f"replace {path.name}")
            if path.is_dir():
                _remove(folder / path.name)
            path.replace(folder / path.name)
        if (ready / DATABASE).exists():
            step("replace hub.db")
            _unlink_database(folder / DATABASE)
            (ready / DATABASE).replace(folder / DATABASE)
        step("done")
        synchronise(folder / KEYS)
        synchronise(folder)
        _remove(ready)
        synchronise(folder)


@contextmanager
def _alone(ready: Path) -> Iterator[bool]:
    """Say whether there is something to finish, and let no other process do it meanwhile."""
    try:
        descriptor = os.open(ready, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield ready.exists()  # another process may have finished while this one waited
    finally:
        os.close(descriptor)


def _overwrite_database(path: Path) -> None:
    """Empty a database, its free pages overwritten; a file that is none is let be."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            tables = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            for (name,) in tables:
                if name == "vault_key":
                    connection.execute("UPDATE vault_key SET check_value = ?", (NO_KEY,))
                else:
                    quoted = name.replace('"', '""')
                    connection.execute(f'DROP TABLE "{quoted}"')
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
    except sqlite3.Error as error:
        if is_busy(error):
            raise DatabaseBusy(path) from error


def _unlink_database(path: Path) -> None:
    for name in (path.name, *(path.name + suffix for suffix in SIDE_FILES)):
        with suppress(FileNotFoundError):
            path.with_name(name).unlink()


def _overwrite(path: Path) -> None:
    """Overwrite a secret's file and remove it; a disk may keep what it says it has overwritten."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()


def _remove(folder: Path) -> None:
    """Remove a folder, the files in it overwritten: they may be keys."""
    if not folder.exists():
        return
    for path in folder.rglob("*"):
        if path.is_file():
            _overwrite(path)
    shutil.rmtree(folder)
