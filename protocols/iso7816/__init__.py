# SPDX-License-Identifier: Apache-2.0
"""Commands, responses and TLV of ISO/IEC 7816-4, and APDUs on a byte stream; sans-IO."""

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.apdu_stream import ApduFrameDecoder, encode_frame
from protocols.iso7816.errors import MalformedApdu, MalformedFrame, MalformedTlv, WireError
from protocols.iso7816.tlv import Tlv

__all__ = [
    "ApduFrameDecoder",
    "CommandApdu",
    "MalformedApdu",
    "MalformedFrame",
    "MalformedTlv",
    "ResponseApdu",
    "Tlv",
    "WireError",
    "encode_frame",
]
