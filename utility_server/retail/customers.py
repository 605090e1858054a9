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
from utility_server.database import enrolment_table as table
from utility_server.database import reading, writing
from utility_server.errors import EnrolmentRefused, StoreError, UnknownCustomer

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

        Raises `EnrolmentRefused` if it is not one, or if the meter's applet is known with other
        keys, or the meter with another certifier: neither is ever replaced silently.
        """
        try:
            enrolment = Enrolment.decode(data)
        except EnrolmentError as error:
            raise EnrolmentRefused(str(error)) from None
        nonce = self.randomness(_NONCE_SIZE)
        plain = enrolment.encode()
        sealed = nonce + AESGCM(self.storage_key).encrypt(nonce, plain, _LABEL + enrolment.meter)
        with writing(self.engine) as connection:
            rows = connection.execute(self._rows(enrolment.meter)).scalars().all()
            known = [self._open(enrolment.meter, row) for row in rows]
            enrolled = [Enrolment.decode(one) for one in known]
            if any(hmac.compare_digest(one.encode(), plain) for one in enrolled):
                return enrolment
            for one in enrolled:
                if one.applet == enrolment.applet or one.certifier != enrolment.certifier:
                    raise EnrolmentRefused(
                        f"meter {enrolment.meter.hex()} is enrolled already, with other keys"
                    )
            connection.execute(
                insert(table).values(meter=enrolment.meter, place=len(known), sealed=sealed)
            )
        return enrolment

    def find(self, meter: bytes, applet: bytes) -> Enrolment:
        """Return the enrolment of a meter's applet; raise `UnknownCustomer` if there is none."""
        with reading(self.engine) as connection:
            rows = connection.execute(self._rows(meter)).scalars().all()
        enrolments = [Enrolment.decode(self._open(meter, sealed)) for sealed in rows]
        for enrolment in enrolments:
            if enrolment.applet == applet:
                return enrolment
        if enrolments:
            raise UnknownCustomer(
                f"meter {meter.hex()} is not enrolled with applet {applet.hex().upper()}"
            )
        raise UnknownCustomer(f"meter {meter.hex()} is not enrolled")

    def meters(self) -> list[bytes]:
        """Return the enrolled meters, in order."""
        with reading(self.engine) as connection:
            return list(
                connection.execute(
                    select(table.c.meter).distinct().order_by(table.c.meter)
                ).scalars()
            )

    def _rows(self, meter: bytes) -> Select[bytes]:
        return select(table.c.sealed).where(table.c.meter == meter).order_by(table.c.place)

    def _open(self, meter: bytes, sealed: bytes) -> bytes:
        try:
            return AESGCM(self.storage_key).decrypt(
                sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _LABEL + meter
            )
        except (InvalidTag, ValueError, TypeError):
            raise StoreError(
                f"meter {meter.hex()}: the enrolment was sealed with another key, or changed"
            ) from None
