# SPDX-License-Identifier: Apache-2.0
"""The BDEW's standard load profile of households (H0, dynamised), on any grid of slots.

The profile gives each quarter hour of a local year a share of the year's use. It comes from the
oemof.demand package.
"""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from protocols.metrology import find_zone
from utility_server.grid.mdms.errors import ForecastImpossible

_QUARTER: Final = 900


def standard_profile(zone: str, slots: Sequence[tuple[int, int]]) -> list[float]:
    """Return each slot's share of a year's use; raise `ForecastImpossible` without the package."""
    info, years = find_zone(zone), dict[int, list[float]]()
    shares = []
    for begin, end in slots:
        share = 0.0
        for time in range(begin, end, _QUARTER):
            local = datetime.fromtimestamp(time, UTC).astimezone(info)
            if local.year not in years:
                years[local.year] = _year(local.year)
            quarter = 96 * (local.timetuple().tm_yday - 1) + 4 * local.hour + local.minute // 15
            # A slot shorter than a quarter hour takes its part of one.
            share += years[local.year][quarter] * min(1.0, (end - time) / _QUARTER)
        shares.append(share)
    return shares


def _year(year: int) -> list[float]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own, about its data frames
            from oemof.demand import bdew

            return [float(x) for x in bdew.ElecSlp(year).get_profiles("h0_dyn")["h0_dyn"]]
    except ModuleNotFoundError as error:
        raise ForecastImpossible("the standard profile needs oemof.demand") from error
