# SPDX-License-Identifier: Apache-2.0
"""A region's load as a drawing: a step line of mean power over time, laid out here, drawn as SVG.

What is not stored is a gap: no line joins what was not summed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 12, 28
MOST_STEPS: Final = 700
"""More are drawn as the highest of neighbours: the eye would see no more."""
MOST_DAYS: Final = 8
_STEPS: Final = (1, 2, 5)
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class AxisMark:
    """A label on an axis."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class LoadChart:
    """All that is drawn."""

    paths: tuple[str, ...]
    rows: tuple[AxisMark, ...]
    columns: tuple[AxisMark, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    floor: int = HEIGHT - BOTTOM


def load_chart(
    slots: Sequence[tuple[int, int]], uses_wh: Sequence[int], zone: str
) -> LoadChart | None:
    """Return the drawing of a region's load, None where there is nothing to draw."""
    if not slots:
        return None
    begin, end = slots[0][0], slots[-1][1]
    group = -(-len(slots) // MOST_STEPS)
    steps = []
    for place in range(0, len(slots), group):
        chunk = range(place, min(place + group, len(slots)))
        watts = max(uses_wh[one] * _HOUR // (slots[one][1] - slots[one][0]) for one in chunk)
        steps.append((slots[chunk[0]][0], slots[chunk[-1]][1], watts))
    step = _nice(max(one[2] for one in steps))
    top = step * -(-max(max(one[2] for one in steps), 1) // step)

    def x(time: int) -> int:
        return LEFT + (WIDTH - LEFT - RIGHT) * (time - begin) // (end - begin)

    def y(watts: int) -> int:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * watts // top

    paths, text, last = [], "", None
    for first, until, watts in steps:
        if last != first and text:
            paths.append(text)
            text = ""
        text += f"{'L' if text else 'M'}{x(first)} {y(watts)}H{x(until)}"
        last = until
    paths.append(text)
    rows = tuple(AxisMark(y(one), _kilowatts(one)) for one in range(0, top + 1, step))
    return LoadChart(tuple(paths), rows, _days(begin, end, ZoneInfo(zone), x))


def _days(begin: int, end: int, zone: ZoneInfo, x: Callable[[int], int]) -> tuple[AxisMark, ...]:
    marks = []
    count = max(1, (end - begin) // 86_400)
    every = -(-count // MOST_DAYS)
    for number in range(0, count, every):
        time = begin + number * 86_400
        local = datetime.fromtimestamp(time, UTC).astimezone(zone)
        marks.append(AxisMark(x(time), f"{local:%d %b}"))
    return tuple(marks)


def _nice(watts: int) -> int:
    """Return 1, 2 or 5 times a power of ten, so that four or five of it reach up there."""
    power = 1
    while True:
        for one in _STEPS:
            if 5 * one * power >= watts:
                return one * power
        power *= 10


def _kilowatts(watts: int) -> str:
    return f"{watts / 1000:g} kW"
