# SPDX-License-Identifier: Apache-2.0
"""The guard's rules about numbers, one function each; docs/guard.md says why they hold.

Each looks at what was asked and what was told, never at what was used: whoever sees a refusal could
have predicted it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Final

from hub.disclosure.cells import Bundle, Form, Refinement, windows_agree
from hub.disclosure.numbers import Number
from hub.errors import HubError
from protocols.amounts import Best

_MINUTE: Final = 60
_DAY: Final = 86_400
_CLOCK_CHANGE: Final = 2 * 3_600
_LARGEST_WEIGHT: Final = (1 << 63) - 1
HIGHEST_PRICE: Final = 1
"""Units of a number that a watt-hour counts for at most: P in docs/guard.md."""
WIDEST_RATIO: Final = 10
"""By how much the prices within a number differ at most, zero apart: R in docs/guard.md."""
MOST_OPENERS: Final = 4
"""How many recipients may hold single readings of the time that a number is about."""


class ReleaseRefused(HubError):
    """A release would break a rule; nothing was told, and the refusal is on record."""

    exit_code, status_word = 5, 0x6985

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


def check_size(number: Number, bits: int) -> None:
    """Refuse a number of more bits than the consent allows, or weights that no record holds."""
    if number.bits > bits:
        raise ReleaseRefused("size", f"{number.bits} bits, the consent allows {bits}")
    weights = (weight for form in number.forms for weight in form.weights)
    if any(abs(weight) > _LARGEST_WEIGHT for weight in weights):
        raise ReleaseRefused("size", "a weight is beyond 63 bits")


def spread_of(number: Number) -> int:
    """Return by how much a number's prices differ, rounded up; 0 where it is not told in coins.

    A number is told in coins if it is one value, its prices keep within P and R, and no quotient
    inside it takes a step of more than P units: such a step would be a price without bound. The
    most is that of all slots, the least that of those that move the number whatever is used.
    """
    if Best.kind in number.kinds or number.jump > HIGHEST_PRICE:
        return 0
    if number.prices is None:
        return 1
    least, most = number.prices
    if most > HIGHEST_PRICE or most > WIDEST_RATIO * least:
        return 0
    return ceil(most / number.cover_least) if number.cover_least else 1


def check_memory(begin: int, end: int, most_days: int) -> None:
    """Refuse a number that goes on from use further back than the consents say."""
    days = -(-(end - begin - _CLOCK_CHANGE) // _DAY)
    if days > most_days:
        raise ReleaseRefused(
            "memory",
            f"it goes on from use up to {days} days back, the consent says {most_days} at most",
        )


def check_prices(number: Number) -> None:
    """Refuse a number whose prices are too high, or too far apart, to be told in coins."""
    if number.prices is None:
        return
    least, most = number.prices
    if most > HIGHEST_PRICE:
        raise ReleaseRefused(
            "price",
            f"a watt-hour counts for {_short(most)} units of the number, at most"
            f" {HIGHEST_PRICE} are allowed: it has to be told in larger units, as this release's"
            " applets do",
        )
    if most > WIDEST_RATIO * least:
        raise ReleaseRefused(
            "price",
            f"its prices differ by a factor of {_short(most / least)}, at most {WIDEST_RATIO} is"
            " allowed without a consent by bits",
        )


def check_count(
    period: tuple[int, int], asked: int, told: Iterable[tuple[int, int]], most: int
) -> None:
    """Refuse numbers that are more than `most` about any one moment, with those told so far."""
    before = depth(period, ((begin, end, 1) for begin, end in told))
    if before + asked > most:
        raise ReleaseRefused(
            "count",
            f"{before} numbers about the same time were told already, {asked} more are asked for,"
            f" the consent says {most}",
        )


def check_slot_bits(
    period: tuple[int, int], asked: int, told: Iterable[tuple[int, int, int]], most: int
) -> None:
    """Refuse numbers that tell more than `most` bits about any one slot, with those told so far.

    `told` are period and bits of each number.
    """
    before = depth(period, told)
    if before + asked > most:
        raise ReleaseRefused(
            "bits",
            f"{before} bits about the same slots were told already, {asked} more are asked for,"
            f" the consent says {most}",
        )


def depth(period: tuple[int, int], told: Iterable[tuple[int, int, int]]) -> int:
    """Return the largest sum of sizes at any moment of a period; `told`: begin, end, size."""
    begin, end = period
    changes: Counter[int] = Counter()
    for first, last, size in told:
        if first < end and begin < last:
            changes[max(first, begin)] += size
            changes[last] -= size
    height = most = 0
    for moment in sorted(changes):
        height += changes[moment]
        if moment < end:
            most = max(most, height)
    return most


def check_spacing(samples: Iterable[tuple[Form, int]]) -> None:
    """Refuse samples of a register that are nearer than the minutes either was opened under."""
    starts: dict[tuple[str, int], int] = {}
    for form, minutes in samples:
        if form.sampled is not None:
            at = form.register, form.sampled
            starts[at] = max(starts.get(at, 0), minutes)
    near = [
        (other[1] - one[1], max(least, more))
        for (one, least), (other, more) in pairwise(sorted(starts.items()))
        if one[0] == other[0] and other[1] - one[1] < max(least, more) * _MINUTE
    ]
    if near:
        apart, needed = min(near)
        raise ReleaseRefused(
            "fineness",
            f"two samples would be {apart // _MINUTE} min apart,"
            f" the consent says no nearer than {needed} min",
        )


def check_fineness(
    refinement: Refinement,
    numbers: Sequence[Number],
    least_minutes: int,
    sources: Sequence[str],
    near: tuple[str, int, int],
    before: Refinement | None = None,
    asked: Mapping[int, int] | None = None,
) -> None:
    """Refuse numbers that together tell of fewer minutes of slots than a bundle has to cover.

    `numbers` are those that the refinement is of, `sources` what each was told for; looked at are
    bundles with slots of the register and time `near` that were not there `before`. A bundle may
    hold cells that are shorter, where its numbers are told in coins and the rest of it makes up the
    minutes, each of its slots taken for so much less as its price may be lower. One that was there
    before passes if what is asked for tells of it in coins: `asked` has the spread of those
    numbers, by place.
    """
    step = refinement.slot_seconds
    least = -(-least_minutes * _MINUTE // step) if step else 0
    old = set() if before is None else {_shape(one) for one in before.within(*near)}
    for bundle in refinement.within(*near):
        slots = _hidden_among(bundle, [numbers[place].spread for place in bundle.numbers], least)
        if slots < least and _shape(bundle) in old:
            fresh = [spread for place, spread in (asked or {}).items() if place in bundle.numbers]
            slots = least if all(fresh) else slots
        if slots < least:
            told_for = [sources[place] for place in bundle.numbers]
            if bundle.is_corrected:
                raise ReleaseRefused(
                    "fineness",
                    f"it would tell of {slots * step // _MINUTE} min of corrected slots from"
                    f" {_moment(bundle.first)} by themselves, the consent says no finer than"
                    f" {least_minutes} min: it can be told once more slots are corrected",
                )
            raise _too_fine(slots * step, least_minutes, bundle.first, told_for)


def check_alignment(numbers: Iterable[Number]) -> None:
    """Refuse numbers with windows of peaks that have a slot in common, and are not the same."""
    if not windows_agree(form for number in numbers for form in number.forms):
        raise ReleaseRefused("fineness", "the windows of two peaks overlap in part")


def check_windows(number: Number, least_minutes: int, source: str) -> None:
    """Refuse a peak, or what lies above a limit, of slots that last fewer minutes.

    Of a count, each window lasts as long by itself: limits can tell what one used, near enough.
    """
    for form in number.forms:
        slots = sum(map(bool, form.weights))
        if form.is_count and slots:
            slots = min(map(len, form.windows()))
        seconds = slots * form.slot_seconds
        if not form.is_sum and seconds < least_minutes * _MINUTE:
            raise _too_fine(seconds, least_minutes, form.begin, [source])


def check_stretches(
    refinement: Refinement,
    least_days: int,
    near: tuple[str, int, int],
    before: Refinement | None = None,
    numbers: Sequence[Number] = (),
) -> None:
    """Refuse numbers that together could determine the total of fewer days in a row.

    Looked at are stretches that reach into the register and time `near`, and were not determined
    `before`. Slots that were corrected may be of fewer days, where the consents to all `numbers`
    that tell of them say so, and over as many minutes as these say.
    """
    limit = least_days * _DAY - _CLOCK_CHANGE

    def counts(bundle: Bundle) -> bool:
        if not bundle.is_corrected or not numbers:
            return True
        least = [numbers[place].corrected_minutes for place in bundle.numbers]
        return 0 in least or bundle.slots * refinement.slot_seconds < max(least) * _MINUTE

    old = set() if before is None else set(before.closed_stretches(limit, near))
    for begin, end in refinement.closed_stretches(limit, near, counts):
        if (begin, end) not in old:
            corrected = all(one.is_corrected for one in refinement.within(near[0], begin, end))
            what = "that were corrected " if corrected else ""
            more = ", and allows no other total of corrected slots" if corrected else ""
            raise ReleaseRefused(
                "window",
                f"the total of {(end - begin) / _DAY:.3g} days {what}from {_moment(begin)} could be"
                f" worked out, the consent says no less than {least_days}{more}",
            )


def _shape(bundle: Bundle) -> tuple[int, ...]:
    """Return what a bundle keeps that is not split: no more is told of it than its total."""
    return bundle.slots, bundle.shortest_cell, bundle.first, bundle.last


def _hidden_among(bundle: Bundle, spreads: Sequence[int], least: int) -> int:
    """Return among how many slots, at least, anything of a bundle stays hidden."""
    if bundle.shortest_cell >= least:
        return bundle.slots
    ratio = max(spreads) if bundle.is_covered else -(-bundle.high // bundle.low)
    rest = bundle.slots - bundle.shortest_cell
    is_hidden = all(spreads) and ratio <= WIDEST_RATIO and rest >= least * ratio
    return bundle.slots if is_hidden else bundle.shortest_cell


def _too_fine(
    seconds: int, least_minutes: int, since: int, sources: Iterable[str]
) -> ReleaseRefused:
    names = sorted(set(filter(None, sources)))
    together = f", together with {', '.join(names[:3])}" if names else ""
    return ReleaseRefused(
        "fineness",
        f"the use of {seconds // _MINUTE} min of slots from {_moment(since)} could be worked"
        f" out{together}, the consent says no finer than {least_minutes} min",
    )


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _short(value: Fraction) -> str:
    return f"{float(value):.3g}"


def overlaps(one: Form, other: Form) -> bool:
    """Tell whether two forms have slots in common."""
    return one.register == other.register and one.begin < other.end and other.begin < one.end


def entangled(asked: Sequence[Number], told: Sequence[Number]) -> list[int]:
    """Return the places of told numbers that overlap those asked for, or one that does, and so on.

    Nothing can be worked out from numbers with no slot in common that each does not tell by itself.
    """
    reached: dict[str, list[tuple[int, int]]] = {}
    for number in asked:
        for register in number.registers:
            reached.setdefault(register, []).append((number.begin, number.end))
    found: list[int] = []
    rest = list(range(len(told)))
    while True:
        near = [place for place in rest if _reaches(told[place], reached)]
        if not near:
            return sorted(found)
        found += near
        rest = [place for place in rest if place not in set(near)]
        for place in near:
            for register in told[place].registers:
                reached.setdefault(register, []).append((told[place].begin, told[place].end))
        reached = {register: _joined(spans) for register, spans in reached.items()}


def _reaches(number: Number, reached: dict[str, list[tuple[int, int]]]) -> bool:
    return any(
        begin < number.end and number.begin < end
        for register in number.registers
        for begin, end in reached.get(register, ())
    )


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if joined and begin < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
