# SPDX-License-Identifier: Apache-2.0
"""Between a host and a card: APDUs, TLV, and the secure channels of GlobalPlatform; sans-IO."""

from .apdu import CommandApdu, ResponseApdu
from .errors import (
    CardRefused,
    LocalChannelError,
    MalformedApdu,
    MalformedFrame,
    MalformedTlv,
    RemoteChannelError,
    SecureChannelError,
)
from .framing import FrameDecoder, encode_frame
from .host import CardClient
from .keys import StaticKeys
from .scp03 import Option, Scp03
from .session import Role, SecureSession, SecurityLevel
from .tlv import Tlv

__all__ = [
    "CardClient",
    "CardRefused",
    "CommandApdu",
    "FrameDecoder",
    "LocalChannelError",
    "MalformedApdu",
    "MalformedFrame",
    "MalformedTlv",
    "Option",
    "RemoteChannelError",
    "ResponseApdu",
    "Role",
    "Scp03",
    "SecureChannelError",
    "SecureSession",
    "SecurityLevel",
    "StaticKeys",
    "Tlv",
    "encode_frame",
]
