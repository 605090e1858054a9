# SPDX-License-Identifier: Apache-2.0
"""What can go wrong when the hub dials.

DiallingError
  BrokenDown        the connection was not made, broke or fell silent; another attempt may do
  SecurityFailed    TLS refused: the server is not whom it should be, or does not know the hub
  RecipientError    the certificate, its key or the address of a recipient's server is not usable
    NoCertificate   the recipient has not issued one yet, or it is not installed
"""

from hub.errors import HubError


class DiallingError(HubError):
    """Base of what can go wrong when the hub dials."""


class BrokenDown(DiallingError):
    """The connection was not made, broke or fell silent."""

    def __init__(self, reason: str, *, has_posted: bool) -> None:
        super().__init__(reason)
        self.has_posted = has_posted
        """Whether the server may have the request."""


class SecurityFailed(DiallingError):
    """TLS refused; trying again at once helps nobody but an attacker."""

    exit_code = 3


class RecipientError(DiallingError):
    """A recipient's server cannot be dialled with what the hub has."""


class NoCertificate(RecipientError):
    """The recipient has not issued a certificate yet, or it is not installed."""
