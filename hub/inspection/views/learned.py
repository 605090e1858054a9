# SPDX-License-Identifier: Apache-2.0
"""What somebody has learned of this home, by whatever way it left.

That are numbers and samples of statement applets, readings that were exported, outputs of raw
applets, what was told of energy that belongs to no slot, and parts in sums over households. What
can be worked out from the numbers at most is `hub.disclosure.knowledge`; it is worked out with what
was opened to the same recipients. `hub.inspection.locales.learning` says it in words.

Each meter is looked at by itself: its slots are other unknowns, and of another length perhaps. What
one meter tells about another, as heating shows in gas and in electricity, is not reckoned here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hub.description import Description
from hub.device import Device
from hub.disclosure import Knowledge, LogEntry, Release, knowledge_of
from hub.disclosure.numbers import LARGEST_POWER_W, Number
from hub.disclosure.opened import Opening
from hub.disclosure.requests import Wanted
from hub.disclosure.revised import revised_of
from sml_codec import Obis

MINUTE: Final = 60
HOUR: Final = 3_600

Span = tuple[int, int]
"""Begin and end, epoch seconds."""


@dataclass(frozen=True, slots=True)
class ReadingsHad:
    """Readings themselves: those of an export, or samples."""

    seconds: int
    """How long each of them is."""
    count: int
    span: Span


@dataclass(frozen=True, slots=True)
class OutputsHad:
    """Outputs of a raw applet, of one name."""

    output: str
    times: int
    bits: int
    """In all of them."""
    seconds: int
    """How long the slots are that the applet reads."""


@dataclass(frozen=True, slots=True)
class SumsHad:
    """Sums over households that this one had a part in."""

    count: int
    households: int
    """Over so many at least."""


@dataclass(frozen=True, slots=True)
class GapsHad:
    """Answers about energy that was counted while nobody read the meter."""

    count: int
    bits: int
    span: Span


@dataclass(frozen=True, slots=True)
class Learned:
    """All that one recipient has learned, or all of them together."""

    recipient: str
    """Empty: all of them together."""
    knowledge: Knowledge
    """What the numbers tell at most, with what was opened."""
    numbers: int
    """Different numbers, without samples."""
    bits: int
    """In those numbers."""
    span: Span | None
    """Which time they are about."""
    registers: frozenset[str]
    """The registers they are about; the main one has no name."""
    slot_seconds: int
    samples: tuple[ReadingsHad, ...]
    exports: tuple[ReadingsHad, ...]
    """One for each resolution, the finest first."""
    outputs: tuple[OutputsHad, ...]
    sums: SumsHad | None
    gaps: GapsHad | None
    meter: "ToldMeter | None" = None
    """Which further meter it is about; None: the hub's own, or several."""
    parts: "tuple[Learned, ...]" = ()
    """The same of each meter, where it is not about the hub's own alone."""

    @property
    def is_nothing(self) -> bool:
        """Whether nothing at all was told."""
        had = self.knowledge.numbers or self.samples or self.exports or self.outputs
        return not (had or self.sums or self.gaps)

    @property
    def readings(self) -> int:
        """How many single readings were handed over."""
        return sum(one.count for one in (*self.samples, *self.exports))

    @property
    def worked_out(self) -> int:
        """How many more single readings could be worked out from the numbers, at most.

        Those are slots that no number mixes with others; and no more than fit into the bits.
        """
        if self.parts:
            return sum(part.worked_out for part in self.parts)
        alone = self.knowledge.exposed_slots - sum(one.count for one in self.samples)
        reading = (LARGEST_POWER_W * self.slot_seconds // HOUR).bit_length()
        return min(alone, self.bits // reading)

    @property
    def output_bits(self) -> int:
        """Bits in all outputs."""
        return sum(one.bits for one in self.outputs)

    @property
    def is_by_bits(self) -> bool:
        """Whether the numbers may weigh each slot by itself: then their bits are what bounds it."""
        return 0 < self.knowledge.least_seconds <= self.slot_seconds

    @property
    def finest_seconds(self) -> int | None:
        """Nothing finer than so many seconds of use, mixed, is known or can be worked out.

        None where nothing was told about this home alone.
        """
        found = [self.knowledge.least_seconds] if self.knowledge.bundles else []
        found += [one.seconds for one in (*self.samples, *self.exports)]
        found += [one.seconds for one in self.outputs]
        return min(found, default=None)


@dataclass(frozen=True, slots=True)
class ToldMeter:
    """A meter of the hub that something may have been told about."""

    name: str
    """Empty: the hub's own."""
    about: Description
    registers: frozenset[str]
    """By the names that the guard has for them."""
    main: str
    """The one that bills are about."""

    @property
    def slot_seconds(self) -> int:
        """How long its slots are."""
        return MINUTE * self.about.slot_minutes


@dataclass(frozen=True, slots=True)
class LastTold:
    """What was told last, by whatever way."""

    sequence: int
    """Its entry in the log."""
    time: int
    recipient: str
    purpose: str


@dataclass(frozen=True, slots=True)
class ToldRecord:
    """All on record of what was told about the resident's use; read once, looked at for each."""

    meters: Sequence[ToldMeter]
    """All of the hub, its own first."""
    releases: Sequence[Release]
    exports: Sequence[LogEntry]
    outputs: Sequence[LogEntry]
    sums: Sequence[LogEntry]
    gaps: Sequence[LogEntry]
    """What was told of energy that belongs to no slot."""
    read_seconds: Mapping[Wanted, int]
    """How long the slots are that an applet reads whose output a consent is about."""

    @property
    def recipients(self) -> list[str]:
        """Everybody who was told anything, in order of name."""
        entries = (*self.exports, *self.outputs, *self.sums, *self.gaps)
        named = {entry.facts["recipient"] for entry in entries}
        return sorted(named | {one.recipient for one in self.releases})

    @property
    def last(self) -> LastTold | None:
        """The newest of all."""
        found = [LastTold(r.sequence, r.time, r.recipient, r.purpose) for r in self.releases]
        found += [
            LastTold(one.sequence, one.time, one.facts["recipient"], one.facts["purpose"])
            for one in (*self.exports, *self.outputs, *self.sums, *self.gaps)
        ]
        return max(found, key=lambda one: one.sequence, default=None)

    def learned_by(self, recipients: Collection[str], name: str = "") -> Learned:
        """Return what some recipients have learned together; one alone is named."""
        groups = self._groups(recipients)
        found = [self._learned_of(group, recipients, name) for group in groups]
        if len(found) == 1:
            return found[0]
        told = [one for one in found if not one.is_nothing]
        if not told or told == found[:1]:
            return found[0]
        return _together(told, found[0])

    def _groups(self, recipients: Collection[str]) -> list[list[ToldMeter]]:
        """Return the meters apart, but for those that one number is about."""
        groups = [[meter] for meter in self.meters]
        for release in self.releases:
            if release.recipient not in recipients:
                continue
            for number in release.numbers:
                joined = [one for one in groups if self._is_about(number.registers, one)]
                if len(joined) > 1:
                    groups = [one for one in groups if one not in joined]
                    groups.append([meter for one in joined for meter in one])
        return sorted(groups, key=lambda group: self.meters.index(group[0]))

    def _is_about(self, registers: Collection[str], group: Sequence[ToldMeter]) -> bool:
        """Tell whether registers are of one of these meters; the hub's own has all the others."""
        known = frozenset[str]().union(*(meter.registers for meter in self.meters))
        named = {register if register in known else "" for register in registers}
        return any(named & meter.registers for meter in group)

    def _learned_of(
        self, group: Sequence[ToldMeter], recipients: Collection[str], name: str
    ) -> Learned:
        """Return what some recipients have learned of some meters whose slots are alike."""
        meter, is_own = group[0], group[0] is self.meters[0]

        def to_them(entries: Sequence[LogEntry], *, is_of_meter: bool = False) -> list[LogEntry]:
            return [
                one
                for one in entries
                if one.facts["recipient"] in recipients
                and (
                    self._is_about([one.facts.get("register", "")], group)
                    if is_of_meter
                    else is_own
                )
            ]

        releases = [one for one in self.releases if one.recipient in recipients]
        exports = to_them(self.exports, is_of_meter=True)
        numbers = [
            number
            for release in releases
            for number in release.numbers
            if self._is_about(number.registers, group)
        ]
        forms = [form for number in numbers for form in number.forms if not form.is_sample]
        sums_of = {
            number.identity: number
            for number in numbers
            if "sample" not in number.kinds and not number.is_recalled
        }
        return Learned(
            recipient=name,
            knowledge=knowledge_of(numbers, list(map(_opening, exports))),
            numbers=len(sums_of),
            bits=sum(number.bits for number in sums_of.values()),
            span=_around((form.begin, form.end) for form in forms),
            registers=frozenset(
                "" if form.register == meter.main else form.register for form in forms
            ),
            slot_seconds=meter.slot_seconds,
            samples=_samples(numbers, meter.slot_seconds),
            exports=_exports(exports),
            outputs=self._outputs(to_them(self.outputs)),
            sums=_sums(to_them(self.sums)),
            gaps=_gaps(to_them(self.gaps, is_of_meter=True)),
            meter=None if is_own else meter,
        )

    def _outputs(self, entries: Sequence[LogEntry]) -> tuple[OutputsHad, ...]:
        found = []
        names = sorted({(one.facts["applet"], one.facts["output"]) for one in entries})
        for applet, output in names:
            same = [
                e for e in entries if (e.facts["applet"], e.facts["output"]) == (applet, output)
            ]
            bits = sum(entry.facts["bits"] for entry in same)
            read = min(self.read_seconds.get(_subject(entry), 0) for entry in same)
            seconds = max(read, self.meters[0].slot_seconds)
            found.append(OutputsHad(output, len(same), bits, seconds))
        return tuple(found)


def told_record(device: Device, recipient: str | None = None) -> ToldRecord:
    """Return what is on record, of one recipient or of all; the chain is not checked."""
    disclosure = device.disclosure

    def entries(kind: str) -> list[LogEntry]:
        return [
            entry
            for entry in disclosure.log.entries(kind)
            if recipient in (None, entry.facts["recipient"])
        ]

    return ToldRecord(
        meters=[_told_meter(device, one) for one in device.every_meter],
        releases=disclosure.releases(recipient),
        exports=entries("export"),
        outputs=entries("output"),
        sums=entries("aggregate"),
        gaps=entries("unattributed"),
        read_seconds={
            one.terms.subject: MINUTE * one.terms.least_minutes for one in disclosure.consents()
        },
    )


def _told_meter(device: Device, meter: Device) -> ToldMeter:
    main = "" if meter is device else str(Obis(meter.description.register))
    names = {str(Obis(code)) for code in meter.registers if code != meter.description.register}
    return ToldMeter(meter.name, meter.description, frozenset({main, *names}), main)


def _together(parts: Sequence[Learned], own: Learned) -> Learned:
    """Return what was learned of several meters, or of further ones alone, in all."""
    knows = [part.knowledge for part in parts]
    windows = [one.shortest_window for one in knows if one.shortest_window is not None]
    finest = [one.least_seconds for one in knows if one.bundles]
    return replace(
        own,
        knowledge=Knowledge(
            slots=sum(one.slots for one in knows),
            numbers=sum(one.numbers for one in knows),
            shortest_window=min(windows, key=lambda span: span[1] - span[0], default=None),
            bundles=sum(one.bundles for one in knows),
            least_seconds=min(finest, default=0),
            exposed_slots=sum(one.exposed_slots for one in knows),
            bits=sum(one.bits for one in knows),
            peaks=sum(one.peaks for one in knows),
        ),
        numbers=sum(part.numbers for part in parts),
        bits=sum(part.bits for part in parts),
        span=_around(part.span for part in parts if part.span is not None),
        registers=frozenset().union(*(part.registers for part in parts)),
        samples=tuple(one for part in parts for one in part.samples),
        exports=tuple(one for part in parts for one in part.exports),
        outputs=tuple(one for part in parts for one in part.outputs),
        sums=next((part.sums for part in parts if part.sums is not None), None),
        gaps=next((part.gaps for part in parts if part.gaps is not None), None),
        parts=tuple(parts),
    )


def _subject(entry: LogEntry) -> Wanted:
    facts = entry.facts
    who = facts["applet"], facts["package"], facts["recipient"], facts["purpose"]
    return *who, f"output {facts['output']}"


def _opening(entry: LogEntry) -> Opening:
    facts = entry.facts
    seconds = MINUTE * facts["resolution_minutes"]
    register = facts.get("register", "")
    return Opening(facts["begin"], facts["end"], seconds, register, revised_of(facts))


def _samples(numbers: Sequence[Number], seconds: int) -> tuple[ReadingsHad, ...]:
    starts = {
        (form.register, form.sampled)
        for number in numbers
        for form in number.forms
        if form.sampled is not None
    }
    span = _around((start, start + seconds) for _, start in starts)
    return () if span is None else (ReadingsHad(seconds, len(starts), span),)


def _exports(entries: Sequence[LogEntry]) -> tuple[ReadingsHad, ...]:
    by_length: dict[int, list[LogEntry]] = {}
    for entry in entries:
        # What a reader saw live, it saw minute by minute.
        minutes = 1 if "live" in entry.facts else entry.facts["resolution_minutes"]
        by_length.setdefault(MINUTE * minutes, []).append(entry)
    found = []
    for seconds, same in sorted(by_length.items()):
        places = {
            (entry.facts.get("register", ""), start)
            for entry in same
            for start in range(entry.facts["begin"], entry.facts["end"], seconds)
        }
        # The same readings handed over again are the same; some slots had none to hand over.
        count = min(len(places), sum(entry.facts["readings"] for entry in same))
        span = _around((entry.facts["begin"], entry.facts["end"]) for entry in same)
        if span is not None and count:
            found.append(ReadingsHad(seconds, count, span))
    return tuple(found)


def _sums(entries: Sequence[LogEntry]) -> SumsHad | None:
    if not entries:
        return None
    count = sum(entry.facts["values"] for entry in entries)
    return SumsHad(count, min(entry.facts["group"] for entry in entries))


def _gaps(entries: Sequence[LogEntry]) -> GapsHad | None:
    # The same question answered again tells nothing new.
    named = ("register", "begin", "end", "limit_wh", "opened")
    bits = {tuple(one.facts.get(name) for name in named): one.facts["bits"] for one in entries}
    span = _around((one.facts["begin"], one.facts["end"]) for one in entries)
    return None if span is None else GapsHad(len(bits), sum(bits.values()), span)


def _around(spans: Iterable[Span]) -> Span | None:
    """Return the shortest span around some."""
    found = list(spans)
    if not found:
        return None
    return min(begin for begin, _ in found), max(end for _, end in found)
