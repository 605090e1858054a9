# SPDX-License-Identifier: Apache-2.0
"""What the hub does for an applet beside statements: the calendar, use for raw applets, the time.

An applet is given one set of services, cut to it: its own corner of the store (`store`), the
registers its manifest names (`registers`), and statements that pass the release guard before they
are proved (`statements`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hub.applet_host.certified_days import incomplete
from hub.applet_host.cost import cost_of_days
from hub.applet_host.custody import CustodyGate
from hub.applet_host.registers import granted_register, period_of
from hub.machine.meter import WorkMeter
from hub.machine.raw import at_resolution
from hub.metering import MeteredRegister, PeriodIncomplete
from protocols.metrology import Period
from protocols.platform.errors import Refusal, Refused
from protocols.platform.services import Grid, Slots, Use


@dataclass(frozen=True, slots=True)
class HubReadings:
    """What slots used, for raw applets: no finer than their manifest says."""

    registers: Mapping[str, MeteredRegister]
    resolution_minutes: int
    meter: WorkMeter

    def read(self, register: str, begin: int, end: int) -> Use:
        """Return the use of the slots that start in [begin, end), as far as days are certified.

        Raises `Refused` (NOT_FOUND) for another register, INCOMPLETE where no day is certified.
        """
        meter = granted_register(self.registers, register)
        try:
            touched = Period.touching(begin, end, meter.zone)
            self.meter.charge(cost_of_days(meter.certified_count(touched)))
            days = meter.certified_between(begin, end)
        except (ValueError, OverflowError, OSError):
            raise Refused(Refusal.MALFORMED) from None
        rows = [
            (start, watt_hours, int(state))
            for day in days
            for start, watt_hours, state in zip(
                day.grid.boundaries()[:-1], day.uses, day.states, strict=True
            )
            if begin <= start < end
        ]
        if not rows:
            raise incomplete([meter], touched)
        starts, watt_hours, states = zip(*rows, strict=True)
        use = Use(starts, watt_hours, bytes(states))
        return at_resolution(use, meter.slot_minutes, self.resolution_minutes)


@dataclass(frozen=True, slots=True)
class HubCalendar:
    """Tells an applet which slots a period has and how they are known; no use."""

    registers: Mapping[str, MeteredRegister]
    """Those that the manifest names, the main one first (`granted_registers`)."""
    meter: WorkMeter
    custody: CustodyGate | None = None
    """Puts it on record where a question is about a former custody."""

    def grid(self) -> Grid:
        """Return zone and slot length."""
        main = next(iter(self.registers.values()))
        return Grid(main.zone, main.slot_minutes)

    def slots(self, register: str, begin: int, end: int) -> Slots:
        """Return starts and states of the period's slots; raise `Refused` where there are none."""
        meter = granted_register(self.registers, register)
        period = period_of(meter, begin, end)
        if self.custody is not None:
            self.custody.require([meter], period)
        self.meter.charge(cost_of_days(meter.certified_count(period)))
        try:
            uses = meter.uses(period)
        except PeriodIncomplete:
            raise incomplete([meter], period) from None
        starts = tuple(time for use in uses for time in use.grid.boundaries()[:-1])
        return Slots(starts, bytes(state for use in uses for state in use.states))


@dataclass(frozen=True, slots=True)
class HubClock:
    """The time, as the hub was given it."""

    time: Callable[[], int]

    def now(self) -> int:
        """Return epoch seconds."""
        return self.time()
