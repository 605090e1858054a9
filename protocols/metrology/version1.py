# SPDX-License-Identifier: Apache-2.0
"""Certified days of version 1, as release 0.1 signed them. Frozen: ledgers and hubs hold such days.

    day      = CBOR [body, signature]          signature = Ed25519 over LABEL | body
    body     = CBOR [LABEL, meter, register, day, zone, slot minutes, counter, previous,
                     states, scheme, point size, commitments, start, end, unattributed, opening]
    previous = digest of the day before, 32 zero bytes for the first (whose counter is 1)
    digest   = SHA-256 (LABEL | body)

No certifier signs one any more, and no new question is answered over one: a hub has its certifier
state such a day again in version 2 (`protocols.metrology.day_content`), bound to its digest.

Public:  commitments C[t] to the slots' uses; C_start and C_end to the register at the day's
         ends; C_gap to the energy that the register shows but no slot holds; opening.
Claim:   Σ x[t] + x_gap = x_end - x_start.
Proof:   opening = Σ r[t] + r_gap - (r_end - r_start); anyone checks
         Σ C[t] + C_gap - (C_end - C_start) = opening·G.

In the scheme `vector` there is one commitment for the whole day (`protocols.proofs.vector`), and
the opening is 0. No release could switch it on.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Final, Self

from protocols.canonical.cbor import CborError, CborItem, decode_array, encode_array
from protocols.metrology.errors import DayRefused, GridError, MalformedDay
from protocols.metrology.grid import DayGrid, SlotState
from protocols.metrology.kept import KeptBytes
from protocols.proofs import Malformed, Point, PointVector
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

_STATES: Final = tuple(SlotState)
METER_SIZES: Final = range(1, 65)
LARGEST_COUNTER: Final = 2**32 - 1


class CommitmentScheme(enum.StrEnum):
    """How a day's uses are committed to."""

    SLOTS = "slots"
    """A point for each slot: cheap to prove over, 3 kB a day."""
    VECTOR = "vector"
    """A point for the day: 33 bytes, and proofs of a kilobyte."""


@dataclass(frozen=True, slots=True)
class DayContentVersion1:
    """What the certifier of version 0.1 signed."""

    label: ClassVar[str] = LABEL

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
    kept: KeptBytes = field(default_factory=KeptBytes, init=False, repr=False, compare=False)
    """Its encoding and digest, once they are known; of no copy with another field."""

    def __post_init__(self) -> None:
        if len(self.meter) not in METER_SIZES or len(self.register) != 6:
            raise MalformedDay("a meter id has 1 to 64 bytes, a register's OBIS code 6")
        if not 1 <= self.counter <= LARGEST_COUNTER:
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

    @property
    def digest(self) -> bytes:
        """The SHA-256 of what is signed."""
        return self.kept.digest_of(LABEL, self.encode)

    def encode(self) -> bytes:
        """Return the body, in its only encoding; of a day that was decoded, the received bytes."""
        return self.kept.body_of(self._encoded)

    def _encoded(self) -> bytes:
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
            content = cls._from_items(decode_array(body))
        except (CborError, GridError, Malformed, ValueError) as error:
            raise MalformedDay(f"not a certified day: {error}") from None
        content.kept.body = body  # decoding is canonical: encoding would give the same again
        return content

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
            _states(states), PointVector.decode(commitments, size),
            Point.decode(start), Point.decode(end), Point.decode(unattributed),
            decode_scalar(opening), size, CommitmentScheme(scheme),
        )  # fmt: skip

    @property
    def restated(self) -> bytes:
        """The digest of the day that it states again: none."""
        return b""

    @property
    def revision(self) -> int:
        """How often it was corrected: never, what corrects it is of version 2."""
        return 0

    @property
    def first_digest(self) -> bytes:
        """Nothing: this is the day as it was first signed."""
        return b""

    def require_sum(self, slots: PointVector | None) -> None:
        """Return if the slots sum to the register's difference; raise `DayRefused` if not."""
        if slots is not None:
            raise DayRefused(self.grid.day, "its slots come twice")
        if self.scheme is CommitmentScheme.VECTOR:
            return
        total = self.commitments.sum() + self.unattributed
        if total - (self.end - self.start) != multiply_generator(self.opening):
            raise DayRefused(self.grid.day, "the slots do not sum to the register's difference")


def _states(codes: bytes) -> tuple[SlotState, ...]:
    if max(codes, default=0) >= len(_STATES):
        raise MalformedDay(f"{max(codes)} is not the state of a slot")
    return tuple(map(_STATES.__getitem__, codes))
