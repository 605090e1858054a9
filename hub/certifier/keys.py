# SPDX-License-Identifier: Apache-2.0
"""The certifier's two secrets, and the file they live in.

    file = "meterlet certifier keys 1\\n" | Ed25519 seed (32 bytes) | blinding secret (32 bytes)
           "meterlet certifier keys 2\\n" | CBOR [seed, blinding secret, announcements,
                                                earlier blinding secrets, 32 bytes each]

The file has mode 0600; one that others can read is refused. The second form is of a certifier that
has had other keys. Of these it has the announcements and the blinding secrets, which open the days
of their time, and no longer the seeds: what has ended can sign nothing, whoever takes the file.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.certifier.errors import KeyFileError
from hub.vault.secret_file import SecretFileError, read_secret, write_secret
from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.metrology.key_chain import (
    EARLIEST,
    KeyAnnouncement,
    KeyChain,
    MalformedAnnouncement,
    decode_announcements,
    encode_announcements,
)

_HEADER: Final = b"meterlet certifier keys 1\n"
_HEADER_2: Final = b"meterlet certifier keys 2\n"
_SECRET_SIZE: Final = 32


@dataclass(frozen=True, slots=True, eq=False)
class CertifierKeys:
    """The key that signs days and the secret from which blindings are derived."""

    signing_seed: bytes = field(repr=False)
    blinding_secret: bytes = field(repr=False)
    announcements: tuple[KeyAnnouncement, ...] = ()
    """Of this key and those between it and the first."""
    earlier_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """The blinding secrets of the keys that have ended, one for each announcement, in order."""

    def __post_init__(self) -> None:
        secrets = (self.signing_seed, self.blinding_secret, *self.earlier_secrets)
        if {len(secret) for secret in secrets} != {_SECRET_SIZE}:
            raise KeyFileError("a certifier's secrets have 32 bytes each")
        if hmac.compare_digest(self.signing_seed, self.blinding_secret):
            raise KeyFileError("a certifier's two secrets must differ")
        if len(self.announcements) != len(self.earlier_secrets):
            raise KeyFileError("a certifier has a blinding secret for each key that has ended")
        if self.announcements and self.announcements[-1].new != self.signing_public_key:
            raise KeyFileError("the certifier's key is not the one that was announced last")

    @classmethod
    def generate(cls, random_bytes: Callable[[int], bytes]) -> Self:
        """Return new keys; `random_bytes(n)` gives n bytes fit for keys, as `os.urandom` does."""
        return cls(random_bytes(_SECRET_SIZE), random_bytes(_SECRET_SIZE))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the keys in the file; raise `KeyFileError` if it is not safe or not one."""
        try:
            data = read_secret(path)
        except SecretFileError as error:
            raise KeyFileError(str(error)) from None
        if data.startswith(_HEADER) and len(data) == len(_HEADER) + 2 * _SECRET_SIZE:
            secrets = data.removeprefix(_HEADER)
            return cls(secrets[:_SECRET_SIZE], secrets[_SECRET_SIZE:])
        if data.startswith(_HEADER_2):
            return cls._of_second_form(path, data.removeprefix(_HEADER_2))
        raise KeyFileError(f"{path}: not a file of certifier keys")

    @classmethod
    def _of_second_form(cls, path: Path, data: bytes) -> Self:
        try:
            match decode_array(data):
                case [bytes(seed), bytes(blinding), bytes(announced), bytes(earlier)]:
                    announcements = decode_announcements(announced)
                case _:
                    raise KeyFileError(f"{path}: not a file of certifier keys")
        except (CborError, MalformedAnnouncement):
            raise KeyFileError(f"{path}: not a file of certifier keys") from None
        starts = range(0, len(earlier), _SECRET_SIZE)
        keys = cls(
            seed, blinding, announcements, tuple(earlier[at : at + _SECRET_SIZE] for at in starts)
        )
        if not announcements:
            raise KeyFileError(f"{path}: a first key has a file of the first form")
        return keys

    def save(self, path: Path) -> None:
        """Write the keys to a new file with mode 0600; never overwrite one."""
        content = _HEADER + self.signing_seed + self.blinding_secret
        if self.announcements:
            content = _HEADER_2 + encode_array(
                [
                    self.signing_seed,
                    self.blinding_secret,
                    encode_announcements(self.announcements),
                    b"".join(self.earlier_secrets),
                ]
            )
        try:
            write_secret(path, content)
        except SecretFileError as error:
            raise KeyFileError(str(error)) from None

    def succeeded(
        self, meter: bytes, first_day: date, random_bytes: Callable[[int], bytes]
    ) -> Self:
        """Return new keys that sign from that day on, announced; the old seed is not among them.

        Raises `ChainRefused` for a day before the one that this key began with.
        """
        new = self.generate(random_bytes)
        chain = self.chain(meter).succeeded(first_day, self.signing_key, new.signing_key)
        return replace(
            new,
            announcements=chain.announcements,
            earlier_secrets=(*self.earlier_secrets, self.blinding_secret),
        )

    def bereft(self, random_bytes: Callable[[int], bytes]) -> Self:
        """Return the same signing key with other blinding secrets: those of former days go."""
        return replace(
            self,
            blinding_secret=random_bytes(_SECRET_SIZE),
            earlier_secrets=tuple(random_bytes(_SECRET_SIZE) for _ in self.earlier_secrets),
        )

    def chain(self, meter: bytes) -> KeyChain:
        """Return the meter's keys; raise `ChainRefused` where they are another meter's."""
        return KeyChain(meter, self.public_key.public_bytes_raw(), self.announcements)

    def blinding_secret_for(self, day: date) -> bytes:
        """Return the secret that the blindings of a day are derived from."""
        for announced, secret in zip(self.announcements, self.earlier_secrets, strict=True):
            if day < announced.first_day:
                return secret
        return self.blinding_secret

    @property
    def begins(self) -> date:
        """The first day that this key signs."""
        return self.announcements[-1].first_day if self.announcements else EARLIEST

    @property
    def signing_public_key(self) -> bytes:
        """The public half of the key that signs now."""
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """The private key that signs days."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_seed)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The first key, by which everyone knows the certifier, and finds its later ones."""
        if self.announcements:
            return Ed25519PublicKey.from_public_bytes(self.announcements[0].old)
        return self.signing_key.public_key()
