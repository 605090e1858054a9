# SPDX-License-Identifier: Apache-2.0
"""Copies a whole database into an empty one, between SQLite and PostgreSQL too.

Used to move a utility that has outgrown its file, and for backups: a backup is a folder like any
other, with the database as a file. What is copied is one moment's content, and nothing is half
copied: the target holds all of it, or nothing.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, delete, insert, inspect, select

from utility_server.database import UTILITY, Schema, open_database, reading, writing
from utility_server.errors import StoreError
from utility_server.folders import new_folder
from utility_server.locations import URL_FILE, keep_location, location_in

_ROWS: Final = 200
"""Rows held at a time: evidence has a tenth of a megabyte a row."""
_DATABASE: Final = "utility.db"
Told = Callable[[str, int], None]
"""Gets a table's name and how many of its rows are copied so far."""


def _silent(_table: str, _rows: int) -> None:
    """Tell nobody."""


def copy_database(source: Connection, target: Engine, schema: Schema, told: Told = _silent) -> None:
    """Copy all rows of one database, of the present version, into another that is empty."""
    with writing(target) as connection:
        for table in schema.metadata.sorted_tables:
            if connection.execute(select(table).limit(1)).first() is not None:
                connection.execute(delete(table))  # the version, and nothing else in an empty one
            copied = 0
            query = select(table).order_by(*table.primary_key.columns)
            with source.execute(query.execution_options(yield_per=_ROWS)) as rows:
                for part in rows.mappings().partitions():
                    connection.execute(insert(table), [dict(row) for row in part])
                    told(table.name, copied := copied + len(part))


def move_database(folder: Path, url: URL, told: Told = _silent) -> None:
    """Move a utility's tables from the file in its folder to an empty PostgreSQL database.

    Processes that have the file open cannot write to it any more. The file stays, as
    `utility.db.moved`. Cut off before the end, everything is as it was: empty the database, and
    say it again. Raises `StoreError`.
    """
    path = location_in(folder, _DATABASE)
    if not isinstance(path, Path):
        raise StoreError(f"{folder}: there is no {_DATABASE} to be moved")
    source = open_database(path)
    try:
        with writing(source) as connection:
            target = open_database(url, must_be_new=True)
            try:
                copy_database(connection, target, UTILITY, told)
            finally:
                target.dispose()
            for table in inspect(connection).get_table_names():
                for change in ("INSERT", "UPDATE", "DELETE"):
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER moved_{change}_{table} BEFORE {change} ON {table}"
                        " BEGIN SELECT RAISE(ABORT, 'the tables are in PostgreSQL now'); END"
                    )
            keep_location(folder, url)  # from here on, whoever opens the folder finds it there
    finally:
        source.dispose()
    path.rename(path.with_suffix(".db.moved"))


@contextmanager
def _opened(location: Path | URL) -> Iterator[Engine]:
    engine = open_database(location)
    try:
        yield engine
    finally:
        engine.dispose()


def back_up(folder: Path, target: Path, told: Told = _silent) -> None:
    """Copy a utility into a new folder: tables, keys, lists and limits, of one moment.

    The copy is a utility like any other, with its tables in a file. It holds all keys; keep it as
    safely as the utility. Raises `StoreError`; then nothing of it stays.
    """
    location = location_in(folder, _DATABASE)
    if location is None:
        raise StoreError(f"{folder}: there is no utility; `meterlet utility init` makes one")
    if target.resolve().is_relative_to(folder.resolve()):
        raise StoreError(f"{target}: within the utility's own folder")
    with new_folder(target, "a backup"), _opened(location) as source:
        with reading(source) as connection, _opened(target / _DATABASE) as copy:
            copy_database(connection, copy, UTILITY, told)
        for path in sorted(folder.iterdir()):
            if path.name == URL_FILE or path.name.startswith(_DATABASE):
                continue
            if path.is_dir():
                shutil.copytree(path, target / path.name)
            elif path.is_file():
                shutil.copy2(path, target / path.name)
        os.sync()
