# SPDX-License-Identifier: Apache-2.0
"""A synthetic household: a standard load profile and the appliances on top of it.

The base load follows the BDEW's dynamised H0 profile (as the oemof.demand package computes it),
scaled to a part of the year's use. On top come appliances, switched on at random by a seeded
generator: the same seed gives the same house. It is made up, and is called so wherever it shows.

It may have a photovoltaic system (`hub.meters.solar`). What the house uses of its own power as it
is made, minute by minute, never passes the meter: the registers show the rest, drawn or fed in.

The year's use is a target the house lands near, not a promise: appliances are whole events.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from hub.errors import HubError
from hub.meters.solar import SolarRoof
from hub.readings import Reading, Readout
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT, date_at

STEP_SECONDS: Final = 60
_PROFILE_SLOTS: Final = 96
_BASE_SHARE_PERCENT: Final = 55


class SimulationUnavailable(HubError):
    """The package with the standard load profiles is not installed."""


@dataclass(frozen=True, slots=True)
class _Appliance:
    """A machine that draws `watts` one minute after the other, some times a week."""

    name: str
    watts: tuple[int, ...]
    runs_a_week: int
    hours: tuple[int, ...]
    """Local hours it tends to be switched on in."""


APPLIANCES: Final = (
    _Appliance("kettle", (2000,) * 3, 24, (6, 7, 8, 13, 16, 20)),
    _Appliance("oven", (2300,) * 14 + (0, 2300, 0, 0) * 8, 5, (11, 12, 17, 18, 19)),
    _Appliance("hob", (1500,) * 9 + (700,) * 18, 7, (11, 12, 17, 18, 19)),
    _Appliance("washing machine", (120, 2050) + (2050,) * 14 + (180,) * 70, 4, (8, 9, 10, 17)),
    _Appliance("dishwasher", (60,) * 5 + (1950,) * 16 + (90,) * 45 + (1900,) * 11, 5, (20, 21, 22)),
    _Appliance("tumble dryer", (850,) * 75, 2, (11, 12, 15, 19)),
    _Appliance("vacuum cleaner", (900,) * 22, 2, (10, 11, 15)),
    _Appliance("hair dryer", (1400,) * 5, 6, (6, 7, 21)),
)


@dataclass(frozen=True, slots=True)
class SyntheticHousehold:
    """A house that never was: the same seed, zone and days give the same readings."""

    zone: str
    seed: int = 1
    base_kwh_per_year: int = 3500
    start_register_wh: int = 4_217_300
    solar_watts_peak: int = 0
    """The rated power of its panels; with any, the meter has a register of energy fed in."""
    start_feed_in_wh: int = 0
    registers: tuple[bytes, bytes] = (ACTIVE_ENERGY_IMPORT, ACTIVE_ENERGY_EXPORT)
    """The OBIS codes of energy drawn and energy fed in."""

    def readings(self, first: date, last: date, step_seconds: int = 900) -> Iterator[Reading]:
        """Yield the register of energy drawn as `readouts` does."""
        for readout in self.readouts(first, last, step_seconds):
            yield readout.readings[self.registers[0]]

    def readouts(self, first: date, last: date, step_seconds: int = 900) -> Iterator[Readout]:
        """Yield the registers every `step_seconds` from the start of `first` to the end of `last`.

        Both are local days. `step_seconds` is a multiple of 60.
        """
        zone = ZoneInfo(self.zone)
        begin = int(datetime.combine(first, time.min, zone).timestamp())
        end = int(datetime.combine(last + timedelta(days=1), time.min, zone).timestamp())
        base = _base_watts(self.base_kwh_per_year * _BASE_SHARE_PERCENT // 100)
        # Predictability is what a seed is for here.
        dice = random.Random(f"meterlet household {self.seed}")  # noqa: S311
        minutes = (end - begin) // STEP_SECONDS
        load = _appliance_watts(dice, begin, minutes, zone)
        fridge_phase = dice.randrange(55)
        roof = SolarRoof(self.solar_watts_peak, zone, self.seed)
        drawn, fed_in, sun = 60 * self.start_register_wh, 60 * self.start_feed_in_wh, 0
        yield self._readout(begin, drawn, fed_in)
        every = step_seconds // STEP_SECONDS
        for minute in range(minutes):
            now = begin + STEP_SECONDS * minute
            if minute % 15 == 0:
                local = datetime.fromtimestamp(now, zone)
                base_now = base(local)
                sun = roof.watts(now) if self.solar_watts_peak else 0
            fridge = 90 if (minute + fridge_phase) % 55 < 19 else 0
            net = base_now + fridge + load[minute] + dice.randrange(40) - sun
            drawn, fed_in = drawn + max(net, 0), fed_in + max(-net, 0)
            if (minute + 1) % every == 0:
                yield self._readout(now + STEP_SECONDS, drawn, fed_in)

    def _readout(self, time: int, drawn: int, fed_in: int) -> Readout:
        """Return what the meter shows after so many watt-minutes."""
        shown = {self.registers[0]: Reading(time, drawn // 60)}
        if self.solar_watts_peak:
            shown[self.registers[1]] = Reading(time, fed_in // 60)
        return Readout(shown)


def _base_watts(kwh_per_year: int) -> Callable[[datetime], int]:
    years: dict[int, list[int]] = {}

    def base(local: datetime) -> int:
        if local.year not in years:
            profile = _standard_profile(local.year)
            years[local.year] = [int(share * kwh_per_year * 4000) for share in profile]
        day = (local.date() - date(local.year, 1, 1)).days
        return years[local.year][_PROFILE_SLOTS * day + 4 * local.hour + local.minute // 15]

    return base


@cache
def _standard_profile(year: int) -> list[float]:
    """Return the dynamised H0 profile of a year, quarter hour by quarter hour; its sum is 1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own, about its data frames
            from oemof.demand import bdew

            profiles = bdew.ElecSlp(year)
            return [float(share) for share in profiles.get_profiles("h0_dyn")["h0_dyn"]]
    except ModuleNotFoundError as error:
        raise SimulationUnavailable("the synthetic household needs oemof.demand") from error


def _appliance_watts(dice: random.Random, begin: int, minutes: int, zone: ZoneInfo) -> list[int]:
    load = [0] * minutes
    weeks = max(1, -(-minutes // (7 * 24 * 60)))
    for appliance in APPLIANCES:
        for _ in range(appliance.runs_a_week * weeks):
            day = date_at(begin, zone)
            moment = datetime.combine(
                day + timedelta(days=dice.randrange(7 * weeks)),
                time(dice.choice(appliance.hours), dice.randrange(60)),
                zone,
            )
            start = (int(moment.timestamp()) - begin) // STEP_SECONDS
            for offset, watts in enumerate(appliance.watts):
                if 0 <= start + offset < minutes:
                    load[start + offset] += watts
    return load
