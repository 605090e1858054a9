# SPDX-License-Identifier: Apache-2.0
"""What inspection raises itself, and which errors a resident is shown a line of."""

from typing import Final

from hub.errors import HubError
from protocols.metrology import GridError, MetrologyError
from tariffs import TariffError

SHOWN_ERRORS: Final = (HubError, MetrologyError, TariffError)
"""The hub's own errors, and those of the packages whose documents it reads."""


class InspectionError(HubError):
    """There is nothing to inspect, or what there is cannot be read."""

    http_status = 404


def http_status(error: Exception) -> int:
    """Return the status of an answer that shows one of `SHOWN_ERRORS`."""
    if isinstance(error, HubError):
        return error.http_status
    return 400 if isinstance(error, GridError) else HubError.http_status
