# SPDX-License-Identifier: Apache-2.0
"""Making hubs: each with a meter's readings, certified days, keys and the billing applet.

Every part is a hub's own: its vault, certifier, card and channel keys come from the system's
randomness, the applet is loaded over SCP03 into a security domain of its own, and the resident has
consented. Two things are left out, since nobody is at the other end of them: the meter's telegrams
(readings go into the vault as they come out of the parser), and the question to the resident.

A hub is made beside its place and moved there when it is whole, so whatever is cut off is begun
again. One that is there already only gets the readings that it has not, of a later period.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final

from hub.device import Description, Device
from hub.dialling.identity import ask_for_certificate
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.readings import Readout
from hub.vault.secret_file import write_secret
from meterlet.fleet.errors import FleetError
from meterlet.fleet.folder import RECIPIENT, FleetFolder
from meterlet.fleet.workers import workers
from protocols.metrology import Period, date_at

LOAD_BLOCK: Final = 30_000
"""Extended APDUs: a package in five commands in place of two thousand."""
TOGETHER: Final = 8
"""Homes that a process makes before it tells of them."""


@dataclass(frozen=True, slots=True)
class Making:
    """Which hubs are to be made, and what they know."""

    folder: FleetFolder
    period: Period
    """The days whose readings they have."""

    def run(self, numbers: Sequence[int], processes: int) -> Iterator[int]:
        """Make the hubs with these numbers, those that are there apart; yield each as it is there.

        Raises `FleetError` where one has readings of later days, or not those right before.
        """
        parts = [numbers[at : at + TOGETHER] for at in range(0, len(numbers), TOGETHER)]
        if len(parts) == 1:  # so few are made before a process has begun
            yield from self.make(numbers)
            return
        with workers(min(processes, len(parts))) as pool:
            try:
                for done in as_completed([pool.submit(self.make, part) for part in parts]):
                    yield from done.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def make(self, numbers: Sequence[int]) -> Sequence[int]:
        """Make some hubs in this process."""
        for number in numbers:
            if self.folder.hub(number).exists():
                self._go_on(number)
            else:
                self._make(number)
        return numbers

    def _make(self, number: int) -> None:
        folder, home = self.folder, self.folder.home(number)
        place = folder.hub(number)
        partial = place.with_suffix(".partial")
        for left in (partial, folder.enrolment(number), folder.request(number)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        series = home.series
        about = Description(home.meter, (series.register,), home.zone, home.slot_minutes)
        with Device.create(partial, about) as device:
            shutil.copy(folder.vendor, partial / "vendors" / "meterlet.pem")
            self._read(device, number)
            installer = Installer(device, device.card(_machine()), LOAD_BLOCK)
            package = installer.read(folder.package.read_bytes())
            enrolment = installer.install(package, bytes.fromhex(folder.settings.supplier))
            request = ask_for_certificate(partial, RECIPIENT, device.main, device.randomness)
        write_secret(folder.enrolment(number), enrolment.encode())
        folder.request(number).write_bytes(request)
        partial.rename(place)

    def _go_on(self, number: int) -> None:
        with Device.open(self.folder.hub(number)) as device:
            self._read(device, number)

    def _read(self, device: Device, number: int) -> None:
        """Let the meter's readings of the period in, as far as they are not there, and certify."""
        period, zone, last = self.period, device.zone, device.last_readout()
        register = device.description.register
        shown = None
        begin, end = period.bounds(device.description.zone)
        if last is not None:
            if last.time >= end:
                return
            if last.time != begin:
                until = date_at(last.time, zone) - timedelta(days=1)
                raise FleetError(
                    f"{device.folder}: it has readings until {until}; the next period begins with"
                    " the day after"
                )
            shown = last.readings[register].register_wh
        readings = self.folder.home(number).readings(period, shown)
        new = readings if last is None else readings[1:]
        device.store([Readout({register: reading}) for reading in new])
        device.certify()


@cache
def _machine() -> AppletMachine:
    return AppletMachine.open()
