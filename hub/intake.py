# SPDX-License-Identifier: Apache-2.0
"""What comes through a door goes into the vault, and days that are over are certified.

`meterlet hub ingest` takes in one file or line, the service (`hub.service`) each of its sources.
Each readout is stored at once, all of it or nothing, together with what was set aside and what the
door keeps: whoever is cut off at any moment goes on where it was.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hub.device import Device
from hub.doors import Door, Shown
from hub.meters.admission import LARGEST_LEAD
from hub.meters.kinds import NO_KEYS, MeterKeys
from hub.meters.odd import OddTelegram
from hub.meters.sealed_keys import number_of
from hub.quarantining import taken_anew
from hub.readings import ReadingFlag, Readout
from hub.text import utc_text
from hub.vault.vault import ReadingRefused

BATCH: Final = 4096
"""Readings of a file that are held in memory at a time."""
ODD_SHOWN: Final = 5
"""Telegrams of each kind that are told of."""


def _nobody(_: OddTelegram) -> None:
    pass


@dataclass(slots=True)
class Intake:
    """The way from one door into the vault."""

    device: Device
    door: Door
    limit: int | None = None
    """Readings after which it is enough; None: never."""
    hear: Callable[[OddTelegram], None] = _nobody
    """Told of the first telegrams of each kind that were set aside."""
    stored: int = 0
    days: int = 0
    odd: list[OddTelegram] = field(default_factory=list)
    """The first telegrams that were set aside, of each kind."""
    set_aside: int = 0
    repeated: int = 0
    """Of those that were set aside: how many had been before."""
    is_coarse: bool = False
    """Whether the last reading is of a register that counts whole kilowatt-hours."""
    _slot: int | None = None
    """The slot of the last reading that was taken live."""

    def swallow(self, chunks: Iterator[bytes]) -> None:
        """Take a whole file; raises as the door's `close` and `Device.store`."""
        waiting: list[Shown] = []
        for chunk in chunks:
            waiting += self.door.feed(chunk)
            if len(waiting) >= BATCH:
                self._store(waiting)
                waiting = []
                if self.is_full:
                    break
        waiting += self.door.close()
        self._store(waiting)
        self.certify()

    def take(self, chunk: bytes) -> None:
        """Take what a live line has sent: readings are stored, and signed when a slot ends."""
        readouts = self.door.feed(chunk)
        self._store(readouts)
        if self.is_full or not readouts:
            return
        slot_seconds = 60 * min(one.main.slot_minutes for one in self.device.every_meter)
        if (slot := _latest(readouts) // slot_seconds) != self._slot:
            self._slot = slot
            self.certify()

    def finish(self) -> None:
        """Take what is left when a live line has ended."""
        self._store(self.door.close())

    def certify(self) -> int:
        """Certify what is over; return how many days got new ones."""
        days = self.device.certify()
        self.days += days
        return days

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.stored >= self.limit

    def _store(self, readouts: list[Shown]) -> None:
        if self.limit is not None:
            readouts = readouts[: self.limit - self.stored]
        odd = self.door.fetch_odd()
        if readouts and (latest := _latest(readouts)) > self.device.now() + LARGEST_LEAD:
            raise ReadingRefused(f"{utc_text(latest)}: that time has not come yet")
        if not readouts and not odd:
            return
        by_meter: dict[str, tuple[Device, list[Readout]]] = {}
        for meter, readout in readouts:
            by_meter.setdefault(meter.name, (meter, []))[1].append(readout)
        with self.device.database.transaction():
            for meter, shown in by_meter.values():
                admission = self.door.admission(meter)
                try:
                    self.stored += meter.store(shown)
                except ReadingRefused:
                    if admission is None:
                        raise
                    taken = taken_anew(meter, admission, shown)
                    odd += self.door.fetch_odd()
                    self.stored += meter.store(taken)
                if admission is not None:
                    confirmed, admission.confirmed = admission.confirmed, []
                    self.device.quarantine.forget(confirmed)
            self._count(self.device.quarantine.add(odd), odd)
            if readouts:
                self.door.stored()
        if readouts:
            self.is_coarse = bool(readouts[-1][1].flags & ReadingFlag.COARSE)

    def _count(self, new: list[OddTelegram], odd: list[OddTelegram]) -> None:
        """Count what was set aside; what was set aside before has come again."""
        self.set_aside += len(new)
        self.repeated += len(odd) - len(new)
        for one in new:
            if sum(known.kind is one.kind for known in self.odd) < ODD_SHOWN:
                self.odd.append(one)
                self.hear(one)


def stored_keys(device: Device, home: Device) -> MeterKeys:
    """Return the keys that the hub keeps: of one meter, and by number those of all its meters."""
    own = home.meter_keys.find(device.name) or NO_KEYS
    by_number: dict[str, bytes] = {}
    for one in home.every_meter:
        keys, number = home.meter_keys.find(one.name), number_of(one.mounted_meter)
        if keys is not None and keys.encryption is not None and number is not None:
            by_number[number] = keys.encryption
    return MeterKeys(own.encryption, own.authentication, by_number)


def _latest(readouts: list[Shown]) -> int:
    """Return the latest moment of readouts."""
    return max(readout.time for _, readout in readouts)
