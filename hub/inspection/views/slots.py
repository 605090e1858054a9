# SPDX-License-Identifier: Apache-2.0
"""The slots of a stretch of time: those that are certified, and after them those still to be.

    |--- certified days ---|--- provisional ---|
    first day              end of the last     end of the last slot that
                           certified day       is over at the last reading

Every view, bill and export of inspection takes its slots from here. Provisional slots come out of
the same rule as the certified ones will, but a slot that is missing now may still be measured.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from hub.certifier import DayUse, slot_uses
from hub.device import Device
from hub.inspection.errors import InspectionError
from hub.metering import MeteredRegister
from protocols.metrology import DayGrid, Period, SlotState, date_at


@dataclass(frozen=True, slots=True)
class SlotRun:
    """Consecutive slots, in columns."""

    seconds: int
    starts: Sequence[int]
    use_wh: Sequence[int] = field(repr=False)
    """0 where the state is missing."""
    states: Sequence[SlotState] = field(repr=False)
    certified_until: int
    """Slots from this moment on are provisional."""
    unattributed: Sequence[tuple[int, int]] = field(default=(), repr=False)
    """Begin of a day, and watt-hours that its register shows for no slot, where not 0."""
    fed_in_wh: Sequence[int] | None = field(default=None, repr=False)
    """What was fed in, 0 where that is missing; None: the meter has no register of it."""
    fed_in_states: Sequence[SlotState] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def end(self) -> int:
        """The end of the last slot; 0 where there is none."""
        return self.starts[-1] + self.seconds if self.starts else 0

    def between(self, begin: int, end: int) -> "SlotRun":
        """Return the slots that begin in [begin, end)."""
        part = slice(bisect_left(self.starts, begin), bisect_left(self.starts, end))
        return SlotRun(
            self.seconds,
            self.starts[part],
            self.use_wh[part],
            self.states[part],
            self.certified_until,
            [(time, wh) for time, wh in self.unattributed if begin <= time < end],
            None if self.fed_in_wh is None else self.fed_in_wh[part],
            None if self.fed_in_states is None else self.fed_in_states[part],
        )

    def drawn(self) -> "SlotRun":
        """Return the slots without what was fed in."""
        return replace(self, fed_in_wh=None, fed_in_states=None)


def slots_between(device: Device, begin: int, end: int) -> SlotRun:
    """Return the slots that begin in [begin, end), as far as there are readings.

    They are those of what was drawn; where nothing is known of what was fed in meanwhile, that is
    missing. Raises `VaultTampered` where stored bytes are not what was stored.
    """
    slots = register_slots(device, device.description.register, begin, end)
    if device.feed_in is None:
        return slots
    fed_in = register_slots(device, device.feed_in.channel.register, begin, end)
    known = dict(zip(fed_in.starts, zip(fed_in.use_wh, fed_in.states, strict=True), strict=True))
    both = [known.get(start, (0, SlotState.MISSING)) for start in slots.starts]
    return replace(
        slots, fed_in_wh=[wh for wh, _ in both], fed_in_states=[state for _, state in both]
    )


def readings_of(device: Device, period: Period) -> SlotRun:
    """Return the slots of a period; raise `InspectionError` where there are none."""
    slots = slots_between(device, *period.bounds(device.description.zone))
    if not len(slots):
        raise InspectionError(f"there are no readings of {period.first} to {period.last}")
    return slots


def register_slots(device: Device, register: bytes, begin: int, end: int) -> SlotRun:
    """Return the slots of one register by its OBIS code, as far as there are readings."""
    meter = device.registers[register]
    zone = device.description.zone
    first, last = local_date(device, begin), local_date(device, end - 1)
    span = meter.journal.span()
    days = [DayUse.decode(day.use) for day in meter.journal.between(first, last)]
    certified_until = 0
    if span is not None:
        certified_until = DayGrid(span[1], zone, meter.slot_minutes).end
    if span is None or last > span[1]:
        days += _provisional(device, meter, None if span is None else span[1], last)
    reached = (
        meter.vault.latest(meter.channel) if days and days[-1].grid.end > certified_until else None
    )
    starts: list[int] = []
    use_wh: list[int] = []
    states: list[SlotState] = []
    unattributed: list[tuple[int, int]] = []
    for use in days:
        whole = use.grid.boundaries()[:-1]
        count = len(whole)
        if reached is not None and use.grid.begin >= certified_until:
            count = min(count, max(0, (reached.time - use.grid.begin) // use.grid.slot_seconds))
        starts += whole[:count]
        use_wh += use.uses[:count]
        states += use.states[:count]
        if use.unattributed_wh and count == len(whole):
            unattributed.append((use.grid.begin, use.unattributed_wh))
    slots = SlotRun(60 * meter.slot_minutes, starts, use_wh, states, certified_until, unattributed)
    return slots.between(begin, end)


def local_date(device: Device, time: int) -> date:
    """Return the local day of a moment."""
    return date_at(time, device.zone)


def _provisional(
    device: Device, meter: MeteredRegister, certified: date | None, last: date
) -> list[DayUse]:
    """Return the days after the certified ones, up to `last` and the last reading."""
    latest = meter.vault.latest(meter.channel)
    if latest is None:
        return []
    start_wh: int | None = None
    if certified is None:
        earliest = meter.vault.earliest(meter.channel)
        assert earliest is not None
        first = local_date(device, earliest.time)
        if (inherited := meter.certifier.inherited) is not None:
            first, start_wh = inherited.day, inherited.start_wh
    else:
        [journalled] = meter.journal.between(certified, certified)
        start_wh = DayUse.decode(journalled.use).end_wh
        first = certified + timedelta(days=1)
    last = min(last, local_date(device, latest.time))
    days: list[DayUse] = []
    if first > last:
        return days
    for grid in Period(first, last).grids(device.description.zone, meter.slot_minutes):
        readings = list(meter.vault.between(meter.channel, grid.begin, grid.end))
        use = slot_uses(grid, readings, start_wh=start_wh)
        start_wh = use.end_wh
        days.append(use)
    return days
