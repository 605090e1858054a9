# SPDX-License-Identifier: Apache-2.0
"""What a transaction is going to write, collected: each table is written once, many rows together.

Nothing is in the database before `write`. What is collected can be taken back until then, so that a
part that fails needs no savepoint.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from sqlalchemy import Connection, Executable, Table, bindparam, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite

from utility_server.errors import StoreError

_Row = dict[str, object]


class _Does(IntEnum):
    DROP, CHANGE, KEEP, ADD = range(4)


@dataclass(frozen=True, slots=True)
class _Step:
    """What is done with rows of a table, all in one statement."""

    does: _Does
    table: Table
    found: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    def statement(self, connection: Connection) -> Executable:
        values: dict[str, object] = {name: bindparam(name) for name in self.values}
        where = [self.table.c[name] == bindparam(f"its_{name}") for name in self.found]
        match self.does:
            case _Does.DROP:
                return delete(self.table).where(*where)
            case _Does.CHANGE:
                return update(self.table).where(*where).values(values)
            case _Does.KEEP if connection.dialect.name == "postgresql":
                return postgresql.insert(self.table).on_conflict_do_nothing()
            case _Does.KEEP:
                return sqlite.insert(self.table).on_conflict_do_nothing()
        return insert(self.table)


@dataclass(slots=True)
class Writes:
    """Rows that go, change and come, in this order."""

    _steps: list[tuple[_Step, _Row]] = field(default_factory=list)

    def add(self, table: Table, **row: object) -> None:
        """Add a row, which must not be there."""
        self._steps.append((_Step(_Does.ADD, table), row))

    def keep(self, table: Table, **row: object) -> None:
        """Add a row, unless there is one with its key."""
        self._steps.append((_Step(_Does.KEEP, table), row))

    def change(self, table: Table, found: Mapping[str, object], **values: object) -> None:
        """Change the one row that has what is `found`; `write` raises where there is none."""
        row = {**_renamed(found), **values}
        self._steps.append((_Step(_Does.CHANGE, table, tuple(found), tuple(values)), row))

    def drop(self, table: Table, **found: object) -> None:
        """Drop the row that has what is `found`, if there is one."""
        self._steps.append((_Step(_Does.DROP, table, tuple(found)), _renamed(found)))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back what the block has collected, if it raises."""
        size = len(self._steps)
        try:
            yield
        except BaseException:
            del self._steps[size:]
            raise

    def write(self, connection: Connection) -> None:
        """Write all of it, and collect anew; raise `StoreError` where a row to change is not there.

        An error leaves the transaction half done: it has to be rolled back.
        """
        rows: dict[_Step, list[_Row]] = {}
        for step, row in self._steps:
            rows.setdefault(step, []).append(row)
        self._steps.clear()
        for step in sorted(rows, key=lambda one: one.does):  # stable: tables in their order
            done = connection.execute(step.statement(connection), rows[step])
            # Whoever has read the row under its lock finds it as it was; anything else is a fault.
            if step.does is _Does.CHANGE and done.rowcount != len(rows[step]):
                raise StoreError(f"{step.table.name}: a row was changed by another process")


def _renamed(found: Mapping[str, object]) -> _Row:
    """Return what a row is found by, under names that its values have not."""
    return {f"its_{name}": value for name, value in found.items()}
