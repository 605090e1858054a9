# SPDX-License-Identifier: Apache-2.0
"""What keeps a day from being certified.

CertifierError
  ReadingsRefused    readings of which no honest day can be made; the message says where
  OutOfOrder         another day is due: days are certified once and one after the other
  KeyFileError       a key file is missing, readable by others, or not a key file
"""

from hub.errors import HubError

__all__ = ["CertifierError", "KeyFileError", "OutOfOrder", "ReadingsRefused"]


class CertifierError(HubError):
    """Base of all errors of the certifier."""


class ReadingsRefused(CertifierError):
    """The readings contradict themselves, or do not reach the day at all."""


class OutOfOrder(CertifierError):
    """The day is not the one that follows the day before, or of another register or grid."""


class KeyFileError(CertifierError):
    """The certifier's keys cannot be read."""
