# SPDX-License-Identifier: Apache-2.0
"""What was promised to the resident, and whether it holds.

Nothing here knows the guard's rules. For every set of recipients that may work together:

    sum       no sum over slots that last less than the minutes of the finest consent by which one
              of them was told anything about that time can be worked out, or its values narrowed
              to a few, unless the slots were opened to one of them as samples or by an export
    stretch   nor the total of a stretch of time shorter than the consent's days
    bits      where a consent promises bits alone, being as fine as the slots, no more bits about
              any slot than its answers have together; no number has more bits than it may
    count     no more numbers about any slot under a consent than its answers
    limits    no more limits of counts about any slot, told to anybody, than the answers of a
              consent to counts
    windows   no count is of windows that last less than the minutes of its consent
    near      by counts alone, no window's use is known more closely than within 1,000 Wh
    standing  nothing is told without a consent that stands, and covers the period
    spacing   samples are as far apart as the consent says
    refusal   a refusal is the same, to the byte, where the readings are others
    crash     whatever is asked is answered or refused
    again     a question that was refused is refused when it is asked again
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Final

from tests.attacks.search.attack import FEW, Picture, Target, closed_stretches, short_sums
from tests.attacks.search.facts import Combined, Counted, Expression, Extreme, Quotient, Weighed
from tests.attacks.search.questions import Export, Number, Output, Period, Question, Terms
from tests.attacks.search.world import DAY_MINUTES, World

CLOCK_CHANGE_MINUTES: Final = 120
"""A day on which clocks change is not quite one."""
MOST_TARGETS: Final = 60
NEAREST_WH: Final = 1_000
"""How closely counts tell what a window used, at the most."""


class EngineWrong(Exception):
    """An attack was sure of something that is not so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that was broken."""

    promise: str
    what: str


@dataclass(frozen=True, slots=True)
class Told:
    """A number that was told."""

    recipient: str
    terms: Terms
    period: Period
    number: Number
    value: int

    def is_about(self, target: Collection[int], world: World) -> bool:
        """Tell whether its period has a slot in common with some."""
        unknowns = self.period.unknowns(world)
        if any(world.folded(unknown) in unknowns for unknown in target):
            return True
        return not self._earlier(world).isdisjoint(target)

    def _earlier(self, world: World) -> set[int]:
        """Return the unknowns before its period that it depends on."""
        begin = self.period.unknowns(world).start
        return {unknown for unknown in self.number.unknowns() if unknown < begin}

    def days(self, world: World) -> set[int]:
        """Return the days that it tells of: its period's, and those before that it depends on."""
        days = set(range(self.period.first, self.period.first + self.period.days))
        return days | {u % world.slots // world.day_slots for u in self._earlier(world)}


@dataclass(slots=True)
class Book:
    """All that the resident agreed to, and all that was told."""

    world: World
    house: Sequence[int]
    standing: list[Terms] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    opened: dict[str, dict[int, int]] = field(default_factory=dict)
    corrected: set[int] = field(default_factory=set)
    """Slots whose readings were corrected by now; none is exported after that."""

    def end(self, terms: Terms) -> None:
        """Note that terms hold no longer."""
        if terms in self.standing:
            self.standing.remove(terms)

    def note_export(self, export: Export) -> None:
        """Note which slots were opened to whom, or which sums of slots."""
        if export.minutes == self.world.slot_minutes:
            self._open(export.recipient, export.period.unknowns(self.world))
            return
        terms = Terms(
            export.recipient, "", "export", days=0, minutes=export.minutes, answers=1, bits=1
        )
        for merged in export.merged(self.world):
            number = Number("export", (Weighed.of(self.world.measured(merged)),))
            value = number.value(self.house)
            self.told.append(Told(export.recipient, terms, export.period, number, value))

    def note_output(self, output: Output) -> Iterator[Finding]:
        """Yield the promises that an output's release breaks."""
        if output.terms not in self.standing:
            yield Finding("standing", "no consent that stands is to the output")
        elif output.bits > output.terms.bits:
            yield Finding("bits", f"{output.bits} bits, promised {output.terms.bits}")

    def note(self, question: Question, values: Sequence[int]) -> Iterator[Finding]:
        """Note what was told; yield the promises that this breaks whatever the values are."""
        for number, value in zip(question.numbers, values, strict=True):
            every = [self._terms(question, kind) for kind in number.kinds]
            if number.kind == "sample":
                self._open(question.recipient, number.unknowns())
            for terms in every:
                if terms is None:
                    yield Finding("standing", f"no consent that stands is to {number.kind}")
                    continue
                reach = self._reach(question.period, number)
                if reach > terms.memory_days:
                    yield Finding("memory", f"{reach} days back, promised {terms.memory_days}")
                if question.period.days < terms.days:
                    yield Finding("standing", f"{question.period.days} days, promised {terms.days}")
                one = Told(question.recipient, terms, question.period, number, value)
                if one not in self.told:
                    self.told.append(one)
                yield from self._counted(one)
        if any("count" in number.kinds for number in question.numbers):
            yield from self._limits()

    def _reach(self, period: Period, number: Number) -> int:
        """Return how many days back from its period's end a number depends on; 0: on no other."""
        world, begin = self.world, period.unknowns(self.world).start
        earlier = [unknown for unknown in number.unknowns() if unknown < begin]
        if not earlier:
            return 0
        first = min(earlier) % world.slots // world.day_slots
        return period.first + period.days - first

    def worked_out(self, recipient: str) -> Iterator[Finding]:
        """Yield the sums and stretches that some can work out together, one of them being this."""
        others = sorted({*self.opened, *(one.recipient for one in self.told)} - {recipient})
        for size in range(len(others) + 1):
            for more in combinations(others, size):
                yield from self._worked_out({recipient, *more})

    def picture(self, recipients: Collection[str]) -> Picture:
        """Return what some recipients can make out together."""
        facts = [
            fact
            for one in self.told
            if one.recipient in recipients and one.number.kind != "sample"
            for fact in one.number.facts(one.value, self.world)
        ]
        return Picture(self.world, facts, self._opened_to(recipients))

    def _worked_out(self, recipients: Collection[str]) -> Iterator[Finding]:
        told = [
            one for one in self.told if one.recipient in recipients and one.number.kind != "sample"
        ]
        if not told:
            return
        picture = self.picture(recipients)
        who = " and ".join(sorted(recipients))

        def floor(target: Target) -> int:
            return min(one.terms.minutes for one in self._about(target, told))

        def longest(_: int) -> int:
            return max(one.terms.days for one in told) * self.world.day_slots

        for target in short_sums(picture, floor, self.world, MOST_TARGETS):
            if self._is_exported(target, told):
                continue
            if found := self._found(picture, target):
                minutes = self.world.minutes(target)
                yield Finding(
                    "sum", f"{who}: {found} of {minutes} min, promised {floor(target)} min"
                )
                return
        for target in closed_stretches(picture, self.world, longest):
            near = list(self._about(target, told))
            days = min(one.terms.days for one in near)
            lasting = self._length(picture, target, told)
            if lasting >= days * DAY_MINUTES - CLOCK_CHANGE_MINUTES:
                continue
            if any(one.terms.is_by_bits(self.world) for one in near):
                continue
            if self._is_corrected(target, near):
                continue
            if found := self._found(picture, target):
                yield Finding(
                    "stretch",
                    f"{who}: {found} of {lasting / DAY_MINUTES:.3g} days, promised {days}",
                )
                break

    def _found(self, picture: Picture, target: Target) -> str | None:
        """Return how well a sum is known, held against the readings; None: not well enough."""
        values = picture.values_of(target)
        if values is None or values.count > FEW or values.count * FEW > picture.before(target):
            return None
        true = sum(self.house[unknown] for unknown in target)
        if true not in values.all:
            raise EngineWrong(f"{true} Wh is not among {values.all}")
        near = "exactly" if values.count == 1 else f"as one of {values.count}"
        return f"{true} Wh {near}"

    def _is_corrected(self, target: Target, told: Iterable[Told]) -> bool:
        """Tell whether a stretch is of corrected slots, and all consents about it allow that."""
        if not all(self.world.folded(unknown) in self.corrected for unknown in target):
            return False
        least = [one.terms.corrected_minutes for one in told]
        return 0 not in least and self.world.minutes(target) >= max(least)

    def _about(self, target: Collection[int], told: Iterable[Told]) -> Iterator[Told]:
        return (one for one in told if one.is_about(target, self.world))

    def _is_exported(self, target: Target, told: Iterable[Told]) -> bool:
        """Tell whether a sum is one of readings that were handed over merged."""
        merged = [set(one.number.unknowns()) for one in told if one.number.kind == "export"]
        return target == frozenset[int]().union(*(one for one in merged if one <= target))

    def _length(self, picture: Picture, target: Target, told: Iterable[Told]) -> int:
        """Return how many minutes a stretch has, with what is known by itself on both sides."""
        world = self.world
        known = {u for one in told if one.number.kind == "export" for u in one.number.unknowns()}
        first, last = min(target), max(target)
        register = first // world.slots
        begin, end = world.unknown(0, register), world.unknown(0, register + 1)
        while first > begin and (picture.is_known(first - 1) or first - 1 in known):
            first -= 1
        while last + 1 < end and (picture.is_known(last + 1) or last + 1 in known):
            last += 1
        return (last + 1 - first) * world.slot_minutes

    def _opened_to(self, recipients: Collection[str]) -> dict[int, int]:
        return {u: use for who in recipients for u, use in self.opened.get(who, {}).items()}

    def _open(self, recipient: str, unknowns: Iterable[int]) -> None:
        mine = self.opened.setdefault(recipient, {})
        mine.update((unknown, self.house[unknown]) for unknown in unknowns)

    def _terms(self, question: Question, kind: str) -> Terms | None:
        subject = question.applet, kind
        newest = [terms for terms in self.standing if terms.subject == subject]
        return newest[-1] if newest else None

    def _counted(self, one: Told) -> Iterator[Finding]:
        terms, world = one.terms, self.world
        own = [
            other
            for other in self.told
            if other.terms.subject == terms.subject and other.period.register == one.period.register
        ]
        if terms.kind == "sample":
            yield from self._spaced(terms)
            return
        if one.number.bits(world) > terms.bits:
            bits = one.number.bits(world)
            yield Finding("bits", f"a number of {bits} bits, promised {terms.bits}")
        for day in sorted(one.days(world)):
            near = _distinct(
                other
                for other in own
                if other.period.first <= day < other.period.first + other.period.days
            )
            telling = _distinct(other for other in own if day in other.days(world))
            bits, most = sum(other.number.bits(world) for other in telling), terms.most_bits
            is_over = terms.is_by_bits(world) and bits > most
            if is_over:
                yield Finding("bits", f"{bits} bits, promised {most}")
            if len(near) > terms.answers:
                yield Finding("count", f"{len(near)} numbers, promised {terms.answers}")
            if is_over or len(near) > terms.answers:
                return

    def _limits(self) -> Iterator[Finding]:
        """Yield what counts tell beyond their promises, to all recipients together."""
        about: dict[int, set[Counted]] = {}
        ends: dict[tuple[int, ...], tuple[int, int]] = {}
        most = 0
        for one in self.told:
            if one.terms.kind != "count":
                continue
            most = max(most, one.terms.answers)
            for count in _counts_in(one.number.parts[0]):
                shortest = min(map(self.world.minutes, count.windows))
                if shortest < one.terms.minutes:
                    yield Finding("windows", f"windows of {shortest} min are counted")
                for day in one.days(self.world):
                    about.setdefault(day, set()).add(count)
                if not isinstance(one.number.parts[0], Counted):
                    continue
                for window in count.windows:
                    low, high = ends.get(window, Weighed.of(window).bounds(self.world.bounds))
                    if one.value == len(count.windows):
                        low = max(low, count.limit + 1)
                    if one.value == 0:
                        high = min(high, count.limit)
                    ends[window] = low, high
        if any(len(counts) > most for counts in about.values()):
            yield Finding("limits", f"more than {most} limits about one time")
        for window, (low, high) in ends.items():
            before = Weighed.of(window).bounds(self.world.bounds)
            if high - low < NEAREST_WH - 1 and low > before[0] and high < before[1]:
                yield Finding("near", f"a window used {low} to {high} Wh")
                return

    def _spaced(self, terms: Terms) -> Iterator[Finding]:
        sampled = sorted(
            {u for one in self.told if one.number.kind == "sample" for u in one.number.unknowns()}
        )
        for one, other in pairwise(sampled):
            apart = (other - one) * self.world.slot_minutes
            if one // self.world.slots == other // self.world.slots and apart < terms.minutes:
                yield Finding("spacing", f"samples {apart} min apart, promised {terms.minutes}")
                return


def _counts_in(part: Expression) -> Iterator[Counted]:
    match part:
        case Counted():
            yield part
        case Combined(terms):
            for _, one in terms:
                yield from _counts_in(one)
        case Extreme(parts):
            for one in parts:
                yield from _counts_in(one)
        case Quotient(one):
            yield from _counts_in(one)
        case _:
            pass


def _distinct(told: Iterable[Told]) -> list[Told]:
    found: dict[Hashable, Told] = {}
    for one in told:
        found.setdefault((one.period, repr(one.number)), one)
    return list(found.values())
