# SPDX-License-Identifier: Apache-2.0
"""Blocks, peaks, excesses, counts and the best of sums: the quantities that statements are made of.

`amounts` opens them one by one, `numbers` makes one number of several. Each function is the same
for prover and verifier.
"""

from collections.abc import Sequence
from typing import Final

from protocols.amounts import (
    Best,
    Bucket,
    Count,
    Excess,
    Group,
    Peaks,
    QuotientRule,
    SlotForm,
    Tiered,
)
from protocols.proofs.compare import (
    largest,
    largest_few,
    maximum,
    require_largest,
    rounded,
    tiers,
)
from protocols.proofs.errors import FalseStatement
from protocols.proofs.excess import Excesses
from protocols.proofs.group import PointVector
from protocols.proofs.quantity import Quantity, SlotOpening, Source
from protocols.proofs.session import Session
from protocols.proofs.vector import VectorCommitment

BUCKET_BITS: Final = 32
"""A bucket's use and its limits are below 4.3 GWh."""
PEAK_BITS: Final = 24
"""The peaks of a sum are below 16.8 million watt-hours or, where weighted, watts."""
BEST_BITS: Final = 56
"""The best of several sums is ahead of the others by less than 2^56."""


def blocks_of(session: Session, label: str, source: Source, amount: Tiered) -> Quantity:
    """Return what blocks come to."""
    total = Quantity.constant(0)
    uses = uses_of(session, label, source, [bucket.form for bucket in amount.buckets])
    for bucket, use in zip(amount.buckets, uses, strict=True):
        for price, part in zip(bucket.prices, _parts(session, label, bucket, use), strict=True):
            total += part * price
    return total


def peaks_of(session: Session, label: str, source: Source, amount: Peaks) -> Quantity:
    """Return the sum of the peaks, or of the highest."""
    rated = amount.rate != (1, 1)
    peaks = [
        _rated_peak(session, label, source, group, amount.rate)
        if rated
        else largest(session, label, candidates_of(session, label, source, group), PEAK_BITS)
        for group in amount.groups
    ]
    if amount.highest:
        return largest_few(session, label, peaks, amount.highest, PEAK_BITS)
    total = Quantity.constant(0)
    for peak in peaks:
        total += peak
    return total


def excess_of(session: Session, label: str, source: Source, amount: Excess) -> Quantity:
    """Return a sum, and what lies above limits."""
    compared = [
        (place, one.limit, weight)
        for one in amount.above
        for first, count, weight in one.form.runs
        for place in range(first, first + count)
    ]
    places, limits, weights = zip(*compared, strict=True)
    total = session.excess(label, source, Excesses(places, limits, weights))
    if not amount.form.runs:
        return total
    [all_of_it] = session.forms(label, source, [amount.form.spread(source.size)])
    return total + all_of_it


def count_of(session: Session, label: str, source: Source, amount: Count) -> Quantity:
    """Return how many windows use more than the limit.

    Of whole watt-hours, max(0, x − L) − max(0, x − L − 1) is 1 where x > L, and 0 elsewhere. So the
    count is one sum of excesses, with the windows' uses in the place of slots'.
    """
    windows = _as_source(source, uses_of(session, label, source, amount.windows))
    places = range(windows.size)
    limits = [amount.limit] * windows.size + [amount.limit + 1] * windows.size
    weights = [1] * windows.size + [-1] * windows.size
    return session.excess(
        label, windows, Excesses((*places, *places), tuple(limits), tuple(weights))
    )


def best_of(session: Session, label: str, source: Source, amount: Best) -> int:
    """Return the place of the largest of several sums, told."""
    forms = [form.spread(source.size) for form in amount.forms]
    scores = session.forms(label, source, forms)

    def first_of_the_largest() -> int:
        values = [score.opened()[0] for score in scores]
        return values.index(max(values))

    place = session.tell(label, first_of_the_largest, len(scores))
    require_largest(session, label, scores, place, BEST_BITS)
    return place


def candidates_of(session: Session, label: str, source: Source, group: Group) -> list[Quantity]:
    """Return the windows' uses and, last, the floor."""
    return [*uses_of(session, label, source, group.windows), _floor(label, group)]


def uses_of(
    session: Session, label: str, source: Source, forms: Sequence[SlotForm]
) -> list[Quantity]:
    """Return Σ weight·use of each form, run by run: sums of points and no products of them.

    Over a commitment a day there are no points of slots to add: one output for each form.
    """
    if isinstance(source.commitment, VectorCommitment):
        return session.forms(label, source, [form.spread(source.size) for form in forms])
    runs = [range(first, first + count) for form in forms for first, count, _ in form.runs]
    parts = iter(session.windows(label, source, runs))
    uses = []
    for form in forms:
        use: Quantity | None = None
        for _, _, weight in form.runs:
            part = next(parts) if weight == 1 else next(parts) * weight
            use = part if use is None else use + part
        if use is None:
            raise FalseStatement(f"{label}: a form of no slots")
        uses.append(use)
    return uses


def _as_source(source: Source, quantities: Sequence[Quantity]) -> Source:
    """Return quantities that the transcript has taken in, as uses committed to one by one."""
    commitment = PointVector([one.point for one in quantities])
    if source.opening is None:
        return Source(commitment, source.identity)
    uses, blindings = zip(*(one.opened() for one in quantities), strict=True)
    return Source(commitment, source.identity, SlotOpening(uses, blindings))


def _parts(session: Session, label: str, bucket: Bucket, use: Quantity) -> list[Quantity]:
    if any(limit >> BUCKET_BITS for limit in bucket.limits):
        raise ValueError(f"{label}: a block is beyond {BUCKET_BITS} bits of watt-hours")
    return tiers(session, label, use, bucket.limits, BUCKET_BITS)


def _rated_peak(
    session: Session, label: str, source: Source, group: Group, rate: tuple[int, int]
) -> Quantity:
    """Return the highest use times the rate, rounded down, or the floor if that is more.

    What is rounded down rises with the use: the highest of both belongs to the same window.
    """
    times, parts = rate
    items = uses_of(session, label, source, group.windows)
    chosen = items[0] if len(items) == 1 else largest(session, label, items, PEAK_BITS)
    watts = rounded(session, label, chosen * times, parts, QuotientRule.DOWN, PEAK_BITS)
    if not group.floor:
        return watts
    return maximum(session, label, watts, _floor(label, group), PEAK_BITS)


def _floor(label: str, group: Group) -> Quantity:
    if group.floor >> PEAK_BITS:
        raise ValueError(f"{label}: the floor is beyond {PEAK_BITS} bits")
    return Quantity.constant(group.floor)
