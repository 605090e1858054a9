# SPDX-License-Identifier: Apache-2.0
"""The utility's own keys: what it signs tariffs and invoices with, what it seals its store with.

Each lies in a file of its own with mode 0600; a file that others may read is refused.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from utility_server.durable import synchronise
from utility_server.errors import StoreError

_SIZE: Final = 32
_LARGEST: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class UtilityKeys:
    """What the utility must keep to itself."""

    signing: Ed25519PrivateKey = field(repr=False)
    storage: bytes = field(repr=False)
    """AES-256 key that seals the customers' channel keys."""

    @property
    def public(self) -> Ed25519PublicKey:
        """What customers check tariffs and invoices with."""
        return self.signing.public_key()

    @classmethod
    def create(cls, folder: Path, randomness: Callable[[int], bytes]) -> Self:
        """Make new keys in `folder`; raise `StoreError` where there are some already."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("signing.key", "storage.key"):
            write_secret(folder / name, randomness(_SIZE))
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the keys of `folder`; raise `StoreError` where one is missing or open to others."""
        signing, storage = (
            read_secret(folder / name, _SIZE) for name in ("signing.key", "storage.key")
        )
        return cls(Ed25519PrivateKey.from_private_bytes(signing), storage)


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as the files for other parties have it."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_secret(path: Path, secret: bytes) -> None:
    """Write a new file of mode 0600; raise `StoreError` where there is one already.

    It is on the disk when this returns; where it cannot be, nothing of it stays.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        synchronise(path.parent)
    except BaseException as error:  # cut off, too: half a key is none
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{path}: {error.strerror}") from None
        raise


def read_secret(path: Path, size: int | None = None) -> bytes:
    """Return what a file holds; raise `StoreError` if others may read it or its size is wrong."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(_LARGEST if size is None else size + 1)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise StoreError(f"{path}: mode {stat.S_IMODE(mode):04o} lets others in; it must be 0600")
    if size is not None and len(secret) != size:
        raise StoreError(f"{path}: not a key of {size} bytes")
    return secret
