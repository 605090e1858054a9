# SPDX-License-Identifier: Apache-2.0
"""A synthetic photovoltaic system: the sun of a clear day, through made-up clouds.

Irradiance on level ground under a clear sky is 1098 · cos z · exp(−0.057 / cos z) W/m² at the
zenith angle z (Haurwitz, Journal of Meteorology 2, 1945), the sun's declination that of Cooper
(Solar Energy 12, 1969). The place is the zone's: the meridian of its standard time, and a latitude
that is given. Clouds are drawn for each day and quarter of an hour from a seeded generator: the
same seed, day and place give the same power, whatever stretch is asked for.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import cos, exp, pi, radians, sin
from typing import Final
from zoneinfo import ZoneInfo

YIELD_PERCENT: Final = 85
"""What is left of the panels' rated power after cables, heat and inverter."""
RATED_IRRADIANCE: Final = 1000.0
QUARTER: Final = 900
DAY: Final = 86_400
SKIES: Final = ((95, 100), (90, 100), (25, 100), (30, 90), (10, 30))
"""Kinds of days, equally likely: how many percent of the clear sky's light reach the roof."""


@dataclass(frozen=True, slots=True)
class SolarRoof:
    """Panels of so many watts at their rated light."""

    watts_peak: int
    zone: ZoneInfo
    seed: int
    latitude_degrees: int = 50

    def watts(self, time: int) -> int:
        """Return the mean power in the quarter of an hour that `time` is in."""
        quarter = time // QUARTER
        light = self._clear_sky(quarter * QUARTER + QUARTER // 2)
        if light <= 0:
            return 0
        shade = self._clouds(datetime.fromtimestamp(time, UTC), quarter)
        power = self.watts_peak * YIELD_PERCENT * shade * light / RATED_IRRADIANCE / 100 / 100
        return min(self.watts_peak, int(power))

    def _clear_sky(self, time: int) -> float:
        moment = datetime.fromtimestamp(time, UTC)
        day = moment.timetuple().tm_yday
        declination = radians(23.45) * sin(2 * pi * (284 + day) / 365)
        hours = (time + self._standard_offset(moment)) % DAY / 3600
        latitude, angle = radians(self.latitude_degrees), radians(15 * (hours - 12))
        height = sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(angle)
        return 1098 * height * exp(-0.057 / height) if height > 0.01 else 0.0

    def _standard_offset(self, moment: datetime) -> int:
        local = moment.astimezone(self.zone)
        offset, summer = local.utcoffset() or timedelta(), local.dst() or timedelta()
        return int((offset - summer).total_seconds())

    def _clouds(self, moment: datetime, quarter: int) -> int:
        # Predictability is what a seed is for here.
        day = random.Random(f"meterlet sky {self.seed} {moment.date()}")  # noqa: S311
        least, most = day.choice(SKIES)
        now = random.Random(f"meterlet cloud {self.seed} {quarter}")  # noqa: S311
        return now.randrange(least, most + 1)
