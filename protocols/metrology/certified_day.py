# SPDX-License-Identifier: Apache-2.0
"""A day of one register as the certifier signed it, and the days of a period, verified.

    day      = CBOR [body, signature, points]                  of version 2
               CBOR [body, signature, points, announcements]   once the certifier has another key
               CBOR [body, signature]                          of version 1

What is signed is a `DayContent` of version 2 (`protocols.metrology.day_content`), or one of
version 1 (`protocols.metrology.version1`), which is verified where it is stored and about which no
new question is answered. A day of version 2 may come with the commitments to its slots, which its
content binds by their digest: a statement that compares slots needs them, and no other.

A day that a later key has signed carries the announcements that lead to this key
(`protocols.metrology.key_chain`). Whoever verifies it knows the meter's first key. A day of version
1 that is stated again, and one that is corrected, is signed by the key that is in force when that
is done: it carries all announcements until then, those that came after its day, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import chain, pairwise, zip_longest
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array
from protocols.metrology.day_content import DayContent
from protocols.metrology.errors import DayRefused, MalformedDay
from protocols.metrology.events import FirstDayOfCustody
from protocols.metrology.grid import DayGrid, Period, SlotState
from protocols.metrology.key_chain import (
    ChainRefused,
    KeyAnnouncement,
    MalformedAnnouncement,
    chain_of,
    decode_announcements,
    encode_announcements,
)
from protocols.metrology.version1 import CommitmentScheme, DayContentVersion1
from protocols.proofs import (
    Malformed,
    PointVector,
    SlotOpening,
    Source,
    VectorCommitment,
    VectorOpening,
    VectorPart,
)

SIGNATURE_SIZE: Final = 64


@dataclass(frozen=True, slots=True)
class CertifiedDay:
    """A day's content and the certifier's signature on it."""

    content: DayContent | DayContentVersion1
    signature: bytes
    slots: PointVector | None = field(default=None, repr=False)
    """The commitments to the slots' uses, where they go along."""
    announcements: tuple[KeyAnnouncement, ...] = ()
    """Of the certifier's keys, as far as they had come into force by that day, or when it was
    signed again."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_SIZE:
            raise MalformedDay(f"a signature has 64 bytes, not {len(self.signature)}")
        if self.announcements and self.version == 1:
            raise MalformedDay("a day of version 1 is of a certifier's first key")
        if not self.is_signed_again and any(one.first_day > self.day for one in self.announcements):
            raise MalformedDay("the day carries a key that had not come into force")

    @classmethod
    def sign(
        cls,
        content: DayContent | DayContentVersion1,
        key: Ed25519PrivateKey,
        slots: PointVector | None = None,
        announcements: tuple[KeyAnnouncement, ...] = (),
    ) -> Self:
        """Return the content with its signature, and the announcements that lead to its key."""
        return cls(content, key.sign(_signed_bytes(content)), slots, announcements)

    @property
    def day(self) -> date:
        """The local date."""
        return self.content.grid.day

    @property
    def version(self) -> int:
        """Of the format: 1 or 2."""
        return 1 if isinstance(self.content, DayContentVersion1) else 2

    @property
    def digest(self) -> bytes:
        """The SHA-256 that statements about this day refer to."""
        return self.content.digest

    @property
    def link(self) -> bytes:
        """The digest that the next day refers to: of a day signed again, the one it had first."""
        return self.content.first_digest or self.digest

    @property
    def is_signed_again(self) -> bool:
        """Whether it was stated again in this version, or corrected."""
        return bool(self.content.first_digest)

    @property
    def revision(self) -> int:
        """How often the day was corrected."""
        return self.content.revision

    @property
    def revisions(self) -> tuple[int, ...]:
        """For each slot, the revision that it last changed in."""
        content = self.content
        if isinstance(content, DayContentVersion1) or content.correction is None:
            return (0,) * len(content.grid)
        return content.correction.revisions

    def with_slots(self, slots: PointVector | None) -> Self:
        """Return the day with the commitments to its slots, or without."""
        return replace(self, slots=slots)

    def encode(self) -> bytes:
        """Return the day's only encoding; of version 2, the one with these slots or with none."""
        if isinstance(self.content, DayContentVersion1):
            return encode_array([self.content.encode(), self.signature])
        points = b"" if self.slots is None else self.slots.encode()
        items: list[CborItem] = [self.content.encode(), self.signature, points]
        if self.announcements:
            items.append(encode_announcements(self.announcements))
        return encode_array(items)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the day of exactly these bytes; raise `MalformedDay` otherwise.

        Whether it is signed, and by whom, is for `verify` to say.
        """
        try:
            items = decode_array(data)
        except CborError as error:
            raise MalformedDay(f"not a certified day: {error}") from None
        match items:
            case [bytes(body), bytes(signature)]:
                return cls(DayContentVersion1.decode(body), signature)
            case [bytes(body), bytes(signature), bytes(points)]:
                return cls(DayContent.decode(body), signature, _slots(points))
            case [bytes(body), bytes(signature), bytes(points), bytes(announced)]:
                content = DayContent.decode(body)
                return cls(content, signature, _slots(points), _announcements(announced))
            case _:
                raise MalformedDay("not a certified day: neither body nor signature")

    def verify(self, public_key: Ed25519PublicKey) -> None:
        """Return if the meter's key of that day has signed it, and it sums up; else `DayRefused`.

        `public_key` is the meter's first key; the announcements lead from it to the day's.
        """
        if self.announcements:
            public_key = self._key_after(public_key)
        try:
            public_key.verify(self.signature, _signed_bytes(self.content))
        except InvalidSignature:
            raise DayRefused(self.day, "the signature does not match") from None
        self.content.require_sum(self.slots)

    def is_of_its_time(self, known: tuple[KeyAnnouncement, ...]) -> bool:
        """Tell whether it carries, of a meter's known announcements, those of its time.

        That is all that had begun by that day, and no more; where it was signed again, those that
        had come until then, which may be more.
        """
        begun = sum(1 for one in known if one.first_day <= self.day)
        carried = max(begun, len(self.announcements)) if self.is_signed_again else begun
        return self.announcements == known[:carried]

    def _key_after(self, root: Ed25519PublicKey) -> Ed25519PublicKey:
        try:
            keys = chain_of(self.content.meter, root.public_bytes_raw(), self.announcements)
            # Of a day signed again, the key in force when that was done: the last it carries.
            key = keys.current if self.is_signed_again else keys.key_for(self.day)
            return Ed25519PublicKey.from_public_bytes(key)
        except (ChainRefused, ValueError) as error:
            raise DayRefused(self.day, f"the certifier's keys: {error}") from None


@dataclass(frozen=True, slots=True)
class CertifiedPeriod:
    """The days of a period: of others' days only `verify_days` makes one, a hub of its own."""

    days: tuple[CertifiedDay, ...]

    @property
    def version(self) -> int:
        """The version that all days are of; raise `DayRefused` where one is of another."""
        version = self.days[0].version
        for day in self.days:
            if day.version != version:
                raise DayRefused(day.day, f"the day is not of version {version}")
        return version

    @property
    def grids(self) -> tuple[DayGrid, ...]:
        """The days' grids, in order."""
        return tuple(day.content.grid for day in self.days)

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The days' digests, as a statement names them."""
        return tuple(day.digest for day in self.days)

    @property
    def commitments(self) -> PointVector:
        """The commitments to all slots, in order; raise `DayRefused` where they are not there.

        Of days of version 1 in the scheme `vector`, those to the days.
        """
        parts = []
        for day in self.days:
            content = day.content
            points = content.commitments if isinstance(content, DayContentVersion1) else day.slots
            if points is None:
                raise DayRefused(day.day, "its slots did not come with it")
            parts.append(points)
        return PointVector.join(parts)

    @property
    def states(self) -> tuple[SlotState, ...]:
        """The states of all slots, in order."""
        return tuple(chain.from_iterable(day.content.states for day in self.days))

    def source(
        self, opening: SlotOpening | VectorOpening | None = None, *, needs_slots: bool
    ) -> Source:
        """Return what a statement works with (`protocols.proofs.session`).

        `needs_slots` is what the statement says of itself: prover and verifier take the same
        source. The prover adds the opening. Raises `DayRefused` if the days differ in their version
        or scheme, or if slots are needed and a day came without; days of version 1 have one source,
        whatever is needed.
        """
        identity = b"".join(self.digests)
        if self.version == 1:
            by_slots = self._scheme_of_version_1() is CommitmentScheme.SLOTS
            points = self.commitments
        else:
            by_slots = needs_slots
            points = self.commitments if needs_slots else self._vectors()
        if by_slots:
            return Source(points, identity, opening)
        parts = tuple(VectorPart.of_day(grid.day.day, len(grid)) for grid in self.grids)
        return Source(VectorCommitment(parts, points), identity, opening)

    def _vectors(self) -> PointVector:
        contents = [day.content for day in self.days]
        return PointVector(one.vector for one in contents if isinstance(one, DayContent))

    def _scheme_of_version_1(self) -> CommitmentScheme:
        contents = [day.content for day in self.days]
        schemes = [one.scheme for one in contents if isinstance(one, DayContentVersion1)]
        for day, scheme in zip(self.days, schemes, strict=True):
            if scheme is not schemes[0]:
                raise DayRefused(day.day, f"the day is not in the scheme {schemes[0]}")
        return schemes[0]

    @property
    def unattributed(self) -> PointVector:
        """The commitments to the energy that no slot holds, one a day."""
        return PointVector(day.content.unattributed for day in self.days)


@dataclass(frozen=True, slots=True)
class Series:
    """Which days belong together: what must not change from one day to the next."""

    meter: bytes
    register: bytes
    zone: str
    slot_minutes: int


def verify_days(
    days: Sequence[CertifiedDay],
    period: Period,
    series: Series,
    public_key: Ed25519PublicKey,
    *,
    after: CertifiedDay | None = None,
) -> CertifiedPeriod:
    """Return the period if `days` are all of its days, in order; raise `DayRefused` if not.

    Each day is signed, of this series, on its own date, one up in the counter, chained to the
    one before by its hash, and starts with the register at which that one ended. The first has
    to follow `after` in the same way, where that is given: the last day verified so far. Of days
    that a following one vouches for, the contents are what was signed; their own signatures are
    not looked at.
    """
    expected = tuple(period.days(series.zone))
    present = {day.day for day in days}
    for place, date_due in enumerate(expected):
        if date_due not in present:
            raise DayRefused(date_due, "the day is missing")
        if days[place].day != date_due:
            raise DayRefused(date_due, f"in its place is {days[place].day}")
    if len(days) > len(expected):
        raise DayRefused(days[len(expected)].day, "the day is outside of the period, or repeated")
    try:
        _require_chain(days, series, public_key, after)
    except DayRefused:
        for day in days:  # which one is to blame: with each signature checked
            day.verify(public_key)
            _check_series(day, series)
        raise
    return CertifiedPeriod(tuple(days))


def _require_chain(
    days: Sequence[CertifiedDay],
    series: Series,
    public_key: Ed25519PublicKey,
    after: CertifiedDay | None,
) -> None:
    """Return if the certifier has signed all days, in this order; raise `DayRefused` if not."""
    for day in days:
        _check_series(day, series)
    in_order = tuple(days) if after is None else (after, *days)
    _require_keys_of_their_time(in_order)
    for before, day in pairwise(in_order):
        _check_link(before, day)
    for day, following in zip_longest(days, days[1:]):
        # The links above hold: where the following day vouches, its signature stands for both.
        if following is not None and _vouches(following, day):
            day.content.require_sum(day.slots)
        else:
            day.verify(public_key)


def _vouches(day: CertifiedDay, before: CertifiedDay) -> bool:
    """Tell whether the signature of a day shows that the day before was signed as well.

    A certifier of version 2 signs on the digest of no day but one of which it has checked that its
    own key has signed it (`hub.certifier`). As nobody finds two contents of one SHA-256, a day
    whose digest is in signed content has the content that was signed. Not so, and such a day's own
    signature is checked,

    * where the day before was signed again: the digest is of what it said first;
    * where another key begins: who has the former one could sign for the new one's holder;
    * where a custody begins: its certifier was handed the digest, and not the day;
    * where the following day is one of version 1, or states one again: release 0.1 signed on
      whatever it was handed.
    """
    content = day.content
    return (
        isinstance(content, DayContent)
        and isinstance(before.content, DayContent)
        and not content.restated
        and not before.is_signed_again
        and day.announcements == before.announcements
        and not any(isinstance(event, FirstDayOfCustody) for event in content.events)
    )


def _check_series(day: CertifiedDay, series: Series) -> None:
    content = day.content
    if content.meter != series.meter:
        raise DayRefused(day.day, "the day is of another meter")
    if content.register != series.register:
        raise DayRefused(day.day, "the day is of another register")
    if content.grid.zone != series.zone:
        raise DayRefused(day.day, f"the grid is in the zone {content.grid.zone}")
    if content.grid.slot_minutes != series.slot_minutes:
        raise DayRefused(day.day, f"the grid has slots of {content.grid.slot_minutes} minutes")


def _check_link(before: CertifiedDay, day: CertifiedDay) -> None:
    if day.content.counter != before.content.counter + 1:
        raise DayRefused(day.day, "the counter does not follow that of the day before")
    if day.content.previous != before.link:
        raise DayRefused(day.day, "the hash of the day before does not match")
    if day.content.grid.begin != before.content.grid.end:
        raise DayRefused(day.day, "the day does not begin where the day before ends")
    if day.content.start != before.content.end:
        raise DayRefused(day.day, "the register does not start where the day before ended")
    last, first = before.content, day.content
    if not isinstance(first, DayContent):
        if before.version != 1:
            raise DayRefused(day.day, "a day of version 1 does not follow one of version 2")
        return
    mounted, step = first.meter, 1  # what every day of version 1 was about
    if isinstance(last, DayContent):
        mounted, step = last.mounted_at_end, last.step_at_end
    if first.mounted != mounted:
        raise DayRefused(day.day, "another meter is up than the day before")
    if first.step_wh != step:
        raise DayRefused(day.day, "the register does not count in the steps of the day before")


def _require_keys_of_their_time(days: Sequence[CertifiedDay]) -> None:
    """Return if each day is of the key in force by what the days announce; else `DayRefused`."""
    known = max((day.announcements for day in days), key=len)
    for day in days:
        if not day.is_of_its_time(known):
            # A key that has ended signs no later day.
            raise DayRefused(day.day, "the key that signed it had ended before that day")


def _slots(points: bytes) -> PointVector | None:
    try:
        return PointVector.decode(points) if points else None
    except Malformed as error:
        raise MalformedDay(f"not a certified day: {error}") from None


def _announcements(data: bytes) -> tuple[KeyAnnouncement, ...]:
    try:
        announced = decode_announcements(data)
    except MalformedAnnouncement as error:
        raise MalformedDay(f"the certifier's keys: {error}") from None
    if not announced:
        raise MalformedDay("a day without announcements says nothing of them")
    return announced


def _signed_bytes(content: DayContent | DayContentVersion1) -> bytes:
    return content.label.encode() + content.encode()
