# SPDX-License-Identifier: Apache-2.0
"""What is not as it should be at the door: telegrams that wait, a meter that is not unlocked."""

from dataclasses import dataclass

from hub.device import Device
from hub.meters.quarantine import SetAside
from hub.readings import ReadingFlag


@dataclass(frozen=True, slots=True)
class DoorView:
    """How things stand at the door."""

    set_aside: int
    """How many telegrams wait for the resident's word."""
    is_coarse: bool
    """Whether the meter counts whole kilowatt-hours."""


@dataclass(frozen=True, slots=True)
class SetAsideView:
    """The telegrams that wait for the resident's word."""

    total: int
    beyond: int
    """How many more came when there was no more room; they are not kept."""
    newest: list[SetAside]
    """The newest first."""


def set_aside_view(device: Device, most: int) -> SetAsideView:
    """Return what is set aside at a hub's door, of the newest so many in full."""
    waiting = device.quarantine.all()
    return SetAsideView(len(waiting), device.quarantine.beyond(), waiting[: -most - 1 : -1])


def door_view(device: Device) -> DoorView:
    """Return how things stand at a hub's door."""
    last = device.last_readout()
    is_coarse = last is not None and bool(last.flags & ReadingFlag.COARSE)
    return DoorView(device.quarantine.count(), is_coarse)
