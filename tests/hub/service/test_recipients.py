# SPDX-License-Identifier: Apache-2.0
"""What the service tells of a recipient that it dials and is woken by."""

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from hub.dialling.events import DialEvent, Kind
from hub.service.configuration import RecipientSettings
from hub.service.log import Fact
from hub.service.recipients import RecipientWork


class ToldLife:
    """Keeps what a part tells."""

    def __init__(self) -> None:
        self.stopping = Event()
        self.facts: dict[str, Any] = {}
        self.told: list[str] = []

    def when_stopping(self, call: Callable[[], None]) -> None: ...

    def up(self, address: str | None = None) -> None:
        self.told.append("up")

    def waiting(self, code: str, reason: str, seconds: float | None = None) -> None:
        self.told.append(code)

    def keep(self, **facts: "Fact | Callable[[], Fact]") -> None:
        self.facts.update(facts)

    def days_certified(self, days: int) -> None: ...

    def set_aside(self, kind: str) -> None:
        self.told.append(f"set aside: {kind}")


def _never() -> Any:
    raise AssertionError


def test_a_broker_that_is_away_leaves_the_part_as_well_as_it_was() -> None:
    life = ToldLife()
    settings = RecipientSettings("supplier", "https://a")
    work = RecipientWork(settings, Path("/nowhere"), _never, _never, lambda: 0)

    def tell(kind: Kind, **facts: str | float) -> None:
        work._tell(life, DialEvent(kind, "supplier", facts))

    tell(Kind.ENDED)
    tell(Kind.WAKE_UP, broker="mqtts://a:8883")
    assert (life.facts["wake"], life.facts["wake_notice"]) == ("up", None)
    for _ in range(2):
        tell(Kind.WOKEN)
    assert life.facts["woken"] == 2
    tell(Kind.WAKE_ODD, why="not one trigger", bytes=9)
    tell(Kind.WAKE_DOWN, why="mqtts://a:8883: timed out", again_seconds=5.0)
    assert (life.facts["wake"], life.facts["wake_notice"]) == ("down", "mqtts://a:8883: timed out")
    assert life.told == ["up", "set aside: wake-up"]
