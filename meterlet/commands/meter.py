# SPDX-License-Identifier: Apache-2.0
"""`meterlet meter`: decode, check, watch and probe what meters send; read those that answer."""

from typing import Final

import rich_click as click

from meterlet.commands.lazy import LazyGroup

VERBS: Final = {
    "check": "meterlet.commands.meter_decode:check",
    "decode": "meterlet.commands.meter_decode:decode",
    "probe": "meterlet.commands.hub_probe:probe_meter",
    "read": "meterlet.commands.meter_read:read",
    "watch": "meterlet.commands.meter_watch:watch",
}


@click.group(cls=LazyGroup, targets=VERBS)
def meter() -> None:
    """What meters send: SML, DLMS, P1, D0, M-Bus, Current Cost; and what DLMS meters answer.

    The kind of meter is found from the bytes, and what shows it is said.
    """
