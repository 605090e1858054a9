# SPDX-License-Identifier: Apache-2.0
"""Tariffs that were withdrawn: nothing new is asked under them, whoever asks.

The service registers and withdraws tariffs. Commands bring theirs along; one that was withdrawn is
refused there, too.

Errors: TariffWithdrawn
"""

from datetime import UTC, datetime

from sqlalchemy import Engine, select

from utility_server.database import reading
from utility_server.database import registered_tariff_table as table
from utility_server.errors import TariffWithdrawn


def require_not_withdrawn(engine: Engine, digest: bytes) -> None:
    """Return if a tariff was not withdrawn, or never registered; else raise `TariffWithdrawn`."""
    query = select(table.c.name, table.c.revision, table.c.withdrawn)
    with reading(engine) as connection:
        row = connection.execute(query.where(table.c.digest == digest)).one_or_none()
    if row is not None and row.withdrawn:
        raise withdrawn(row.name, row.revision, row.withdrawn)


def withdrawn(name: str, revision: int, time: int) -> TariffWithdrawn:
    """Return the refusal of a tariff that was withdrawn at a moment, in epoch seconds."""
    return TariffWithdrawn(name, revision, str(datetime.fromtimestamp(time, UTC).date()))
