# SPDX-License-Identifier: Apache-2.0
"""From readings at any time to the use of each slot of a day.

The register at a slot's end is the latest reading at or before it, if that is not older than the
tolerance (a fifteenth of the slot, at most 60 s). Otherwise the slot's end lies in a stretch
between two readings, and the register is estimated on the straight line between them, rounded
down, so that the uses of the stretch sum to what the register shows:

    readings     *--*--*                        *--*        * a reading
    slot ends    |     |     |     |     |     |     |
    state         meas. est.  est.  est.  est.  meas.

A stretch that ends in a RESUMED reading is not in the register: the slots it touches by more
than the tolerance are missing and have a use of 0; what the register shows for them all the same
goes to `unattributed_wh`, never to a slot. Time before the first and after the last reading is
missing too. A slot in which a reading is SUSPECT keeps its use and is marked as substituted.

A COARSE reading is of a register that counts whole kilowatt-hours. It says where the register
stands, and not to the watt-hour: slots that begin or end with one are estimated.

An EXCHANGED reading is the first of a new meter. The register goes on from the reading before it,
the old meter's last: the slot's use is what both counted, and nothing in between.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Final, NamedTuple, Self

from hub.certifier.errors import ReadingsRefused
from hub.readings import Reading, ReadingFlag
from hub.text import utc_text
from protocols.metrology import DayGrid, GridError, SlotState
from protocols.proofs import LARGEST_USE_WH

LARGEST_TOLERANCE: Final = 60
LARGEST_REGISTER_WH: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MeterChange:
    """The registers of two meters, one after the other."""

    time: int
    """Of the new meter's first reading."""
    end_wh: int = field(repr=False)
    """What the old meter showed last."""
    start_wh: int = field(repr=False)
    """What the new meter showed first."""


@dataclass(frozen=True, slots=True)
class DayUse:
    """The uses of a day's slots, in the clear: never leaves the hub."""

    grid: DayGrid
    start_wh: int = field(repr=False)
    """The register at the day's begin."""
    end_wh: int = field(repr=False)
    """The register at the day's end."""
    unattributed_wh: int = field(repr=False)
    """What the register shows but no slot holds."""
    uses: tuple[int, ...] = field(repr=False)
    """Watt-hours, one for each slot."""
    states: tuple[SlotState, ...] = field(repr=False)
    changes: tuple[MeterChange, ...] = field(default=(), repr=False)
    """New meters of the day, in order."""

    @property
    def rise_wh(self) -> int:
        """What the register gained, across all meters of the day."""
        exchanged = sum(change.end_wh - change.start_wh for change in self.changes)
        return self.end_wh - self.start_wh + exchanged

    def __post_init__(self) -> None:
        if not len(self.uses) == len(self.states) == len(self.grid):
            raise ReadingsRefused(f"{self.grid.day}: not one use and state for each slot")
        if min(self.uses) < 0 or max(self.uses) > LARGEST_USE_WH:
            raise ReadingsRefused(f"{self.grid.day}: a use is not in 0 to 2^32 - 1 Wh")
        if not 0 <= self.unattributed_wh <= LARGEST_REGISTER_WH:
            raise ReadingsRefused(f"{self.grid.day}: the unattributed energy is out of range")
        exchanged = [wh for one in self.changes for wh in (one.end_wh, one.start_wh)]
        shown = self.start_wh, self.end_wh, *exchanged
        if min(shown) < 0 or max(shown) > LARGEST_REGISTER_WH:
            raise ReadingsRefused(f"{self.grid.day}: the register is out of range")
        if sum(self.uses) + self.unattributed_wh != self.rise_wh:
            raise ReadingsRefused(f"{self.grid.day}: the uses do not sum to the register")

    def encode(self) -> bytes:
        """Return the day as a JSON array, for the vault to seal."""
        grid = self.grid
        changes = [(change.time, change.end_wh, change.start_wh) for change in self.changes]
        fields = (
            grid.day.isoformat(), grid.zone, grid.slot_minutes, self.start_wh, self.end_wh,
            self.unattributed_wh, self.uses, self.states, *([changes] if changes else ()),
        )  # fmt: skip
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the day that `encode` wrote; raise `ReadingsRefused` if it did not."""
        try:
            day, zone, minutes, start_wh, end_wh, unattributed_wh, uses, states, *more = json.loads(
                data
            )
            grid = DayGrid(date.fromisoformat(day), zone, minutes)
            kept = tuple(map(SlotState, states))
            changes = tuple(MeterChange(*change) for part in more for change in part)
            use = cls(grid, start_wh, end_wh, unattributed_wh, tuple(uses), kept, changes)
        except (ValueError, TypeError, GridError):
            raise ReadingsRefused("the stored uses of a day are damaged") from None
        if use.encode() != data:
            raise ReadingsRefused("the stored uses of a day are damaged")
        return use


def default_tolerance(slot_seconds: int) -> int:
    """Return how many seconds a reading may be older than the slot's end it stands for."""
    return min(LARGEST_TOLERANCE, slot_seconds // 15)


def slot_uses(
    grid: DayGrid,
    readings: Sequence[Reading],
    *,
    start_wh: int | None = None,
    tolerance: int | None = None,
) -> DayUse:
    """Return the use and state of each slot of the day.

    `readings` are in order of time and reach from before the day's begin to its end or beyond,
    as far as there are any; those of other days do no harm. `start_wh` is the register with
    which the day before ended: it then is the register at this day's begin. Raises
    `ReadingsRefused`, naming the time, where a register or the time runs backwards, and where
    there is neither a reading nor a `start_wh`.
    """
    tolerance = default_tolerance(grid.slot_seconds) if tolerance is None else tolerance
    readings = _of_meters_of_the_day(grid, readings)
    if start_wh is not None and not (readings and readings[0].time <= grid.begin):
        # The certified register stands in for a reading before this day.
        readings = [Reading(grid.begin, start_wh), *readings]
    changes, readings = _continued(grid, readings)
    _check_order(readings)
    if not readings or readings[0].time >= grid.end + tolerance:
        raise ReadingsRefused(f"{grid.day}: no reading on or before this day")
    line = _RegisterLine(_around(grid, readings), tolerance)
    moments = [line.at(time) for time in grid.boundaries()]
    missing = line.missing_slots(grid)
    uses, states, unattributed = [], [], 0
    for slot, (begin, end) in enumerate(pairwise(moments)):
        used = end.register_wh - begin.register_wh
        if slot in missing:
            unattributed += used
            used, state = 0, SlotState.MISSING
        elif line.is_suspect(*grid.boundaries()[slot : slot + 2]):
            state = SlotState.SUBSTITUTED
        else:
            state = SlotState.MEASURED if begin.is_read and end.is_read else SlotState.ESTIMATED
        uses.append(used)
        states.append(state)
    first_wh, last_wh = moments[0].register_wh, moments[-1].register_wh
    start_wh = first_wh if start_wh is None else start_wh
    if first_wh < start_wh:
        raise ReadingsRefused(f"{utc_text(grid.begin)}: the register is below the certified one")
    # The day before ended without a later reading if this is not 0.
    unattributed += first_wh - start_wh
    last_wh += sum(change.start_wh - change.end_wh for change in changes)
    return DayUse(grid, start_wh, last_wh, unattributed, tuple(uses), tuple(states), changes)


def register_at(readings: Sequence[Reading], time: int, slot_seconds: int) -> int:
    """Return what a register showed at a moment, as far as readings around it tell."""
    return _RegisterLine(readings, default_tolerance(slot_seconds)).at(time).register_wh


def _of_meters_of_the_day(grid: DayGrid, readings: Sequence[Reading]) -> Sequence[Reading]:
    """Return the readings of the meter that counts when the day begins, and of those after it."""
    first = 0
    for place, reading in enumerate(readings):
        if reading.time > grid.begin:
            break
        if reading.flags & ReadingFlag.EXCHANGED:
            first = place
    return readings[first:]


def _continued(
    grid: DayGrid, readings: Sequence[Reading]
) -> tuple[tuple[MeterChange, ...], Sequence[Reading]]:
    """Return the day's new meters, and the readings as if the first one had counted on."""
    if not any(reading.flags & ReadingFlag.EXCHANGED for reading in readings[1:]):
        return (), readings
    changes, continued, offset = list[MeterChange](), list(readings[:1]), 0
    for before, reading in pairwise(readings):
        if reading.flags & ReadingFlag.EXCHANGED:
            offset += before.register_wh - reading.register_wh
            if reading.time <= grid.end:
                changes.append(MeterChange(reading.time, before.register_wh, reading.register_wh))
        register_wh = reading.register_wh + offset
        if register_wh < 0:
            raise ReadingsRefused(f"{utc_text(reading.time)}: the register runs backwards")
        continued.append(replace(reading, register_wh=register_wh))
    return tuple(changes), continued


class _Moment(NamedTuple):
    register_wh: int
    is_read: bool
    """Whether a reading says so to the watt-hour, rather than the line between two."""


class _RegisterLine:
    """The register at any time, as far as the readings tell."""

    def __init__(self, readings: Sequence[Reading], tolerance: int) -> None:
        self._readings, self._tolerance = readings, tolerance
        self._times = [reading.time for reading in readings]
        self._suspect = [r.time for r in readings if r.flags & ReadingFlag.SUSPECT]

    def at(self, time: int) -> _Moment:
        place = bisect_right(self._times, time)
        if place == 0:
            is_read = self._is_near(time, 0) and not self._readings[0].flags & ReadingFlag.COARSE
            return _Moment(self._readings[0].register_wh, is_read=is_read)
        before = self._readings[place - 1]
        if time - before.time <= self._tolerance:
            return _Moment(before.register_wh, is_read=not before.flags & ReadingFlag.COARSE)
        if place == len(self._readings):
            return _Moment(before.register_wh, is_read=False)
        after = self._readings[place]
        if after.flags & ReadingFlag.RESUMED:
            if self._is_near(time, place):
                return _Moment(after.register_wh, is_read=not after.flags & ReadingFlag.COARSE)
            return _Moment(before.register_wh, is_read=False)
        rise = (after.register_wh - before.register_wh) * (time - before.time)
        estimate = before.register_wh + rise // (after.time - before.time)
        return _Moment(estimate, is_read=False)

    def is_suspect(self, begin: int, end: int) -> bool:
        """Return whether a reading in (begin, end] is suspect."""
        return bisect_right(self._suspect, begin) < bisect_right(self._suspect, end)

    def missing_slots(self, grid: DayGrid) -> set[int]:
        """Return the slots that unread stretches cover by more than the tolerance."""
        covered: Counter[int] = Counter()
        for first, last in self._unread_stretches(grid):
            begin, end = max(first, grid.begin), min(last, grid.end)
            if begin >= end:
                continue
            for slot in range(grid.slot_at(begin), grid.slot_at(end - 1) + 1):
                opens, closes = grid.boundaries()[slot : slot + 2]
                covered[slot] += min(end, closes) - max(begin, opens)
        return {slot for slot, seconds in covered.items() if seconds > self._tolerance}

    def _unread_stretches(self, grid: DayGrid) -> Iterator[tuple[int, int]]:
        yield grid.begin, self._times[0]
        for before, after in pairwise(self._readings):
            if after.flags & ReadingFlag.RESUMED:
                yield before.time, after.time
        yield self._times[-1], grid.end

    def _is_near(self, time: int, place: int) -> bool:
        return self._times[place] - time <= self._tolerance


def _around(grid: DayGrid, readings: Sequence[Reading]) -> Sequence[Reading]:
    """Return the day's readings and the ones next to it, on which alone the day depends."""
    first = bisect_right(readings, grid.begin, key=_time)
    last = bisect_right(readings, grid.end, key=_time)
    return readings[max(first - 1, 0) : last + 1]


def _time(reading: Reading) -> int:
    return reading.time


def _check_order(readings: Sequence[Reading]) -> None:
    for before, after in pairwise(readings):
        if after.time <= before.time:
            raise ReadingsRefused(
                f"{utc_text(after.time)}: the reading is not after the one before"
            )
        if after.register_wh < before.register_wh:
            raise ReadingsRefused(
                f"{utc_text(after.time)}: the register runs backwards;"
                " of a new meter the first reading says that it is one"
            )
