# SPDX-License-Identifier: Apache-2.0
"""A day of one register, committed to slot by slot and signed by the certifier.

    day      = CBOR [body, signature]          signature = Ed25519 over LABEL | body
               CBOR [body, signature, announcements]    once the certifier has another key
    body     = CBOR [LABEL, meter, register, day, zone, slot minutes, counter, previous,
                     states, scheme, point size, commitments, start, end, unattributed, opening]
    previous = digest of the day before, 32 zero bytes for the first (whose counter is 1)
    digest   = SHA-256 (LABEL | body)

Public:  commitments C[t] to the slots' uses; C_start and C_end to the register at the day's
         ends; C_gap to the energy that the register shows but no slot holds (it went on while
         nobody read it, and stands for missing slots; 0 on most days, in which case nobody can
         tell); opening.
Claim:   Σ x[t] + x_gap = x_end - x_start.
Proof:   opening = Σ r[t] + r_gap - (r_end - r_start); anyone checks
         Σ C[t] + C_gap - (C_end - C_start) = opening·G.

The blinding of a register belongs to the instant and its value: the end of one day and the start
of the next are the same point, so that no energy is lost at midnight. With the counter and the
hash of the day before, no day or slot can be left out, repeated or moved.

A day that a later key has signed carries the announcements that lead to this key
(`protocols.metrology.key_chain`). Whoever verifies it knows the meter's first key.

In the scheme `vector` there is one commitment for the whole day (`protocols.proofs.vector`), and
the opening is 0: that the uses sum to the register is then what the certifier says, and what the
hub can prove as a linear form.
"""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array
from protocols.metrology.errors import DayRefused, GridError, MalformedDay
from protocols.metrology.grid import DayGrid, Period, SlotState
from protocols.metrology.key_chain import (
    ChainRefused,
    KeyAnnouncement,
    MalformedAnnouncement,
    chain_of,
    decode_announcements,
    encode_announcements,
)
from protocols.proofs import (
    Malformed,
    Point,
    PointVector,
    SlotOpening,
    Source,
    VectorCommitment,
    VectorOpening,
    VectorPart,
)
from protocols.proofs.group import (
    COMPRESSED_SIZE,
    ORDER,
    POINT_SIZES,
    decode_scalar,
    encode_scalar,
    multiply_generator,
)

LABEL: Final = "meterlet certified day 1"
NO_DAY: Final = bytes(32)
"""What the first day has in place of the digest of the day before."""

SIGNATURE_SIZE: Final = 64
_STATES: Final = tuple(SlotState)
METER_SIZES: Final = range(1, 65)
_LARGEST_COUNTER: Final = 2**32 - 1


class CommitmentScheme(enum.StrEnum):
    """How a day's uses are committed to."""

    SLOTS = "slots"
    """A point for each slot: cheap to prove over, 3 kB a day."""
    VECTOR = "vector"
    """A point for the day: 33 bytes, and proofs of a kilobyte."""


@dataclass(frozen=True, slots=True)
class DayContent:
    """What the certifier signs."""

    meter: bytes
    register: bytes
    """The OBIS code, 6 bytes."""
    grid: DayGrid
    counter: int
    previous: bytes
    states: tuple[SlotState, ...] = field(repr=False)
    commitments: PointVector
    start: Point
    end: Point
    unattributed: Point
    opening: int
    point_size: int = COMPRESSED_SIZE
    scheme: CommitmentScheme = CommitmentScheme.SLOTS

    def __post_init__(self) -> None:
        if len(self.meter) not in METER_SIZES or len(self.register) != 6:
            raise MalformedDay("a meter id has 1 to 64 bytes, a register's OBIS code 6")
        if not 1 <= self.counter <= _LARGEST_COUNTER:
            raise MalformedDay(f"the counter {self.counter} is not in 1 to 2^32 - 1")
        if len(self.previous) != len(NO_DAY) or (self.counter == 1) != (self.previous == NO_DAY):
            raise MalformedDay("the first day, and no other, has no day before")
        is_vector = self.scheme is CommitmentScheme.VECTOR
        points = 1 if is_vector else len(self.grid)
        if len(self.states) != len(self.grid) or len(self.commitments) != points:
            raise MalformedDay(
                f"{len(self.states)} states and {len(self.commitments)} commitments"
                f" for the {len(self.grid)} slots of {self.grid.day}"
            )
        if is_vector and self.opening:
            raise MalformedDay("a day in the scheme vector has no opening")
        if self.point_size not in POINT_SIZES:
            raise MalformedDay(f"a point has 33 or 65 bytes, not {self.point_size}")
        if not 0 <= self.opening < ORDER:
            raise MalformedDay("the opening is not a reduced scalar")
        if self.start.is_infinity or self.end.is_infinity or self.unattributed.is_infinity:
            raise MalformedDay("a commitment is the point at infinity")

    def encode(self) -> bytes:
        """Return the body, in its only encoding."""
        size = self.point_size
        return encode_array([
            LABEL, self.meter, self.register, self.grid.day.isoformat(), self.grid.zone,
            self.grid.slot_minutes, self.counter, self.previous, bytes(self.states),
            self.scheme.value, size,
            self.commitments.encode(size), self.start.encode(size), self.end.encode(size),
            self.unattributed.encode(size), encode_scalar(self.opening),
        ])  # fmt: skip

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Return the content of exactly these bytes; raise `MalformedDay` otherwise."""
        try:
            return cls._from_items(decode_array(body))
        except (CborError, GridError, Malformed, ValueError) as error:
            raise MalformedDay(f"not a certified day: {error}") from None

    @classmethod
    def _from_items(cls, items: Sequence[CborItem]) -> Self:
        match items:
            case [
                str(label), bytes(meter), bytes(register), str(day), str(zone), int(minutes),
                int(counter), bytes(previous), bytes(states), str(scheme), int(size),
                bytes(commitments), bytes(start), bytes(end), bytes(unattributed), bytes(opening),
            ] if label == LABEL:  # fmt: skip
                pass
            case _:
                raise MalformedDay("other fields than a certified day has")
        if size not in POINT_SIZES or {len(start), len(end), len(unattributed)} != {size}:
            raise MalformedDay("the points are not of the declared size")
        if date.fromisoformat(day).isoformat() != day:
            raise MalformedDay("the date is not written as YYYY-MM-DD")
        return cls(
            meter, register, DayGrid(date.fromisoformat(day), zone, minutes), counter, previous,
            tuple(map(_state, states)), PointVector.decode(commitments, size),
            Point.decode(start), Point.decode(end), Point.decode(unattributed),
            decode_scalar(opening), size, CommitmentScheme(scheme),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CertifiedDay:
    """A day's content and the certifier's signature on it."""

    content: DayContent
    signature: bytes
    announcements: tuple[KeyAnnouncement, ...] = ()
    """Of the certifier's keys, as far as they had come into force by that day."""

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_SIZE:
            raise MalformedDay(f"a signature has 64 bytes, not {len(self.signature)}")
        if any(one.first_day > self.day for one in self.announcements):
            raise MalformedDay("the day carries a key that had not come into force")

    @classmethod
    def sign(
        cls,
        content: DayContent,
        key: Ed25519PrivateKey,
        announcements: tuple[KeyAnnouncement, ...] = (),
    ) -> Self:
        """Return the content with its signature, and the announcements that lead to its key."""
        return cls(content, key.sign(_signed_bytes(content)), announcements)

    @property
    def day(self) -> date:
        """The local date."""
        return self.content.grid.day

    @property
    def digest(self) -> bytes:
        """The SHA-256 that the next day, and statements about this one, refer to."""
        return hashlib.sha256(_signed_bytes(self.content)).digest()

    def encode(self) -> bytes:
        """Return the day's only encoding."""
        items: list[CborItem] = [self.content.encode(), self.signature]
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
                return cls(DayContent.decode(body), signature)
            case [bytes(body), bytes(signature), bytes(announced)]:
                return cls(DayContent.decode(body), signature, _announcements(announced))
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
        content = self.content
        if content.scheme is CommitmentScheme.VECTOR:
            return
        slots = content.commitments.sum() + content.unattributed
        if slots - (content.end - content.start) != multiply_generator(content.opening):
            raise DayRefused(self.day, "the slots do not sum to the register's difference")

    def _key_after(self, root: Ed25519PublicKey) -> Ed25519PublicKey:
        try:
            chain = chain_of(self.content.meter, root.public_bytes_raw(), self.announcements)
            return Ed25519PublicKey.from_public_bytes(chain.key_for(self.day))
        except (ChainRefused, ValueError) as error:
            raise DayRefused(self.day, f"the certifier's keys: {error}") from None


@dataclass(frozen=True, slots=True)
class CertifiedPeriod:
    """The days of a period: of others' days only `verify_days` makes one, a hub of its own."""

    days: tuple[CertifiedDay, ...]

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
        """The commitments to all slots, or to all days, in order."""
        return PointVector.join(day.content.commitments for day in self.days)

    @property
    def states(self) -> tuple[SlotState, ...]:
        """The states of all slots, in order."""
        return tuple(state for day in self.days for state in day.content.states)

    def source(self, opening: SlotOpening | VectorOpening | None = None) -> Source:
        """Return what a statement works with (`protocols.proofs.session`).

        The prover adds the opening. Raises `DayRefused` if the days differ in their scheme.
        """
        scheme = self.days[0].content.scheme
        for day in self.days:
            if day.content.scheme is not scheme:
                raise DayRefused(day.day, f"the day is not in the scheme {scheme}")
        identity = b"".join(self.digests)
        if scheme is CommitmentScheme.SLOTS:
            return Source(self.commitments, identity, opening)
        parts = tuple(VectorPart.of_day(grid.day.day, len(grid)) for grid in self.grids)
        return Source(VectorCommitment(parts, self.commitments), identity, opening)

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
    to follow `after` in the same way, where that is given: the last day verified so far.
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
    for day in days:
        day.verify(public_key)
        _check_series(day, series)
    for before, day in pairwise(days if after is None else (after, *days)):
        _check_link(before, day)
    return CertifiedPeriod(tuple(days))


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
    if day.announcements[: len(before.announcements)] != before.announcements:
        # A key that has ended signs no later day.
        raise DayRefused(day.day, "the key that signed it had ended before that day")
    if day.content.counter != before.content.counter + 1:
        raise DayRefused(day.day, "the counter does not follow that of the day before")
    if day.content.previous != before.digest:
        raise DayRefused(day.day, "the hash of the day before does not match")
    if day.content.grid.begin != before.content.grid.end:
        raise DayRefused(day.day, "the day does not begin where the day before ends")
    if day.content.start != before.content.end:
        raise DayRefused(day.day, "the register does not start where the day before ended")


def _state(code: int) -> SlotState:
    if code >= len(_STATES):
        raise MalformedDay(f"{code} is not the state of a slot")
    return _STATES[code]


def _announcements(data: bytes) -> tuple[KeyAnnouncement, ...]:
    try:
        announced = decode_announcements(data)
    except MalformedAnnouncement as error:
        raise MalformedDay(f"the certifier's keys: {error}") from None
    if not announced:
        raise MalformedDay("a day without announcements says nothing of them")
    return announced


def _signed_bytes(content: DayContent) -> bytes:
    return LABEL.encode() + content.encode()
