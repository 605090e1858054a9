# SPDX-License-Identifier: Apache-2.0
"""What a roll-out is: over which hubs, in which waves, when it stops, and how far each hub is.

    planned --> running --> done            a roll-out
                 |   ^ \\
                 v   |  +--> rolling back --> rolled back
               stopped -+

    planned --> begun --> installed | waiting | refused | not allowed | failed      each hub
                            back waiting | rolled back | not begun                  when rolled back
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final, Self

from utility_server.errors import RolloutRefused

LARGEST_WAVES: Final = 64
_SHARE: Final = re.compile(r"(0|[1-9]\d{0,8})(%?)")


class Kind(StrEnum):
    """What is rolled out."""

    VERSION = "version"
    """A package's version."""
    KEYS = "keys"
    """New keys of an applet's channel."""
    LOOK = "look"
    """Nothing: cards are looked at."""


class RolloutState(StrEnum):
    """How far a roll-out is."""

    PLANNED = "planned"
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    SUPERSEDED = "superseded"
    """A later one of the same package has begun."""


ACTIVE: Final = frozenset({RolloutState.RUNNING, RolloutState.ROLLING_BACK})
"""States in which hubs are spoken to."""


class HubState(StrEnum):
    """How far a hub is."""

    PLANNED = "planned"
    BEGUN = "begun"
    """It was spoken to; what came of it is not known. The next time it is looked at first."""
    INSTALLED = "installed"
    """Of keys: it has the new ones; of a look: its card was read."""
    WAITING = "waiting for consent"
    REFUSED = "refused by the resident"
    NOT_ALLOWED = "not allowed"
    """The resident does not let the recipient bring versions."""
    FAILED = "failed"
    BACK_WAITING = "waiting for consent to go back"
    ROLLED_BACK = "rolled back"
    """The version that was there before is in place."""
    NOT_BEGUN = "not begun"
    """It was never spoken to, and the roll-out is rolled back."""


FORWARD: Final = (HubState.PLANNED, HubState.BEGUN, HubState.WAITING, HubState.NOT_ALLOWED)
"""States in which a running roll-out has something to do with a hub, now or later."""
BACKWARD: Final = (
    HubState.BEGUN, HubState.INSTALLED, HubState.WAITING, HubState.REFUSED, HubState.NOT_ALLOWED,
    HubState.BACK_WAITING,
)  # fmt: skip
"""The same of one that is rolled back."""
ANSWERED: Final = (
    HubState.INSTALLED, HubState.WAITING, HubState.REFUSED, HubState.NOT_ALLOWED, HubState.FAILED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """So many of a number of hubs: a count, or a part in percent."""

    number: int
    is_percent: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `25` or `10%`; raise `RolloutRefused` for anything else."""
        match = _SHARE.fullmatch(text)
        if match is None:
            raise RolloutRefused(f"{text!r}: say a number of hubs, or a share such as 10%")
        number, is_percent = int(match[1]), bool(match[2])
        if number < 1 or (is_percent and number > 100):
            raise RolloutRefused(f"{text!r}: at least 1 hub, and at most 100%")
        return cls(number, is_percent)

    def of(self, hubs: int) -> int:
        """Return how many it is of so many hubs: rounded up, and not more than there are."""
        number = -(-self.number * hubs // 100) if self.is_percent else self.number
        return min(number, hubs)

    def __str__(self) -> str:
        return f"{self.number}%" if self.is_percent else str(self.number)


@dataclass(frozen=True, slots=True)
class Waves:
    """How a roll-out goes on, and where it stops."""

    canary: Share | None = Share(1, is_percent=True)
    """The hubs of the first wave."""
    until: Sequence[Share] = (Share(10, is_percent=True), Share(50, is_percent=True))
    """Up to how many hubs each wave after it goes, the canary included; the last one has all."""
    stop_at: Share = Share(5, is_percent=True)
    """The roll-out stops where so many hubs of a wave have failed."""
    enough: int = 90
    """The next wave opens when so many percent of a wave's hubs have answered."""
    rest: int = 0
    """And so many seconds after the wave was opened."""

    def __post_init__(self) -> None:
        if not 1 <= self.enough <= 100:
            raise RolloutRefused("between 1 and 100 percent of a wave have to answer")
        if self.rest < 0 or len(self.until) > LARGEST_WAVES:
            raise RolloutRefused(f"a rest is at least 0 s, and there are at most {LARGEST_WAVES}"
                                 " waves")  # fmt: skip

    def sizes(self, hubs: int) -> list[int]:
        """Return how many hubs each wave has; all of them together have every hub."""
        ends: list[int] = [] if self.canary is None else [self.canary.of(hubs)]
        ends += [share.of(hubs) for share in self.until]
        if ends != sorted(ends):
            raise RolloutRefused("a later wave goes up to fewer hubs than one before")
        sizes = []
        done = 0
        for end in [*ends, hubs]:
            if end > done:
                sizes.append(end - done)
                done = end
        return sizes


def in_waves(meters: Sequence[bytes], sizes: Sequence[int], seed: bytes) -> list[tuple[int, bytes]]:
    """Return each meter with the number of its wave, from 1; mixed by a seed, not by number."""
    mixed = sorted(meters, key=lambda meter: sha256(seed + meter).digest())
    waves = [wave for wave, size in enumerate(sizes, 1) for _ in range(size)]
    return list(zip(waves, mixed, strict=True))


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """A roll-out as it is kept."""

    number: int
    kind: Kind
    name: str
    state: RolloutState
    why: str
    """Why it has stopped; empty where it has not."""
    applet: bytes
    """The applet whose channel the domain's keys are of."""
    package: bytes
    version: tuple[int, int]
    digest: bytes
    sizes: tuple[int, ...]
    stop_at: Share
    enough: int
    rest: int
    wave: int
    opened: int
    made: int
    changed: int


@dataclass(frozen=True, slots=True)
class HubFacts:
    """How far a hub of a roll-out is."""

    meter: bytes
    wave: int
    state: HubState
    counts: bool
    """Whether its failure counts towards the limit."""
    attempts: int
    not_before: int
    changed: int
    detail: str


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """What a hub has answered once."""

    time: int
    goal: str
    state: HubState
    status: int
    """The status word of a refusal, or 0."""
    detail: str
