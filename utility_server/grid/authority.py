# SPDX-License-Identifier: Apache-2.0
"""The metering authority: says which certifier measures which meter of which region.

Hubs and MDMS know its public key and believe nobody else about who may be member of a sum; an
operator who could invent members would make "sums" of one household.

    authority.key            Ed25519, mode 0600
    public.pem               for hubs and MDMS
    revocations              the list of certifiers that count no more, if there are any
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MeterCertificate, TermedCertificate
from protocols.aggregation.revocations import RevocationList
from utility_server.durable import replace_file
from utility_server.errors import EnrolmentRefused, StoreError
from utility_server.folders import alone_in, new_folder
from utility_server.keys import public_pem, read_secret, write_secret

_SEED_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouches for meters."""

    seed: bytes = field(repr=False)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What hubs and MDMS check certificates with."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key()

    @classmethod
    def create(cls, folder: Path, randomness: Callable[[int], bytes] = os.urandom) -> Self:
        """Make an authority with a new key in an empty or new folder; else raise `StoreError`."""
        with new_folder(folder, "an authority"):
            write_secret(folder / "authority.key", randomness(_SEED_SIZE))
            authority = cls.open(folder)
            (folder / "public.pem").write_bytes(public_pem(authority.public_key))
            return authority

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read an authority's key; raise `StoreError` where there is none or others may read it."""
        return cls(read_secret(folder / "authority.key", _SEED_SIZE))

    def certify(
        self,
        region: str,
        meter: bytes,
        certifier: bytes,
        term: tuple[int, int] | None = None,
    ) -> MeterCertificate:
        """Return the certificate of a meter; raise `EnrolmentRefused` for parts that cannot be.

        With `term`, it is for what is measured in [begin, end), epoch seconds.
        """
        try:
            if term is not None:
                return TermedCertificate(region, meter, certifier, *term).signed(self.seed)
            return MeterCertificate(region, meter, certifier).signed(self.seed)
        except MalformedMessage as error:
            raise EnrolmentRefused(str(error)) from None

    def revoke(self, folder: Path, certifier: bytes, since: int, now: int) -> RevocationList:
        """Put a certifier on the list in the authority's folder, and return the list.

        Raises `EnrolmentRefused` where it is there from an earlier moment, `StoreError` where the
        list cannot be read or written.
        """
        path = folder / "revocations"
        try:
            with alone_in(folder):
                known = RevocationList.decode(path.read_bytes()) if path.exists() else None
                before = known or RevocationList(1, now, ())
                revoking = before.revoking(certifier, since, now)
                if known is None:
                    revoking = RevocationList(1, now, revoking.entries)
                new = revoking.signed(self.seed)
                replace_file(path, new.encode())
        except MalformedMessage as error:
            raise EnrolmentRefused(str(error)) from None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from None
        return new
