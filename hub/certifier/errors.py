# SPDX-License-Identifier: Apache-2.0
"""What keeps a day from being certified; `hub.errors` has the tree."""

from hub.errors import HubError


class CertifierError(HubError):
    """Base of all errors of the certifier."""


class ReadingsRefused(CertifierError):
    """The readings contradict themselves, or do not reach the day at all."""


class OutOfOrder(CertifierError):
    """The day is not the one that follows the day before, of this register, grid and certifier."""


class KeyFileError(CertifierError):
    """The certifier's keys cannot be read."""


class CorrectionRefused(CertifierError):
    """What was certified cannot be corrected in this way."""
