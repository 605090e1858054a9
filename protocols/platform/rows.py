# SPDX-License-Identifier: Apache-2.0
"""What a row of the platform's table says beside its signature.

A row is a method in `protocols.platform.services`: its name, parameters, result and docstring are
the call's. `refusable` adds why the call may be refused and what the manifest must say for it;
`Size` in a parameter's type adds how long the value may be.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from protocols.platform.errors import Refusal

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


class Needs(enum.Enum):
    """What the manifest must say for a call to be granted."""

    NOTHING = ""
    AMOUNTS = "a statement of each amount's kind about the register, in periods that short"
    NUMBERS = "a statement of each amount's kind about its register, in periods that short"
    MEMORY = "the same with `memory_days`, for numbers that go on from earlier ones"
    UNATTRIBUTED = "a statement `unattributed` about the register, in periods that short"
    SUMS = "a statement `aggregate` or `weighted`"
    ROOM = "`store_bytes` for the value"
    PEER = "the peer and the service"
    RAW = "raw confinement"
    OUTPUT = "raw confinement, and an output of that name and exactly that size"


@dataclass(frozen=True, slots=True)
class Size:
    """How many bytes or characters a value has; another is refused.

    A call that cannot be refused gets a value that is too long cut off after one byte too many.
    """

    most: int
    refusal: Refusal = Refusal.TOO_MUCH
    least: int = 0


ROWS: Final[dict[object, tuple[tuple[Refusal, ...], Needs]]] = {}
"""Of the methods that may be refused: why, and what they need."""


def refusable(*refusals: Refusal, needs: Needs = Needs.NOTHING) -> Callable[[FunctionT], FunctionT]:
    """Let a call be refused for these reasons; any other one reaches the applet as the first."""

    def note(function: FunctionT) -> FunctionT:
        ROWS[function] = refusals, needs
        return function

    return note
