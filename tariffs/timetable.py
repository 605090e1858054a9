# SPDX-License-Identifier: Apache-2.0
"""Timetables: what says which band a moment belongs to.

    Schedule     rules of the calendar (`tariffs.schedule`)
    Signal       bands announced for every step of a stretch of time
    Exceptions   another timetable, but for announced events that have bands of their own

A moment that a timetable says nothing of has the band -1 (`NO_BAND`).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Final, TypeAlias

from protocols.canonical.cbor import CborValue
from tariffs._document_reader import TariffReader
from tariffs.errors import MalformedTariff, UnpricedSlot
from tariffs.schedule import MAX_BANDS, Schedule, Segment
from tariffs.usage import utc_text

NO_BAND: Final = -1
UNKNOWN: Final = 255
MAX_EVENTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Signal:
    """Bands announced step by step, such as high, normal and low for each half hour."""

    names: tuple[str, ...]
    begin: int
    step_seconds: int
    steps: bytes = field(repr=False)
    """The band of each step; 255 where none was announced."""

    _runs: tuple[Segment, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.names or len(self.names) > MAX_BANDS or len(set(self.names)) < len(self.names):
            raise MalformedTariff("a signal has bands, at most 128, of different names")
        if self.step_seconds <= 0 or not self.steps:
            raise MalformedTariff("a signal has steps, and they have a length")
        used = set(self.steps) - {UNKNOWN}
        if used != set(range(len(self.names))):
            raise MalformedTariff("a signal's steps name bands that are not there, or not all")
        object.__setattr__(self, "_runs", tuple(self._make_runs()))

    def _make_runs(self) -> Iterator[Segment]:
        at = self.begin
        for band, steps in groupby(self.steps):
            until = at + self.step_seconds * sum(1 for _ in steps)
            yield at, until, NO_BAND if band == UNKNOWN else band
            at = until

    def segments(self, begin: int, end: int) -> Iterator[Segment]:
        """Yield the stretches of [begin, end) in order, each with its band."""
        yield from _within(self._runs, begin, end)

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the signal as a document holds it."""
        return {
            "bands": self.names,
            "begin": self.begin,
            "step": self.step_seconds,
            "steps": self.steps,
        }

    @classmethod
    def from_fields(cls, fields: TariffReader) -> "Signal":
        """Return the signal that a document holds."""
        return cls(
            fields.texts("bands"),
            fields.integer("begin"),
            fields.integer("step"),
            fields.data("steps"),
        )


def _within(runs: Sequence[Segment], begin: int, end: int) -> Iterator[Segment]:
    at = begin
    for since, until, band in runs[max(bisect_right(runs, (begin, begin, 0)) - 1, 0) :]:
        if since >= end:
            break
        if until <= at:
            continue
        if since > at:
            yield at, since, NO_BAND
        at = max(at, since)
        yield at, min(until, end), band
        at = until
    if at < end:
        yield at, end, NO_BAND


@dataclass(frozen=True, slots=True)
class Exceptions:
    """A timetable, but for announced events."""

    usual: Schedule | Signal
    event_names: tuple[str, ...]
    events: tuple[Segment, ...]
    """From, until, and the event's band as an index into `event_names`; in order and apart."""

    def __post_init__(self) -> None:
        if not self.events or len(self.events) > MAX_EVENTS:
            raise MalformedTariff(f"there are events, at most {MAX_EVENTS}")
        if len(set(self.names)) < len(self.names):
            raise MalformedTariff("two bands have the same name")
        for begin, until, band in self.events:
            if not begin < until or not 0 <= band < len(self.event_names):
                raise MalformedTariff(f"the event at {utc_text(begin)} is impossible")
        for (_, until, _), (begin, _, _) in pairwise(self.events):
            if begin < until:
                raise MalformedTariff(f"events overlap or are out of order at {utc_text(begin)}")
        if {band for _, _, band in self.events} != set(range(len(self.event_names))):
            raise MalformedTariff("an event's band is never in force")

    @property
    def names(self) -> tuple[str, ...]:
        """The usual bands, then those of the events."""
        return self.usual.names + self.event_names

    def segments(self, begin: int, end: int) -> Iterator[Segment]:
        """Yield the stretches of [begin, end) in order, each with its band."""
        first = len(self.usual.names)
        for since, until, band in _within(self.events, begin, end):
            if band == NO_BAND:
                yield from self.usual.segments(since, until)
            else:
                yield since, until, first + band

    def canonical(self) -> dict[int | str, CborValue]:
        """Return the timetable as a document holds it."""
        return {
            "usual": self.usual.canonical(),
            "event_bands": self.event_names,
            "events": self.events,
        }

    @classmethod
    def from_fields(cls, fields: TariffReader) -> "Exceptions":
        """Return the timetable that a document holds."""
        usual = timetable_from_canonical(fields.value("usual"))
        if isinstance(usual, Exceptions):
            raise MalformedTariff("events within events")
        return cls(usual, fields.texts("event_bands"), fields.triples("events"))


Timetable: TypeAlias = Schedule | Signal | Exceptions


def timetable_from_canonical(value: CborValue) -> Timetable:
    """Return the timetable that a document holds."""
    fields = TariffReader(value, "timetable")
    if "zone" in fields:
        return Schedule.from_canonical(value)
    kind = Exceptions if "events" in fields else Signal
    timetable = kind.from_fields(fields)
    fields.done()
    return timetable


def bands_of(
    timetable: Timetable, prices: Sequence[object], starts: Sequence[int], slot_seconds: int
) -> list[int]:
    """Return the band of each slot; the starts are in order, `prices` has one for each band.

    Raises `UnpricedSlot` for a slot that has no band, or lies across bands of different prices;
    one across bands of the same price belongs to the band at its start.
    """
    if not starts:
        return []
    segments = list(timetable.segments(starts[0], starts[-1] + slot_seconds))
    bands: list[int] = []
    for number, (_, until, band) in enumerate(segments):
        first, past = len(bands), bisect_left(starts, until, len(bands))
        if band == NO_BAND and past > first:
            raise UnpricedSlot(
                f"the slot at {utc_text(starts[first])} has no band", start=starts[first]
            )
        bands += [band] * (past - first)
        while past > first and starts[past - 1] + slot_seconds > until:
            past -= 1
            _check_crossing(timetable, prices, segments[number:], starts[past], slot_seconds)
    return bands


def _check_crossing(
    timetable: Timetable,
    prices: Sequence[object],
    segments: Sequence[Segment],
    start: int,
    slot_seconds: int,
) -> None:
    for (_, until, band), (_, _, after) in pairwise(segments):
        if start + slot_seconds <= until:
            return
        if after == NO_BAND:
            raise UnpricedSlot(f"the slot at {utc_text(start)} ends without a band", start=start)
        if prices[band] != prices[after]:
            raise UnpricedSlot(
                f"the slot of {slot_seconds} s at {utc_text(start)} lies across the bands"
                f" {timetable.names[band]} and {timetable.names[after]}, which change at"
                f" {utc_text(until)}",
                start=start,
            )
