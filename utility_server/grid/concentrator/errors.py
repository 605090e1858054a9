# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between concentrator and MDMS.

ConcentratorError
  LineError            the other end is not there, or does not speak the protocol
  ConcentratorRefused  the concentrator will not do what it was asked; it says why
"""

from utility_server.errors import UtilityError


class ConcentratorError(UtilityError):
    """Base of the concentrator's errors."""


class LineError(ConcentratorError):
    """The other end cannot be reached, fell silent or sent what is no message."""


class ConcentratorRefused(ConcentratorError):
    """The concentrator refused a request."""

    def __init__(self, reason: str, kind: str = "refused") -> None:
        super().__init__(reason[:500])
        self.reason, self.kind = reason, kind
