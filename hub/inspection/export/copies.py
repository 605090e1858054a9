# SPDX-License-Identifier: Apache-2.0
"""Copies of the readings that the resident takes out for himself, each on record before it is out.

A CSV file with UTC and local time,

    start_utc,start_local,energy_wh,state
    2025-03-01T00:00:00Z,2025-03-01T01:00:00+01:00,312,measured

with the columns feed_in_wh and feed_in_state more where the meter counts what is fed in, and with
volume_l in the place of energy_wh where it counts litres; or a Green
Button file (`hub.inspection.export.green_button`), which other software reads.
"""

import csv
import enum
import io
from dataclasses import dataclass
from itertools import chain
from typing import Final

from hub.description import Description
from hub.device import Device
from hub.inspection.export.green_button import green_button
from hub.inspection.views.slots import SlotRun, readings_of
from hub.text import local_text, utc_text
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Period, SlotState
from tariffs.invoice import Invoice

BUNDLE: Final = "bill bundle"
CSV_TYPE: Final = "text/csv; charset=utf-8"


class CopyForm(enum.StrEnum):
    """How a copy is written."""

    CSV = "csv"
    GREEN_BUTTON = "green button"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file ready to be handed to the resident, or to somebody by consent."""

    name: str
    media_type: str
    content: bytes
    readings: int


def copy_readings(device: Device, period: Period, form: CopyForm) -> Copy:
    """Return the readings of a period, slot by slot, recorded in the log as taken out.

    Raises `InspectionError` where there are none.
    """
    slots = readings_of(device, period)
    of = f"{device.name}-" if device.name else ""
    name = f"readings-{of}{period.first}-{period.last}"
    if form is CopyForm.CSV:
        content = slots_csv(slots, device.description).encode()
        copy = Copy(f"{name}.csv", CSV_TYPE, content, len(slots))
    else:
        content = green_button(slots, device.description, device.now()).encode()
        copy = Copy(f"{name}.xml", "application/atom+xml", content, len(slots))
    begin, end = period.bounds(device.description.zone)
    device.disclosure.record_copy(form.value, begin, end, len(slots), content)
    return copy


def record_bundle(device: Device, invoice: Invoice, content: bytes) -> Copy:
    """Return an invoice's bundle, for `meterlet bill verify`, recorded as taken out."""
    device.disclosure.record_copy(BUNDLE, invoice.begin, invoice.end, 0, content)
    return Copy(f"bill-{invoice.number}.bundle", "application/octet-stream", content, 0)


def slots_csv(slots: SlotRun, about: Description) -> str:
    """Return slots of a meter as CSV; the energy of a missing one is empty."""
    zone = wall_zone(about.zone)
    used = "volume_l" if about.medium.counts_volume else "energy_wh"
    columns = [(used, "state", slots.use_wh, slots.states)]
    if slots.fed_in_wh is not None and slots.fed_in_states is not None:
        columns.append(("feed_in_wh", "feed_in_state", slots.fed_in_wh, slots.fed_in_states))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for energy, state, _, _ in columns for name in (energy, state)]
    writer.writerow(("start_utc", "start_local", *names))
    for index, start in enumerate(slots.starts):
        cells = [_cells(energy[index], states[index]) for _, _, energy, states in columns]
        writer.writerow((utc_text(start), local_text(start, zone), *chain(*cells)))
    return text.getvalue()


def _cells(energy_wh: int, state: SlotState) -> tuple[int | str, str]:
    return "" if state is SlotState.MISSING else energy_wh, state.name.lower()
