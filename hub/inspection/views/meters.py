# SPDX-License-Identifier: Apache-2.0
"""The hub's meters as the resident sees them: which there are, which were exchanged when."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hub.certifier import NewMeter
from hub.device import Device
from hub.inspection.errors import InspectionError
from sml_codec import Obis


class NoSuchMeter(InspectionError):
    """A name that none of the hub's meters has."""


def meter_called(device: Device, name: str) -> Device:
    """Return a further meter by its name, or the hub's own, which has none or its medium's.

    Raises `NoSuchMeter` where there is none of that name.
    """
    if name in device.meters:
        return device.meters[name]
    if name in ("", str(device.description.medium).replace(" ", "-")):
        return device
    known = ", ".join(device.meters) or "none"
    raise NoSuchMeter(f"the hub has no further meter {name[:32]!r}; it has {known}")


def meter_told_of(device: Device, registers: Iterable[str]) -> Device:
    """Return the meter that registers are of, by the names that the guard has for them.

    It is the hub's own for its main one, which has no name, and for any that no meter has.
    """
    named = set(filter(None, registers))
    for one in device.meters.values():
        if named & {str(Obis(code)) for code in one.registers}:
            return one
    return device


@dataclass(frozen=True, slots=True)
class MeterSwap:
    """One meter was taken down and another one put up."""

    time: int
    """The new meter's first reading."""
    old_meter: bytes
    new_meter: bytes
    end_wh: int = field(repr=False)
    """What the old meter's main register showed last."""
    start_wh: int = field(repr=False)
    """What the new meter's showed first."""


def swaps_between(device: Device, begin: int, end: int) -> tuple[MeterSwap, ...]:
    """Return the exchanges after `begin` and up to `end`: at midnight, of the day that ends."""
    register, swaps = device.main, list[MeterSwap]()
    mounted = register.first_meter
    for fact in register.all_facts():
        if not isinstance(fact, NewMeter):
            continue
        if begin < fact.time <= end:
            around = list(register.vault.between(register.channel, fact.time - 1, fact.time))
            shown = {reading.time: reading.register_wh for reading in around}
            if {fact.time - 1, fact.time} <= shown.keys():
                swaps.append(
                    MeterSwap(
                        fact.time, mounted, fact.meter, shown[fact.time - 1], shown[fact.time]
                    )
                )
        mounted = fact.meter
    return tuple(swaps)
