# SPDX-License-Identifier: Apache-2.0
"""What the card asks of whoever can change the hub's own keys (`commands.rotate_key`)."""

from typing import Protocol


class EncodedAnnouncement(Protocol):
    """What a new key of the certifier is announced with."""

    def encode(self) -> bytes:
        """Return its bytes."""


class HubKeys(Protocol):
    """Whoever can change the hub's keys, inside the transaction of the APDU."""

    def rotate_vault_key(self) -> str:
        """Seal everything with a new key; return its fingerprint in hex."""

    def rotate_certifier_key(self) -> EncodedAnnouncement:
        """Give the certifier a new key; return what says so."""
