# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server for tests, with a schema for each; and tests that run on both databases.

Where the server is not installed, tests that need it skip and say so.
"""

import functools
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, Engine, inspect

from utility_server import database
from utility_server.copying import copy_database
from utility_server.database import UTILITY
from utility_server.grid.mdms.store import MDMS
from utility_server.stack.postgresql_server import USER, PostgresServer, server_programs
from utility_server.transactions import engine_of


def new_server(*, is_durable: bool = False) -> PostgresServer:
    """Return a new server that runs, or skip the test."""
    if server_programs() is None:
        pytest.skip("NOT TESTED on PostgreSQL: its server is not installed (apt: postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="meterlet-pg-"))
    server = PostgresServer(folder, is_durable)
    server.start()
    return server


def kill_server(server: PostgresServer) -> None:
    """Kill a server with all its processes."""
    postmaster = server.process
    assert postmaster is not None
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for process in (postmaster, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(_is_alive(process) for process in (postmaster, *map(int, children))):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def remove_server(server: PostgresServer) -> None:
    """Stop a server and remove its folder."""
    if server.process is not None:
        kill_server(server)
    shutil.rmtree(server.folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@functools.cache
def usual_server() -> PostgresServer:
    """Return the server that this process's tests share."""
    return new_server()


def remove_usual_server() -> None:
    """Remove it, if it was started."""
    if usual_server.cache_info().currsize:
        remove_server(usual_server())
        usual_server.cache_clear()


def new_schema(server: PostgresServer | None = None) -> URL:
    """Return the URL of an empty schema of its own."""
    server, name = server or usual_server(), f"t{uuid4().hex[:16]}"
    with psycopg.connect(
        host=str(server.folder), user=USER, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return server.url.update_query_dict({"options": f"-csearch_path={name}"})


_as_files = [False]


@contextmanager
def as_files() -> Iterator[None]:
    """Let files be files within the block."""
    _as_files[0] = True
    try:
        yield
    finally:
        _as_files[0] = False


def _is_within(path: str, folder: Path) -> bool:
    return not _as_files[0] and Path(path).is_relative_to(folder.resolve())


@contextmanager
def files_in_postgresql(patch: pytest.MonkeyPatch, within: Path) -> Iterator[None]:
    """Let every database file within a folder be a schema of PostgreSQL, for this process.

    A file that holds tables is copied there when it is opened first.
    """
    usual_server()
    plain, places, engines = engine_of, dict[str, URL](), list[Engine]()

    def engine(url: URL, patience: float) -> Engine:
        path = os.path.realpath(str(url.database))
        if url.get_backend_name() == "sqlite" and _is_within(path, within):
            place = f"{path}:{Path(path).stat().st_ino}"
            if place not in places:
                places[place] = new_schema()
                _copy_file(plain(url, patience), places[place], patience)
            url = places[place]
        engines.append(plain(url, patience))
        return engines[-1]

    def _copy_file(source: Engine, target: URL, patience: float) -> None:
        try:
            with source.connect() as connection:
                tables = inspect(connection).get_table_names()
                for schema in (UTILITY, MDMS):
                    if schema.marker in tables:
                        with database.reading(source) as reading:
                            if not database._is_current(reading, schema):
                                pytest.skip("an older schema: SQLite alone had that")
                            goal = database.open_database(target, schema)
                            copy_database(reading, goal, schema)
                            goal.dispose()
        finally:
            source.dispose()

    patch.setattr(database, "engine_of", engine)
    yield
    for opened in engines:
        opened.dispose()


def change(engine: Engine, statement: str) -> int:
    """Change tables behind the product's back, with SQL of SQLite; return how many rows it met."""
    if engine.dialect.name == "postgresql":
        statement = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
        statement = re.sub(r"x'(\w*)'", r"'\\x\1'::bytea", statement)
        statement = re.sub(r"(?<![\w\"])end(?![\w\"])", '"end"', statement)
        statement = statement.replace("AS BLOB", "AS bytea")
    with engine.connect().execution_options(meterlet_writes=True) as connection:
        rows = connection.exec_driver_sql(statement).rowcount
        connection.commit()
    return rows
