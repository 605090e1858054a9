# SPDX-License-Identifier: Apache-2.0
"""The keys of a region's members, kept from one round to the next.

    roster   (region, applet) -> nonce of the keys, when they were told, the members' keys,
             when the last round with them ended, who did not take part in it

With the same keys a roster stays the same, and hubs need not be sent it again
(`protocols.aggregation.rosters`). What pairs derive from their keys depends on the round's digest,
so no two rounds have masks in common; each round ends at another second than the one before, so no
two have one digest. Certificates are not kept here: each round takes those that the MDMS has then,
and whoever was revoked is not among its members.

Keys are told anew after `ROSTER_SECONDS`, and after a dispute, in which secrets of theirs may have
been shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Delete, Engine, delete, insert, select

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MemberKeys
from protocols.canonical.cbor import CborError, decode_array, encode_array
from utility_server.database import reading, writing
from utility_server.errors import StoreError
from utility_server.grid.mdms.store import roster_table as table

ROSTER_SECONDS: Final = 31 * 86_400


@dataclass(frozen=True, slots=True)
class KeptRoster:
    """What is known of a region's members."""

    region: str
    weighted: bool
    """Whether they are the keys of the applet that takes part in rounds with prices."""
    nonce: bytes
    made: int
    """When the keys were first told, in epoch seconds."""
    until: int
    """When the last round with them ended, in epoch seconds."""
    keys: Mapping[bytes, MemberKeys]
    """By meter."""
    absent: frozenset[bytes] = frozenset()
    """Meters that did not go through with the last round; they are asked for their keys again."""


@dataclass(frozen=True, slots=True)
class Rosters:
    """The rosters in an MDMS's database."""

    engine: Engine

    def find(self, region: str, *, weighted: bool) -> KeptRoster | None:
        """Return what is kept of a region; raise `StoreError` if it is damaged."""
        query = select(table).where(table.c.region == region, table.c.weighted == int(weighted))
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        try:
            told = [MemberKeys.decode(_bytes(item)) for item in decode_array(bytes(row.members))]
            absent = frozenset(_bytes(item) for item in decode_array(bytes(row.absent)))
        except (CborError, MalformedMessage) as error:
            raise StoreError(f"region {region}: the roster: {error}") from None
        keys = {each.meter: each for each in told}
        return KeptRoster(region, weighted, bytes(row.nonce), row.made, row.until, keys, absent)

    def keep(self, roster: KeptRoster) -> None:
        """Keep a roster in place of the region's last one."""
        values = {
            "nonce": roster.nonce,
            "made": roster.made,
            "until": roster.until,
            "members": encode_array([roster.keys[meter].encode() for meter in sorted(roster.keys)]),
            "absent": encode_array(sorted(roster.absent)),
        }
        with writing(self.engine) as connection:
            connection.execute(_removal(roster.region, roster.weighted))
            connection.execute(
                insert(table).values(region=roster.region, weighted=int(roster.weighted), **values)
            )

    def forget(self, region: str, *, weighted: bool) -> None:
        """Have a region's keys told anew in its next round."""
        with writing(self.engine) as connection:
            connection.execute(_removal(region, weighted))


def _removal(region: str, weighted: bool) -> Delete:
    return delete(table).where(table.c.region == region, table.c.weighted == int(weighted))


def _bytes(item: object) -> bytes:
    if not isinstance(item, bytes):
        raise MalformedMessage("not what was kept")
    return item
