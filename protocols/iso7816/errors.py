# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a host and a card; `protocols.secure_channel` has errors of its own.

WireError
  MalformedApdu        bytes are not the APDU they claim to be
  MalformedTlv         bytes are not the TLV they claim to be
  MalformedFrame       a byte stream does not carry APDU frames
"""


class WireError(Exception):
    """Base of all errors between a host and a card."""


class MalformedApdu(WireError):
    """Bytes are not the APDU they claim to be."""


class MalformedTlv(WireError):
    """Bytes are not the TLV they claim to be."""

    def __init__(self, reason: str, *, offset: int) -> None:
        super().__init__(f"{reason} (at byte {offset})")
        self.offset = offset


class MalformedFrame(WireError):
    """A byte stream does not carry APDU frames."""
