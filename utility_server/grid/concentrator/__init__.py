# SPDX-License-Identifier: Apache-2.0
"""The concentrator: between hubs and MDMS, blind; it forwards, checks forms and multiplies."""

from utility_server.grid.concentrator.errors import (
    ConcentratorError,
    ConcentratorRefused,
    LineError,
)
from utility_server.grid.concentrator.hubs import Hub, Hubs, read_hubs
from utility_server.grid.concentrator.round_commands import Question
from utility_server.grid.concentrator.server import serve
from utility_server.grid.concentrator.service import Concentrator
from utility_server.grid.rpc import Line

__all__ = [
    "Concentrator",
    "ConcentratorError",
    "ConcentratorRefused",
    "Hub",
    "Hubs",
    "Line",
    "LineError",
    "Question",
    "read_hubs",
    "serve",
]
