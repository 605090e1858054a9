# SPDX-License-Identifier: Apache-2.0
"""Bars of energy over time, laid out here and drawn as SVG by the template `_chart.html`.

A bar's parts are the tariff's price bands, coloured from cold (cheap) to hot (dear), each with a
pattern of its own. What is estimated or substituted lies over the bar as dots, what is missing
stands behind it as a hatched column as wide as its share of the bucket: nothing is smoothed, and
no line joins what was not measured. Lengths are whole units of the drawing.

Power over time is a step line, one drawing below another at one scale, for `attack.html`; each
step is as wide as what it is the mean of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from hub.inspection.attack.appliances import PowerCurve
from hub.inspection.views.bucket import UseBucket

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 12, 28
MOST_LABELS: Final = 9
LEVELS: Final = 5
"""How many temperatures there are."""
PLAIN: Final = "plain"
STEPS: Final = (1, 2, 5)
CURVE_HEIGHT, CURVE_TOP, CURVE_BOTTOM = 110, 8, 4
MOST_STEPS: Final = 1400
"""More are drawn as the highest of neighbours: the eye would see no more."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle and what it is."""

    x: int
    y: int
    width: int
    height: int
    kind: str
    """`band-0` ... `band-4`, `plain`, `estimated`, `missing`, `before`."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bucket, drawn."""

    blocks: tuple[Block, ...]
    title: str
    """What a pointer shows; the table beneath says the same."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on an axis."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All that is drawn."""

    title: str
    bars: tuple[Bar, ...]
    rows: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    kinds: tuple[str, ...]
    """What occurs, for the key."""
    unit: str = "kWh"
    """Of the numbers at the rows."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    floor: int = HEIGHT - BOTTOM


def bar_chart(
    title: str,
    buckets: Sequence[UseBucket],
    labels: Sequence[str],
    titles: Sequence[str],
    levels: Mapping[str, int],
    beside: Sequence[int | None] = (),
    unit: str = "kWh",
) -> Chart:
    """Return the chart of some buckets, at least one.

    `levels` gives each band its temperature; `beside` are the energies of another period, drawn
    as lines across these. A thousand of the buckets' steps are one `unit`.
    """
    top = max([bucket.energy_wh or 0 for bucket in buckets] + [wh or 0 for wh in beside])
    step = _step(max(top, 1))
    ceiling = step * -(-max(top, 1) // step)
    span = WIDTH - LEFT - RIGHT
    edges = [LEFT + span * index // len(buckets) for index in range(len(buckets) + 1)]

    def height(wh: int) -> int:
        return wh * (HEIGHT - TOP - BOTTOM) // ceiling

    bars = []
    for index, ((left, right), bucket) in enumerate(zip(pairwise(edges), buckets, strict=True)):
        blocks = list(_missing(bucket, left, right))
        blocks += _stack(bucket, left, right, height(bucket.energy_wh or 0), levels)
        wh = beside[index] if index < len(beside) else None
        if wh is not None:
            y = HEIGHT - BOTTOM - height(wh) - 1
            blocks.append(Block(left, y, max(3, right - left), 3, "before"))
        bars.append(Bar(tuple(blocks), titles[index]))
    return Chart(
        title,
        tuple(bars),
        tuple(
            Mark(HEIGHT - BOTTOM - height(wh), _thousands(wh)) for wh in range(0, ceiling + 1, step)
        ),
        tuple(_spread(edges, labels)),
        tuple(sorted(_kinds(buckets, bars))),
        unit,
    )


def _kinds(buckets: Sequence[UseBucket], bars: Sequence[Bar]) -> set[str]:
    """Return what is drawn and needs a word; not a plain bar whose cost is known all the same."""
    kinds = {block.kind for bar in bars for block in bar.blocks}
    used = (bucket for bucket in buckets if bucket.energy_wh)
    if all(bucket.energy_cost is not None for bucket in used):
        kinds.discard(PLAIN)
    return kinds


def _stack(
    bucket: UseBucket, left: int, right: int, height: int, levels: Mapping[str, int]
) -> list[Block]:
    """Return a bucket's bar: its bands from the floor upwards, the cheapest first."""
    gap = 1 if right - left < 12 else (right - left) // 6
    x, width = left + gap // 2, max(1, right - left - gap)
    floor, total = HEIGHT - BOTTOM, bucket.energy_wh or 0
    blocks, done = [], 0
    bands = sorted(bucket.bands, key=lambda band: levels.get(band.band, 0))
    parts = [(levels.get(band.band), band.energy_wh) for band in bands if band.energy_wh]
    if sum(wh for _, wh in parts) != total:
        parts = [(None, total)]
    for level, wh in parts:
        if not total:
            break
        lower, done = height * done // total, done + wh
        upper = height * done // total
        kind = PLAIN if level is None else f"band-{level}"
        blocks.append(Block(x, floor - upper, width, upper - lower, kind))
    guessed = bucket.states.estimated + bucket.states.substituted
    if guessed and bucket.states.known:
        part = max(2, height * guessed // bucket.states.known)
        blocks.append(Block(x, floor - height, width, min(part, max(height, 2)), "estimated"))
    return blocks


def _missing(bucket: UseBucket, left: int, right: int) -> list[Block]:
    slots = bucket.states.known + bucket.states.missing
    if not bucket.states.missing or not slots:
        return []
    width = max(2, (right - left) * bucket.states.missing // slots)
    return [Block(right - width, TOP, width, HEIGHT - TOP - BOTTOM, "missing")]


def _step(top: int) -> int:
    """Return a round step that divides the height in three to six."""
    scale = 1
    while True:
        for factor in STEPS:
            if factor * scale * 6 >= top:
                return factor * scale
        scale *= 10


def _spread(edges: Sequence[int], labels: Sequence[str]) -> list[Mark]:
    """Return labels in the middle of their columns, so few that they do not touch."""
    every = -(-len(labels) // MOST_LABELS)
    return [
        Mark((edges[index] + edges[index + 1]) // 2, label)
        for index, label in enumerate(labels)
        if index % every == 0
    ]


def _thousands(steps: int) -> str:
    """Return watt-hours in kWh, or litres in m³, exactly and without trailing zeros."""
    whole, rest = divmod(steps, 1000)
    return f"{whole}.{rest:03}".rstrip("0").rstrip(".") if rest else str(whole)


@dataclass(frozen=True, slots=True)
class PowerDrawing:
    """Power over time as a step line, drawn only where it is known."""

    path: str
    """As SVG writes it."""
    top: int
    """The power at the top, in W."""
    width: int = WIDTH
    height: int = CURVE_HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    ceiling: int = CURVE_TOP
    floor: int = CURVE_HEIGHT - CURVE_BOTTOM


def draw_curves(curves: Sequence[PowerCurve]) -> tuple[PowerDrawing, ...]:
    """Return the drawings of curves over the same time, at the scale of the highest."""
    top = max((watts or 0 for curve in curves for watts in curve.watts), default=0)
    top = max(500, -(-top // 500) * 500)
    return tuple(PowerDrawing(_path(curve, top), top) for curve in curves)


def _path(curve: PowerCurve, top: int) -> str:
    together = -(-len(curve.watts) // MOST_STEPS) or 1
    steps = [
        max((watts for watts in curve.watts[at : at + together] if watts is not None), default=None)
        for at in range(0, len(curve.watts), together)
    ]
    span, tall = WIDTH - LEFT - RIGHT, CURVE_HEIGHT - CURVE_TOP - CURVE_BOTTOM
    parts: list[str] = []
    at = 0
    for watts, same in groupby(steps):
        begin, at = at, at + sum(1 for _ in same)
        if watts is None:
            continue
        x, end = (LEFT + span * index // len(steps) for index in (begin, at))
        y = CURVE_HEIGHT - CURVE_BOTTOM - tall * watts // top
        joined = parts and begin and steps[begin - 1] is not None
        parts.append(f"{'L' if joined else 'M'}{x} {y}H{end}")
    return "".join(parts)
