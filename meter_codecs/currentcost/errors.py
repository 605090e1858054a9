# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with Current Cost messages.

CurrentCostError
├── MalformedMessage    bytes are not the message they claim to be
└── EncodingError       a message that cannot be sent: a bug on this side
"""


class CurrentCostError(Exception):
    """Base of all errors of this package."""


class MalformedMessage(CurrentCostError):
    """Bytes are not the message they claim to be."""


class EncodingError(CurrentCostError):
    """A message that cannot be sent."""
