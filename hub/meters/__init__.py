# SPDX-License-Identifier: Apache-2.0
"""Where readings come from: SML telegrams of a real meter, or of an emulated one."""

from hub.meters.emulated import UnsendableReading, emulated_meter_id, telegrams
from hub.meters.replay import CsvReplay, EnergyUnit, ReplayError, parse_interval, parse_zone
from hub.meters.simulator import SimulationUnavailable, SyntheticHousehold
from hub.meters.sml_intake import LostTelegram, SmlIntake, SmlIntakeError
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT

__all__ = [
    "ACTIVE_ENERGY_EXPORT",
    "ACTIVE_ENERGY_IMPORT",
    "CsvReplay",
    "EnergyUnit",
    "LostTelegram",
    "ReplayError",
    "SimulationUnavailable",
    "SmlIntake",
    "SmlIntakeError",
    "SyntheticHousehold",
    "UnsendableReading",
    "emulated_meter_id",
    "parse_interval",
    "parse_zone",
    "telegrams",
]
