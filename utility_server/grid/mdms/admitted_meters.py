# SPDX-License-Identifier: Apache-2.0
"""The meters that an MDMS may aggregate: one certificate each, of an authority that it trusts."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select

from protocols.aggregation import MalformedMessage, MeterCertificate
from utility_server.database import reading, writing
from utility_server.errors import EnrolmentRefused, StoreError
from utility_server.grid.mdms.store import member_table


@dataclass(frozen=True, slots=True)
class Members:
    """The certificates in an MDMS's database."""

    engine: Engine
    authorities: Sequence[bytes]
    """Ed25519 keys whose word counts."""

    def admit(self, data: bytes) -> MeterCertificate:
        """Add a meter by its certificate; the same one again changes nothing.

        Raises `EnrolmentRefused` if no trusted authority has issued it, or if the meter is known
        with another certifier or in another region.
        """
        try:
            certificate = MeterCertificate.decode(data)
        except MalformedMessage as error:
            raise EnrolmentRefused(str(error)) from None
        if not any(certificate.is_by(authority) for authority in self.authorities):
            raise EnrolmentRefused("issued by no authority that this MDMS trusts")
        with writing(self.engine) as connection:
            known = connection.execute(
                select(member_table.c.certificate).where(member_table.c.meter == certificate.meter)
            ).scalar_one_or_none()
            if known is None:
                connection.execute(
                    insert(member_table).values(
                        meter=certificate.meter, region=certificate.region, certificate=data
                    )
                )
            elif known != data:
                raise EnrolmentRefused(
                    f"meter {certificate.meter.hex()} is known already, by another certificate"
                )
        return certificate

    def of_region(self, region: str) -> dict[bytes, MeterCertificate]:
        """Return the certificates of a region, by meter; raise `StoreError` if one is damaged."""
        query = select(member_table.c.certificate).where(member_table.c.region == region)
        with reading(self.engine) as connection:
            rows = connection.execute(query).scalars().all()
        try:
            found = [MeterCertificate.decode(data) for data in rows]
        except MalformedMessage as error:
            raise StoreError(f"region {region}: a member's certificate: {error}") from None
        return {certificate.meter: certificate for certificate in found}
