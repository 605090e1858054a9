# SPDX-License-Identifier: Apache-2.0
"""A concentrator's folder: the key by which its MDMS knows it. It opens nothing.

line.key                 Ed25519, mode 0600
public.pem               for the MDMS
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from utility_server.folders import new_folder
from utility_server.keys import public_pem, read_secret, write_secret

_SEED_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class LineIdentity:
    """Who a server is on its lines."""

    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What the other end knows it by."""
        return self.key.public_key()

    @classmethod
    def create(
        cls, folder: Path, what: str, randomness: Callable[[int], bytes] = os.urandom
    ) -> Self:
        """Make a new key in an empty or new folder; raise `StoreError` in any other."""
        with new_folder(folder, what):
            write_secret(folder / "line.key", randomness(_SEED_SIZE))
            made = cls.open(folder)
            (folder / "public.pem").write_bytes(public_pem(made.public_key))
            return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a folder's key; raise `StoreError` where there is none or others may read it."""
        return cls(
            Ed25519PrivateKey.from_private_bytes(read_secret(folder / "line.key", _SEED_SIZE))
        )
