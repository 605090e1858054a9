# SPDX-License-Identifier: Apache-2.0
"""How a certifier's key is succeeded by another: announced, signed by both, one after the other.

    announcement = CBOR [body, signature by the old key, signature by the new one]
    body         = CBOR [LABEL, meter, place, previous, first day, old key, new key]
    previous     = SHA-256 (LABEL | body) of the announcement before, 32 zero bytes for the first
    chain        = CBOR [announcement, ...]                  place 1, 2, ...

From the first day on, the new key alone signs the meter's days; the old one signed those before.
The old key's signature says that its holder wanted that, the new key's that its holder has it. A
meter is known by its first key. Whoever knows that key and the chain knows the key of each day.

A thief of an old key can make another announcement. So whoever keeps a chain takes one that goes on
from it, and no other.

Errors: MalformedAnnouncement, ChainRefused
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborError, decode_array, encode_array
from protocols.metrology.errors import MetrologyError

LABEL: Final = "meterlet certifier key 1"
NO_ANNOUNCEMENT: Final = bytes(32)
KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
MOST_KEYS: Final = 256
"""How many keys a meter may have had."""
EARLIEST: Final = date(1970, 1, 1)
"""From when a key counts that follows one which signed nothing."""
_METER_SIZES: Final = range(1, 65)


class MalformedAnnouncement(MetrologyError):
    """Bytes are not an announcement, or not a chain of them, in their only encoding."""


class ChainRefused(MetrologyError):
    """Announcements are well-formed, and not the ones that succeed this key."""


@dataclass(frozen=True, slots=True)
class KeyAnnouncement:
    """From a day on, a new key certifies a meter; signed with the old key and with the new one."""

    meter: bytes
    place: int
    """1 for the meter's first announcement."""
    previous: bytes
    first_day: date
    """The first day that the new key signs."""
    old: bytes
    new: bytes
    by_old: bytes = bytes(SIGNATURE_SIZE)
    by_new: bytes = bytes(SIGNATURE_SIZE)

    def __post_init__(self) -> None:
        if len(self.meter) not in _METER_SIZES or not 1 <= self.place <= MOST_KEYS:
            raise MalformedAnnouncement("the meter's id or the place is out of range")
        if {len(self.previous), len(self.old), len(self.new)} != {KEY_SIZE}:
            raise MalformedAnnouncement("a key or digest has not 32 bytes")
        if {len(self.by_old), len(self.by_new)} != {SIGNATURE_SIZE}:
            raise MalformedAnnouncement("a signature has not 64 bytes")
        if self.old == self.new:
            raise MalformedAnnouncement("a key does not succeed itself")
        if (self.place == 1) != (self.previous == NO_ANNOUNCEMENT):
            raise MalformedAnnouncement("the first announcement, and no other, has none before it")

    @property
    def digest(self) -> bytes:
        """What the next announcement refers to."""
        return hashlib.sha256(self._signed_bytes()).digest()

    def signed(self, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> Self:
        """Return the announcement with both signatures."""
        said = self._signed_bytes()
        return type(self)(
            self.meter, self.place, self.previous, self.first_day, self.old, self.new,
            old.sign(said), new.sign(said),
        )  # fmt: skip

    def verify(self) -> None:
        """Return if both keys have signed it; raise `ChainRefused` if not."""
        for whose, key, signature in (
            ("old", self.old, self.by_old),
            ("new", self.new, self.by_new),
        ):
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, self._signed_bytes())
            except (InvalidSignature, ValueError):
                raise ChainRefused(
                    f"announcement {self.place}: the {whose} key has not signed it"
                ) from None

    def encode(self) -> bytes:
        """Return the announcement's only encoding."""
        return encode_array([self._body(), self.by_old, self.by_new])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the announcement of exactly these bytes; raise `MalformedAnnouncement`."""
        try:
            match decode_array(data):
                case [bytes(body), bytes(by_old), bytes(by_new)]:
                    items = decode_array(body)
                case _:
                    raise MalformedAnnouncement("not a body and two signatures")
            match items:
                case [
                    str(label), bytes(meter), int(place), bytes(previous), str(first), bytes(old),
                    bytes(new),
                ] if label == LABEL:  # fmt: skip
                    day = date.fromisoformat(first)
                case _:
                    raise MalformedAnnouncement("other fields than an announcement has")
        except (CborError, ValueError) as error:
            raise MalformedAnnouncement(f"not an announcement: {error}") from None
        if day.isoformat() != first:
            raise MalformedAnnouncement("the date is not written as YYYY-MM-DD")
        return cls(meter, place, previous, day, old, new, by_old, by_new)

    def _body(self) -> bytes:
        return encode_array([
            LABEL, self.meter, self.place, self.previous, self.first_day.isoformat(), self.old,
            self.new,
        ])  # fmt: skip

    def _signed_bytes(self) -> bytes:
        return LABEL.encode() + self._body()


@dataclass(frozen=True, slots=True)
class KeyChain:
    """A meter's keys, one after the other; it holds together from birth, or is none.

    Raises `ChainRefused` where an announcement is of another meter, out of its place, of another
    key than the one before it announced, of an earlier day, not signed by both, or where a key
    comes back.
    """

    meter: bytes
    root: bytes
    """The first key, by which the meter is known."""
    announcements: tuple[KeyAnnouncement, ...] = ()

    def __post_init__(self) -> None:
        key, previous, first, known = self.root, NO_ANNOUNCEMENT, EARLIEST, {self.root}
        for place, one in enumerate(self.announcements, start=1):
            if one.meter != self.meter:
                raise ChainRefused(f"announcement {place} is of another meter")
            if one.place != place or one.previous != previous:
                raise ChainRefused(f"announcement {place} does not follow the one before it")
            if one.old != key:
                raise ChainRefused(f"announcement {place} is not of the key that was in force")
            if one.first_day < first:
                raise ChainRefused(f"announcement {place} begins before the one that it follows")
            if one.new in known:  # a key that has ended stays ended
                raise ChainRefused(f"announcement {place} brings back a key that has ended")
            one.verify()
            key, previous, first = one.new, one.digest, one.first_day
            known.add(key)

    @property
    def current(self) -> bytes:
        """The key that signs now."""
        return self.announcements[-1].new if self.announcements else self.root

    @property
    def begins(self) -> date:
        """The first day of the key that signs now."""
        return self.announcements[-1].first_day if self.announcements else EARLIEST

    def key_for(self, day: date) -> bytes:
        """Return the key that signs this day: of the last announcement that has begun by then."""
        begun = [one.new for one in self.announcements if one.first_day <= day]
        return begun[-1] if begun else self.root

    def succeeded(
        self, first_day: date, old: Ed25519PrivateKey, new: Ed25519PrivateKey
    ) -> "KeyChain":
        """Return the chain in which `new` signs from that day on; raise `ChainRefused`."""
        last = self.announcements[-1].digest if self.announcements else NO_ANNOUNCEMENT
        announced = KeyAnnouncement(
            self.meter, len(self.announcements) + 1, last, first_day,
            old.public_key().public_bytes_raw(), new.public_key().public_bytes_raw(),
        ).signed(old, new)  # fmt: skip
        return KeyChain(self.meter, self.root, (*self.announcements, announced))


@lru_cache(maxsize=256)
def chain_of(meter: bytes, root: bytes, announcements: tuple[KeyAnnouncement, ...]) -> KeyChain:
    """Return the chain, verified once for the many days that carry it; raise `ChainRefused`."""
    return KeyChain(meter, root, announcements)


def encode_announcements(announcements: Sequence[KeyAnnouncement]) -> bytes:
    """Return the one encoding of a chain's announcements."""
    return encode_array([one.encode() for one in announcements])


def decode_announcements(data: bytes) -> tuple[KeyAnnouncement, ...]:
    """Return the announcements of exactly these bytes; raise `MalformedAnnouncement` otherwise."""
    try:
        items = decode_array(data)
    except CborError as error:
        raise MalformedAnnouncement(f"not a chain of announcements: {error}") from None
    if len(items) > MOST_KEYS:
        raise MalformedAnnouncement(f"{len(items)} announcements are too many")
    announcements = []
    for item in items:
        if not isinstance(item, bytes):
            raise MalformedAnnouncement("in the place of an announcement is something else")
        announcements.append(KeyAnnouncement.decode(item))
    return tuple(announcements)
