# SPDX-License-Identifier: Apache-2.0
"""The meters of a hub to choose from, as tabs of a page; a hub with one meter has none."""

from collections.abc import Callable
from dataclasses import dataclass

from hub.device import Device
from hub.inspection.locales.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class MeterTab:
    """A meter, and where it is shown."""

    name: str
    label: str
    link: str
    is_shown: bool


def meter_tabs(
    hub: Device, shown: Device, words: Catalogue, link: Callable[[str], str]
) -> list[MeterTab]:
    """Return a tab for each meter, in the hub's order; `link` is the address for a name."""
    if not hub.meters:
        return []
    return [
        MeterTab(
            one.name,
            words.meter(one.name, one.description.medium),
            link(one.name),
            one.name == shown.name,
        )
        for one in hub.every_meter
    ]


def own_name(hub: Device) -> str:
    """Return what the hub's own meter is asked for as, where no name means all of them."""
    return str(hub.description.medium).replace(" ", "-")


def meter_link(path: str, name: str) -> str:
    """Return the address of a page about a meter."""
    return f"{path}?meter={name}" if name else path
