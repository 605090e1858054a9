# SPDX-License-Identifier: Apache-2.0
"""The store of aggregates and worths, sealed at rest, and how its keys are rotated.

    aggregate   (region, resolution, begin, end) -> key number, sealed sums
    worth       (region, begin, end, index) -> key number, sealed worth
    release     digest of a question -> region, ρ spent, key number, sealed noisy answer
    budget      region -> what may be spent, what is spent (nano-ρ)
    member      meter -> region, its certificate
    data_key    number -> name of the wrapping key, wrapped data key

Rotation makes a new wrapping key and a new data key and seals every row again in one
transaction; then the old wrapping key's file is deleted. Cut off at any point, either the old
keys or the new ones open everything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from utility_server.database import Schema, open_database, reading, schema_table, writing
from utility_server.errors import StoreError
from utility_server.grid.mdms.aggregates import Aggregate, Place
from utility_server.grid.mdms.group_value import Worth, WorthPlace
from utility_server.grid.mdms.sealing import DATA_KEY_SIZE, Sealer, WrappingKey

_metadata: Final = MetaData()

schema_table.to_metadata(_metadata)

aggregate_table: Final = Table(
    "aggregate",
    _metadata,
    Column("region", String, primary_key=True),
    Column("resolution", Integer, primary_key=True, autoincrement=False),
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

worth_table: Final = Table(
    "worth",
    _metadata,
    Column("region", String, primary_key=True),
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, primary_key=True, autoincrement=False),
    Column("index", String, primary_key=True),
    Column("key", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

release_table: Final = Table(
    "release",
    _metadata,
    Column("question", LargeBinary, primary_key=True),
    Column("region", String, nullable=False),
    Column("nano_rho", BigInteger, nullable=False),
    Column("key", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

budget_table: Final = Table(
    "budget",
    _metadata,
    Column("region", String, primary_key=True),
    Column("nano_rho", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
)

member_table: Final = Table(
    "member",
    _metadata,
    Column("meter", LargeBinary, primary_key=True),
    Column("region", String, nullable=False),
    Column("certificate", LargeBinary, nullable=False),
)

data_key_table: Final = Table(
    "data_key",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("wrapping", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

SCHEMA_VERSION: Final = 2


def _migrate(connection: Connection) -> None:
    """Bring a database of version 1 to this one: it knew load curves only."""
    worth_table.create(connection)
    connection.execute(update(schema_table).values(version=SCHEMA_VERSION))


MDMS: Final = Schema(_metadata, aggregate_table.name, "an MDMS", SCHEMA_VERSION, _migrate)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did."""

    wrapping: bytes
    """The name of the new wrapping key."""
    data_key: int
    """The number of the new data key."""
    rows: int
    """Rows sealed again."""
    retired: int
    """Wrapping keys deleted."""


@dataclass(slots=True)
class AggregateStore:
    """The MDMS's database and the keys that open it."""

    engine: Engine
    keys: Path
    """The folder of the wrapping keys."""
    randomness: Callable[[int], bytes] = field(repr=False)
    sealer: Sealer = field(repr=False)

    @classmethod
    def create(cls, database: Path, keys: Path, randomness: Callable[[int], bytes]) -> Self:
        """Make a new store with new keys."""
        if database.exists():
            raise StoreError(f"{database}: exists already")
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        wrapping, data_key = WrappingKey.create(keys), randomness(DATA_KEY_SIZE)
        engine = open_database(database, MDMS)
        with writing(engine) as connection:
            _insert_key(connection, 1, wrapping, data_key)
        return cls(engine, keys, randomness, Sealer({1: data_key}, randomness))

    @classmethod
    def open(cls, database: Path, keys: Path, randomness: Callable[[int], bytes]) -> Self:
        """Open a store; raise `StoreError` where a key is missing or does not fit."""
        engine = open_database(database, MDMS)
        try:
            with reading(engine) as connection:
                rows = connection.execute(select(data_key_table)).all()
            if not rows:
                raise StoreError(f"{database}: it has no data key")
            names = {row.wrapping for row in rows}
            wrapping = {name: WrappingKey.load(keys, name) for name in names}
            data_keys = {row.number: wrapping[row.wrapping].unwrap(row.wrapped) for row in rows}
        except StoreError:
            engine.dispose()
            raise
        return cls(engine, keys, randomness, Sealer(data_keys, randomness))

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()

    def add(self, aggregate: Aggregate) -> None:
        """Keep an aggregate; raise `StoreError` if one of its region overlaps it.

        One home's use would be the difference of two sums over nearly the same homes.
        """
        place = aggregate.place
        with writing(self.engine) as connection:
            self.check_keys(connection)
            _require_free(connection, place)
            connection.execute(
                insert(aggregate_table).values(
                    region=place.region,
                    resolution=place.resolution_minutes,
                    begin=place.begin,
                    end=place.end,
                    key=self.sealer.current,
                    sealed=self.sealer.seal(aggregate_table.name, place.parts, aggregate.encode()),
                )
            )

    def require_free(self, place: Place) -> None:
        """Return if an aggregate could be added there; raise `StoreError` otherwise."""
        with reading(self.engine) as connection:
            _require_free(connection, place)

    def places(self, region: str | None = None) -> list[Place]:
        """Return what is stored, in order, of one region or of all."""
        table = aggregate_table.c
        query = select(table.region, table.resolution, table.begin, table.end)
        if region is not None:
            query = query.where(table.region == region)
        with reading(self.engine) as connection:
            return sorted(Place(*row) for row in connection.execute(query))

    def between(
        self, region: str, resolution_minutes: int, begin: int, end: int
    ) -> Iterator[Aggregate]:
        """Yield the aggregates of a region that [begin, end) touches, in order of time."""
        table = aggregate_table.c
        query = (
            select(aggregate_table)
            .where(
                table.region == region,
                table.resolution == resolution_minutes,
                table.begin < end,
                table.end > begin,
            )
            .order_by(table.begin)
        )
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        for row in rows:
            place = Place(row.region, row.resolution, row.begin, row.end)
            plain = self.sealer.open(aggregate_table.name, row.key, place.parts, row.sealed)
            yield Aggregate.decode(place, plain)

    def put_worth(self, worth: Worth) -> None:
        """Keep a worth, in the place of one of the same group, period and index."""
        place = worth.place
        at = dict(zip(("region", "begin", "end", "index"), place.parts, strict=True))
        with writing(self.engine) as connection:
            self.check_keys(connection)
            connection.execute(
                delete(worth_table).where(*(worth_table.c[name] == at[name] for name in at))
            )
            sealed = self.sealer.seal(worth_table.name, place.parts, worth.encode())
            connection.execute(
                insert(worth_table).values(**at, key=self.sealer.current, sealed=sealed)
            )

    def find_worth(self, place: WorthPlace) -> Worth | None:
        """Return the worth that is stored at `place`, or None."""
        table = worth_table.c
        columns = table.region, table.begin, table.end, table.index
        pairs = zip(columns, place.parts, strict=True)
        query = select(worth_table).where(*(column == part for column, part in pairs))
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        plain = self.sealer.open(worth_table.name, row.key, place.parts, row.sealed)
        return Worth.decode(place, plain)

    def check_keys(self, connection: Connection) -> None:
        """Raise `StoreError` if another process has rotated the keys; called before each write."""
        numbers = set(connection.execute(select(data_key_table.c.number)).scalars())
        if numbers != set(self.sealer.data_keys):
            raise StoreError("the keys were rotated by another process; open the store again")

    def rotate(self) -> Rotation:
        """Seal everything again under new keys and forget the old ones."""
        old = self.sealer
        wrapping = WrappingKey.create(self.keys)
        number, data_key = old.current + 1, self.randomness(DATA_KEY_SIZE)
        new = Sealer({number: data_key}, self.randomness)
        with writing(self.engine) as connection:
            try:
                self.check_keys(connection)
                rows = _seal_again(connection, old, new)
            except StoreError:
                wrapping.path(self.keys).unlink()
                raise
            connection.execute(delete(data_key_table))
            _insert_key(connection, number, wrapping, data_key)
        self.sealer = new
        retired = [name for name in WrappingKey.names(self.keys) if name != wrapping.name]
        for name in retired:
            WrappingKey.load(self.keys, name).path(self.keys).unlink()
        return Rotation(wrapping.name, number, rows, len(retired))


def _require_free(connection: Connection, place: Place) -> None:
    table = aggregate_table.c
    overlapping = connection.execute(
        select(table.begin).where(
            table.region == place.region,
            table.resolution == place.resolution_minutes,
            table.begin < place.end,
            table.end > place.begin,
        )
    ).first()
    if overlapping is not None:
        raise StoreError(f"region {place.region}: a sum of this time is stored already")


def _insert_key(
    connection: Connection, number: int, wrapping: WrappingKey, data_key: bytes
) -> None:
    connection.execute(
        insert(data_key_table).values(
            number=number, wrapping=wrapping.name, wrapped=wrapping.wrap(data_key)
        )
    )


def _seal_again(connection: Connection, old: Sealer, new: Sealer) -> int:
    count = 0
    for table, columns in (
        (aggregate_table, ("region", "resolution", "begin", "end")),
        (worth_table, ("region", "begin", "end", "index")),
        (release_table, ("region", "question")),
    ):
        for row in connection.execute(select(table)).all():
            place = tuple(getattr(row, name) for name in columns)
            plain = old.open(table.name, row.key, place, row.sealed)
            where = [column == getattr(row, column.name) for column in table.primary_key]
            connection.execute(
                update(table)
                .where(*where)
                .values(key=new.current, sealed=new.seal(table.name, place, plain))
            )
            count += 1
    return count
