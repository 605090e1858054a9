# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way between emulated hubs and their server, drawn from a seed.

    drop     a connection is cut at one of its exchanges, each of which carries the APDUs of a step:
             before the POST is sent, half way through it, or when it is sent and the reply is lost
    delay    a POST is held back
    repeat   a POST comes twice, as when something on the way sends it again

A cut is made below TLS, without a goodbye. Which connection it is and where it is cut is drawn when
the connection is made.
"""

import random
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

USUAL_EXCHANGES: Final = 9
"""Of a bill, from the first POST to the invoice: where a connection is cut is one of them."""
LONGEST_DELAY: Final = 3.0


class Cut(Enum):
    """Where an exchange is cut off."""

    BEFORE = auto()
    """Nothing of the POST is sent."""
    HALF_WAY = auto()
    """A part of it is."""
    AFTER = auto()
    """It is sent; the reply is lost."""


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often what goes wrong, as shares from 0 to 1."""

    drop: float = 0.0
    """Of connections."""
    delay: float = 0.0
    """Of POSTs."""
    repeat: float = 0.0
    """Of POSTs."""

    def __post_init__(self) -> None:
        for share in (self.drop, self.delay, self.repeat):
            if not 0 <= share <= 1:
                raise ValueError(f"{share}: a share is from 0 to 1")


@dataclass(slots=True)
class FaultCounts:
    """What has gone wrong so far."""

    dropped: int = 0
    """Connections."""
    delayed: int = 0
    """POSTs."""
    repeated: int = 0
    """POSTs."""


@dataclass(slots=True)
class ConnectionFaults:
    """What goes wrong on one connection; ask once for each exchange, in order."""

    rates: FaultRates
    dice: random.Random
    counts: FaultCounts
    _cut_at: int = 0
    """The number of the exchange at which it is cut, from 1; 0: at none."""
    _exchanges: int = 0

    def __post_init__(self) -> None:
        if self.dice.random() < self.rates.drop:
            self._cut_at = self.dice.randint(1, USUAL_EXCHANGES)

    def cut(self) -> Cut | None:
        """Return where the next exchange is cut off, if it is."""
        self._exchanges += 1
        if self._exchanges != self._cut_at:
            return None
        self.counts.dropped += 1
        return self.dice.choice(list(Cut))

    def delay(self) -> float:
        """Return for how many seconds the next POST is held back."""
        if self.dice.random() >= self.rates.delay:
            return 0.0
        self.counts.delayed += 1
        return self.dice.uniform(0.0, LONGEST_DELAY)

    def is_repeated(self) -> bool:
        """Whether the next POST comes twice."""
        is_repeated = self.dice.random() < self.rates.repeat
        self.counts.repeated += is_repeated
        return is_repeated
