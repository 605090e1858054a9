# SPDX-License-Identifier: Apache-2.0
"""What an applet imports.

An applet is one class: it is handed a `Platform` and answers commands. The same code runs in the
hub's machine and natively under pytest (`applets.sdk.testing`).
"""

from applets.sdk.apdu import Command, Response, instruction
from applets.sdk.applet import Applet
from protocols.platform.errors import AppletError, Refusal, Refused, StatusWord
from protocols.platform.services import (
    Aggregation,
    BoundedEnergy,
    Calendar,
    CarriedNumbers,
    Clock,
    Grid,
    Log,
    OpenedAmounts,
    OpenedNumbers,
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
    "Aggregation",
    "Applet",
    "AppletError",
    "BoundedEnergy",
    "Calendar",
    "CarriedNumbers",
    "Clock",
    "Command",
    "Grid",
    "Log",
    "OpenedAmounts",
    "OpenedNumbers",
    "Outputs",
    "Peers",
    "Platform",
    "Readings",
    "Refusal",
    "Refused",
    "Response",
    "Signatures",
    "Slots",
    "Statements",
    "StatusWord",
    "Store",
    "Transactions",
    "Use",
    "instruction",
]
