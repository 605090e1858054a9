# SPDX-License-Identifier: Apache-2.0
"""Readings that leave the house because the resident says so.

An export names a recipient, a purpose, a register, a resolution and a period, and needs a consent
to just that. It is a CSV file as `copies` writes it, of one register (by default the main one), and
on record before it is written.

    statement of the consent = "export " [OBIS " "] first "/" last      OBIS: not the main register
"""

from datetime import date
from itertools import groupby
from typing import Final

from hub.device import Device
from hub.disclosure import Consent, ConsentTerms, ExportRequest, ReleaseRefused
from hub.inspection.errors import InspectionError
from hub.inspection.export.copies import CSV_TYPE, Copy, slots_csv
from hub.inspection.views.slots import SlotRun, register_slots
from hub.metering import FormerCustody
from protocols.metrology import GridError, Period
from sml_codec import Obis

BITS_A_READING: Final = 17
"""As the release guard sizes answers: a slot uses at most 131 kWh."""
MOST_BITS: Final = (1 << 63) - 1
RESOLUTIONS: Final = (5, 15, 30, 60, 1440)
STATEMENT: Final = "export "


def consent_to_export(
    device: Device,
    recipient: str,
    purpose: str,
    minutes: int,
    period: Period,
    until: date,
    register: bytes | None = None,
) -> Consent:
    """Record the resident's consent to export a register's readings, no finer than `minutes`.

    `register` is an OBIS code of the hub's, by default the main one. Raises `InspectionError`.
    """
    if minutes not in RESOLUTIONS:
        raise InspectionError(f"{minutes} minutes: only {', '.join(map(str, RESOLUTIONS))}")
    if register is not None and register not in device.registers:
        raise InspectionError(f"{Obis(register)}: the hub has no such register")
    is_main = register in (None, device.description.register)
    named = "" if is_main or register is None else f"{Obis(register)} "
    return device.disclosure.grant(
        ConsentTerms(
            applet=b"",
            package=b"",
            recipient=recipient,
            purpose=purpose,
            statement=f"{STATEMENT}{named}{period.first}/{period.last}",
            least_days=1,
            least_minutes=minutes,
            answers=1,
            bits=MOST_BITS,
            until=until,
        )
    )


def export_readings(device: Device, number: int, minutes: int | None = None) -> Copy:
    """Return the readings that consent `number` is about, recorded as having left.

    `minutes` may be coarser than the consent. Raises `ReleaseRefused` where the consent does not
    allow it, `InspectionError` where there is nothing to export, `UnknownConsent`.
    """
    terms = device.disclosure.consent(number).terms
    if not terms.statement.startswith(STATEMENT):
        raise InspectionError(f"consent {number} is not about an export")
    named = terms.statement.removeprefix(STATEMENT)
    obis, _, days = named.rpartition(" ")
    register = Obis.parse(obis).code if obis else device.description.register
    if register not in device.registers:
        raise InspectionError(f"{obis}: the hub has this register no more")
    period = Period(*map(date.fromisoformat, days.split("/")))
    try:
        begin, end = period.bounds(device.description.zone)
    except GridError as error:
        raise InspectionError(str(error)) from None
    minutes = minutes or terms.least_minutes
    require_custody(device, register, period, (begin, end), terms)
    slots = _slots(device, register, begin, end, minutes)
    device.disclosure.permit_export(
        ExportRequest(
            recipient=terms.recipient,
            purpose=terms.purpose,
            resolution_minutes=max(minutes, device.main.slot_minutes),
            begin=begin,
            end=end,
            subject=named,
            register=obis,
            readings=len(slots),
            bits=BITS_A_READING * len(slots),
            revised=device.registers[register].revised(period),
        )
    )
    content = slots_csv(slots, device.description).encode()
    return Copy(f"export-{number}.csv", CSV_TYPE, content, len(slots))


def require_custody(
    device: Device,
    register: bytes,
    period: Period,
    bounds: tuple[int, int],
    terms: ConsentTerms,
) -> None:
    """Refuse days of a former custody, on record; raise `FormerCustody`."""
    try:
        device.registers[register].require_custody(period)
    except FormerCustody as former:
        facts = {
            "recipient": terms.recipient,
            "purpose": terms.purpose,
            "begin": bounds[0],
            "end": bounds[1],
        }
        device.disclosure.refusals.note(facts, ReleaseRefused("custody", str(former)))
        raise


def _slots(device: Device, register: bytes, begin: int, end: int, minutes: int) -> SlotRun:
    """Return the certified slots, merged to the resolution; what is provisional is not exported.

    Slots that begin in the same `minutes` since the epoch become one; its state is the worst.
    """
    slots = register_slots(device, register, begin, end)
    slots = slots.between(begin, min(end, slots.certified_until))
    if not len(slots):
        raise InspectionError("no day of that period is certified")
    # Finer than the slots there is nothing.
    seconds = max(60 * minutes, slots.seconds)
    if seconds == slots.seconds:
        return slots
    rows = zip(slots.starts, slots.use_wh, slots.states, strict=True)
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0] // seconds)]
    return SlotRun(
        seconds,
        [group[0][0] for group in groups],
        [sum(use for _, use, _ in group) for group in groups],
        [max(state for _, _, state in group) for group in groups],
        slots.certified_until,
        slots.unattributed,
    )
