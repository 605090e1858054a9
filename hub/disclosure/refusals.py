# SPDX-License-Identifier: Apache-2.0
"""Refusals: on record, but summed up, and answered again without thinking.

Whoever is refused can ask again at once, so a refusal must cost the hub next to nothing, on the
disk as well as in time. Of refusals of one kind (who asked for what, and by which rule it was
refused) the log has the first `EACH` of a day one by one, and then the 16th, 32nd, 64th, ...: each
such entry says the how-manieth it is (`count`), and when the first of them was (`first`). Ten
thousand refused questions of one kind make 18 entries.

A question that was refused is kept in mind, with what the refusal depends on: consents, what is on
record as told, and the date. While these have not changed it is refused again without a look at the
rules. What is kept in mind is lost when the hub stops.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from hub.disclosure.log import DisclosureLog, LogEntry
from hub.disclosure.rules import ReleaseRefused

EACH: Final = 8
"""So many refusals of a kind a day are entries of their own."""
MOST_KINDS: Final = 1_000
"""What is counted apart in a day; beyond, all the rest is of one kind."""
MOST_KEPT: Final = 1_024
"""Questions that are kept in mind."""
_DAY: Final = 86_400
_KIND: Final = ("applet", "recipient", "purpose", "statement", "output", "register")
_DECIDING: Final = (
    "consent", "narrowing", "carried", "revocation", "release", "aggregate", "output", "export",
    "published", "correction",
)  # fmt: skip
"""Kinds of entries that a rule looks at, or that say so of what it looks at."""

State = tuple[int, ...]
"""What a refusal depends on."""


@dataclass(slots=True)
class _Counted:
    first: int
    count: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    sequence: int = 0
    """Of its last entry in the log; 0: it has none."""


@dataclass(slots=True)
class RefusalSums:
    """Writes refusals into the log; counts are of this process and this day."""

    log: DisclosureLog
    now: Callable[[], int]
    _day: int = 0
    _counted: dict[tuple[object, ...], _Counted] = field(default_factory=dict)

    def note(self, facts: Mapping[str, Any], refused: ReleaseRefused) -> LogEntry | None:
        """Count a refusal; return its entry where it becomes one."""
        now = self.now()
        if now // _DAY != self._day:
            self._day, self._counted = now // _DAY, {}
        kind = (refused.rule, *(facts.get(name) for name in _KIND))
        if kind not in self._counted and len(self._counted) >= MOST_KINDS:
            kind = ("any",)
        counted = self._counted.setdefault(kind, _Counted(now))
        counted.count += 1
        if counted.count > EACH and counted.count & (counted.count - 1):
            return None
        why, sums = str(refused), dict[str, int]()
        if counted.count > EACH:
            why += f" ({counted.count} refusals like this one today)"
            sums = {"count": counted.count, "first": counted.first}
        counted.facts = {**facts, "why": why, **sums}
        return self._write(now, counted)

    def go_on_from(self, other: "RefusalSums") -> None:
        """Count on where another has counted: for who opens the hub anew for each request."""
        self._day, self._counted = other._day, other._counted

    def restore(self) -> None:
        """Write again what was undone with the transaction that it was written in.

        To be called right after the transaction was undone, by whoever has undone it.
        """
        length = self.log.length()
        lost = [one for one in self._counted.values() if one.sequence > length]
        for one in sorted(lost, key=lambda one: one.sequence):
            self._write(self.now(), one)

    def _write(self, now: int, counted: _Counted) -> LogEntry:
        entry = self.log.append(now, "refusal", counted.facts)
        counted.sequence = entry.sequence
        return entry


def count_refusals(entries: Iterable[LogEntry]) -> int:
    """Return how many refusals the entries stand for, at least."""
    counts: dict[tuple[object, ...], int] = {}
    for entry in entries:
        rule = entry.facts["why"].partition(":")[0]
        kind = (entry.time // _DAY, rule, *(entry.facts.get(name) for name in _KIND))
        counts[kind] = max(counts.get(kind, 0) + 1, entry.facts.get("count", 0))
    return sum(counts.values())


@dataclass(slots=True)
class RefusalMemo:
    """Questions that were refused, and by which rule; the least recent are forgotten first."""

    log: DisclosureLog
    now: Callable[[], int]
    _kept: OrderedDict[bytes, tuple[State, ReleaseRefused, Mapping[str, Any]]] = field(
        default_factory=OrderedDict
    )

    def state(self) -> State:
        """Return what a refusal depends on, as numbers that change when it does."""
        today = datetime.fromtimestamp(self.now(), UTC).date().toordinal()
        return (today, *(self.log.last(kind) for kind in _DECIDING))

    def keep(self, question: bytes, refused: ReleaseRefused, facts: Mapping[str, Any]) -> None:
        """Keep a refused question in mind: `question` is a digest of all that was asked."""
        self._kept[question] = self.state(), refused, facts
        self._kept.move_to_end(question)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def find(self, question: bytes) -> tuple[ReleaseRefused, Mapping[str, Any]] | None:
        """Return why a question is refused, and its facts, where it was and still would be."""
        known = self._kept.get(question)
        if known is None:
            return None
        state, refused, facts = known
        if state != self.state():
            del self._kept[question]
            return None
        self._kept.move_to_end(question)
        return refused, facts
