# SPDX-License-Identifier: Apache-2.0
"""What the meter says now, and minute by minute where the vault has readings that fine.

Registers are whole watt-hours, rounded down, so the use between two readings is right to one
watt-hour: the power over a minute to 60 W. The power now is taken over enough time to be better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.inspection.views.calendar import By, calendar_period
from hub.inspection.views.slots import local_date
from hub.readings import Reading, ReadingFlag
from protocols.metrology import Period

ENOUGH_WH: Final = 20
LONGEST_SECONDS: Final = 900
BREAKS: Final = ReadingFlag.RESUMED | ReadingFlag.EXCHANGED
"""Where a register does not go on from the reading before."""


@dataclass(frozen=True, slots=True)
class PowerNow:
    """The mean power over the last stretch of readings."""

    watts: int
    within_watts: int
    """How far off it can be, since registers are whole watt-hours."""
    begin: int
    end: int
    """The time of the last reading."""
    register_wh: int


@dataclass(frozen=True, slots=True)
class FineUse:
    """What was used between two readings."""

    begin: int
    end: int
    energy_wh: int | None
    """None where the register did not run, or was not known, in between."""
    is_suspect: bool = False

    @property
    def watts(self) -> int | None:
        """The mean power, rounded down."""
        return None if self.energy_wh is None else self.energy_wh * 3600 // (self.end - self.begin)


def power_now(device: Device) -> PowerNow | None:
    """Return the power at the last reading; None where the readings do not tell.

    It goes back until 20 Wh were used, or 15 minutes, or to a gap; always by one reading at least.
    """
    meter = device.main
    latest = meter.vault.latest(meter.channel)
    if latest is None:
        return None
    return power_of(
        list(meter.vault.between(meter.channel, latest.time - LONGEST_SECONDS, latest.time))
    )


def power_of(readings: Sequence[Reading]) -> PowerNow | None:
    """Return the power at the last of some readings; None where they do not tell."""
    if not readings:
        return None
    latest = readings[-1]
    first: Reading | None = None
    for before, after in reversed(list(pairwise(readings))):
        if after.flags & BREAKS:
            break
        if first is not None and latest.time - before.time > LONGEST_SECONDS:
            break
        first = before
        if latest.register_wh - before.register_wh >= ENOUGH_WH:
            break
    if first is None:
        return None
    seconds = latest.time - first.time
    used = latest.register_wh - first.register_wh
    return PowerNow(
        used * 3600 // seconds, -(-3600 // seconds), first.time, latest.time, latest.register_wh
    )


def fine_uses(device: Device, day: date) -> Iterator[FineUse]:
    """Yield the use between the readings of a local day, as they are; cut at the day's bounds."""
    begin, end = Period(day, day).bounds(device.description.zone)
    readings = device.main.vault.between(device.main.channel, begin, end)
    for before, after in pairwise(readings):
        if before.time < begin or after.time > end or after.flags & ReadingFlag.EXCHANGED:
            continue
        resumed = bool(after.flags & ReadingFlag.RESUMED)
        used = None if resumed else after.register_wh - before.register_wh
        yield FineUse(before.time, after.time, used, bool(after.flags & ReadingFlag.SUSPECT))


def latest_day(device: Device) -> date | None:
    """Return the local day that the readings reach into; None where there is no reading."""
    latest = device.main.vault.latest(device.main.channel)
    return None if latest is None else local_date(device, latest.time - 1)


def newest_day(device: Device) -> date:
    """Return the local day that the readings reach into; today where there is no reading."""
    return latest_day(device) or today(device)


def month_of_readings(device: Device) -> Period:
    """Return the month that the readings reach into; raise `InspectionError` where there are none.

    It is the one that a forecast is about.
    """
    day = latest_day(device)
    if day is None:
        raise InspectionError("there are no readings yet")
    return calendar_period(By.MONTH, day)


def today(device: Device) -> date:
    """Return the local day it is."""
    return local_date(device, device.now())
