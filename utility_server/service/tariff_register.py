# SPDX-License-Identifier: Apache-2.0
"""The tariffs that bills may be asked under: registered, signed, each with its validity.

Errors: TariffError, ServiceRefused, TariffWithdrawn
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlalchemy import Engine, Row, insert, select, update

from applets.billing.messages import BillQuestion
from protocols.canonical.signing import key_id_of
from tariffs import Tariff
from tariffs.signing import sign_document, verify_signed_tariff
from utility_server.database import reading, writing
from utility_server.database import registered_tariff_table as table
from utility_server.errors import ServiceRefused
from utility_server.keys import UtilityKeys
from utility_server.retail.withdrawn_tariffs import withdrawn


@dataclass(frozen=True, slots=True)
class RegisteredTariff:
    """A tariff on record."""

    digest: bytes
    name: str
    revision: int
    first: date
    """The first local day of its validity."""
    last: date
    """The last one."""
    registered: int
    withdrawn: int
    """Since when nothing new is asked under it; 0: it is not withdrawn."""
    document: bytes
    """Signed by the utility."""


@dataclass(frozen=True, slots=True)
class TariffRegister:
    """The tariffs of one utility."""

    engine: Engine
    keys: UtilityKeys = field(repr=False)
    now: Callable[[], int] = field(repr=False)

    def register(self, document: bytes) -> tuple[RegisteredTariff, bool]:
        """Return a signed tariff on record, and whether it is new there.

        Raises `TariffError` for anything that this utility has not signed, and `TariffWithdrawn`
        for what was registered and withdrawn.
        """
        tariff = verify_signed_tariff(document, self.keys.public)
        return self._put(tariff, document)

    def sign(self, tariff: Tariff) -> tuple[RegisteredTariff, bool]:
        """Sign a tariff and put it on record; raises `TariffWithdrawn` as `register` does."""
        public = key_id_of(self.keys.public)
        content = BillQuestion.content_type
        document = sign_document(tariff.encode(), content, self.keys.signing, public)
        return self._put(tariff, document)

    def _put(self, tariff: Tariff, document: bytes) -> tuple[RegisteredTariff, bool]:
        with writing(self.engine, tariff.digest) as connection:
            where = table.c.digest == tariff.digest
            row = connection.execute(select(table).where(where)).one_or_none()
            if row is None:
                connection.execute(
                    insert(table).values(
                        digest=tariff.digest,
                        name=tariff.name,
                        revision=tariff.revision,
                        first=str(tariff.valid_from),
                        last=str(tariff.valid_until - timedelta(days=1)),
                        registered=self.now(),
                        withdrawn=0,
                        document=document,
                    )
                )
                return _tariff(connection.execute(select(table).where(where)).one()), True
        return _usable(_tariff(row)), False

    def find(self, digest: bytes) -> RegisteredTariff | None:
        """Return the tariff of that digest, or None."""
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.digest == digest)).one_or_none()
        return None if row is None else _tariff(row)

    def usable(self, digest: bytes) -> RegisteredTariff:
        """Return a tariff to ask under; raise `ServiceRefused` where there is none."""
        found = self.find(digest)
        if found is None:
            raise ServiceRefused("no tariff of that digest is registered")
        return _usable(found)

    def page(self, after: bytes, limit: int) -> list[RegisteredTariff]:
        """Return tariffs in the order of their digests, from after one on."""
        query = select(table).where(table.c.digest > after).order_by(table.c.digest).limit(limit)
        with reading(self.engine) as connection:
            return [_tariff(row) for row in connection.execute(query).all()]

    def withdraw(self, digest: bytes) -> RegisteredTariff | None:
        """Let nothing new be asked under a tariff; what was asked stays. None: there is none."""
        where = table.c.digest == digest
        with writing(self.engine, digest) as connection:
            connection.execute(
                update(table).where(where, table.c.withdrawn == 0).values(withdrawn=self.now())
            )
        return self.find(digest)


def _usable(tariff: RegisteredTariff) -> RegisteredTariff:
    """Return a tariff that was not withdrawn; raise `TariffWithdrawn` for another."""
    if tariff.withdrawn:
        raise withdrawn(tariff.name, tariff.revision, tariff.withdrawn)
    return tariff


def _tariff(row: Row[tuple[object, ...]]) -> RegisteredTariff:
    return RegisteredTariff(
        bytes(row.digest), row.name, row.revision, date.fromisoformat(row.first),
        date.fromisoformat(row.last), row.registered, row.withdrawn, bytes(row.document),
    )  # fmt: skip
