# SPDX-License-Identifier: Apache-2.0
"""The resident's pages: server-rendered, on loopback unless told otherwise, from this hub alone."""

from hub.inspection.web.access.incidents import DOOR
from hub.inspection.web.access.residents import Resident, ResidentError, ResidentRole, Residents
from hub.inspection.web.application import create_application, make_parts
from hub.inspection.web.parts import LOOPBACK_NAMES, Parts, Settings

__all__ = [
    "DOOR",
    "LOOPBACK_NAMES",
    "Parts",
    "Resident",
    "ResidentError",
    "ResidentRole",
    "Residents",
    "Settings",
    "create_application",
    "make_parts",
]
