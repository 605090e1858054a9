# SPDX-License-Identifier: Apache-2.0
"""Protects and reads messages with AES-GCM: security suites 0 and 1 (128 bits) and 2 (256 bits).

    IV   system title of the sender, 8 bytes | counter, 4 bytes
    AAD  security control | authentication key | plain text, where it is not enciphered

The authentication key is a key apart from the one that enciphers. Without it a message can be read
but not be checked. Where there is a tag, a wrong encryption key is told from a wrong authentication
key by what comes out: a message, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from dlms_codec.errors import (
    EncodingError,
    MissingKey,
    ReplayedCounter,
    SecurityError,
    UnprotectedMessage,
    WrongAuthenticationKey,
    WrongKey,
)
from dlms_codec.protection import (
    AUTHENTICATED,
    ENCRYPTED,
    TAG_SIZE,
    GeneralCiphered,
    GeneralCiphering,
    ProtectedText,
    ServiceCiphered,
)

KEY_SIZES: Final = {0: 16, 1: 16, 2: 32}
"""Bytes of a key, by security suite."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one meter; none of them is shown by `repr`."""

    encryption: bytes | None = field(default=None, repr=False)
    """GUEK, the global unicast encryption key."""
    authentication: bytes | None = field(default=None, repr=False)
    """GAK, the authentication key."""
    dedicated: bytes | None = field(default=None, repr=False)
    """The encryption key of one association."""
    broadcast: bytes | None = field(default=None, repr=False)
    """GBEK, the global broadcast encryption key."""

    def __post_init__(self) -> None:
        for name in ("encryption", "authentication", "dedicated", "broadcast"):
            key = getattr(self, name)
            if key is not None and len(key) not in (16, 32):
                raise EncodingError(f"the {name} key has {len(key)} bytes; it needs 16 or 32")


@dataclass(frozen=True, slots=True)
class Deciphered:
    """A message that was protected."""

    apdu: bytes
    authenticated: bool | None
    """True: its tag is right. None: it has no tag, or there is no key to check it with."""


@lru_cache(maxsize=64)
def _cipher(key: bytes) -> AESGCM:
    """Return the cipher of a key: making one takes longer than a message does."""
    return AESGCM(key)


def decipher(
    protected: ProtectedText,
    system_title: bytes,
    keys: Keys,
    *,
    dedicated: bool = False,
    is_message: Callable[[bytes], bool] | None = None,
) -> Deciphered:
    """Return the message that was protected.

    `is_message` says whether what came out makes sense; without it nothing tells a wrong key where
    there is no tag. Raises `MissingKey`, `WrongKey`, `WrongAuthenticationKey`, or `SecurityError`
    for what is not supported.
    """
    if protected.compressed:
        raise SecurityError("compressed messages are not supported")
    if len(system_title) != 8:
        raise MissingKey("the system title of the sender is needed: 8 bytes")
    nonce = system_title + protected.counter.to_bytes(4, "big")
    if not protected.encrypted:
        return _check_plain(protected, nonce, keys, dedicated=dedicated)
    key = _key_for(protected, keys, dedicated=dedicated)
    cipher = _cipher(key)
    # GCM enciphers and deciphers alike; the tag behind is that of the wrong direction.
    plain = cipher.encrypt(nonce, protected.text, None)[: len(protected.text)]
    if not protected.authenticated or keys.authentication is None:
        if is_message is not None and not is_message(plain):
            raise WrongKey("what comes out is no message: is the encryption key of this meter?")
        return Deciphered(plain, None)
    aad = bytes([protected.control]) + keys.authentication
    tag = cipher.encrypt(nonce, plain, aad)[-16:][:TAG_SIZE]
    if not compare_digest(tag, protected.tag):
        if is_message is not None and not is_message(plain):
            raise WrongKey("what comes out is no message: is the encryption key of this meter?")
        raise WrongAuthenticationKey("the tag is wrong: is the authentication key of this meter?")
    return Deciphered(plain, True)


def _check_plain(
    protected: ProtectedText, nonce: bytes, keys: Keys, *, dedicated: bool
) -> Deciphered:
    """Check a message that is authenticated and not enciphered."""
    if not protected.authenticated or keys.authentication is None:
        return Deciphered(protected.text, None)
    cipher = _cipher(_key_for(protected, keys, dedicated=dedicated))
    aad = bytes([protected.control]) + keys.authentication + protected.text
    if not compare_digest(cipher.encrypt(nonce, b"", aad)[:TAG_SIZE], protected.tag):
        raise WrongAuthenticationKey("the tag is wrong: are both keys of this meter?")
    return Deciphered(protected.text, True)


def _key_for(protected: ProtectedText, keys: Keys, *, dedicated: bool) -> bytes:
    if dedicated:
        key, name = keys.dedicated, "dedicated key of the association"
    elif protected.broadcast:
        key, name = keys.broadcast or keys.encryption, "broadcast encryption key"
    else:
        key, name = keys.encryption, "encryption key"
    if key is None:
        raise MissingKey(f"the {name} is needed")
    return key


def protect(
    apdu: bytes,
    system_title: bytes,
    counter: int,
    keys: Keys,
    *,
    control: int = AUTHENTICATED | ENCRYPTED,
    dedicated: bool = False,
) -> ProtectedText:
    """Return a message under the protection that `control` names; `system_title` is the sender's.

    A counter must never be used twice with a key: the caller sees to that.
    """
    if len(system_title) != 8:
        raise EncodingError("a system title has 8 bytes")
    blank = ProtectedText(control & ~AUTHENTICATED, counter, b"")
    cipher = _cipher(_key_for(blank, keys, dedicated=dedicated))
    nonce = system_title + counter.to_bytes(4, "big")
    aad: bytes | None = None
    if control & AUTHENTICATED:
        if keys.authentication is None:
            raise MissingKey("the authentication key is needed")
        aad = bytes([control]) + keys.authentication
    if not control & ENCRYPTED:
        tag = cipher.encrypt(nonce, b"", (aad or b"") + apdu)[:TAG_SIZE] if aad else b""
        return ProtectedText(control, counter, apdu, tag)
    sealed = cipher.encrypt(nonce, apdu, aad)
    tag = sealed[len(apdu) :][:TAG_SIZE] if aad else b""
    return ProtectedText(control, counter, sealed[: len(apdu)], tag)


def decipher_apdu(
    apdu: GeneralCiphered | GeneralCiphering | ServiceCiphered,
    keys: Keys,
    *,
    system_title: bytes | None = None,
    is_message: Callable[[bytes], bool] | None = None,
) -> Deciphered:
    """Return what a protected APDU holds; `system_title` is for those that do not say the sender.

    Raises what `decipher` does.
    """
    dedicated = not isinstance(apdu, GeneralCiphering) and apdu.dedicated
    title = system_title or b""
    if isinstance(apdu, GeneralCiphered):
        title = apdu.system_title or title
    elif isinstance(apdu, GeneralCiphering):
        title = apdu.originator or title
        if apdu.key_information[:1] not in (b"", b"\0"):
            raise SecurityError("a key that was wrapped or agreed upon is not supported")
    return decipher(apdu.protected, title, keys, dedicated=dedicated, is_message=is_message)


class CounterGuard:
    """Takes each counter of a sender once, and only upwards."""

    def __init__(self, last: int = -1) -> None:
        self.last = last

    def take(self, counter: int) -> None:
        """Remember a counter; raise `ReplayedCounter` if it is not above the last.

        Call it after the tag was found right: anyone can send a high counter.
        """
        if counter <= self.last:
            raise ReplayedCounter(counter, self.last)
        self.last = counter


def demand(protected: ProtectedText, *, authenticated: bool = True, encrypted: bool = True) -> None:
    """Raise `UnprotectedMessage` if a message has less protection than that."""
    if authenticated and not protected.authenticated:
        raise UnprotectedMessage("the message has no tag")
    if encrypted and not protected.encrypted:
        raise UnprotectedMessage("the message is not enciphered")


def wrap_key(master_key: bytes, key: bytes) -> bytes:
    """Return a key as it is sent to a meter (RFC 3394)."""
    try:
        return aes_key_wrap(master_key, key)
    except ValueError as error:
        raise EncodingError(f"keys have 16 or 32 bytes: {error}") from None


def unwrap_key(master_key: bytes, wrapped: bytes) -> bytes:
    """Return the key that was sent; raise `WrongKey` if the master key is not the sender's."""
    try:
        return aes_key_unwrap(master_key, wrapped)
    except InvalidUnwrap:
        raise WrongKey("the master key does not open this key") from None
    except ValueError as error:
        raise EncodingError(f"keys have 16 or 32 bytes: {error}") from None
