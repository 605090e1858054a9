# SPDX-License-Identifier: Apache-2.0
"""A load curve as a picture: SVG, written by hand; no scripts, no fonts to fetch, no floats.

Each series is a step line of mean power in kilowatts over time; a gap in it stays open. The same
curve gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

WIDTH: Final = 960
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 46
_COLOURS: Final = ("#1b6ca8", "#c4551d", "#6b6b6b", "#2e7d4f")
_TICKS: Final = 5
_TENTH: Final = 10
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Line:
    """A named series: slots and the mean power in each, in watts."""

    name: str
    slots: Sequence[tuple[int, int]]
    watts: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Frame:
    begin: int
    end: int
    low: int
    high: int

    def x(self, time: int) -> str:
        """Return a time's place, in tenths of a pixel, as text."""
        room = WIDTH - _LEFT - _RIGHT
        return _tenths(_LEFT + Fraction(room * (time - self.begin), self.end - self.begin))

    def y(self, watts: int) -> str:
        """Return a power's place."""
        room = HEIGHT - _TOP - _BOTTOM
        return _tenths(HEIGHT - _BOTTOM - Fraction(room * (watts - self.low), self.high - self.low))


def draw(title: str, lines: Sequence[Line], zone: ZoneInfo) -> str:
    """Return the picture of the lines, which have a slot at least among them."""
    slots = [slot for line in lines for slot in line.slots]
    watts = [value for line in lines for value in line.watts]
    step = _step(max(*watts, 1) - min(*watts, 0))
    low, high = min(*watts, 0) // step * step, -(-max(*watts, 1) // step) * step
    frame = _Frame(min(begin for begin, _ in slots), max(end for _, end in slots), low, high)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
        *_power_axis(frame, step),
        *_time_axis(frame, zone),
    ]
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(
            f'<path d="{_path(frame, line)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
        )
        place = _LEFT + 170 * number
        parts.append(
            f'<rect x="{place}" y="27" width="10" height="10" fill="{colour}"/>'
            f'<text x="{place + 15}" y="36">{escape(line.name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _path(frame: _Frame, line: Line) -> str:
    steps, last = [], None
    for (begin, end), watts in zip(line.slots, line.watts, strict=True):
        y = frame.y(watts)
        steps.append(f"{'L' if last == begin else 'M'}{frame.x(begin)} {y}H{frame.x(end)}")
        last = end
    return "".join(steps)


def _power_axis(frame: _Frame, step: int) -> list[str]:
    parts = []
    for watts in range(frame.low, frame.high + 1, step):
        y = frame.y(watts)
        parts.append(
            f'<path d="M{_LEFT} {y}H{WIDTH - _RIGHT}" stroke="#dddddd"/>'
            f'<text x="{_LEFT - 6}" y="{y}" dy="4" text-anchor="end">{_kilowatts(watts)}</text>'
        )
    return [*parts, f'<text x="{_LEFT - 6}" y="36" text-anchor="end">kW</text>']


def _time_axis(frame: _Frame, zone: ZoneInfo) -> list[str]:
    parts = []
    days = max(1, (frame.end - frame.begin) // _DAY)
    every, hours = (-(-days // 8), 24) if days > 2 else (1, 6)
    midnight = (
        datetime.fromtimestamp(frame.begin, UTC)
        .astimezone(zone)
        .replace(hour=0, minute=0, second=0, microsecond=0)
    )
    for number in range(days * (24 // hours) + 2):
        # On the wall clock: a day is a day, whatever the clock does in it.
        local = midnight + (
            timedelta(days=number * every) if hours == 24 else timedelta(hours=number * hours)
        )
        time = int(local.timestamp())
        if not frame.begin <= time <= frame.end:
            continue
        label = local.strftime("%Y-%m-%d" if hours == 24 or local.hour == 0 else "%H:%M")
        x = frame.x(time)
        parts.append(
            f'<path d="M{x} {_TOP}V{HEIGHT - _BOTTOM}" stroke="#eeeeee"/>'
            f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{label}</text>'
        )
    return parts


def _step(span: int) -> int:
    """Return 1, 2 or 5 times a power of ten, so that some five of it make the span."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if step * factor * _TICKS >= span:
                return step * factor
        step *= 10


def _kilowatts(watts: int) -> str:
    sign, watts = ("−", -watts) if watts < 0 else ("", watts)
    return f"{sign}{watts // 1000}.{watts % 1000:03d}".rstrip("0").rstrip(".")


def _tenths(value: Fraction) -> str:
    tenths = round(value * _TENTH)
    return f"{tenths // _TENTH}.{tenths % _TENTH}"
