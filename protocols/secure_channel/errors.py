# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a host and a card.

SecureChannelError
  MalformedApdu        bytes are not the APDU they claim to be
  MalformedTlv         bytes are not the TLV they claim to be
  MalformedFrame       a byte stream does not carry APDU frames
  LocalChannelError    our caller broke the protocol: a bug on this side
  RemoteChannelError   the peer did: hostile until proven otherwise; the session is over
  CardRefused          the card answered with a status word that is not a success
"""

__all__ = [
    "CardRefused",
    "LocalChannelError",
    "MalformedApdu",
    "MalformedFrame",
    "MalformedTlv",
    "RemoteChannelError",
    "SecureChannelError",
]


class SecureChannelError(Exception):
    """Base of all errors between a host and a card."""


class MalformedApdu(SecureChannelError):
    """Bytes are not the APDU they claim to be."""


class MalformedTlv(SecureChannelError):
    """Bytes are not the TLV they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.offset = offset


class MalformedFrame(SecureChannelError):
    """A byte stream does not carry APDU frames."""


class LocalChannelError(SecureChannelError):
    """Our caller broke the protocol: a bug on this side."""


class RemoteChannelError(SecureChannelError):
    """The peer broke the protocol; the session is over."""


class CardRefused(SecureChannelError):
    """The card answered with a status word that is not a success."""

    def __init__(self, step: str, sw: int) -> None:
        super().__init__(f"{step}: the card answered {sw:04X}")
        self.step = step
        self.sw = sw
