# SPDX-License-Identifier: Apache-2.0
"""What the hub keeps beside the readings, sealed: the log, what applets keep, outputs, rounds.

    sealed = AES-256-SIV(key of the purpose; bound parts, plain)       RFC 5297

One key a purpose, derived from the vault's. The bound parts (a table, a place in it) are not
stored with it: what is changed, or moved to another place, does not open. SIV needs no random
source: only whoever seals the same bytes in the same place twice shows that they are the same.

Errors: SealBroken
"""

import hmac
from dataclasses import dataclass, field
from hashlib import sha512
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from hub.errors import HubError

OVERHEAD: Final = 17
"""Bytes that sealing adds: the synthetic vector, and a mark, since nothing cannot be sealed."""
_LABEL: Final = b"meterlet sealed 1 "
_MARK: Final = b"\x01"


class SealBroken(HubError):
    """What lies sealed in the hub's file is not what was written there."""

    exit_code, http_status = 3, 500
    status_word = 0x6581  # memory failure


def resealed(old: "Sealer", new: "Sealer", sealed: bytes, *bound: bytes) -> bytes:
    """Return the same thing sealed with another key; raise `SealBroken`."""
    return new.seal(old.open(sealed, *bound), *bound)


def check_value_of(key: bytes) -> bytes:
    """Return what the hub's file says of the vault's key; it tells nothing else of it."""
    return hmac.digest(key, b"meterlet vault key check 1", "sha256")


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals for one purpose."""

    purpose: str
    _key: bytes = field(repr=False)
    _cipher: AESSIV = field(repr=False)

    @classmethod
    def of(cls, vault_key: bytes, purpose: str) -> Self:
        """Return the sealer of a purpose under the vault's key."""
        # 64 bytes: half of them make the synthetic vector, half encrypt.
        key = hmac.digest(vault_key, _LABEL + purpose.encode(), "sha512")
        return cls(purpose, key, AESSIV(key))

    def seal(self, plain: bytes, *bound: bytes) -> bytes:
        """Return `plain` sealed; it opens with just the same bound parts."""
        return self._cipher.encrypt(_MARK + plain, list(bound))

    def open(self, sealed: bytes, *bound: bytes) -> bytes:
        """Return what was sealed; raise `SealBroken` where it is not what was, or was elsewhere."""
        try:
            plain = self._cipher.decrypt(sealed, list(bound))
        except (InvalidTag, ValueError, TypeError):
            raise SealBroken(
                f"{self.purpose}: a row of the hub's file is not what was written there"
            ) from None
        return plain[len(_MARK) :]

    def name_of(self, *parts: bytes) -> bytes:
        """Return 32 bytes that stand for the parts, in which nobody without the key can look."""
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._key, b"name" + framed, sha512)[:32]
