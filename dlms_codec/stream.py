# SPDX-License-Identifier: Apache-2.0
"""From a stream of bytes to what a meter says: frames, messages, protection and pushes in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Final, TypeAlias

from dlms_codec._make import twin
from dlms_codec.apdus import APDU_TAGS, Apdu, decode_apdu
from dlms_codec.assembly import Message, MessageDecoder, Transport, decode_messages, strip_llc
from dlms_codec.errors import DlmsError, MalformedDlms, WrongAuthenticationKey, WrongKey
from dlms_codec.frames import Damage
from dlms_codec.mbus import MbusFrame
from dlms_codec.options import DEFAULT_LIMITS, Limits, Quirk
from dlms_codec.profiles import PROFILES, Profile
from dlms_codec.protection import GeneralCiphered, GeneralCiphering, ServiceCiphered
from dlms_codec.push import Push
from dlms_codec.push_reader import PushReader, shared_reader
from dlms_codec.security import Keys, decipher_apdu
from dlms_codec.wrapper import VERSION

NO_KEYS: Final = Keys()
_PUSH: Final = 0x0F
_PROTECTED: Final = frozenset(
    {GeneralCiphered.GLOBAL_TAG, GeneralCiphered.DEDICATED_TAG, GeneralCiphering.TAG}
)

Protection: TypeAlias = GeneralCiphered | GeneralCiphering | ServiceCiphered


@dataclass(frozen=True, slots=True)
class Telegram:
    """A message of a meter, or to one, and what came of reading it."""

    offset: int
    """Where in the stream its first frame begins."""
    frames: int
    """How many frames it came in."""
    wire: bytes
    """The APDU as it came."""
    protection: Protection | None
    """What protects it; None if it came in the clear."""
    message: bytes = field(repr=False)
    """The APDU in the clear; empty if it cannot be read."""
    authenticated: bool | None
    """True: its tag is right; False: wrong; None: no tag, or no key to check it with."""
    push: Push | None
    """What it says, if it is a push."""
    error: DlmsError | None
    """Why it cannot be read."""

    @property
    def apdu(self) -> Apdu:
        """The message in the clear, decoded; raises the error if it cannot be read."""
        if self.error is not None:
            raise self.error
        return decode_apdu(self.message)


_TelegramTwin: Final = twin(Telegram)


def _telegram(
    message: Message,
    protection: Protection | None,
    clear: bytes,
    authenticated: bool | None,
    push: Push | None,
    error: DlmsError | None,
) -> Telegram:
    made: Any = _TelegramTwin()
    made.offset = message.offset
    made.frames = message.frames
    made.wire = message.apdu
    made.protection = protection
    made.message = clear
    made.authenticated = authenticated
    made.push = push
    made.error = error
    made.__class__ = Telegram
    telegram: Telegram = made
    return telegram


class TelegramReader:
    """Reads messages with the keys of a meter."""

    def __init__(
        self,
        *,
        keys: Keys = NO_KEYS,
        system_title: bytes | None = None,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
        profiles: Sequence[Profile] = PROFILES,
        pushes: PushReader | None = None,
    ) -> None:
        """`system_title` is the sender's, for messages that do not say it.

        `pushes` remembers the shapes of pushes; without it, all readers of a thread share one.
        """
        self._keys = keys
        self._title = system_title
        self._limits = limits
        self._quirks = quirks
        if pushes is None and profiles is PROFILES:
            pushes = shared_reader(limits, quirks, get_ident())
        self._pushes = pushes or PushReader(limits=limits, quirks=quirks, profiles=profiles)

    def read(self, message: Message) -> Telegram:
        """Return what a message says; what is wrong with it is in `error`."""
        apdu = message.apdu
        tag = apdu[0] if apdu else -1
        if tag == _PUSH:
            try:
                push = self._pushes.read(apdu)
            except DlmsError as error:
                return _telegram(message, None, b"", None, None, error)
            return _telegram(message, None, apdu, None, push, None)
        if tag in _PROTECTED:
            return self._protected(message)
        try:
            decoded = self._decode(apdu)
        except DlmsError as error:
            return _telegram(message, None, b"", None, None, error)
        if isinstance(decoded, ServiceCiphered):
            return self._protected(message)
        return _telegram(message, None, apdu, None, None, None)

    def _decode(self, apdu: bytes) -> Apdu:
        return decode_apdu(apdu, limits=self._limits, quirks=self._quirks)

    def _protected(self, message: Message) -> Telegram:
        try:
            outer = self._decode(message.apdu)
        except DlmsError as error:
            return _telegram(message, None, b"", None, None, error)
        if not isinstance(outer, GeneralCiphered | GeneralCiphering | ServiceCiphered):
            raise AssertionError("a protected message has the tag of one")
        try:
            clear = decipher_apdu(
                outer, self._keys, system_title=self._title, is_message=self._is_message
            )
        except DlmsError as error:
            failed = False if isinstance(error, WrongAuthenticationKey) else None
            if isinstance(error, WrongKey) and self._checked(outer):
                failed = False
            return _telegram(message, outer, b"", failed, None, error)
        plain, authenticated = clear.apdu, clear.authenticated
        push = None
        try:
            if plain[:1] == b"\x0f":
                push = self._pushes.read(plain)
            else:
                self._decode(plain)
        except DlmsError as error:
            return _telegram(message, outer, b"", authenticated, None, error)
        return _telegram(message, outer, plain, authenticated, push, None)

    def _checked(self, outer: Protection) -> bool:
        """Whether there was a tag, and a key to check it with."""
        return outer.protected.authenticated and self._keys.authentication is not None

    def _is_message(self, plain: bytes) -> bool:
        if not plain or plain[0] not in APDU_TAGS:
            return False
        try:
            if plain[0] == _PUSH:
                self._pushes.read(plain)
            else:
                self._decode(plain)
        except DlmsError:
            return False
        return True


class StreamDecoder:
    """Turns the stream of one line into telegrams and damage.

    Feed it the bytes as they come; `close` says that no more will. The outcome is the same however
    the stream is cut. `frames` counts those that are whole.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        keys: Keys = NO_KEYS,
        system_title: bytes | None = None,
        limits: Limits = DEFAULT_LIMITS,
        quirks: Quirk = Quirk.ALL,
        profiles: Sequence[Profile] = PROFILES,
        pushes: PushReader | None = None,
    ) -> None:
        self._messages = MessageDecoder(transport, limits=limits)
        self._reader = TelegramReader(
            keys=keys,
            system_title=system_title,
            limits=limits,
            quirks=quirks,
            profiles=profiles,
            pushes=pushes,
        )
        self.frames = 0

    def feed(self, data: bytes) -> list[Telegram | Damage]:
        """Take the next bytes; return what they complete."""
        return self._telegrams(self._messages.feed(data))

    def close(self) -> list[Telegram | Damage]:
        """End the stream; return what it cuts off."""
        return self._telegrams(self._messages.close())

    def _telegrams(self, events: Sequence[object]) -> list[Telegram | Damage]:
        found: list[Telegram | Damage] = []
        for event in events:
            if isinstance(event, Message):
                found.append(self._reader.read(event))
            elif isinstance(event, Damage):
                found.append(event)
            else:
                self.frames += 1
        return found


def decode_stream(
    transport: Transport,
    data: bytes,
    *,
    keys: Keys = NO_KEYS,
    system_title: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    quirks: Quirk = Quirk.ALL,
) -> list[Telegram | Damage]:
    """Return what is in a whole capture, in order."""
    decoder = StreamDecoder(
        transport,
        keys=keys,
        system_title=system_title,
        limits=limits,
        quirks=quirks,
    )
    return decoder.feed(data) + decoder.close()


def decode_telegram(
    apdu: bytes,
    *,
    keys: Keys = NO_KEYS,
    system_title: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    quirks: Quirk = Quirk.ALL,
) -> Telegram:
    """Return what one APDU says, that came without a frame; an LLC header may be in front."""
    reader = TelegramReader(
        keys=keys,
        system_title=system_title,
        limits=limits,
        quirks=quirks,
    )
    return reader.read(Message(0, strip_llc(apdu), 1))


def recognise(data: bytes) -> Transport | None:
    """Return what carries the messages of a capture; None: the whole of it is one APDU.

    Raises `MalformedDlms` if it is neither. Frames decide, as many bytes as they cover; a damaged
    one counts if its header is right.
    """
    covered: dict[Transport, int] = {}
    begun = False
    for transport in (Transport.HDLC, Transport.MBUS, Transport.WRAPPER):
        events = decode_messages(transport, data)
        frames = [event for event in events if not isinstance(event, Damage | Message)]
        if transport is Transport.HDLC:
            begun = any(isinstance(e, Damage) and e.reason in _HEADER_IS_RIGHT for e in events)
        elif transport is Transport.MBUS:  # frames of M-Bus meters are not for here
            frames = [f for f in frames if isinstance(f, MbusFrame) and f.carries_dlms]
        elif not data.startswith(VERSION):
            frames = []
        covered[transport] = sum(len(frame.wire) for frame in frames)
    best = max(covered, key=lambda transport: covered[transport])
    if covered[best]:
        return best
    if _may_be_message(strip_llc(data)):
        return None
    if begun:
        return Transport.HDLC
    raise MalformedDlms("no frame and no message of DLMS", offset=0)


_HEADER_IS_RIGHT: Final = frozenset({"FCS", "no flag where the length says"})


def _may_be_message(apdu: bytes) -> bool:
    """Whether bytes are a message, or begin as a push or as general ciphering does."""
    if apdu[:1] == b"\x0f" and len(apdu) > 6:
        return apdu[5] in (0, 12) or apdu[5:7] == b"\x09\x0c"
    if apdu[:1] in (b"\xdb", b"\xdc"):
        return apdu[1:2] in (b"\0", b"\x08")
    try:
        decode_apdu(apdu)
    except MalformedDlms:
        return False
    return True
