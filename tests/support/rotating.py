# SPDX-License-Identifier: Apache-2.0
"""A hub with some days of readings, for tests of keys that come and go."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hub.device import Description, Device
from hub.meters.emulated import emulated_meter_id
from hub.meters.simulator import SyntheticHousehold
from hub.readings import Readout
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT

NOW = 1_743_500_000
ZONE = "Europe/Berlin"


@dataclass(slots=True)
class Dice:
    """Bytes that never repeat, the same in every run."""

    count: int = 0

    def __call__(self, size: int) -> bytes:
        self.count += 1
        return (self.count.to_bytes(8, "big") * size)[:size]


def fill(device: Device, first: date, last: date, until: int = 1 << 40) -> None:
    """Store and certify a household's days, after those that there are, up to a moment."""
    stand = {
        code: register.vault.latest(register.channel) for code, register in device.registers.items()
    }
    latest = device.main.vault.latest(device.main.channel)
    start = {code: reading.register_wh for code, reading in stand.items() if reading is not None}
    house = SyntheticHousehold(
        ZONE,
        1,
        start_register_wh=start.get(ACTIVE_ENERGY_IMPORT, 0),
        start_feed_in_wh=start.get(ACTIVE_ENERGY_EXPORT, 0),
        solar_watts_peak=5000 if ACTIVE_ENERGY_EXPORT in device.registers else 0,
    )
    device.store(
        [
            Readout({code: one.readings[code] for code in device.registers})
            for one in house.readouts(first, last, 900)
            if (latest is None or one.time > latest.time) and one.time <= until
        ]
    )
    device.certify()


def make_hub(
    folder: Path,
    first: date = date(2025, 3, 1),
    last: date = date(2025, 3, 3),
    *,
    dice: Callable[[int], bytes] | None = None,
    fed_in: bool = False,
) -> Device:
    """Return an opened hub with certified days."""
    registers = (ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT) if fed_in else (ACTIVE_ENERGY_IMPORT,)
    device = Device.create(
        folder,
        Description(emulated_meter_id(1), registers, ZONE, 15),
        randomness=dice or Dice(),
        now=lambda: NOW,
    )
    fill(device, first, last)
    return device
