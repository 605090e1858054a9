# SPDX-License-Identifier: Apache-2.0
"""M-Bus (EN 13757), wired and wireless, in both directions.

    for event in decode_stream(capture):                  # bytes of a wired line
        if isinstance(event, Received) and isinstance(event.frame, LongFrame):
            for record in decode_wired(event.frame).records:
                print(record.name, record.scaled, record.unit)

    keys = KeyRing({"76348799": MeterKey.from_hex(text)})
    decode_wireless(frame, keys=keys).records              # bytes of one radio frame

Nothing here does I/O. `master` and `slave` hold the rules of the wired bus; `sealing` makes
enciphered telegrams, as a meter does.
"""

from meter_codecs.mbus.address import ANYONE, Address, manufacturer_code, manufacturer_text
from meter_codecs.mbus.compact import FormatMemory, decode_compact, encode_compact
from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.errors import (
    ChecksumMismatch,
    Collision,
    CutOff,
    EncodingError,
    ForgedMessage,
    KeyMissing,
    MalformedMbus,
    MbusError,
    NoAnswer,
    RequestRefused,
    SecurityError,
    SessionError,
    UnknownFormat,
    UnreadContent,
    UnsupportedMode,
    WrongKey,
)
from meter_codecs.mbus.fixed import Counter, FixedData, decode_fixed
from meter_codecs.mbus.fragments import FragmentJoiner
from meter_codecs.mbus.frames import (
    Ack,
    Damage,
    DamageKind,
    Event,
    Frame,
    LongFrame,
    Received,
    ShortFrame,
    decode_frame,
)
from meter_codecs.mbus.keys import NO_KEYS, KeyRing, MeterKey
from meter_codecs.mbus.layers import Authentication, ExtendedLink, Header
from meter_codecs.mbus.link import (
    FrameFormat,
    LinkFrame,
    decode_link,
    decode_three_of_six,
    encode_three_of_six,
)
from meter_codecs.mbus.quantities import Quantity, quantity
from meter_codecs.mbus.records import (
    Body,
    Function,
    Head,
    Record,
    decode_body,
    make_body,
    make_record,
    read_head,
)
from meter_codecs.mbus.stream import StreamDecoder, decode_stream
from meter_codecs.mbus.telegram import (
    Telegram,
    decode_wired,
    decode_wireless,
    read_wired,
    read_wireless,
)
from meter_codecs.mbus.values import Value

__all__ = [
    "ANYONE",
    "NO_KEYS",
    "Ack",
    "Address",
    "Authentication",
    "Body",
    "ChecksumMismatch",
    "Collision",
    "Counter",
    "CutOff",
    "Damage",
    "DamageKind",
    "EncodingError",
    "Event",
    "ExtendedLink",
    "FixedData",
    "ForgedMessage",
    "FormatMemory",
    "FragmentJoiner",
    "Frame",
    "FrameFormat",
    "Function",
    "Head",
    "Header",
    "KeyMissing",
    "KeyRing",
    "LinkFrame",
    "LongFrame",
    "MalformedMbus",
    "MbusError",
    "MeterKey",
    "NoAnswer",
    "Quantity",
    "Received",
    "Record",
    "RequestRefused",
    "SecurityError",
    "SessionError",
    "ShortFrame",
    "StreamDecoder",
    "Telegram",
    "UnknownFormat",
    "UnreadContent",
    "UnsupportedMode",
    "Value",
    "WrongKey",
    "crc16",
    "decode_body",
    "decode_compact",
    "decode_fixed",
    "decode_frame",
    "decode_link",
    "decode_stream",
    "decode_three_of_six",
    "decode_wired",
    "decode_wireless",
    "encode_compact",
    "encode_three_of_six",
    "make_body",
    "make_record",
    "manufacturer_code",
    "manufacturer_text",
    "quantity",
    "read_head",
    "read_wired",
    "read_wireless",
]
