# SPDX-License-Identifier: Apache-2.0
"""Days whose readings came late or were replaced after they had been certified."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hub.device import Device
from protocols.metrology import CertifiedDay, Period


@dataclass(frozen=True, slots=True)
class CorrectedDayView:
    """A day that was corrected."""

    day: date
    slots: int
    """How many of its slots were corrected, of whichever register."""
    time: int
    """When that was done last."""


def corrected_days(
    device: Device, period: Period, since: int | None = None
) -> tuple[CorrectedDayView, ...]:
    """Return the days of a period of which slots were corrected; with `since`, from then on."""
    places: dict[date, set[int]] = {}
    times: dict[date, int] = {}
    for register in device.registers.values():
        for one in register.journal.revisions(period.first, period.last):
            if since is not None and one.time < since:
                continue
            revisions = CertifiedDay.decode(one.certified).revisions
            changed = [place for place, own in enumerate(revisions) if own == one.revision]
            if changed:
                places.setdefault(one.day, set()).update(changed)
                times[one.day] = max(times.get(one.day, 0), one.time)
    return tuple(
        CorrectedDayView(day, len(found), times[day]) for day, found in sorted(places.items())
    )


def correction_times(device: Device, period: Period) -> Sequence[int]:
    """Return when days of a period were corrected, the latest first."""
    return sorted(
        {
            one.time
            for register in device.registers.values()
            for one in register.journal.revisions(period.first, period.last)
        },
        reverse=True,
    )
