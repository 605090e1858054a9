# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on a secure channel, beside bytes that are malformed (`protocols.iso7816`).

WireError
  LocalChannelError    our caller broke the protocol: a bug on this side
  RemoteChannelError   the peer did: hostile until proven otherwise; the session is over
  CardRefused          the card answered with a status word that is not a success
"""

from protocols.iso7816.errors import WireError


class LocalChannelError(WireError):
    """Our caller broke the protocol: a bug on this side."""


class RemoteChannelError(WireError):
    """The peer broke the protocol; the session is over."""


class CardRefused(WireError):
    """The card answered with a status word that is not a success."""

    def __init__(self, step: str, sw: int) -> None:
        super().__init__(f"{step}: the card answered {sw:04X}")
        self.step = step
        self.sw = sw
