# SPDX-License-Identifier: Apache-2.0
"""The store of aggregates and groups' values, sealed at rest, and how its keys are rotated.

    aggregate   (region, resolution, begin, end) -> key number, sealed sums
    worth       (region, begin, end, index) -> key number, sealed value of a group
    release     digest of a question -> region, ρ spent, key number, sealed noisy answer
    budget      region -> what may be spent, what is spent (nano-ρ)
    member      meter -> region, its certificate
    roster      region, applet -> the members' keys, from one round to the next (`rosters`)
    data_key    number -> name of the wrapping key, wrapped data key

Rotation makes a new wrapping key and a new data key and seals every row again in one
transaction; then the old wrapping key's file is deleted. Cut off at any point, either the old
keys or the new ones open everything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
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

from utility_server.database import Schema, declare, open_database, reading, schema_table, writing
from utility_server.errors import StoreError
from utility_server.grid.mdms.aggregates import Aggregate, AggregateSpan
from utility_server.grid.mdms.group_value import GroupValue, GroupValueSpan
from utility_server.grid.mdms.sealing import DATA_KEY_SIZE, Sealer, WrappingKey
from utility_server.transactions import name_of

_metadata: Final = MetaData()

schema_table.to_metadata(_metadata)

_SEALED: Final = {"key": Integer, "sealed": LargeBinary}

aggregate_table: Final = declare(
    _metadata,
    "aggregate",
    {"region": String, "resolution": Integer, "begin": BigInteger, "end": BigInteger},
    _SEALED,
)
group_value_table: Final = declare(
    _metadata,
    "worth",
    {"region": String, "begin": BigInteger, "end": BigInteger, "index": String},
    _SEALED,
)
release_table: Final = declare(
    _metadata,
    "release",
    {"question": LargeBinary},
    {"region": String, "nano_rho": BigInteger, **_SEALED},
)
budget_table: Final = declare(
    _metadata, "budget", {"region": String}, {"nano_rho": BigInteger, "spent": BigInteger}
)
member_table: Final = declare(
    _metadata, "member", {"meter": LargeBinary}, {"region": String, "certificate": LargeBinary}
)
data_key_table: Final = declare(
    _metadata, "data_key", {"number": Integer}, {"wrapping": LargeBinary, "wrapped": LargeBinary}
)
roster_table: Final = declare(
    _metadata,
    "roster",
    {"region": String, "weighted": Integer},
    {
        "nonce": LargeBinary,
        "made": BigInteger,
        "until": BigInteger,
        "members": LargeBinary,
        "absent": LargeBinary,
    },
)

SCHEMA_VERSION: Final = 3


def _migrate(connection: Connection) -> None:
    """Bring a database to this version: 1 knew load curves only, 2 kept no rosters."""
    _metadata.create_all(connection)
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
    def create(cls, database: Path | URL, keys: Path, randomness: Callable[[int], bytes]) -> Self:
        """Make a new store with new keys, in a new file or an empty database."""
        if isinstance(database, Path) and database.exists():
            raise StoreError(f"{database}: exists already")
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        wrapping, data_key = WrappingKey.create(keys), randomness(DATA_KEY_SIZE)
        engine = open_database(database, MDMS, must_be_new=True)
        with writing(engine) as connection:
            _insert_key(connection, 1, wrapping, data_key)
        return cls(engine, keys, randomness, Sealer({1: data_key}, randomness))

    @classmethod
    def open(cls, database: Path | URL, keys: Path, randomness: Callable[[int], bytes]) -> Self:
        """Open a store; raise `StoreError` where a key is missing or does not fit."""
        engine = open_database(database, MDMS)
        try:
            with reading(engine) as connection:
                rows = connection.execute(select(data_key_table)).all()
            if not rows:
                raise StoreError(f"{name_of(engine)}: it has no data key")
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
        with writing(self.engine) as connection:
            self.check_keys(connection)
            _require_free(connection, aggregate.span)
            self._insert(connection, aggregate_table, aggregate.span.parts, aggregate.encode())

    def require_free(self, span: AggregateSpan) -> None:
        """Return if an aggregate could be added there; raise `StoreError` otherwise."""
        with reading(self.engine) as connection:
            _require_free(connection, span)

    def spans(self, region: str | None = None) -> list[AggregateSpan]:
        """Return what is stored, in order, of one region or of all."""
        table = aggregate_table.c
        query = select(table.region, table.resolution, table.begin, table.end)
        if region is not None:
            query = query.where(table.region == region)
        with reading(self.engine) as connection:
            return sorted(AggregateSpan(*row) for row in connection.execute(query))

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
            span = AggregateSpan(row.region, row.resolution, row.begin, row.end)
            plain = self.sealer.open(aggregate_table.name, row.key, span.parts, row.sealed)
            yield Aggregate.decode(span, plain)

    def put_group_value(self, value: GroupValue) -> None:
        """Keep a group's value; it replaces the one of the same group, period and index."""
        parts = value.span.parts
        with writing(self.engine) as connection:
            self.check_keys(connection)
            connection.execute(delete(group_value_table).where(*_at(group_value_table, parts)))
            self._insert(connection, group_value_table, parts, value.encode())

    def find_group_value(self, span: GroupValueSpan) -> GroupValue | None:
        """Return the group's value of that period and index, or None."""
        query = select(group_value_table).where(*_at(group_value_table, span.parts))
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        plain = self.sealer.open(group_value_table.name, row.key, span.parts, row.sealed)
        return GroupValue.decode(span, plain)

    def _insert(
        self, connection: Connection, table: Table, parts: Sequence[str | int], plain: bytes
    ) -> None:
        """Seal a row, bound to the parts of its key."""
        key = dict(zip(table.primary_key.columns.keys(), parts, strict=True))
        sealed = self.sealer.seal(table.name, tuple(parts), plain)
        connection.execute(insert(table).values(**key, key=self.sealer.current, sealed=sealed))

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


def _at(table: Table, parts: Sequence[str | int]) -> list[ColumnElement[bool]]:
    pairs = zip(table.primary_key.columns, parts, strict=True)
    return [column == part for column, part in pairs]


def _require_free(connection: Connection, span: AggregateSpan) -> None:
    table = aggregate_table.c
    overlapping = connection.execute(
        select(table.begin).where(
            table.region == span.region,
            table.resolution == span.resolution_minutes,
            table.begin < span.end,
            table.end > span.begin,
        )
    ).first()
    if overlapping is not None:
        raise StoreError(f"region {span.region}: a sum of this time is stored already")


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
        (aggregate_table, aggregate_table.primary_key.columns.keys()),
        (group_value_table, group_value_table.primary_key.columns.keys()),
        (release_table, ["region", "question"]),
    ):
        for row in connection.execute(select(table)).all():
            parts = tuple(getattr(row, name) for name in columns)
            plain = old.open(table.name, row.key, parts, row.sealed)
            where = _at(table, [getattr(row, key.name) for key in table.primary_key])
            sealed = new.seal(table.name, parts, plain)
            connection.execute(update(table).where(*where).values(key=new.current, sealed=sealed))
            count += 1
    return count
