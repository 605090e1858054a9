# SPDX-License-Identifier: Apache-2.0
"""Slots and certified days: what the certifier signs and everyone can check."""

from protocols.metrology.certified_day import (
    NO_DAY,
    CertifiedDay,
    CertifiedPeriod,
    CommitmentScheme,
    DayContent,
    Series,
    verify_days,
)
from protocols.metrology.errors import DayRefused, GridError, MalformedDay, MetrologyError
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
    feed_in_of,
    is_feed_in_pair,
)

__all__ = [
    "ACTIVE_ENERGY_EXPORT",
    "ACTIVE_ENERGY_IMPORT",
    "NO_DAY",
    "SLOT_MINUTES",
    "CertifiedDay",
    "CertifiedPeriod",
    "ChainRefused",
    "CommitmentScheme",
    "DayContent",
    "DayGrid",
    "DayRefused",
    "GridError",
    "KeyAnnouncement",
    "KeyChain",
    "MalformedAnnouncement",
    "MalformedDay",
    "MetrologyError",
    "Period",
    "Series",
    "SlotState",
    "date_at",
    "feed_in_of",
    "find_zone",
    "is_feed_in_pair",
    "verify_days",
]
