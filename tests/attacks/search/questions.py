# SPDX-License-Identifier: Apache-2.0
"""Consents and questions as an attacker thinks of them, whatever the guard's requests look like."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.attacks.search.facts import Expression, Fact, Uses, Weighed, revealed
from tests.attacks.search.world import World


@dataclass(frozen=True, slots=True)
class Terms:
    """What a resident agrees to."""

    recipient: str
    applet: str
    kind: str
    """`linear`, `blocks`, `demand`, `excess`, `count`, `match`; `sample`, which opens single slots;
    `output` and `export`."""
    days: int
    minutes: int
    answers: int
    bits: int
    within_days: int = 31
    corrected_minutes: int = 0
    """Over how many minutes of corrected slots a total of fewer days may be told; 0: none may."""
    slot_bits: int = 0
    """How many bits may be told about any one slot; 0: what all answers have together."""
    memory_days: int = 0
    """How many days back a number may depend on; 0: on its own period alone."""

    @property
    def most_bits(self) -> int:
        """How many bits may be told about a slot."""
        return self.slot_bits or self.answers * self.bits

    def is_by_bits(self, world: World) -> bool:
        """Tell whether it promises bits and nothing else, being as fine as the slots."""
        return self.minutes <= world.slot_minutes

    @property
    def subject(self) -> tuple[str, str]:
        """The applet, which has one recipient, and the kind of number."""
        return self.applet, self.kind


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of one register."""

    first: int
    days: int
    register: int = 0

    def unknowns(self, world: World) -> range:
        """Return the unknowns of the period."""
        begin = world.unknown(self.first * world.day_slots, self.register)
        return range(begin, begin + self.days * world.day_slots)


@dataclass(frozen=True, slots=True)
class Number:
    """One number that is asked for."""

    kind: str
    parts: tuple[Expression, ...]
    """What is told; of kind `match`: which of these is the largest."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it needs consents to: several have a `+` between them."""
        return tuple(self.kind.split("+"))

    def value(self, uses: Uses) -> int:
        """Return what would be told, given the readings."""
        values = [part.value(uses) for part in self.parts]
        return values.index(max(values)) if self.kind == "match" else values[0]

    def bits(self, world: World) -> int:
        """Return how many bits the value can have, for all that everybody knows."""
        if self.kind == "match":
            return (len(self.parts) - 1).bit_length()
        low, high = self.parts[0].bounds(world.bounds)
        return (high - low).bit_length()

    def facts(self, value: int, world: World) -> Iterator[Fact]:
        """Yield what the value says."""
        if self.kind != "match":
            yield Fact(revealed(self.parts[0]), value, value)
            return
        best = self.parts[value]
        assert isinstance(best, Weighed)
        for place, part in enumerate(self.parts):
            assert isinstance(part, Weighed)
            if place != value:
                lead = best.plus(part, -1)
                yield Fact(lead, int(place < value), lead.bounds(world.bounds)[1])

    def unknowns(self) -> set[int]:
        """Return what the value depends on."""
        return {unknown for part in self.parts for unknown in part.unknowns()}


@dataclass(frozen=True, slots=True)
class Question:
    """Numbers that an applet asks for together."""

    recipient: str
    applet: str
    period: Period
    numbers: tuple[Number, ...]
    keeps: tuple[tuple[str, Expression], ...] = ()
    """What the hub is to keep for later questions, under which names; told to nobody."""


@dataclass(frozen=True, slots=True)
class Export:
    """Readings that the resident hands to somebody."""

    recipient: str
    period: Period
    minutes: int
    """What they are merged to; no finer than the slots."""

    def merged(self, world: World) -> list[range]:
        """Return which unknowns become one reading each."""
        unknowns, size = self.period.unknowns(world), self.minutes // world.slot_minutes
        return [unknowns[at : at + size] for at in range(0, len(unknowns), size)]


@dataclass(frozen=True, slots=True)
class Output:
    """What an applet that sees readings, and is never asked, wants to release."""

    terms: Terms
    boundary: int
    bits: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The resident agrees to something."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Revoke:
    """The resident takes back the newest consent that stands to this."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Narrow:
    """The resident puts narrower terms in the place of wider ones."""

    old: Terms
    new: Terms


@dataclass(frozen=True, slots=True)
class Correct:
    """Readings of some slots come late or are replaced; which slots, everybody can see."""

    slots: frozenset[int]


Move = Question | Export | Output | Grant | Revoke | Narrow | Correct


@dataclass(frozen=True, slots=True)
class Answer:
    """The numbers that were told; of an export, the readings."""

    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """What whoever asked is told instead."""

    words: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """The guard neither answered nor refused: it failed."""

    error: str


Outcome = Answer | Refused | Crashed
