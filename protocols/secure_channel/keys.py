# SPDX-License-Identifier: Apache-2.0
"""AES keys of a secure channel: what is derived from them and how they are checked.

The derivation is SP 800-108 in counter mode with CMAC, as GPC Amendment D v1.2, 4.1.5, fills it:

    K(i) = CMAC(key, 00 x 11 | constant | 00 | L in bits (2) | i (1) | context)

S8 is the channel with challenges, cryptograms and MACs of 8 bytes, S16 the one with 16.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.cmac import CMAC

from protocols.secure_channel.errors import LocalChannelError

AES_SIZES: Final = frozenset({16, 24, 32})
BLOCK: Final = 16

CARD_CRYPTOGRAM: Final = 0x00
HOST_CRYPTOGRAM: Final = 0x01
CHALLENGE: Final = 0x02
S_ENC: Final = 0x04
S_MAC: Final = 0x06
S_RMAC: Final = 0x07


def cmac(key: bytes, message: bytes) -> bytes:
    """Return the 16 bytes of AES-CMAC (SP 800-38B)."""
    mac = CMAC(AES(key))
    mac.update(message)
    return mac.finalize()


def derive(key: bytes, constant: int, context: bytes, size: int) -> bytes:
    """Return `size` bytes for one purpose (GPC Amendment D v1.2, 4.1.5)."""
    fixed = bytes(11) + bytes((constant, 0)) + (8 * size).to_bytes(2, "big")
    blocks = (
        cmac(key, fixed + bytes((i,)) + context) for i in range(1, (size + BLOCK - 1) // BLOCK + 1)
    )
    return b"".join(blocks)[:size]


def pseudo_random_challenge(enc: bytes, sequence: int, aid: bytes, size: int) -> bytes:
    """Return the card challenge of i=10 (GPC Amendment D v1.2, 6.2.2.1): the host can check it."""
    return derive(enc, CHALLENGE, sequence.to_bytes(3, "big") + aid, size)


def key_check_value(key: bytes) -> bytes:
    """Return the first 3 bytes of 16 bytes 01 under an AES key (GPCS 2.3.1, B.6)."""
    return _ecb(key, b"\x01" * BLOCK)[:3]


def encrypt_key(dek: bytes, key: bytes) -> bytes:
    """Return `key` as PUT KEY carries it: AES-CBC under the DEK, zero-padded to whole blocks."""
    padded = key + bytes(-len(key) % BLOCK)
    encryptor = Cipher(AES(dek), CBC(bytes(BLOCK))).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def decrypt_key(dek: bytes, encrypted: bytes) -> bytes:
    """Return what `encrypt_key` was given, with its padding."""
    decryptor = Cipher(AES(dek), CBC(bytes(BLOCK))).decryptor()
    return decryptor.update(encrypted) + decryptor.finalize()


def _ecb(key: bytes, block: bytes) -> bytes:
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 - one block, as specified
    return encryptor.update(block) + encryptor.finalize()


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """A key set of SCP03: Key-ENC, Key-MAC and Key-DEK, of one AES size."""

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    dek: bytes = field(repr=False)

    def __post_init__(self) -> None:
        sizes = {len(self.enc), len(self.mac), len(self.dek)}
        if len(sizes) != 1 or not sizes <= AES_SIZES:
            raise LocalChannelError("a key set has three AES keys of one size")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StaticKeys):
            return NotImplemented
        mine = self.enc + self.mac + self.dek
        return hmac.compare_digest(mine, other.enc + other.mac + other.dek)

    def __hash__(self) -> int:
        return hash((self.enc, self.mac, self.dek))

    @classmethod
    def same(cls, key: bytes) -> Self:
        """Return the set that uses one key three times, as test cards do."""
        return cls(key, key, key)

    def session_keys(self, host_challenge: bytes, card_challenge: bytes) -> "SessionKeys":
        """Return S-ENC, S-MAC and S-RMAC (GPC Amendment D v1.2, 6.2.1)."""
        context, size = host_challenge + card_challenge, len(self.enc)
        return SessionKeys(
            derive(self.enc, S_ENC, context, size),
            derive(self.mac, S_MAC, context, size),
            derive(self.mac, S_RMAC, context, size),
            self.dek,
        )


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of one session; the DEK is the static one in SCP03, derived in SCP11."""

    enc: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    rmac: bytes = field(repr=False)
    dek: bytes = field(repr=False)

    def cryptograms(self, context: bytes, size: int) -> tuple[bytes, bytes]:
        """Return the card's and the host's cryptogram (GPC Amendment D v1.2, 6.2.2)."""
        card = derive(self.mac, CARD_CRYPTOGRAM, context, size)
        return card, derive(self.mac, HOST_CRYPTOGRAM, context, size)


def diversify(master: bytes, diversification: bytes) -> StaticKeys:
    """Return a card's keys from a master key and its key diversification data.

    The scheme that card tools call KDF3: the blocks CMAC(master, i | 00 00 00 c | 00 | data), cut
    to the master's size, with c = 1 for ENC, 2 for MAC and 3 for DEK.
    """
    size = len(master)

    def key(constant: int) -> bytes:
        blocks = (cmac(master, bytes((i, 0, 0, 0, constant, 0)) + diversification) for i in (1, 2))
        return b"".join(blocks)[:size]

    return StaticKeys(key(1), key(2), key(3))
