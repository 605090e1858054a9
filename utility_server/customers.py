# SPDX-License-Identifier: Apache-2.0
"""The enrolled meters: whose signatures to believe, and the keys of each applet's channel.

An enrolment is sealed with AES-256-GCM under the utility's storage key, bound to its meter; a
stolen database opens no channel.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, Select, insert, select

from protocols.enrolment import Enrolment, EnrolmentError
from utility_server.database import customer_table, reading, writing
from utility_server.errors import EnrolmentRefused, StoreError, UnknownCustomer

__all__ = ["Customers"]

_NONCE_SIZE: Final = 12
_LABEL: Final = b"meterlet customer 1"


@dataclass(frozen=True, slots=True)
class Customers:
    """The meters the utility knows."""

    engine: Engine
    storage_key: bytes = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    def enrol(self, data: bytes) -> Enrolment:
        """Add the customer of an enrolment file; the same file again changes nothing.

        Raises `EnrolmentRefused` if it is not one, or if the meter is known with other keys: a
        certifier's key is never replaced silently.
        """
        try:
            enrolment = Enrolment.decode(data)
        except EnrolmentError as error:
            raise EnrolmentRefused(str(error)) from None
        nonce = self.randomness(_NONCE_SIZE)
        plain = enrolment.encode()
        sealed = nonce + AESGCM(self.storage_key).encrypt(nonce, plain, _LABEL + enrolment.meter)
        with writing(self.engine) as connection:
            known = connection.execute(self._row(enrolment.meter)).scalar_one_or_none()
            if known is None:
                connection.execute(
                    insert(customer_table).values(meter=enrolment.meter, sealed=sealed)
                )
            elif not hmac.compare_digest(self._open(enrolment.meter, known), plain):
                raise EnrolmentRefused(
                    f"meter {enrolment.meter.hex()} is enrolled already, with other keys"
                )
        return enrolment

    def find(self, meter: bytes) -> Enrolment:
        """Return a customer's enrolment; raise `UnknownCustomer` if there is none."""
        with reading(self.engine) as connection:
            sealed = connection.execute(self._row(meter)).scalar_one_or_none()
        if sealed is None:
            raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")
        return Enrolment.decode(self._open(meter, sealed))

    def meters(self) -> list[bytes]:
        """Return the enrolled meters, in order."""
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(customer_table.c.meter).order_by(customer_table.c.meter)
                ).scalars()
            )

    def _row(self, meter: bytes) -> Select[bytes]:
        return select(customer_table.c.sealed).where(customer_table.c.meter == meter)

    def _open(self, meter: bytes, sealed: bytes) -> bytes:
        try:
            return AESGCM(self.storage_key).decrypt(
                sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _LABEL + meter
            )
        except (InvalidTag, ValueError, TypeError):
            raise StoreError(
                f"meter {meter.hex()}: the enrolment was sealed with another key, or changed"
            ) from None
