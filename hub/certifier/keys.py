# SPDX-License-Identifier: Apache-2.0
"""The certifier's two secrets, and the file they live in.

    file = "meterlet certifier keys 1\\n" | Ed25519 seed (32 bytes) | blinding secret (32 bytes)

The file is written once, with mode 0600; one that others can read is refused.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.certifier.errors import KeyFileError
from hub.vault.secret_file import SecretFileError, read_secret, write_secret

_HEADER: Final = b"meterlet certifier keys 1\n"
_SECRET_SIZE: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class CertifierKeys:
    """The key that signs days and the secret from which blindings are derived."""

    signing_seed: bytes = field(repr=False)
    blinding_secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.signing_seed) == len(self.blinding_secret) == _SECRET_SIZE:
            raise KeyFileError("a certifier's secrets have 32 bytes each")
        if hmac.compare_digest(self.signing_seed, self.blinding_secret):
            raise KeyFileError("a certifier's two secrets must differ")

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> Self:
        """Return new keys; `random_bytes(n)` gives n bytes fit for keys, as `os.urandom` does."""
        return cls(random_bytes(_SECRET_SIZE), random_bytes(_SECRET_SIZE))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the keys in the file; raise `KeyFileError` if it is not safe or not one."""
        try:
            data = read_secret(path, size=len(_HEADER) + 2 * _SECRET_SIZE)
        except SecretFileError as error:
            raise KeyFileError(str(error)) from None
        if not data.startswith(_HEADER):
            raise KeyFileError(f"{path}: not a file of certifier keys")
        secrets = data.removeprefix(_HEADER)
        return cls(secrets[:_SECRET_SIZE], secrets[_SECRET_SIZE:])

    def save(self, path: Path) -> None:
        """Write the keys to a new file with mode 0600; never overwrite one."""
        try:
            write_secret(path, _HEADER + self.signing_seed + self.blinding_secret)
        except SecretFileError as error:
            raise KeyFileError(str(error)) from None

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """The private key that signs days."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_seed)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The key with which everyone checks the signatures."""
        return self.signing_key.public_key()
