# SPDX-License-Identifier: Apache-2.0
"""A concentrator's own gateway: certificates for the hubs that it lists, its server's, wake-ups.

    hubs.db             which certificates were issued, and what certifiers have announced
    ca.pem, gateway.pem, keys/ca.key, keys/gateway.key    as `utility_server.gateway.certificates`

A hub's certificate is issued on a request that the certifier of its meter has signed; the list of
hubs names the certifiers' keys. None of these keys opens anything that hubs send.

With a broker of its own, hubs are woken when a round begins, as a utility wakes them
(`utility_server.gateway.waking`).
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, MetaData

from utility_server.database import (
    Schema,
    announcement_table,
    hub_certificate_table,
    open_database,
    schema_table,
)
from utility_server.errors import UnknownCustomer
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.waking import NewlyWaiting
from utility_server.grid.concentrator.dialled import DialledHubs
from utility_server.grid.concentrator.hubs import read_dialled_hubs
from utility_server.grid.line_identity import LineIdentity

DATABASE: Final = "hubs.db"
SCHEMA_VERSION: Final = 1

_metadata: Final = MetaData()
for _table in (schema_table, hub_certificate_table, announcement_table):
    _table.to_metadata(_metadata)


def _migrate(_connection: Connection) -> None:
    """There is no version before the first."""


_SCHEMA: Final = Schema(
    _metadata, hub_certificate_table.name, "a concentrator", SCHEMA_VERSION, _migrate
)


@dataclass(frozen=True, slots=True)
class ListedHubs:
    """The certifiers of the hubs in a file, read anew at each question."""

    file: Path

    def certifier(self, meter: bytes) -> bytes:
        """Return a meter's certifier's first key; raise `UnknownCustomer` if it is not listed."""
        for hub in read_dialled_hubs(self.file):
            if hub.meter == meter:
                return hub.certifier
        raise UnknownCustomer(f"meter {meter.hex()} is not listed in {self.file}")


@dataclass(frozen=True, slots=True)
class _Steps:
    """A round's steps, as what hubs are woken for."""

    dialled: DialledHubs

    def for_hubs(self, since: int) -> list[tuple[bytes, bytes, str]]:
        """Return meter and number of each that waits."""
        return [(meter, number, "asked") for meter, number in self.dialled.steps_to_wake_for()]


def round_wakes(dialled: DialledHubs, authority: CertificateAuthority) -> NewlyWaiting:
    """Return what tells which hubs a step of a round has come to wait for."""
    return NewlyWaiting(
        _Steps(dialled), frozenset, lambda _meters: None, authority.now, authority.who_may_dial
    )


@contextmanager
def hub_authority(
    folder: Path,
    hubs: Path,
    now: Callable[[], int] = lambda: int(time.time()),
    randomness: Callable[[int], bytes] = os.urandom,
) -> Iterator[CertificateAuthority]:
    """Open what issues certificates in a concentrator's folder; `StoreError` where there is none.

    `hubs` is the file that lists its hubs.
    """
    LineIdentity.open(folder)
    (folder / "keys").mkdir(mode=0o700, exist_ok=True)
    engine = open_database(folder / DATABASE, _SCHEMA)
    try:
        yield CertificateAuthority(folder, engine, ListedHubs(hubs), now, randomness)
    finally:
        engine.dispose()
