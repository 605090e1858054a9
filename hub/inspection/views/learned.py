# SPDX-License-Identifier: Apache-2.0
"""What somebody has learned of this home, by whatever way it left.

That are numbers and samples of statement applets, readings that were exported, outputs of raw
applets, what was told of energy that belongs to no slot, and parts in sums over households. What
can be worked out from the numbers at most is `hub.disclosure.knowledge`; it is worked out with what
was opened to the same recipients. `hub.inspection.locales.learning` says it in words.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hub.device import Device
from hub.disclosure import Knowledge, LogEntry, Release, knowledge_of
from hub.disclosure.cells import Opening
from hub.disclosure.requests import LARGEST_POWER_W, Wanted
from hub.disclosure.revised import revised_of

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

    @property
    def readings(self) -> int:
        """How many single readings were handed over."""
        return sum(one.count for one in (*self.samples, *self.exports))

    @property
    def worked_out(self) -> int:
        """How many more single readings could be worked out from the numbers, at most.

        Those are slots that no number mixes with others; and no more than fit into the bits.
        """
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

    slot_seconds: int
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

        def to_them(entries: Sequence[LogEntry]) -> list[LogEntry]:
            return [one for one in entries if one.facts["recipient"] in recipients]

        releases = [one for one in self.releases if one.recipient in recipients]
        exports = to_them(self.exports)
        numbers = [number for release in releases for number in release.numbers]
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
            registers=frozenset(form.register for form in forms),
            slot_seconds=self.slot_seconds,
            samples=_samples(releases, self.slot_seconds),
            exports=_exports(exports),
            outputs=self._outputs(to_them(self.outputs)),
            sums=_sums(to_them(self.sums)),
            gaps=_gaps(to_them(self.gaps)),
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
            found.append(OutputsHad(output, len(same), bits, max(read, self.slot_seconds)))
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
        slot_seconds=MINUTE * device.description.slot_minutes,
        releases=disclosure.releases(recipient),
        exports=entries("export"),
        outputs=entries("output"),
        sums=entries("aggregate"),
        gaps=entries("unattributed"),
        read_seconds={
            one.terms.subject: MINUTE * one.terms.least_minutes for one in disclosure.consents()
        },
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


def _samples(releases: Sequence[Release], seconds: int) -> tuple[ReadingsHad, ...]:
    starts = {
        (form.register, form.sampled)
        for release in releases
        for form in release.forms
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
