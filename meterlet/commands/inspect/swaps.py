# SPDX-License-Identifier: Apache-2.0
"""Exchanged meters, as the resident sees them."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from hub.inspection.views.meters import MeterSwap
from hub.text import local_text
from protocols.metrology import Medium


def swap_lines(
    swaps: Sequence[MeterSwap], zone: ZoneInfo, medium: Medium = Medium.ELECTRICITY
) -> list[str]:
    """Return a line for each exchange as the resident sees it, with the registers."""
    unit = medium.step
    return [
        f"meter exchanged at {local_text(one.time, zone)}: {one.old_meter.hex()} ended at"
        f" {one.end_wh:,} {unit}, {one.new_meter.hex()} began at {one.start_wh:,} {unit}"
        for one in swaps
    ]
