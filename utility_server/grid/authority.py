# SPDX-License-Identifier: Apache-2.0
"""The metering authority: says which certifier measures which meter of which region.

Hubs and MDMS know its public key and believe nobody else about who may be member of a sum; an
operator who could invent members would make "sums" of one household.

    authority.key            Ed25519, mode 0600
    public.pem               for hubs and MDMS
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.aggregation import MalformedMessage, MeterCertificate
from utility_server.errors import EnrolmentRefused
from utility_server.folders import new_folder
from utility_server.keys import read_secret, write_secret

_SEED_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Authority:
    """Who vouches for meters."""

    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        """The 32 bytes of its Ed25519 public key."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    @classmethod
    def create(cls, folder: Path, randomness: Callable[[int], bytes] = os.urandom) -> Self:
        """Make an authority with a new key in an empty or new folder; else raise `StoreError`."""
        with new_folder(folder, "an authority"):
            write_secret(folder / "authority.key", randomness(_SEED_SIZE))
            made = cls.open(folder)
            key = Ed25519PrivateKey.from_private_bytes(made.seed).public_key()
            pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (folder / "public.pem").write_bytes(pem)
            return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read an authority's key; raise `StoreError` where there is none or others may read it."""
        return cls(read_secret(folder / "authority.key", _SEED_SIZE))

    def certify(self, region: str, meter: bytes, certifier: bytes) -> MeterCertificate:
        """Return the certificate of a meter; raise `EnrolmentRefused` for parts that cannot be."""
        try:
            return MeterCertificate.issue(region, meter, certifier, self.seed)
        except MalformedMessage as error:
            raise EnrolmentRefused(str(error)) from None
