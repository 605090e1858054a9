# SPDX-License-Identifier: Apache-2.0
"""The service's log: a line for each change of state, for people or for programs.

    2025-03-01T23:00:04Z info part: source main is up
    {"schema": "meterlet.hub.run/1", "time": "2025-03-01T23:00:04Z", "level": "info", ...}

No reading, no identification of a meter and no secret is in it. What errors say may have such, so
of an error the log has its code alone (`code_of`); `meterlet hub status` shows the owner what it
says. Facts are of few kinds, and a text of them stays on its line.
"""

import errno
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Final

from hub.text import printable, utc_text

SCHEMA: Final = "meterlet.hub.run/1"
LONGEST: Final = 200
Fact = str | int | None

FACTS: Final = frozenset({
    "address", "changed", "code", "days", "from", "key", "kind", "line", "part", "parts", "process",
    "reason", "retry_seconds", "started", "state", "stopped", "version",
})  # fmt: skip
"""All that a line may tell."""


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Event(StrEnum):
    """What there is to tell."""

    STARTED = "service-started"
    STOPPING = "service-stopping"
    STOPPED = "service-stopped"
    PART = "part"
    ACCEPTED = "configuration-accepted"
    REFUSED = "configuration-refused"
    CERTIFIED = "days-certified"
    SET_ASIDE = "set-aside"


@dataclass(slots=True)
class ServiceLog:
    """Writes lines; safe to use from several threads."""

    write: Callable[[str], None]
    """Takes one line, without its end."""
    now: Callable[[], int]
    as_json: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False)

    def tell(self, event: Event, *, level: Level = Level.INFO, **facts: Fact) -> None:
        """Write a line; raise `ValueError` for a fact that no line may tell."""
        if not facts.keys() <= FACTS:
            raise ValueError(f"no such fact: {', '.join(sorted(facts.keys() - FACTS))}")
        shown = {name: _on_a_line(fact) for name, fact in facts.items() if fact is not None}
        with self._lock:
            time = utc_text(self.now())
            if self.as_json:
                head = {"schema": SCHEMA, "time": time, "level": str(level), "event": str(event)}
                self.write(json.dumps(head | shown, ensure_ascii=False))
            else:
                told = _in_words(event, shown)
                self.write(f"{time} {level} {event}" + (f": {told}" if told else ""))


def code_of(error: BaseException) -> str:
    """Return what stands for an error in the log: a system's code, or the error's name."""
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number in errno.errorcode:
        return errno.errorcode[number].lower()
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def _on_a_line(fact: Fact) -> Fact:
    if not isinstance(fact, str):
        return fact
    return printable(fact, "?")[:LONGEST]


def _in_words(event: Event, facts: Mapping[str, Fact]) -> str:
    rest = dict(facts)
    begin = ""
    if event is Event.PART:
        begin = f"{rest.pop('part', '')} is {rest.pop('state', '')}"
        rest.pop("from", None)
    told = ", ".join(f"{name} {fact}" for name, fact in rest.items())
    return f"{begin}; {told}" if begin and told else begin or told
