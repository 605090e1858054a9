# SPDX-License-Identifier: Apache-2.0
"""Power over time as step lines, one drawing below another at one scale, for `_curves.html`.

A line is drawn only where the power is known; each step is as wide as what it is the mean of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from hub.inspection.attack.appliances import PowerCurve

WIDTH, HEIGHT = 720, 110
LEFT, RIGHT, TOP, BOTTOM = 64, 8, 8, 4
MOST_STEPS: Final = 1400
"""More are drawn as the highest of neighbours: the eye would see no more."""


@dataclass(frozen=True, slots=True)
class PowerDrawing:
    """One curve."""

    path: str
    """As SVG writes it."""
    top: int
    """The power at the top, in W."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    ceiling: int = TOP
    floor: int = HEIGHT - BOTTOM


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
    span, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts: list[str] = []
    at = 0
    for watts, same in groupby(steps):
        begin, at = at, at + sum(1 for _ in same)
        if watts is None:
            continue
        x, end = (LEFT + span * place // len(steps) for place in (begin, at))
        y = HEIGHT - BOTTOM - tall * watts // top
        joined = parts and begin and steps[begin - 1] is not None
        parts.append(f"{'L' if joined else 'M'}{x} {y}H{end}")
    return "".join(parts)
