# SPDX-License-Identifier: Apache-2.0
"""Readings that leave the house because the resident says so.

An export names a recipient, a purpose, a resolution and a period, and needs a consent to just
that. It is a CSV file with UTC and local time; what is written is on record before it is.

    start_utc,start_local,energy_wh,state
    2025-03-01T00:00:00Z,2025-03-01T01:00:00+01:00,312,measured
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from hub.device import Device
from hub.disclosure import Consent, ExportRequest, Terms
from hub.inspection.errors import InspectionError
from hub.machine import Use, at_resolution
from protocols.metrology import GridError, Period, SlotState

__all__ = ["Export", "consent_to_export", "export_readings"]

BITS_A_READING: Final = 17
"""As the release guard sizes answers: a slot uses at most 131 kWh."""
MOST_BITS: Final = (1 << 63) - 1
RESOLUTIONS: Final = (5, 15, 30, 60, 1440)
STATEMENT: Final = "export "


@dataclass(frozen=True, slots=True)
class Export:
    """Readings ready to be handed over."""

    text: str
    """CSV."""
    readings: int


def consent_to_export(
    device: Device, recipient: str, purpose: str, minutes: int, period: Period, until: date
) -> Consent:
    """Record the resident's consent to export readings of a period, no finer than `minutes`."""
    if minutes not in RESOLUTIONS:
        raise InspectionError(f"{minutes} minutes: only {', '.join(map(str, RESOLUTIONS))}")
    return device.disclosure.grant(
        Terms(
            applet=b"",
            package=b"",
            recipient=recipient,
            purpose=purpose,
            statement=STATEMENT + _text(period),
            least_days=1,
            least_minutes=minutes,
            answers=1,
            bits=MOST_BITS,
            until=until,
        )
    )


def export_readings(device: Device, number: int, minutes: int | None = None) -> Export:
    """Return the readings that consent `number` is about, recorded as having left.

    `minutes` may be coarser than the consent. Raises `ReleaseRefused` where the consent does not
    allow it, `InspectionError` where there is nothing to export, `UnknownConsent`.
    """
    terms = device.disclosure.consent(number).terms
    if not terms.statement.startswith(STATEMENT):
        raise InspectionError(f"consent {number} is not about an export")
    named = terms.statement.removeprefix(STATEMENT)
    period = Period(*map(date.fromisoformat, named.split("/")))
    try:
        begin, end = period.bounds(device.description.zone)
    except GridError as error:
        raise InspectionError(str(error)) from None
    minutes = minutes or terms.least_minutes
    use = _use(device, begin, end, minutes)
    device.disclosure.permit_export(
        ExportRequest(
            recipient=terms.recipient,
            purpose=terms.purpose,
            resolution_minutes=max(minutes, device.meter.slot_minutes),
            begin=begin,
            end=end,
            period=named,
            readings=len(use.starts),
            bits=BITS_A_READING * len(use.starts),
        )
    )
    return Export(_csv(device, use), len(use.starts))


def _use(device: Device, begin: int, end: int, minutes: int) -> Use:
    rows = [
        (start, watt_hours, int(state))
        for day in device.meter.certified_between(begin, end)
        for start, watt_hours, state in zip(
            day.grid.boundaries()[:-1], day.uses, day.states, strict=True
        )
    ]
    if not rows:
        raise InspectionError("no day of that period is certified")
    starts, watt_hours, states = zip(*rows, strict=True)
    whole = Use(starts, watt_hours, bytes(states))
    return at_resolution(whole, device.meter.slot_minutes, minutes)


def _csv(device: Device, use: Use) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("start_utc", "start_local", "energy_wh", "state"))
    for start, watt_hours, state in zip(use.starts, use.watt_hours, use.states, strict=True):
        moment = datetime.fromtimestamp(start, UTC)
        missing = state == SlotState.MISSING
        writer.writerow(
            (
                moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                moment.astimezone(device.zone).isoformat(),
                "" if missing else watt_hours,
                SlotState(state).name.lower(),
            )
        )
    return text.getvalue()


def _text(period: Period) -> str:
    return f"{period.first.isoformat()}/{period.last.isoformat()}"
