# SPDX-License-Identifier: Apache-2.0
"""The reader of each language that meters speak, and the keys that it may need.

Which language it is, the bytes show (`hub.meters.recognition`). Enciphered frames count, too:
whether there is a key for them shows in reading them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from dlms_codec import Keys, Transport
from hub.meters.readers.current_cost import CurrentCostReader
from hub.meters.readers.dlms import DlmsReader
from hub.meters.readers.mbus import RadioReader, WiredReader
from hub.meters.readers.mqtt import MqttReader
from hub.meters.readers.p1 import P1Reader
from hub.meters.recognition import MeterKind, recognise_meter
from hub.meters.telegrams import Reader
from meter_codecs.mbus import KeyRing, MeterKey
from meter_codecs.p1.ciphering import P1Keys

_TRANSPORTS: Final = {
    MeterKind.DLMS_HDLC: Transport.HDLC,
    MeterKind.DLMS_MBUS: Transport.MBUS,
    MeterKind.DLMS_WRAPPER: Transport.WRAPPER,
}


@dataclass(frozen=True, slots=True)
class MeterKeys:
    """The keys of a meter's messages."""

    encryption: bytes | None = field(default=None, repr=False)
    authentication: bytes | None = field(default=None, repr=False)
    by_number: Mapping[str, bytes] | None = field(default=None, repr=False)
    """Of each meter of M-Bus, by its number; None: the encryption key is that of all."""

    def for_dlms(self) -> Keys:
        """Return them for DLMS: GUEK and GAK."""
        return Keys(encryption=self.encryption, authentication=self.authentication)

    def for_p1(self) -> P1Keys | None:
        """Return them for an enciphered P1 port, None where there are none."""
        return None if self.encryption is None else P1Keys(self.encryption, self.authentication)

    def for_mbus(self) -> KeyRing:
        """Return them for M-Bus, whose keys have 16 bytes."""
        if self.by_number is not None:
            return KeyRing(
                {
                    number: MeterKey(key)
                    for number, key in self.by_number.items()
                    if len(key) == MBUS_KEY_SIZE
                }
            )
        key = self.encryption
        return KeyRing(default=None if key is None else MeterKey(key))


MBUS_KEY_SIZE: Final = 16
NO_KEYS: Final = MeterKeys()


def kind_of(data: bytes) -> MeterKind | None:
    """Return the language of a line's bytes, None where none is sure."""
    found = recognise_meter(data)
    return None if found is None or not found.is_sure else found.kind


def reader_of(
    kind: MeterKind,
    zone: tzinfo,
    arrival: Callable[[], int],
    keys: MeterKeys = NO_KEYS,
    *,
    seven_bits: bool = False,
) -> Reader:
    """Return what reads a language; raise `ValueError` for SML, which has an intake of its own."""
    match kind:
        case MeterKind.P1:
            return P1Reader(zone, keys.for_p1(), seven_bits=seven_bits)
        case MeterKind.MBUS:
            return WiredReader(zone, keys.for_mbus())
        case MeterKind.WIRELESS:
            return RadioReader(zone, keys.for_mbus())
        case MeterKind.CURRENT_COST:
            return CurrentCostReader(arrival)
        case MeterKind.MQTT:
            return MqttReader()
        case MeterKind.SML:
            raise ValueError("SML is read by `SmlIntake`")
        case MeterKind.DLMS_APDU:
            raise ValueError("one message without a frame is no line")
        case _:
            return DlmsReader(_TRANSPORTS[kind], zone, keys.for_dlms())
