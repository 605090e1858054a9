# SPDX-License-Identifier: Apache-2.0
"""The accounts of contracts that nobody has opened, and of which meters they are.

Such an account follows from the meter, and not the other way about. So what is looked up by its
account, or by how that begins, is looked up in a table, which each enrolment adds to.
"""

from hashlib import sha256
from typing import Final

from sqlalchemy import Column, Connection, Engine, exists, insert, select
from sqlalchemy.sql.elements import ColumnElement

from utility_server.database import contract_table, enrolment_table, reading, writing
from utility_server.database import implicit_account_table as table

ACCOUNT_SIZE: Final = 16
_LABEL: Final = b"meterlet implicit contract 1"
_AT_ONCE: Final = 1_000

Span = tuple[bytes, bytes | None]
"""From which bytes on, and below which; None: to the end."""


def implicit_account(meter: bytes) -> bytes:
    """Return the account of a meter without a contract on record."""
    return sha256(_LABEL + meter).digest()[:ACCOUNT_SIZE]


def note_account(connection: Connection, meter: bytes) -> None:
    """Let a meter that is being enrolled be found by its account; again changes nothing."""
    account = implicit_account(meter)
    known = select(table.c.account).where(table.c.account == account)
    if connection.execute(known).first() is None:
        connection.execute(insert(table).values(account=account, meter=meter))


def note_all_accounts(engine: Engine) -> int:
    """Do the same for whoever was enrolled before there was the table; return how many."""
    missing = (
        select(enrolment_table.c.meter)
        .distinct()
        .where(~exists().where(table.c.meter == enrolment_table.c.meter))
        .limit(_AT_ONCE)
    )
    noted = 0
    while True:
        with reading(engine) as connection:
            if connection.execute(missing.limit(1)).first() is None:
                return noted
        with writing(engine) as connection:
            for meter in connection.execute(missing).scalars().all():
                note_account(connection, bytes(meter))
                noted += 1


def span_of(digits: str) -> Span:
    """Return between which bytes all are whose hex begins with these digits, at least one."""
    pad = "0" * (len(digits) % 2)
    after = int(digits, 16) + 1
    is_last = after == 16 ** len(digits)
    high = None if is_last else bytes.fromhex(f"{after:0{len(digits)}x}" + pad)
    return bytes.fromhex(digits + pad), high


def within(column: Column[bytes], span: Span) -> ColumnElement[bool]:
    """Return the condition that a value is in a span: one range of the column's index."""
    low, high = span
    return column >= low if high is None else (column >= low) & (column < high)


def accounts_within(engine: Engine, span: Span, limit: int) -> list[tuple[bytes, bytes]]:
    """Return accounts in a span and their meters, in order.

    Of contracts on record, and of meters that have none; `limit` of each at most. Whether one of
    the second kind is in use still, the meter's contracts say.
    """
    found = set[tuple[bytes, bytes]]()
    with reading(engine) as connection:
        for source in (contract_table, table):
            query = select(source.c.account, source.c.meter).where(within(source.c.account, span))
            for row in connection.execute(query.order_by(source.c.account).limit(limit)):
                found.add((bytes(row.account), bytes(row.meter)))
    return sorted(found)


def meter_of_account(engine: Engine, account: bytes) -> bytes | None:
    """Return the meter that an account is or was of; None where there is no such account."""
    with reading(engine) as connection:
        for source in (contract_table, table):
            query = select(source.c.meter).where(source.c.account == account)
            meter = connection.execute(query).scalar_one_or_none()
            if meter is not None:
                return bytes(meter)
    return None
