# SPDX-License-Identifier: Apache-2.0
"""The gateway's log: a line for each state that a question comes to, for people or for programs.

    2025-04-01T06:00:04Z info answered: meter 0a014d544c0000000001, begin 2025-02-28T23:00:00Z, ...
    {"schema": "meterlet.utility.gateway.event/1", "time": "...", "level": "info", "event": ...}

No reading and no secret is in it. `why` is what a check, a hub or a server has said.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from applets.billing.messages import BillQuestion
from hub.text import printable, utc_text
from utility_server.errors import HubRefused, UtilityError, VerificationFailed

SCHEMA: Final = "meterlet.utility.gateway.event/1"
LONGEST: Final = 400
_GOOD: Final = frozenset({"asked", "answered", "entered", "delivered", "swept"})
"""What is as it should be; anything else is a warning."""


@dataclass(slots=True)
class GatewayLog:
    """Writes lines; safe to use from several threads."""

    write: Callable[[str], None]
    """Takes one line, without its end."""
    now: Callable[[], int]
    as_json: bool = False
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        """Write what a worker has done, or waits for."""
        level = "info" if event in _GOOD else "warning"
        shown = {name: _on_a_line(fact) for name, fact in facts.items()}
        with self._lock:
            time = utc_text(self.now())
            if self.as_json:
                head = {"schema": SCHEMA, "time": time, "level": level, "event": event}
                self.write(json.dumps(head | shown, ensure_ascii=False))
            else:
                told = ", ".join(f"{name} {fact}" for name, fact in shown.items())
                self.write(f"{time} {level} {event}" + (f": {told}" if told else ""))

    def question(self, event: str, question: BillQuestion) -> None:
        """Write that a question has come to a state."""
        self(event, _facts_of(question))

    def failed(self, question: BillQuestion, error: UtilityError) -> None:
        """Write that a hub has refused a question, or could not be asked."""
        event = "refused" if isinstance(error, HubRefused | VerificationFailed) else "failed"
        self(event, {**_facts_of(question), "why": str(error)})


def _facts_of(question: BillQuestion) -> dict[str, object]:
    about = question.about
    return {
        "meter": about.meter.hex(),
        "begin": utc_text(about.begin),
        "end": utc_text(about.end),
    }


def _on_a_line(fact: object) -> object:
    if not isinstance(fact, str):
        return fact
    return printable(fact, "?")[:LONGEST]
