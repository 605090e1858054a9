# SPDX-License-Identifier: Apache-2.0
"""The contract between applets and the hub: each call is one row in `services`.

The hub implements the services, applets are handed them; `table` reads the rows, `wit` writes
them out for components in other languages. Part of what runs inside the machine: it imports
nothing but the standard library.
"""

from protocols.platform.errors import AppletError, Refusal, Refused, StatusWord
from protocols.platform.services import (
    MAX_AMOUNTS,
    MAX_PEER_MESSAGE,
    NOT_OFFERED,
    Aggregation,
    Calendar,
    Clock,
    Grid,
    Log,
    OpenedAmounts,
    Outputs,
    Peers,
    Platform,
    Readings,
    Signatures,
    Slots,
    Statements,
    Store,
    Transactions,
    Use,
)

__all__ = [
    "MAX_AMOUNTS",
    "MAX_PEER_MESSAGE",
    "NOT_OFFERED",
    "Aggregation",
    "AppletError",
    "Calendar",
    "Clock",
    "Grid",
    "Log",
    "OpenedAmounts",
    "Outputs",
    "Peers",
    "Platform",
    "Readings",
    "Refusal",
    "Refused",
    "Signatures",
    "Slots",
    "Statements",
    "StatusWord",
    "Store",
    "Transactions",
    "Use",
]
