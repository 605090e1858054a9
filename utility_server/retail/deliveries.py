# SPDX-License-Identifier: Apache-2.0
"""Which hubs have invoices to be delivered at an address, and who delivers them just now.

    due --> held by a deliverer, as long as he says so --> delivered, and forgotten
     ^                                             +-----> failed: due again after a pause

One deliverer has a hub at a time, for all of its invoices, in their order. If he dies, another has
it after `LEASE_SECONDS`. Then an invoice may be handed over twice, which does no harm: the hub
keeps the same document once. A hub that was not reached is due earlier than its pause says where
another of its bills was entered since: it has just answered somebody.

Invoices whose questions have no address are left alone: their hubs dial out, and a gateway has them
(`gateway.errands`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, Select, and_, delete, func, insert, or_, select, update

from utility_server.database import hub_delivery_table as table
from utility_server.database import question_table as questions
from utility_server.database import reading, writing
from utility_server.retail.questions import State

LEASE_SECONDS: Final = 60
"""Who holds a hub says so again within that time, or is taken for dead."""
FRESH_SECONDS: Final = 5
"""Whoever has asked at an address hands the invoice over himself, within that time."""
DELIVERIES: Final = b"deliveries"
"""What whoever writes of deliveries locks: one at a time, and for a moment."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The hubs that one utility has invoices for."""

    engine: Engine
    now: Callable[[], int]

    def take(self, holder: str, limit: int) -> list[bytes]:
        """Return meters whose hubs are due, `limit` at most, held from now on; oldest first."""
        query = self._due().limit(limit)
        with reading(self.engine) as connection:
            # A look that waits for no one who writes; most of the time there is nothing.
            if connection.execute(query.limit(1)).first() is None:
                return []
        with writing(self.engine, DELIVERIES) as connection:
            # Again, under the lock: of several deliverers one gets each hub.
            found = [bytes(row.meter) for row in connection.execute(query).all()]
            known = set(
                connection.execute(select(table.c.meter).where(table.c.meter.in_(found))).scalars()
            )
            until = self.now() + LEASE_SECONDS
            for meter in found:
                if meter in known:
                    connection.execute(
                        update(table).where(_is(meter)).values(holder=holder, lease=until)
                    )
                else:
                    row = {"holder": holder, "lease": until, "tries": 0, "failed": 0, "due": 0}
                    connection.execute(insert(table).values(meter=meter, **row))
        return found

    def hold_on(self, holder: str, meters: Iterable[bytes]) -> set[bytes]:
        """Hold hubs on while their invoices are delivered; return those that are still held."""
        until, held = self.now() + LEASE_SECONDS, set[bytes]()
        with writing(self.engine, DELIVERIES) as connection:
            for meter in meters:
                mine = update(table).where(_is(meter), table.c.holder == holder)
                if connection.execute(mine.values(lease=until)).rowcount == 1:
                    held.add(meter)
        return held

    def tries(self, meter: bytes) -> int:
        """Return how often in a row a hub was not reached."""
        query = select(table.c.tries).where(_is(meter))
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none() or 0

    def done(self, holder: str, meter: bytes) -> None:
        """Let go of a hub that has all of its invoices."""
        with writing(self.engine, DELIVERIES) as connection:
            connection.execute(delete(table).where(_is(meter), table.c.holder == holder))

    def failed(self, holder: str, meter: bytes, pause_seconds: int) -> None:
        """Let go of a hub that has failed, until the pause is over."""
        now = self.now()
        with writing(self.engine, DELIVERIES) as connection:
            connection.execute(
                update(table)
                .where(_is(meter), table.c.holder == holder)
                .values(
                    holder="", lease=0, tries=table.c.tries + 1, failed=now, due=now + pause_seconds
                )
            )

    def release(self, holder: str) -> None:
        """Let go of all hubs that somebody holds, for others to take at once."""
        with writing(self.engine, DELIVERIES) as connection:
            connection.execute(
                update(table).where(table.c.holder == holder).values(holder="", lease=0)
            )

    def _due(self) -> Select[Any]:
        now = self.now()
        free = or_(
            table.c.meter.is_(None),
            and_(
                table.c.lease <= now,
                or_(table.c.due <= now, questions.c.changed > table.c.failed),
            ),
        )
        return (
            select(questions.c.meter, func.min(questions.c.entry).label("first"))
            .outerjoin(table, table.c.meter == questions.c.meter)
            .where(
                questions.c.state == State.ENTERED,
                questions.c.address != "",
                questions.c.changed <= now - FRESH_SECONDS,
                free,
            )
            .group_by(questions.c.meter)
            .order_by("first")
        )


def _is(meter: bytes) -> Any:
    return table.c.meter == meter
