# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a fleet."""

from protocols.errors import MeterletError


class FleetError(MeterletError):
    """The fleet cannot be made, or not be run, as it was said."""
