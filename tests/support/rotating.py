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


def house_readouts(first: date, last: date, *, start_wh: int = 0) -> list[Readout]:
    """Return what a synthetic household's meter shows on these days."""
    house = SyntheticHousehold(ZONE, 1, start_register_wh=start_wh)
    return list(house.readouts(first, last, 900))


def fill(device: Device, first: date, last: date) -> None:
    """Store and certify a household's days, after those that there are."""
    latest = device.main.vault.latest(device.main.channel)
    readouts = house_readouts(first, last, start_wh=0 if latest is None else latest.register_wh)
    codes = device.registers.keys()
    device.store([
        Readout({code: one.readings[code] for code in codes})
        for one in readouts
        if latest is None or one.time > latest.time
    ])
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
