# SPDX-License-Identifier: Apache-2.0
"""Transactions of SQLite and PostgreSQL, which take their locks before they read.

A transaction that writes takes its locks before it reads anything, so that none has to give up half
way: in SQLite the one write lock, in PostgreSQL advisory locks, for all or for what it names. Where
another process holds a lock, it waits, `PATIENCE_SECONDS` at most.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from utility_server.errors import StoreBusy, StoreError, StoreUnreachable

PATIENCE_SECONDS: Final = 60.0
"""How long to wait for another process that holds the database."""
TURN_SECONDS: Final = 1.0
"""SQLite waits so long at a time for the write lock; between two turns Ctrl-C is heard."""
CONNECT_SECONDS: Final = 4.0
"""How long a server may take to answer at all."""
_WRITES: Final = "meterlet_writes"
_BUSY_STATES: Final = ("55P03", "40P01", "40001", "53300")
"""PostgreSQL: no lock in time, deadlock, serialization failure, too many connections."""
_transaction: ContextVar[tuple[Engine, Connection] | None] = ContextVar(
    "_transaction", default=None
)
"""What this thread or task is writing."""


def engine_of(url: URL, patience: float) -> Engine:
    """Return what connects to a database; raise `StoreError` for another kind than the two."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        _prepare_sqlite(engine, patience)
        return engine
    if url.get_backend_name() != "postgresql":
        raise StoreError(f"{url.get_backend_name()}: databases are SQLite or PostgreSQL")
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a server that was restarted is no reason to fail
            connect_args={"connect_timeout": round(max(2.0, min(patience, CONNECT_SECONDS)))},
        )
    except ModuleNotFoundError:
        raise StoreError("PostgreSQL needs a driver: pip install 'meterlet[postgresql]'") from None
    _prepare_postgresql(engine, patience)
    return engine


@contextmanager
def writing(engine: Engine, *scopes: bytes) -> Iterator[Connection]:
    """Run the block as one transaction that takes its locks before it reads.

    Without `scopes` nobody else writes meanwhile. With them, nobody else who names one of them
    does, nor who names none; SQLite has one lock for all. Raises `StoreError` where the database is
    damaged, busy, full or not reached; then nothing is written, unless the connection was lost in
    the very moment of the commit: what is done again has to find out.
    """
    with (
        _named_errors(engine),
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        if engine.dialect.name == "postgresql":
            _lock(connection, scopes)
        token = _transaction.set((engine, connection))
        try:
            yield connection
        finally:
            _transaction.reset(token)


def _lock(connection: Connection, scopes: Sequence[bytes]) -> None:
    """Take PostgreSQL's advisory locks, which end with the transaction.

    What is read afterwards is newer than the locks: each statement sees what was committed before
    it. Locks are taken in order, so that two that want the same never wait for each other.
    """
    everything = f"SELECT pg_advisory_xact_lock{'_shared' if scopes else ''}({_LOCK_NUMBER})"
    connection.exec_driver_sql(f"{everything} FROM (SELECT '' AS scope) AS one")
    if scopes:  # in one statement: the rows of an array come in its order, and are locked so
        connection.exec_driver_sql(
            f"SELECT pg_advisory_xact_lock({_LOCK_NUMBER}) FROM unnest(%s::text[]) AS scope",  # noqa: S608 - constants
            ([scope.hex() for scope in sorted(set(scopes))],),
        )


_LOCK_NUMBER: Final = "hashtextextended(current_schema() || scope, 0)"
"""A lock's number, in SQL: a database may hold several parties' schemas.

That two scopes share one costs time, and nothing else."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run the block on what one moment's database holds; raise `StoreError` if it is damaged.

    Within `writing` that is what its transaction sees, with all that it has written.
    """
    within = _transaction.get()
    if within is not None and within[0] is engine:
        yield within[1]
        return
    with _named_errors(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _named_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if is_busy(error.orig):
            raise busy(engine) from error
        if error.connection_invalidated or _is_unreachable(error):
            reason = str(error.orig).strip().partition("\n")[0]
            raise StoreUnreachable(
                f"{name_of(engine)}: not reached: {reason}; is the server running?"
            ) from error
        raise StoreError(f"{name_of(engine)}: {error.orig}") from error
    except sqlite3.Error as error:  # of what `_prepare_sqlite` says to the driver itself
        raise StoreError(f"{name_of(engine)}: {error}") from error
    except PoolTimeout as error:
        raise busy(engine) from error
    except SQLAlchemyError as error:
        raise StoreError(f"{name_of(engine)}: not what this program writes") from error


def name_of(engine: Engine) -> str:
    """Return how messages name a database: a file's path, or a URL without its password."""
    if engine.dialect.name == "sqlite":
        return str(engine.url.database)
    return engine.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)


def _is_unreachable(error: DBAPIError) -> bool:
    """Tell whether a server was not reached, or is going down or coming up."""
    if not isinstance(error, OperationalError) or isinstance(error.orig, sqlite3.Error):
        return False
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state is None or state[:2] in ("08", "57")


def _prepare_sqlite(engine: Engine, patience: float) -> None:
    # The driver would begin transactions late and commit before DDL; we say when, ourselves.
    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = FULL")
        _wait_at_most(connection, patience)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
        if not connection.get_execution_options().get(_WRITES, False):
            driver.execute("BEGIN")
        elif not _took_write_lock(driver, patience):
            raise busy(engine)


def _prepare_postgresql(engine: Engine, patience: float) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            # Whatever somebody has set for the server, the role or the database.
            cursor.execute(f"SET lock_timeout = {round(1000 * patience)}")
            cursor.execute("SET idle_in_transaction_session_timeout = 0")
            cursor.execute("SET default_transaction_isolation = 'read committed'")
            cursor.execute("SET synchronous_commit = on")
        connection.commit()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(_WRITES, False):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _took_write_lock(connection: sqlite3.Connection, patience: float) -> bool:
    """Begin a transaction that writes; return whether that went before the patience had passed."""
    deadline = time.monotonic() + patience
    _wait_at_most(connection, min(TURN_SECONDS, patience))
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return True
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                if time.monotonic() >= deadline:
                    return False
    finally:
        _wait_at_most(connection, patience)


def _wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")


def is_busy(error: BaseException | None) -> bool:
    """Tell whether a database gave up because another process holds what is wanted."""
    if getattr(error, "sqlstate", None) in _BUSY_STATES:
        return True
    code: int = getattr(error, "sqlite_errorcode", 0)  # other databases' errors have none
    return code & 0xFF == sqlite3.SQLITE_BUSY  # the upper bits say more exactly why


def busy(engine: Engine) -> StoreBusy:
    """Return the error that says so, in a line."""
    return StoreBusy(f"the database {name_of(engine)} is busy; another meterlet process holds it")
