# SPDX-License-Identifier: Apache-2.0
"""The slots of a period, as whoever asks for a bill hands them in: checked, told apart, filled in.

A slot is missing if its use is None, its state says so, or it is absent between begin and end;
the tariff's rule for missing slots may put the use of the same slot a week before in its place.

Where a bill depends on two registers, a slot is as well known as the worse of them: one that is
missing in either is missing for the bill, in both. `combine_states` is that rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import lt
from typing import Final

from tariffs.document import MissingRule
from tariffs.errors import UnbillableReadings
from tariffs.usage import KnownUsage, utc_text

MEASURED, ESTIMATED, SUBSTITUTED, MISSING = range(4)
WEEK: Final = 7 * 86_400


def combine_states(registers: Sequence[Sequence[int]]) -> list[int]:
    """Return each slot's state for a bill, from its states in the registers the bill depends on.

    Missing in either is missing, else substituted, else estimated in either, else measured. Raises
    `UnbillableReadings` where the registers have not the same number of slots.
    """
    if len({len(states) for states in registers}) > 1:
        raise UnbillableReadings("the registers have not the same slots")
    if len(registers) == 1:
        return [*registers[0]]
    return [*map(max, *registers)]


@dataclass(frozen=True, slots=True)
class BilledSlots:
    """The slots of a period whose use is known, and those whose use is not."""

    begin: int
    end: int
    usage: KnownUsage
    missing: tuple[int, ...]
    estimated: int
    substituted: int
    substitutions: tuple[tuple[int, int], ...] = ()

    @classmethod
    def check(
        cls,
        starts: Sequence[int],
        seconds: int,
        use_wh: Sequence[int | None],
        export_wh: Sequence[int | None] | None,
        states: Sequence[int] | None,
        begin: int | None,
        end: int | None,
    ) -> "BilledSlots":
        """Return what is handed in as slots that fill [begin, end); raise `UnbillableReadings`."""
        states = [MEASURED] * len(starts) if states is None else states
        exports = [0] * len(starts) if export_wh is None else export_wh
        if not len(starts) == len(use_wh) == len(states) == len(exports):
            raise UnbillableReadings("there is not one use and one state for each slot")
        begin, end = _bounds(starts, seconds, begin, end)
        if not {MEASURED, ESTIMATED, SUBSTITUTED, MISSING}.issuperset(states):
            raise UnbillableReadings("a slot's state is not 0, 1, 2 or 3")
        known = [
            (start, use, export, state)
            for start, use, export, state in zip(starts, use_wh, exports, states, strict=True)
            if use is not None and export is not None and state != MISSING
        ]
        if any(use < 0 or export < 0 for _, use, export, _ in known):
            raise UnbillableReadings("the use of a slot is negative")
        there = {start for start, _, _, _ in known}
        kept = [state for _, _, _, state in known]
        usage = KnownUsage(
            seconds,
            [start for start, _, _, _ in known],
            [use for _, use, _, _ in known],
            None if export_wh is None else [export for _, _, export, _ in known],
        )
        missing = tuple(start for start in range(begin, end, seconds) if start not in there)
        return cls(begin, end, usage, missing, kept.count(ESTIMATED), kept.count(SUBSTITUTED))

    def under(self, rule: MissingRule) -> "BilledSlots":
        """Return the slots after the tariff's rule for missing ones."""
        if rule is MissingRule.OMIT or not self.missing:
            return self
        if rule is MissingRule.REFUSE:
            raise UnbillableReadings(
                f"the tariff bills no period with missing slots; {len(self.missing)} are, the"
                f" first at {utc_text(self.missing[0])}"
            )
        usage = self.usage
        place = {start: index for index, start in enumerate(usage.starts)}
        found = tuple((start, start - WEEK) for start in self.missing if start - WEEK in place)
        order = sorted(
            [(start, place[start]) for start in usage.starts]
            + [(start, place[other]) for start, other in found]
        )
        exports = usage.export_wh
        return replace(
            self,
            usage=KnownUsage(
                usage.seconds,
                [start for start, _ in order],
                [usage.import_wh[index] for _, index in order],
                None if exports is None else [exports[index] for _, index in order],
            ),
            missing=tuple(start for start in self.missing if start - WEEK not in place),
            substitutions=found,
        )


def _bounds(
    starts: Sequence[int], seconds: int, begin: int | None, end: int | None
) -> tuple[int, int]:
    if not starts and (begin is None or end is None):
        raise UnbillableReadings("there are no slots")
    if seconds <= 0 or not all(map(lt, starts, starts[1:])):
        raise UnbillableReadings("the slots have no length, or are not in order of time")
    begin = starts[0] if begin is None else begin
    end = starts[-1] + seconds if end is None else end
    grid = range(begin, end, seconds)
    if not grid or (end - begin) % seconds:
        raise UnbillableReadings(f"the period is not a whole number of slots of {seconds} s")
    for start in starts:
        if start not in grid:
            raise UnbillableReadings(f"the slot at {utc_text(start)} is not on the grid")
    return begin, end
