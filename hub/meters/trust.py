# SPDX-License-Identifier: Apache-2.0
"""Until when the metering authority vouches for meters, this hub's own among them.

    authorities/*.pem                the authorities that the resident trusts
    authorities/NAME.revocations     the latest list of the one whose key begins with NAME
    authorities/meter.certificate    this hub's own certificate, if it was given one

Readings from after the end of the meter's certificate, or its revocation, are kept and not
certified: nobody may be told that a meter measured them for which nobody vouches.

Errors: MeterTrustError
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hub.durable import replace_file
from hub.errors import HubError
from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MeterCertificate, TermedCertificate, decode_certificate
from protocols.aggregation.revocations import RevocationList, revoked_since

SUFFIX: Final = ".revocations"
CERTIFICATE: Final = "meter.certificate"


class MeterTrustError(HubError):
    """A meter certificate or list of revocations is not one that the hub goes by."""


@dataclass(frozen=True, slots=True)
class MeterTrust:
    """What authorities have said of meters, in the folder of their keys."""

    folder: Path
    authorities: Sequence[bytes]

    def revocations(self) -> tuple[RevocationList, ...]:
        """Return the lists that are there; raise `MeterTrustError` where one is damaged."""
        return tuple(self._list(path) for path in sorted(self.folder.glob(f"*{SUFFIX}")))

    def certificate(self) -> MeterCertificate | None:
        """Return this hub's own certificate, None if it has none."""
        path = self.folder / CERTIFICATE
        try:
            return decode_certificate(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, MalformedMessage) as error:
            raise MeterTrustError(f"{path}: {error}") from None

    def end_for(self, certifier: bytes, meter: bytes) -> int | None:
        """Return the moment up to which a certifier may certify a meter; None: no end."""
        moments = [revoked_since(certifier, self.revocations())]
        own = self.certificate()
        if isinstance(own, TermedCertificate) and own.meter == meter:
            moments.append(own.ends)
        return min((one for one in moments if one is not None), default=None)

    def take_certificate(self, data: bytes, meter: bytes, certifier: bytes) -> MeterCertificate:
        """Keep this hub's own certificate; raise `MeterTrustError` if it is another meter's."""
        try:
            new = decode_certificate(data)
        except MalformedMessage as error:
            raise MeterTrustError(str(error)) from None
        if not any(new.is_by(authority) for authority in self.authorities):
            raise MeterTrustError("issued by no authority that this hub trusts")
        if (new.meter, new.certifier) != (meter, certifier):
            raise MeterTrustError("not of this meter, or of a key that certifies it no longer")
        self._replace(self.folder / CERTIFICATE, data)
        return new

    def take_revocations(self, data: bytes) -> RevocationList:
        """Keep a list in the place of its authority's earlier one; raise `MeterTrustError`.

        The same list again changes nothing. An earlier one, or one that lets somebody back in, is
        refused.
        """
        try:
            new = RevocationList.decode(data)
        except MalformedMessage as error:
            raise MeterTrustError(str(error)) from None
        issuer = next((one for one in self.authorities if new.is_by(one)), None)
        if issuer is None:
            raise MeterTrustError("issued by no authority that this hub trusts")
        path = self.folder / f"{issuer.hex()[:16]}{SUFFIX}"
        if path.exists() and (known := self._list(path)) != new and not new.replaces(known):
            raise MeterTrustError(
                f"list {new.number} does not go on from list {known.number}, which is known"
            )
        self._replace(path, data)
        return new

    def _list(self, path: Path) -> RevocationList:
        try:
            one = RevocationList.decode(path.read_bytes())
        except (OSError, MalformedMessage) as error:
            raise MeterTrustError(f"{path}: {error}") from None
        if not any(one.is_by(authority) for authority in self.authorities):
            raise MeterTrustError(f"{path}: of no authority that this hub trusts")
        return one

    @staticmethod
    def _replace(path: Path, data: bytes) -> None:
        try:
            replace_file(path, data)
        except OSError as error:
            raise MeterTrustError(f"{path}: {error.strerror}") from None
