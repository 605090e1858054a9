# SPDX-License-Identifier: Apache-2.0
"""Slots and certified days: what the certifier signs and everyone can check."""

from protocols.metrology.certified_day import (
    CertifiedDay,
    CertifiedPeriod,
    Series,
    verify_days,
)
from protocols.metrology.changes import (
    ExchangedMeter,
    custodies_in,
    exchanges_in,
    require_one_custody,
    require_same_changes,
)
from protocols.metrology.correction import Correction, CorrectionReason
from protocols.metrology.day_content import DayContent, steps_of
from protocols.metrology.errors import DayRefused, GridError, MalformedDay, MetrologyError
from protocols.metrology.events import (
    FirstDayOfCustody,
    MeterEvent,
    MeterExchange,
    RegisterResolution,
)
from protocols.metrology.grid import SLOT_MINUTES, DayGrid, Period, SlotState, date_at, find_zone
from protocols.metrology.key_chain import (
    ChainRefused,
    KeyAnnouncement,
    KeyChain,
    MalformedAnnouncement,
)
from protocols.metrology.registers import (
    ACTIVE_ENERGY_EXPORT,
    ACTIVE_ENERGY_IMPORT,
    GAS_VOLUME,
    HEAT_ENERGY,
    WATER_VOLUME,
    Medium,
    feed_in_of,
    is_feed_in_pair,
    medium_of,
)
from protocols.metrology.slot_chain import CertifiedSlot, SlotContent, chain_slots
from protocols.metrology.version1 import NO_DAY, CommitmentScheme, DayContentVersion1

__all__ = [
    "ACTIVE_ENERGY_EXPORT",
    "ACTIVE_ENERGY_IMPORT",
    "GAS_VOLUME",
    "HEAT_ENERGY",
    "NO_DAY",
    "SLOT_MINUTES",
    "WATER_VOLUME",
    "CertifiedDay",
    "CertifiedPeriod",
    "CertifiedSlot",
    "ChainRefused",
    "CommitmentScheme",
    "Correction",
    "CorrectionReason",
    "DayContent",
    "DayContentVersion1",
    "DayGrid",
    "DayRefused",
    "ExchangedMeter",
    "FirstDayOfCustody",
    "GridError",
    "KeyAnnouncement",
    "KeyChain",
    "MalformedAnnouncement",
    "MalformedDay",
    "Medium",
    "MeterEvent",
    "MeterExchange",
    "MetrologyError",
    "Period",
    "RegisterResolution",
    "Series",
    "SlotContent",
    "SlotState",
    "chain_slots",
    "custodies_in",
    "date_at",
    "exchanges_in",
    "feed_in_of",
    "find_zone",
    "is_feed_in_pair",
    "medium_of",
    "require_one_custody",
    "require_same_changes",
    "steps_of",
    "verify_days",
]
