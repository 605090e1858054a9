# SPDX-License-Identifier: Apache-2.0
"""Readings that came late or replace others: beside those that were received, never in their place.

    reading        | a | b |  hole  | c | d | e |          as received, for good
    correction            | l | m | n |                    hides what it spans, from its first
                                                           reading to its last
    as known       | a | b | l | m | n | d'| e'|           d' = d + lift

A correction has its reason, when it was made, and its readings, which are sealed as those received
are. It hides the readings between its first and its last one; later corrections hide earlier ones.
Its `lift` moves all readings after it, where a register has no state of its own: that of an
emulated meter is the sum of what was replayed. Rows are only ever added.
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.readings import Reading, ReadingFlag

_LABEL: Final = b"meterlet correction 1"
_HEAD: Final = struct.Struct(">q")
_ROW: Final = struct.Struct(">qQB")

CORRECTION_TABLE: Final = """
    CREATE TABLE correction (
        meter BLOB NOT NULL,
        register BLOB NOT NULL,
        number INTEGER NOT NULL,
        time INTEGER NOT NULL,
        reason TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        nonce BLOB NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (meter, register, number)
    ) STRICT;
    CREATE TRIGGER correction_is_never_changed BEFORE UPDATE ON correction
    BEGIN SELECT RAISE(ABORT, 'corrections are append-only'); END;
    CREATE TRIGGER correction_is_never_deleted BEFORE DELETE ON correction
    BEGIN SELECT RAISE(ABORT, 'corrections are append-only'); END;
"""
CORRECTED_DAY_TABLE: Final = """
    CREATE TABLE corrected_day (
        meter BLOB NOT NULL,
        register BLOB NOT NULL,
        day TEXT NOT NULL,
        revision INTEGER NOT NULL,
        time INTEGER NOT NULL,
        encoded BLOB NOT NULL,
        nonce BLOB NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (meter, register, day, revision)
    ) STRICT;
    CREATE TRIGGER corrected_day_is_never_changed BEFORE UPDATE ON corrected_day
    BEGIN SELECT RAISE(ABORT, 'corrected days are append-only'); END;
    CREATE TRIGGER corrected_day_is_never_deleted BEFORE DELETE ON corrected_day
    BEGIN SELECT RAISE(ABORT, 'corrected days are append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class CorrectedReadings:
    """Readings that hide those received from the first one's time to the last one's."""

    number: int
    """1 for a register's first correction."""
    time: int
    """When it was made."""
    reason: str
    """`late` or `replaced`."""
    readings: tuple[Reading, ...] = field(repr=False)
    """At least one, in order of time."""
    lift_wh: int = field(default=0, repr=False)
    """By how much the readings after it are moved."""

    @property
    def first(self) -> int:
        """The time of its first reading."""
        return self.readings[0].time

    @property
    def last(self) -> int:
        """The time of its last reading."""
        return self.readings[-1].time

    def encode(self) -> bytes:
        """Return what is sealed: lift and readings."""
        rows = (_ROW.pack(one.time, one.register_wh, one.flags) for one in self.readings)
        return _HEAD.pack(self.lift_wh) + b"".join(rows)

    def seal(self, cipher: AESGCM, nonce: bytes, channel: bytes) -> bytes:
        """Return it sealed; `channel` names the register."""
        return cipher.encrypt(nonce, self.encode(), self._label(channel))

    def _label(self, channel: bytes) -> bytes:
        return label_of(channel, (self.number, self.time, self.reason, self.first, self.last))

    def over(self, readings: Sequence[Reading]) -> list[Reading]:
        """Return readings as they are known after this correction."""
        before = bisect_left(readings, self.first, key=_time)
        after = bisect_right(readings, self.last, key=_time)
        return [*readings[:before], *self.readings, *map(self._lifted, readings[after:])]

    def _lifted(self, reading: Reading) -> Reading:
        if not self.lift_wh:
            return reading
        return replace(reading, register_wh=reading.register_wh + self.lift_wh)


Head = tuple[int, int, str, int, int]
"""What lies in clear beside a sealed correction: number, time, reason, first, last."""


def label_of(channel: bytes, head: Head) -> bytes:
    """Return what ties a sealed correction to its register and its place."""
    number, time, reason, first, last = head
    places = b"".join(n.to_bytes(8, "big", signed=True) for n in (number, time, first, last))
    return b"".join((_LABEL, bytes([len(channel)]), channel, places, reason.encode()))


def opened(
    cipher: AESGCM, channel: bytes, head: Head, nonce: bytes, sealed: bytes
) -> CorrectedReadings | None:
    """Return a sealed correction; None where it is not what was stored."""
    number, time, reason, first, last = head
    try:
        plain = cipher.decrypt(nonce, sealed, label_of(channel, head))
        (lift_wh,) = _HEAD.unpack_from(plain)
        readings = tuple(_readings(plain[_HEAD.size :]))
    except (InvalidTag, ValueError, struct.error):
        return None
    found = CorrectedReadings(number, time, reason, readings, lift_wh) if readings else None
    return found if found is not None and (found.first, found.last) == (first, last) else None


def _readings(plain: bytes) -> Iterator[Reading]:
    for time, register_wh, flags in _ROW.iter_unpack(plain):
        yield Reading(time, register_wh, ReadingFlag(flags))


def nearest(readings: Sequence[Reading], begin: int, end: int) -> list[Reading]:
    """Return the readings of [begin, end], and the nearest on either side."""
    first = bisect_right(readings, begin, key=_time)
    last = bisect_left(readings, end, key=_time)
    return list(readings[max(first - 1, 0) : last + 1])


def _time(reading: Reading) -> int:
    return reading.time
