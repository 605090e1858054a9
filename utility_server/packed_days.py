# SPDX-License-Identifier: Apache-2.0
"""Certified days as the utility's database keeps them: a row for the days that came with a bill.

    row    = CBOR [what the first day names as the one before it, day, day, ...]
    day    = [digest, date, begins, ends, events]      the date as proleptic Gregorian ordinal
           | [digest]                                  of before version 5, where that is not known

Each day but the first names the one before it in the row. `begins` is empty where the day begins
just as the one before it in the row has ended.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, insert, inspect, text

from protocols.canonical.cbor import CborError
from protocols.canonical.stored import decode_row, encode_row
from utility_server.errors import StoreError

_MOST_IN_A_ROW: Final = 62
"""Days that older databases kept one by one are packed so many to a row at most."""
_ROWS_AT_ONCE: Final = 500


class Standing(NamedTuple):
    """How a register stands at both ends of a day, and what happened on it."""

    day: date
    begins: bytes
    ends: bytes
    events: bytes


class KnownDay(NamedTuple):
    """A certified day, as far as the utility keeps it."""

    previous: bytes
    """The digest of the day before."""
    digest: bytes
    standing: Standing | None
    """None where it is not known."""


def pack_days(days: Sequence[KnownDay]) -> bytes:
    """Return the encoding of days that follow each other; raise `ValueError` where they do not."""
    items: list[object] = [days[0].previous]
    ends, digest = b"", days[0].previous
    for day in days:
        if day.previous != digest:
            raise ValueError("the days do not follow each other")
        digest = day.digest
        if day.standing is None:
            items.append([digest])
            ends = b""
            continue
        when, begins, after, events = day.standing
        items.append([digest, when.toordinal(), b"" if begins == ends else begins, after, events])
        ends = after
    return encode_row(items)


def unpack_days(data: bytes) -> list[KnownDay]:
    """Return the days; raise `StoreError` where they are not what was written."""
    try:
        previous, *items = decode_row(data)
        return list(_unpacked(previous, items))
    except (CborError, ValueError, TypeError, OverflowError):
        raise StoreError("the utility's chain of days is not what was written") from None


def _unpacked(previous: Any, items: Iterable[Any]) -> Iterator[KnownDay]:
    ends = b""
    for item in items:
        match previous, item:
            case bytes(), [bytes(digest)]:
                yield KnownDay(previous, digest, None)
                ends = b""
            case bytes(), [
                bytes(digest), int(ordinal), bytes(begins), bytes(after), bytes(events)
            ]:  # fmt: skip
                standing = Standing(date.fromordinal(ordinal), begins or ends, after, events)
                yield KnownDay(previous, digest, standing)
                ends = after
            case _:
                raise ValueError("no day of ours")
        previous = digest


def runs_of(
    days: Iterable[tuple[int, KnownDay]], most: int
) -> Iterator[list[tuple[int, KnownDay]]]:
    """Yield numbered days in runs, `most` long at most, in which each follows the one before."""
    run: list[tuple[int, KnownDay]] = []
    for number, day in days:
        if run and (
            number != run[-1][0] + 1 or day.previous != run[-1][1].digest or len(run) == most
        ):
            yield run
            run = []
        run.append((number, day))
    if run:
        yield run


def pack_old_days(connection: Connection, spans: Table) -> None:
    """Pack the days of a database of before version 8, which had a row or two for each of them."""
    tables = inspect(connection).get_table_names()
    if "certified_chain" not in tables:
        return
    columns, more = ", NULL, NULL, NULL, NULL", ""
    if "day_standing" in tables:  # since version 5
        columns = ", s.day, s.begins, s.ends, s.events"
        more = " LEFT JOIN day_standing s USING (meter, register, counter)"
    query = text(
        f"SELECT meter, register, counter, c.previous, c.digest{columns}"  # noqa: S608 - constants
        f" FROM certified_chain c{more} ORDER BY meter, register, counter"
    )
    with connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)) as rows:
        packed = _packed(rows)
        while part := list(islice(packed, _ROWS_AT_ONCE)):
            connection.execute(insert(spans), part)
    for name in ("day_standing", "certified_chain"):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")


def _packed(rows: Iterable[Any]) -> Iterator[dict[str, object]]:
    key, numbered = (b"", b""), list[tuple[int, KnownDay]]()

    def flushed() -> Iterator[dict[str, object]]:
        for run in runs_of(numbered, _MOST_IN_A_ROW):
            yield {
                "meter": key[0], "register": key[1], "first": run[0][0], "last": run[-1][0],
                "days": pack_days([day for _, day in run]),
            }  # fmt: skip
        numbered.clear()

    for meter, register, counter, previous, digest, day, begins, ends, events in rows:
        if (bytes(meter), bytes(register)) != key or len(numbered) == _MOST_IN_A_ROW:
            yield from flushed()
        key = bytes(meter), bytes(register)
        standing = None
        if day is not None:
            standing = Standing(date.fromisoformat(day), bytes(begins), bytes(ends), bytes(events))
        numbered.append((counter, KnownDay(bytes(previous), bytes(digest), standing)))
    yield from flushed()
