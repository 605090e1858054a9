# SPDX-License-Identifier: Apache-2.0
"""The curve that a recipient can make of what it was told, at best.

Where readings were exported to it, it has them, as finely as they went. Else it knows sums Σ w·x,
y = W·x; of all curves that fit, the one of least squares, x̂ = Wᵀ(W·Wᵀ)⁻¹·y, is the projection of
the truth on what the sums determine: whatever else x has is orthogonal to every sum, and a guess.
It is the same for slots that no sum tells apart, so it is worked out for each class of them, in
exact fractions. A single slot that was told is known, and taken off the sums. How high a peak was
is not a sum and does not enter; nor do sums over households, of which this one's part is hidden,
nor what was told of feed-in: the curve is that of what was drawn.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

from flint import fmpq, fmpq_mat

from hub.device import Device
from hub.disclosure import Form
from hub.inspection.attack.appliances import FINEST_SECONDS, PowerCurve
from hub.inspection.views.live import BREAKS
from hub.inspection.views.slots import SlotRun, slots_between
from protocols.metrology import SlotState

MINUTE: Final = 60
HOUR: Final = 3600
Column = tuple[int, ...]


def curve_of_house(device: Device, begin: int, end: int) -> PowerCurve:
    """Return the curve as the vault has it: by the minute if readings are that fine, or slots."""
    meter = device.main
    readings = list(meter.vault.between(meter.channel, begin, end))
    spans = [after.time - before.time for before, after in pairwise(readings)]
    if not spans or sorted(spans)[len(spans) // 2] > FINEST_SECONDS:
        return _curve_of(slots_between(device, begin, end), begin, end)
    watts: list[int | None] = [None] * ((end - begin) // MINUTE)
    for before, after in pairwise(readings):
        if after.flags & BREAKS:
            continue
        power = (after.register_wh - before.register_wh) * HOUR // (after.time - before.time)
        first = max(0, -(-(before.time - begin) // MINUTE))
        for minute in range(first, min(len(watts), -(-(after.time - begin) // MINUTE))):
            watts[minute] = power
    return PowerCurve(begin, MINUTE, watts)


def curve_known_to(device: Device, recipients: Collection[str], begin: int, end: int) -> PowerCurve:
    """Return the curve that some recipients together can make of [begin, end), slot by slot."""
    slots = slots_between(device, begin, end)
    watts = _projected(device, recipients, begin, end, slots.seconds)
    for entry in device.disclosure.log.entries("export"):
        if entry.facts["recipient"] in recipients and not entry.facts.get("register"):
            width = 60 * int(entry.facts["resolution_minutes"])
            _put_exported(watts, slots, begin, entry.facts["begin"], entry.facts["end"], width)
    return PowerCurve(begin, slots.seconds, watts)


def _curve_of(slots: SlotRun, begin: int, end: int) -> PowerCurve:
    watts: list[int | None] = [None] * ((end - begin) // slots.seconds)
    for start, use, state in zip(slots.starts, slots.use_wh, slots.states, strict=True):
        if state is not SlotState.MISSING:
            watts[(start - begin) // slots.seconds] = use * HOUR // slots.seconds
    return PowerCurve(begin, slots.seconds, watts)


def _put_exported(
    watts: list[int | None], slots: SlotRun, begin: int, since: int, until: int, width: int
) -> None:
    """Write what an export told over a curve: means over its resolution."""
    exported = slots.between(since, until)
    sums: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for start, use in zip(exported.starts, exported.use_wh, strict=True):
        sums[start // width] += use
        counts[start // width] += 1
    for start in exported.starts:
        block = start // width
        power = sums[block] * HOUR // (counts[block] * slots.seconds)
        watts[(start - begin) // slots.seconds] = power


def _projected(
    device: Device, recipients: Collection[str], begin: int, end: int, seconds: int
) -> list[int | None]:
    """Return the least-squares curve, in watts; None where no sum has a weight."""
    unknown: list[int | None] = [None] * ((end - begin) // seconds)
    forms = [
        form
        for release in device.disclosure.releases()
        if release.recipient in recipients
        for form in release.forms
        if not (form.is_peak or form.register) and form.slot_seconds == seconds
    ]
    forms = _entangled(begin, end, forms)
    if not forms:
        return unknown
    first = min(form.begin for form in forms)
    last = max(form.end for form in forms)
    slots = slots_between(device, first, last)
    uses = dict(zip(slots.starts, slots.use_wh, strict=True))
    sampled = {form.sampled for form in forms if form.is_sample}
    sums = [form for form in forms if not form.is_sample]
    times = range(first, last, seconds)
    columns = [
        (0,) * len(sums) if time in sampled else column  # what is known is taken off the sums
        for time, column in zip(times, _columns(sums, first, len(times)), strict=True)
    ]
    values = [
        sum(column[row] * uses.get(time, 0) for time, column in zip(times, columns, strict=True))
        for row in range(len(sums))
    ]
    estimate = _least_squares(Counter(columns), values)
    for time, column in zip(times, columns, strict=True):
        if begin <= time < end and (any(column) or time in sampled):
            use = fmpq(uses.get(time, 0)) if time in sampled else estimate[column]
            unknown[(time - begin) // seconds] = max(0, int((use * HOUR / seconds).floor()))
    return unknown


def _entangled(begin: int, end: int, forms: Sequence[Form]) -> list[Form]:
    """Return the forms that reach into [begin, end), or overlap one that does, and so on."""
    entangled: list[Form] = []
    rest = list(forms)
    spans = [(begin, end)]
    while spans:
        since, until = spans.pop()
        touched = [form for form in rest if form.begin < until and since < form.end]
        rest = [form for form in rest if form not in touched]
        entangled += touched
        spans += [(form.begin, form.end) for form in touched]
    return entangled


def _columns(forms: Sequence[Form], first: int, count: int) -> list[Column]:
    if not forms:
        return [()] * count
    rows = []
    for form in forms:
        before = (form.begin - first) // form.slot_seconds
        after = count - before - len(form.weights)
        rows.append((0,) * before + form.weights + (0,) * after)
    return list(zip(*rows, strict=True))


def _least_squares(classes: Counter[Column], values: Sequence[int]) -> dict[Column, fmpq]:
    """Return, for each class of slots, their use in the curve of least squares that fits."""
    size = len(values)
    gram = [
        [sum(count * c[i] * c[j] for c, count in classes.items()) for j in range(size)]
        for i in range(size)
    ]
    entries = [entry for row, value in zip(gram, values, strict=True) for entry in (*row, value)]
    reduced, rank = fmpq_mat(size, size + 1, entries).rref()
    multipliers = [fmpq(0)] * size
    for row in range(rank):  # sums that follow from others keep a multiplier of 0
        pivot = next(column for column in range(size + 1) if reduced[row, column] != 0)
        multipliers[pivot] = reduced[row, size]
    return {
        column: sum((m * w for m, w in zip(multipliers, column, strict=True)), fmpq(0))
        for column in classes
    }
