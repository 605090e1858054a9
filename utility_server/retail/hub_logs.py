# SPDX-License-Identifier: Apache-2.0
"""How far the disclosure logs of the customers' hubs have come: the newest head of each.

A log only grows. A hub that shows a shorter log, or another one, was put back to an older state:
it has forgotten what it told, and would tell more than the resident allowed. So the head end asks
it nothing (`utility_server.head_end`), until somebody says that this is as it should be.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, delete, insert, select, update

from protocols.log_head import Countersigned, LogHead
from utility_server.database import log_head_table as table
from utility_server.database import reading, writing


@dataclass(frozen=True, slots=True)
class HubLogs:
    """The heads that the utility keeps; implements `head_end.HeadKeeper`."""

    engine: Engine
    signing: Ed25519PrivateKey = field(repr=False)
    now: Callable[[], int] = field(repr=False)

    def find(self, meter: bytes) -> LogHead | None:
        """Return the newest head of a meter's hub; None before its first answer."""
        with reading(self.engine) as connection:
            row = connection.execute(
                select(table.c.length, table.c.digest).where(table.c.meter == meter)
            ).first()
        return None if row is None else LogHead(row.length, bytes(row.digest))

    def keep(self, meter: bytes, head: LogHead) -> Countersigned:
        """Keep a head that follows the kept one, and return it signed."""
        values = {"length": head.length, "digest": head.digest, "time": self.now()}
        with writing(self.engine, meter) as connection:
            # Another session may have seen a newer one meanwhile: what is kept never goes back.
            own = connection.execute(select(table.c.length).where(table.c.meter == meter)).scalar()
            if own is None:
                connection.execute(insert(table).values(meter=meter, **values))
            elif own < head.length:
                connection.execute(update(table).where(table.c.meter == meter).values(**values))
        return Countersigned.sign(head, self.signing, meter)

    def forget(self, meter: bytes) -> LogHead | None:
        """Forget a hub's head, so that its next one is believed; return what was kept."""
        kept = self.find(meter)
        with writing(self.engine, meter) as connection:
            connection.execute(delete(table).where(table.c.meter == meter))
        return kept
