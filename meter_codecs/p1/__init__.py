# SPDX-License-Identifier: Apache-2.0
"""P1, the customer's port of meters in many countries, and IEC 62056-21 (D0), its parent.

    for event in decode_stream(capture):              # bytes of a meter's port
        if isinstance(event, Telegram):
            for reading in readings(event):
                print(reading.obis, reading.scaled, reading.unit)

`StreamDecoder` takes the bytes as they come, `Telegram.encode` gives them back. `channels` finds
gas, water and heat meters behind the port. `ciphering` has the keys of enciphered ports, `dialogue`
the sign-on of meters that wait to be asked; neither is imported here.
"""

from meter_codecs.p1.channels import Channel, Medium, channels, meter_number
from meter_codecs.p1.crc import crc16
from meter_codecs.p1.envelope import Ciphering, Envelope, Opened
from meter_codecs.p1.errors import (
    CannotDecipher,
    ChecksumMismatch,
    EncodingError,
    MalformedP1,
    P1Error,
    SessionError,
)
from meter_codecs.p1.readings import Reading, readings
from meter_codecs.p1.stream import (
    Damage,
    DamageKind,
    Decipher,
    Event,
    StreamDecoder,
    Undeciphered,
    decode_stream,
)
from meter_codecs.p1.telegram import Framing, Line, Telegram, read_telegram

__all__ = [
    "CannotDecipher",
    "Channel",
    "ChecksumMismatch",
    "Ciphering",
    "Damage",
    "DamageKind",
    "Decipher",
    "EncodingError",
    "Envelope",
    "Event",
    "Framing",
    "Line",
    "MalformedP1",
    "Medium",
    "Opened",
    "P1Error",
    "Reading",
    "SessionError",
    "StreamDecoder",
    "Telegram",
    "Undeciphered",
    "channels",
    "crc16",
    "decode_stream",
    "meter_number",
    "read_telegram",
    "readings",
]
