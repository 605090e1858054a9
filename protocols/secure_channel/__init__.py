# SPDX-License-Identifier: Apache-2.0
"""The secure channels of GlobalPlatform between a host and a card; sans-IO."""

from protocols.secure_channel.errors import CardRefused, LocalChannelError, RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Option, Scp03
from protocols.secure_channel.session import Role, SecureSession, SecurityLevel

__all__ = [
    "CardClient",
    "CardRefused",
    "LocalChannelError",
    "Option",
    "RemoteChannelError",
    "Role",
    "Scp03",
    "SecureSession",
    "SecurityLevel",
    "StaticKeys",
]
