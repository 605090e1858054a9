# SPDX-License-Identifier: Apache-2.0
"""Keys of meters, and what is computed with them. A key's bytes are in no repr and no message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC, CTR, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from meter_codecs.mbus.address import Address
from meter_codecs.mbus.errors import EncodingError

KEY_SIZE: Final = 16
BLOCK: Final = 16
CCM_TAG: Final = 8
"""Bytes of the tag that AES-CCM ends with."""
_PAD: Final = b"\x07" * 7


class MeterKey:
    """The AES-128 key of a meter."""

    __slots__ = ("_aes", "_blocks")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise EncodingError(f"a key has {KEY_SIZE} bytes, not {len(key)}")
        self._aes = AES128(key)
        self._blocks: CipherContext | None = None

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Return the key of 32 hex digits; the error does not repeat them."""
        try:
            key = bytes.fromhex(text)
        except ValueError:
            raise EncodingError("a key is 32 hex digits") from None
        return cls(key)

    def __repr__(self) -> str:
        return "MeterKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")

    def decrypt_cbc(self, start: bytes, data: bytes) -> bytes:
        """Return whole blocks deciphered by AES-CBC; `start` is the initial vector."""
        # Cipher-block chaining is each block by itself, XORed with the block before.
        size = len(data)
        before = int.from_bytes(start + data[: size - BLOCK], "big")
        if self._blocks is None:  # it has no state, so that one serves for all telegrams
            self._blocks = Cipher(self._aes, ECB()).decryptor()  # noqa: S305  # chained here
        plain = int.from_bytes(self._blocks.update(data), "big") ^ before
        return plain.to_bytes(size, "big")

    def encrypt_cbc(self, start: bytes, data: bytes) -> bytes:
        """Return whole blocks enciphered by AES-CBC."""
        encryptor = Cipher(self._aes, CBC(start)).encryptor()
        return encryptor.update(data) + encryptor.finalize()

    def apply_ctr(self, start: bytes, data: bytes) -> bytes:
        """Return data enciphered, or deciphered, by AES-CTR."""
        return Cipher(self._aes, CTR(start)).encryptor().update(data)

    def open_ccm(self, nonce: bytes, data: bytes, header: bytes) -> bytes | None:
        """Return what AES-CCM with a tag of 8 bytes protects; None if the tag is wrong.

        `header` comes in clear and is under the tag, too.
        """
        try:
            return AESCCM(self._aes.key, tag_length=CCM_TAG).decrypt(nonce, data, header)
        except InvalidTag:
            return None

    def seal_ccm(self, nonce: bytes, plain: bytes, header: bytes) -> bytes:
        """Return data under AES-CCM, its tag of 8 bytes last; never twice with one `nonce`."""
        return AESCCM(self._aes.key, tag_length=CCM_TAG).encrypt(nonce, plain, header)

    def mac(self, data: bytes) -> bytes:
        """Return the AES-CMAC of `data`."""
        cmac = CMAC(self._aes)
        cmac.update(data)
        return cmac.finalize()

    def derive(self, purpose: int, counter: int, number: str) -> MeterKey:
        """Return the key of one message (OMS volume 2, annex F: key derivation function A).

        `purpose` is 0 to encipher and 1 to authenticate what a meter sends, 16 and 17 what it gets.
        """
        ident = bytes.fromhex(number)[::-1]
        return MeterKey(self.mac(bytes([purpose]) + counter.to_bytes(4, "little") + ident + _PAD))


class KeyRing:
    """The keys of several meters, by their numbers; `default` is for all others."""

    def __init__(
        self, keys: Mapping[str, MeterKey] | None = None, *, default: MeterKey | None = None
    ) -> None:
        self._keys = dict(keys or {})
        self._default = default

    def find(self, *addresses: Address | None) -> MeterKey | None:
        """Return the key of the first address that has one."""
        for address in addresses:
            if address is not None and address.number in self._keys:
                return self._keys[address.number]
        return self._default

    def find_number(self, number: str) -> MeterKey | None:
        """Return the key of a meter that says its number alone."""
        return self._keys.get(number, self._default)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._keys)} keys)"


NO_KEYS: Final = KeyRing()
