# SPDX-License-Identifier: Apache-2.0
"""The messages of one association under their keys: both ends, both ways.

What is sent takes the next counter; what comes must have a right tag, the protection that was
agreed upon, and a counter above the last of its sender and key. Nothing is believed before that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from dlms_codec.apdus import decode_apdu
from dlms_codec.errors import (
    CounterExhausted,
    EncodingError,
    MalformedDlms,
    SecurityError,
    UnprotectedMessage,
)
from dlms_codec.protection import (
    AUTHENTICATED,
    ENCRYPTED,
    PROTECTED_TAGS,
    GeneralCiphered,
    ServiceCiphered,
)
from dlms_codec.security import KEY_SIZES, CounterGuard, Keys, decipher_apdu, demand, protect

LAST_COUNTER: Final = (1 << 32) - 1
OVERHEAD: Final = 48
"""The most bytes that protection adds to a message: tags, lengths, title, counter."""


class SendCounter:
    """The counter of what one end sends with a key: each number once, for as long as the key lives.

    A number that is used twice gives the key away. So `reserve` is called with the number to begin
    with next time, before any below it is used: write it down, and start from it. It is called
    once for `step` numbers. The first number is 1: some take 0 for one that was used.
    """

    def __init__(
        self,
        following: int = 1,
        reserve: Callable[[int], None] | None = None,
        *,
        step: int = 100,
    ) -> None:
        self.following = following
        self._reserve = reserve
        self._step = step
        self._reserved = following

    def take(self) -> int:
        """Return the next number; raise `CounterExhausted` when there is none."""
        number = self.following
        if number > LAST_COUNTER:
            raise CounterExhausted("the counter of this key is used up: the meter needs new keys")
        if self._reserve is not None and number >= self._reserved:
            self._reserve(number + self._step)  # first this: the process may end at any moment
            self._reserved = number + self._step
        self.following = number + 1
        return number


@dataclass(slots=True)
class SecureMessaging:
    """Protects what one end sends, and opens what it gets."""

    keys: Keys
    own_title: bytes
    peer_title: bytes
    send: SendCounter
    received: CounterGuard
    """Of the global key; it outlives the association."""
    suite: int = 0
    policy: int = AUTHENTICATED | ENCRYPTED
    """What both ways must have: 10 a tag, 20 enciphered."""
    dedicated: bool = False
    """Whether the key of this association is used, where there is one."""
    _dedicated_received: CounterGuard = field(default_factory=CounterGuard)

    def __post_init__(self) -> None:
        check_keys(self.keys, self.suite)

    def protect(
        self, apdu: bytes, *, general: bool = False, dedicated: bool | None = None
    ) -> bytes:
        """Return a message as it is sent."""
        with_dedicated = self.dedicated if dedicated is None else dedicated
        text = protect(
            apdu,
            self.own_title,
            self.send.take(),
            self.keys,
            control=self.policy | self.suite,
            dedicated=with_dedicated,
        )
        tag = PROTECTED_TAGS.get(("ded" if with_dedicated else "glo", apdu[0]))
        if general or tag is None:
            return GeneralCiphered(self.own_title, text, with_dedicated).encode()
        return ServiceCiphered(tag, text).encode()

    def open(self, message: GeneralCiphered | ServiceCiphered) -> bytes:
        """Return the message that was protected.

        Raises `WrongKey`, `WrongAuthenticationKey`, `UnprotectedMessage` or `ReplayedCounter`.
        """
        protected = message.protected
        demand(
            protected,
            authenticated=bool(self.policy & AUTHENTICATED),
            encrypted=bool(self.policy & ENCRYPTED),
        )
        if protected.broadcast:
            raise SecurityError("a message of an association has no broadcast key")
        if protected.suite != self.suite:
            raise SecurityError(f"protected by suite {protected.suite}, not {self.suite}")
        if isinstance(message, GeneralCiphered) and message.system_title not in (
            b"",
            self.peer_title,
        ):
            raise SecurityError("the message is of another system title than the association")
        if message.dedicated and self.keys.dedicated is None:
            raise SecurityError("a dedicated key was not agreed upon")
        opened = decipher_apdu(
            message, self.keys, system_title=self.peer_title, is_message=is_message
        )
        if self.policy & AUTHENTICATED and opened.authenticated is not True:
            raise UnprotectedMessage("the tag of the message cannot be checked without its key")
        # Only now: who lacks the key cannot move the counter.
        guard = self._dedicated_received if message.dedicated else self.received
        guard.take(protected.counter)
        key = "ded" if message.dedicated else "glo"
        if not opened.apdu or (
            isinstance(message, ServiceCiphered)
            and PROTECTED_TAGS.get((key, opened.apdu[0])) != message.tag
        ):
            raise SecurityError("the service inside is not the one that its tag names")
        return opened.apdu


def check_keys(keys: Keys, suite: int) -> None:
    """Raise `EncodingError` if keys have not the size of their suite."""
    size = KEY_SIZES.get(suite)
    if size is None:
        raise EncodingError(f"security suite {suite}; there are 0, 1 and 2")
    for key in (keys.encryption, keys.authentication, keys.dedicated):
        if key is not None and len(key) != size:
            raise EncodingError(f"suite {suite} has keys of {size} bytes, not {len(key)}")


def is_message(plain: bytes) -> bool:
    """Whether what came out of a cipher is a message of DLMS."""
    try:
        decode_apdu(plain)
    except MalformedDlms:
        return False
    return True
