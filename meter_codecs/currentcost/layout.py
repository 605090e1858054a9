# SPDX-License-Identifier: Apache-2.0
"""Which tags a message has, and what stands between them.

Current Cost's XML has tags without attributes, texts without entities, and one root. A display
sends the same tags again and again. So a message is cut at its brackets: every second piece is a
tag. The sequence of tags is looked at once, with care: whether each one is closed, which ones hold
a text, and what that text means. The next message with the same tags has its texts in the same
places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Final

from meter_codecs.currentcost.errors import MalformedMessage

LAYOUTS: Final = 64
"""How many sequences of tags are remembered."""

DEEPEST: Final = 8

_TAG: Final = re.compile(r"/?[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII).fullmatch
_HISTORY: Final = re.compile(r"([hdmy])(\d{1,4})", re.ASCII).fullmatch
_CHANNEL: Final = re.compile(r"ch(\d{1,2})", re.ASCII).fullmatch
_DECIMALS: Final = ("tmpr", "tmprF", "watts")
NUMBERS: Final = frozenset(
    ["dsb", "hr", "min", "sec", "dsw", "sensor", "id", "type", "imp", "ipu", *_DECIMALS]
)
"""The tags whose texts are numbers, beside those of the history."""

_QUANTITIES: Final = {
    "tmpr": ("temperature", "degC"),
    "tmprF": ("temperature", "degF"),
    "watts": ("power", "W"),
    "imp": ("impulses", None),
    "ipu": ("impulses per unit", None),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value stands, and what it is."""

    at: int
    name: str
    unit: str | None
    channel: int | None = None
    period: str | None = None
    age: int | None = None
    sensor_at: int | None = None
    """Where its sensor is said; None if it is the first, which the oldest displays do not say."""
    unit_at: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """A sequence of tags."""

    template: str
    """The message, with a place for the text after each tag."""
    leaves: tuple[tuple[str, int], ...]
    """The path of each tag that holds a text, and which text that is."""
    numbers: tuple[tuple[str, int], ...]
    """The same of those whose text is a number."""
    slots: tuple[Slot, ...]
    between: Callable[[Sequence[str]], tuple[str, ...]]
    """Takes the texts that stand between tags; they are blank."""
    size: int
    """How many texts there are, one after each tag."""
    clock_at: int | None
    """Which text is the time of day."""

    def index_of(self, *paths: str) -> int | None:
        """Return which text the first of `paths` has that is there."""
        for path in paths:
            for leaf, at in self.leaves:
                if leaf == path:
                    return at
        return None


@lru_cache(maxsize=LAYOUTS)
def layout_of(tags: tuple[str, ...]) -> Layout:
    """Return the layout of a sequence of tags; raise `MalformedMessage` if they do not nest."""
    open_tags: list[str] = []
    leaves: list[tuple[str, int]] = []
    between: list[int] = []
    for at, tag in enumerate(tags):
        if _TAG(tag) is None:
            raise MalformedMessage(f"<{tag[:20]}> is no tag")
        if at and not open_tags:
            raise MalformedMessage("more than one message")
        if not tag.startswith("/"):
            open_tags.append(tag)
            if len(open_tags) > DEEPEST:
                raise MalformedMessage(f"nested more than {DEEPEST} deep")
            if tags[at + 1 : at + 2] == (f"/{tag}",):
                leaves.append(("/".join(open_tags[1:]), at))
            else:
                between.append(at)
        else:
            if not open_tags or open_tags[-1] != tag[1:]:
                wanted = f"</{open_tags[-1]}>" if open_tags else "a start"
                raise MalformedMessage(f"<{tag}> where {wanted} is due")
            open_tags.pop()
            between.append(at)
    if open_tags or tags[:1] != ("msg",):
        raise MalformedMessage("not one whole <msg>")
    template = "".join([f"<{tag}>%s" for tag in tags])
    numbers = tuple(leaf for leaf in leaves if _is_number(leaf[0].rpartition("/")[2]))
    pick = itemgetter(0, *between)  # twice the first, so that there are always two or more
    clock = dict(leaves).get("time")
    return Layout(template, tuple(leaves), numbers, _slots(leaves), pick, len(tags), clock)


def _is_number(tag: str) -> bool:
    return tag in NUMBERS or _HISTORY(tag) is not None


def _slots(leaves: Sequence[tuple[str, int]]) -> tuple[Slot, ...]:
    """Return the values: the temperature first, which is the display's own and of no sensor."""
    first: list[Slot] = []
    found: list[Slot] = []
    sensors: dict[str, int] = {}
    units: int | None = None
    for path, at in leaves:
        parent, _, tag = path.rpartition("/")
        if tag == "sensor":
            sensors[parent] = at
        elif tag == "units":
            units = at
        elif tag in _QUANTITIES:
            name, unit = _QUANTITIES[tag]
            if name == "temperature":
                first.append(Slot(at, name, unit))
            else:
                channel = _CHANNEL(parent.rpartition("/")[2])
                number = int(channel[1]) if channel else None
                sensor = _nearest(sensors, parent)
                found.append(Slot(at, name, unit, number, sensor_at=sensor))
        elif path.startswith("hist/") and (age := _HISTORY(tag)):
            sensor = _nearest(sensors, parent)
            found.append(
                Slot(at, "energy", "kWh", None, age[1], int(age[2]), sensor, unit_at=units)
            )
    return tuple(first + found)


def _nearest(sensors: dict[str, int], parent: str) -> int | None:
    """Return where the sensor of an element is said: beside it, or beside what holds it."""
    while parent and parent not in sensors:
        parent = parent.rpartition("/")[0]
    return sensors.get(parent)
