# SPDX-License-Identifier: Apache-2.0
"""The concentrator: between hubs and MDMS, blind; it forwards, checks forms and multiplies."""

from utility_server.concentrator.errors import ConcentratorError, ConcentratorRefused, LineError
from utility_server.concentrator.hubs import Hub, Hubs, read_hubs
from utility_server.concentrator.lines import Line
from utility_server.concentrator.server import serve
from utility_server.concentrator.service import Concentrator
from utility_server.concentrator.steps import Question

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
