# SPDX-License-Identifier: Apache-2.0
"""Current Cost: the XML of energy displays on a serial line.

    for event in decode_stream(capture):
        if isinstance(event, Message):
            for value in event.values():
                print(value.name, value.scaled, value.unit, value.sensor)

`StreamDecoder` takes the bytes as they come, `Message.encode` gives them back.
"""

from meter_codecs.currentcost.errors import CurrentCostError, EncodingError, MalformedMessage
from meter_codecs.currentcost.message import Message, Value, read_message
from meter_codecs.currentcost.stream import (
    Damage,
    DamageKind,
    Event,
    StreamDecoder,
    decode_stream,
)

__all__ = [
    "CurrentCostError",
    "Damage",
    "DamageKind",
    "EncodingError",
    "Event",
    "MalformedMessage",
    "Message",
    "StreamDecoder",
    "Value",
    "decode_stream",
    "read_message",
]
