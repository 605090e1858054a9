# SPDX-License-Identifier: Apache-2.0
"""What the hub does for an applet is paid for by the call that causes it, in fuel.

The fuel of the call that is being worked on is the tank. A service says what its work will take
before it begins, and where the tank holds less, the work is not begun: the call ends as one whose
own instructions have used up the fuel. So a call is bounded, whoever does the work.

    client  --calls-->  server      what the server burns is taken out of the client's tank
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkMeter:
    """One applet's; the machine puts the tank of its call in, and takes it out again."""

    _tank: Callable[[int], int] | None = field(default=None, init=False)

    def charge(self, fuel: int) -> None:
        """Take fuel for work that is about to be done; raise `AppletFault` where there is less.

        Outside a call nothing is charged: what the hub does of its own accord is its own.
        """
        if self._tank is not None:
            self._tank(fuel)

    @property
    def left(self) -> int | None:
        """The fuel in the tank; None outside a call."""
        return None if self._tank is None else self._tank(0)

    def put_in(self, tank: Callable[[int], int] | None) -> None:
        """Set what takes fuel out of the tank and returns what is left; None: there is no call."""
        self._tank = tank
