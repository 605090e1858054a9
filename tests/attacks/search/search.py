# SPDX-License-Identifier: Apache-2.0
"""Episodes, one seed after the other, until the time is over."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.attacks.search.episode import Episode, play
from tests.attacks.search.promise import Finding


@dataclass(frozen=True, slots=True)
class Found:
    """What a seed has found."""

    seed: int
    strategy: str
    finding: Finding
    seconds: float
    """How long the search took until then."""
    requests: int
    """How many requests were made until then."""


@dataclass(slots=True)
class Search:
    """How far a search has come."""

    first_seed: int
    size: str = "small"
    strategy: str | None = None
    episodes: int = 0
    requests: int = 0
    permitted: int = 0
    numbers: int = 0
    found: list[Found] = field(default_factory=list)

    def run(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[Found]:
        """Yield what is found until so many seconds are over; the last episode is played out."""
        start = clock()
        while clock() - start < seconds:
            episode = play(self.first_seed + self.episodes, self.size, self.strategy)
            self._count(episode)
            for finding in episode.findings:
                found = Found(
                    episode.seed, episode.strategy, finding, clock() - start, self.requests
                )
                self.found.append(found)
                yield found

    def _count(self, episode: Episode) -> None:
        self.episodes += 1
        self.requests += episode.requests
        self.permitted += episode.permitted
        self.numbers += episode.numbers

    def summary(self) -> str:
        """Return what was done, in a line."""
        last = self.first_seed + self.episodes - 1
        return (
            f"{self.size}, seeds {self.first_seed} to {last}: {self.episodes} episodes,"
            f" {self.requests} requests, {self.permitted} permitted, {self.numbers} numbers told,"
            f" {len(self.found)} findings"
        )
