# SPDX-License-Identifier: Apache-2.0
"""DLMS/COSEM, the language of electricity meters, in both directions.

    for telegram in decode_stream(Transport.HDLC, capture, keys=keys):
        if isinstance(telegram, Telegram) and telegram.push:
            for value in telegram.push.values:
                print(value.obis, value.scaled, value.unit_symbol)

`decode_stream` and `StreamDecoder` read what a meter pushes, `decode_apdu` any message, and
`decode_data` a value; what they return encodes to the same bytes. Messages of each service live in
`dlms_codec.apdus`. Nothing here does I/O.
"""

from dlms_codec.apdus import APDU_TAGS, Apdu, decode_apdu
from dlms_codec.apdus.addressing import result_name
from dlms_codec.apdus.notifications import DataNotification, EventNotification
from dlms_codec.assembly import Message, MessageDecoder, Transport, decode_messages, strip_llc
from dlms_codec.axdr import decode_data, elements_of, encode_data
from dlms_codec.blocks import BlockAssembler, GeneralBlockTransfer
from dlms_codec.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    Descriptor,
    DontCare,
    OctetString,
    Structure,
    TypeDescription,
    Utf8String,
    VisibleString,
)
from dlms_codec.datetimes import Date, DateTime, Time
from dlms_codec.errors import (
    DlmsError,
    EncodingError,
    LimitExceeded,
    MalformedDlms,
    MissingKey,
    ReplayedCounter,
    SecurityError,
    UnprotectedMessage,
    WrongAuthenticationKey,
    WrongKey,
)
from dlms_codec.frames import Damage, DamageKind
from dlms_codec.hdlc import HdlcDecoder, HdlcFrame
from dlms_codec.mbus import MbusDecoder, MbusFrame
from dlms_codec.numbers import (
    Bcd,
    Boolean,
    Enum,
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    SizedInt,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
)
from dlms_codec.obis import Obis
from dlms_codec.options import DEFAULT_LIMITS, Limits, Quirk
from dlms_codec.profiles import PROFILES, Profile
from dlms_codec.protection import GeneralCiphered, GeneralCiphering, ProtectedText, ServiceCiphered
from dlms_codec.push import Meaning, Push, PushValue, is_object_list, values_of
from dlms_codec.push_reader import PushReader
from dlms_codec.security import (
    CounterGuard,
    Deciphered,
    Keys,
    decipher,
    decipher_apdu,
    protect,
    unwrap_key,
    wrap_key,
)
from dlms_codec.stream import (
    NO_KEYS,
    StreamDecoder,
    Telegram,
    TelegramReader,
    decode_stream,
    decode_telegram,
    recognise,
)
from dlms_codec.units import UNIT_SYMBOLS, unit_symbol
from dlms_codec.wrapper import WrapperDecoder, WrapperFrame

__all__ = [
    "APDU_TAGS",
    "DEFAULT_LIMITS",
    "NO_KEYS",
    "PROFILES",
    "UNIT_SYMBOLS",
    "Apdu",
    "Array",
    "Bcd",
    "BitString",
    "BlockAssembler",
    "Boolean",
    "CompactArray",
    "CounterGuard",
    "Damage",
    "DamageKind",
    "Data",
    "DataNotification",
    "Date",
    "DateTime",
    "Deciphered",
    "Descriptor",
    "DlmsError",
    "DontCare",
    "EncodingError",
    "Enum",
    "EventNotification",
    "Float32",
    "Float64",
    "GeneralBlockTransfer",
    "GeneralCiphered",
    "GeneralCiphering",
    "HdlcDecoder",
    "HdlcFrame",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Keys",
    "LimitExceeded",
    "Limits",
    "MalformedDlms",
    "MbusDecoder",
    "MbusFrame",
    "Meaning",
    "Message",
    "MessageDecoder",
    "MissingKey",
    "Obis",
    "OctetString",
    "Profile",
    "ProtectedText",
    "Push",
    "PushReader",
    "PushValue",
    "Quirk",
    "ReplayedCounter",
    "SecurityError",
    "ServiceCiphered",
    "SizedInt",
    "StreamDecoder",
    "Structure",
    "Telegram",
    "TelegramReader",
    "Time",
    "Transport",
    "TypeDescription",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UnprotectedMessage",
    "Utf8String",
    "VisibleString",
    "WrapperDecoder",
    "WrapperFrame",
    "WrongAuthenticationKey",
    "WrongKey",
    "decipher",
    "decipher_apdu",
    "decode_apdu",
    "decode_data",
    "decode_messages",
    "decode_stream",
    "decode_telegram",
    "elements_of",
    "encode_data",
    "is_object_list",
    "protect",
    "recognise",
    "result_name",
    "strip_llc",
    "unit_symbol",
    "unwrap_key",
    "values_of",
    "wrap_key",
]
