# SPDX-License-Identifier: Apache-2.0
"""The meters that an MDMS may aggregate: one certificate each, of an authority that it trusts."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select, update

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MeterCertificate, TermedCertificate, decode_certificate
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

        One that ends later takes the place of a known one. Raises `EnrolmentRefused` if no trusted
        authority has issued it, or if the meter is known otherwise.
        """
        try:
            certificate = decode_certificate(data)
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
            elif known != data and self._renews(known, certificate):
                connection.execute(
                    update(member_table)
                    .where(member_table.c.meter == certificate.meter)
                    .values(certificate=data)
                )
            elif known != data:
                raise EnrolmentRefused(
                    f"meter {certificate.meter.hex()} is known already, by another certificate"
                )
        return certificate

    @staticmethod
    def _renews(known: bytes, new: MeterCertificate) -> bool:
        """Tell whether a certificate is of the same region, and ends later than the known one.

        A meter whose certifier has another key is certified anew, too.
        """
        old = decode_certificate(bytes(known))
        return (
            isinstance(new, TermedCertificate)
            and new.region == old.region
            and (not isinstance(old, TermedCertificate) or new.ends > old.ends)
        )

    def of_region(self, region: str) -> dict[bytes, MeterCertificate]:
        """Return the certificates of a region, by meter; raise `StoreError` if one is damaged."""
        query = select(member_table.c.certificate).where(member_table.c.region == region)
        with reading(self.engine) as connection:
            rows = connection.execute(query).scalars().all()
        try:
            certificates = [decode_certificate(data) for data in rows]
        except MalformedMessage as error:
            raise StoreError(f"region {region}: a member's certificate: {error}") from None
        return {certificate.meter: certificate for certificate in certificates}
