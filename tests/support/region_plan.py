# SPDX-License-Identifier: Apache-2.0
"""A small region's plan: homes that are made up, by quarter-hours or hours."""

from typing import Any

from meterlet.demo.region import RegionPlan
from protocols.metrology import Period


def region_plan(
    homes: int, period: Period, minutes: int = 15, zone: str = "Europe/Berlin", **more: Any
) -> RegionPlan:
    """Return the plan of a region whose homes are all there and honest, but for what is said."""
    return RegionPlan(
        columns=("",) * homes,
        readings=None,
        unit="kWh",
        interval_seconds=60 * minutes,
        readings_zone="UTC",
        zone=zone,
        slot_minutes=minutes,
        period=period,
        resolution_minutes=minutes,
        source="synthetic",
        **{"dropouts_percent": 0, "cheat": None, "processes": 1, **more},
    )
