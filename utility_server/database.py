# SPDX-License-Identifier: Apache-2.0
"""The utility's tables: SQLite in a file, or PostgreSQL where there are many customers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from utility_server.errors import StoreError

__all__ = [
    "customer_table",
    "evidence_table",
    "ledger_table",
    "open_database",
    "reading",
    "writing",
]

SCHEMA_VERSION: Final = 2
_WRITES: Final = "meterlet_writes"

_metadata: Final = MetaData()

schema_table: Final = Table("schema_version", _metadata, Column("version", Integer, nullable=False))

customer_table: Final = Table(
    "customer",
    _metadata,
    Column("meter", LargeBinary, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

ledger_table: Final = Table(
    "ledger_entry",
    _metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("meter", LargeBinary, nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

evidence_table: Final = Table(
    "evidence",
    _metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("kind", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
)


def open_database(location: Path | str | URL) -> Engine:
    """Open (and create where it is new) the database at a path or SQLAlchemy URL.

    A new file gets mode 0600. Raises `StoreError`, having written nothing, where the database is
    something else or of a newer schema.
    """
    if isinstance(location, Path):
        if not location.exists():
            location.touch(mode=0o600)
        location = URL.create("sqlite", database=str(location))
    engine = create_engine(location)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    try:
        with writing(engine) as connection:
            _check_schema(connection, str(engine.url.database))
    except StoreError:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run the block as one transaction that takes the write lock before it reads.

    Raises `StoreError` where the database is damaged, locked or full; then nothing is written.
    """
    with (
        _named_errors(engine),
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run the block on what one moment's database holds; raise `StoreError` if it is damaged."""
    with _named_errors(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _named_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"{engine.url.database}: {error.orig}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{engine.url.database}: not what this program writes") from error


def _check_schema(connection: Connection, name: str) -> None:
    tables = inspect(connection).get_table_names()
    if not tables:
        _metadata.create_all(connection)
        connection.execute(insert(schema_table).values(version=SCHEMA_VERSION))
        return
    if schema_table.name not in tables or ledger_table.name not in tables:
        raise StoreError(f"{name}: not a utility's database")
    version = connection.execute(select(schema_table.c.version)).scalar_one()
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{name}: its schema has version {version}, this release knows {SCHEMA_VERSION}"
        )


def _prepare_sqlite(engine: Engine) -> None:
    # The driver would begin transactions late and commit before DDL; we say when, ourselves.
    @event.listens_for(engine, "connect")
    def on_connect(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3.Connection
        cursor = connection.cursor()  # type: ignore[attr-defined]  # sqlite3.Connection
        cursor.execute("PRAGMA trusted_schema = OFF")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
