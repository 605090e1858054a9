# SPDX-License-Identifier: Apache-2.0
"""Rows sealed at rest: AES-256-GCM under a data key that RSA-OAEP wraps.

    row       nonce (12) ‖ AES-256-GCM(data key, plain, associated data)
    data key  RSA-OAEP(SHA-256, MGF1-SHA-256; label "meterlet data key 1"), 3072 bits or more

The associated data names the table, the key's number and the row's place (region, period,
resolution), so that a row that is put elsewhere does not open. The wrapping key lies in a file of
its own; whoever has the database without it has nothing. NIST SP 800-38D, RFC 8017 section 7.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols.canonical import cbor
from utility_server.errors import StoreError
from utility_server.keys import read_secret, write_secret

RSA_BITS: Final = 3072
DATA_KEY_SIZE: Final = 32
_NONCE_SIZE: Final = 12
_SUFFIX: Final = ".wrap.pem"
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"meterlet data key 1")


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """An RSA key that wraps data keys; its name is the first 8 bytes of its public half's hash."""

    private: rsa.RSAPrivateKey = field(repr=False)

    @property
    def name(self) -> bytes:
        """Return the key's name in the database and on the disk."""
        public = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return sha256(public).digest()[:8]

    def wrap(self, data_key: bytes) -> bytes:
        """Return the data key, encrypted to this key."""
        return self.private.public_key().encrypt(data_key, _OAEP)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the data key; raise `StoreError` if it was not wrapped with this key."""
        try:
            data_key = self.private.decrypt(wrapped, _OAEP)
        except ValueError:
            data_key = b""
        if len(data_key) != DATA_KEY_SIZE:
            raise StoreError(f"data key: not wrapped with key {self.name.hex()}, or changed")
        return data_key

    @classmethod
    def create(cls, folder: Path) -> "WrappingKey":
        """Make a new key and keep it in `folder`."""
        key = cls(rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS))
        pem = key.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_secret(key.path(folder), pem)
        return key

    @classmethod
    def load(cls, folder: Path, name: bytes) -> "WrappingKey":
        """Read the key of that name; raise `StoreError` if it is gone, open to others or weak."""
        path = folder / f"{name.hex()}{_SUFFIX}"
        try:
            private = serialization.load_pem_private_key(read_secret(path), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, rsa.RSAPrivateKey) or private.key_size < RSA_BITS:
            raise StoreError(f"{path}: not an RSA private key of {RSA_BITS} bits or more")
        key = cls(private)
        if key.name != name:
            raise StoreError(f"{path}: another key than its name says")
        return key

    @classmethod
    def names(cls, folder: Path) -> list[bytes]:
        """Return the names of the keys in `folder`."""
        return [
            bytes.fromhex(path.name.removesuffix(_SUFFIX)) for path in folder.glob(f"*{_SUFFIX}")
        ]

    def path(self, folder: Path) -> Path:
        """Return the key's file in `folder`."""
        return folder / f"{self.name.hex()}{_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens rows under data keys, the newest for what is new."""

    data_keys: Mapping[int, bytes] = field(repr=False)
    randomness: Callable[[int], bytes] = field(repr=False)

    @property
    def current(self) -> int:
        """Return the number of the key that new rows are sealed under."""
        return max(self.data_keys)

    def seal(self, table: str, place: tuple[str | int | bytes, ...], plain: bytes) -> bytes:
        """Return `plain` sealed under the current key, for that place in that table."""
        nonce = self.randomness(_NONCE_SIZE)
        bound = _bound(table, self.current, place)
        return nonce + AESGCM(self.data_keys[self.current]).encrypt(nonce, plain, bound)

    def open(
        self, table: str, key: int, place: tuple[str | int | bytes, ...], sealed: bytes
    ) -> bytes:
        """Return what was sealed; raise `StoreError` where it is changed, or not of this place."""
        try:
            data_key = self.data_keys[key]
            nonce, body = sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:]
            return AESGCM(data_key).decrypt(nonce, body, _bound(table, key, place))
        except (KeyError, InvalidTag, ValueError, TypeError):
            where = " ".join(str(part) for part in place if not isinstance(part, bytes))
            raise StoreError(
                f"{table} {where}: sealed with another key, for another place, or changed"
            ) from None


def _bound(table: str, key: int, place: tuple[str | int | bytes, ...]) -> bytes:
    return cbor.encode(["meterlet mdms 1", table, key, *place])
