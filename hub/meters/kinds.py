# SPDX-License-Identifier: Apache-2.0
"""Which language a meter speaks, found from the bytes of its line; and the reader of each.

Nothing is guessed: a kind is named where a whole frame of it is there, with its checks right, or
where its first bytes can be nothing else. Enciphered frames count, too: whether there is a key for
them shows in reading them.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Final

from dlms_codec import Keys, MalformedDlms, Transport, recognise
from hub.meters.readers.current_cost import CurrentCostReader
from hub.meters.readers.dlms import DlmsReader
from hub.meters.readers.mbus import RadioReader, WiredReader
from hub.meters.readers.mqtt import MqttReader, is_framed
from hub.meters.readers.p1 import P1Reader
from hub.meters.readers.radio_frames import are_frames, is_line
from hub.meters.telegrams import Reader
from meter_codecs.mbus import (
    KeyRing,
    LongFrame,
    MeterKey,
    Received,
)
from meter_codecs.mbus import decode_stream as mbus_events
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.crc import from_seven_bits

SML_START: Final = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
_P1_START: Final = re.compile(rb"/[A-Za-z]{3}[^\r\n]{0,64}\r?\n")
_P1_LINE: Final = re.compile(rb"^[0-9A-Z:.*&-]{3,20}\([^()\r\n]*\)", re.MULTILINE)
_P1_SEALED: Final = re.compile(rb"\xdb\x08.{8}\x82..\x30", re.DOTALL)
_OWN_CI: Final = 0x1F
"""Up to this CI an M-Bus frame carries DLMS; above it, values of its own."""


class MeterKind(enum.StrEnum):
    """A language that meters speak."""

    SML = "sml"
    DLMS_HDLC = "dlms-hdlc"
    DLMS_MBUS = "dlms-mbus"
    DLMS_WRAPPER = "dlms-wrapper"
    P1 = "p1"
    MBUS = "mbus"
    WIRELESS = "wireless-mbus"
    CURRENT_COST = "current-cost"
    MQTT = "mqtt"


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

    def for_dlms(self) -> Keys:
        """Return them for DLMS: GUEK and GAK."""
        return Keys(encryption=self.encryption, authentication=self.authentication)

    def for_p1(self) -> P1Keys | None:
        """Return them for an enciphered P1 port, None where there are none."""
        return None if self.encryption is None else P1Keys(self.encryption, self.authentication)

    def for_mbus(self) -> KeyRing:
        """Return them for M-Bus."""
        return KeyRing(default=None if self.encryption is None else MeterKey(self.encryption))


NO_KEYS: Final = MeterKeys()


def kind_of(data: bytes) -> MeterKind | None:
    """Return the language of a line's bytes, None where none is sure."""
    if SML_START in data:
        return MeterKind.SML
    if b"<msg>" in data:
        return MeterKind.CURRENT_COST
    if _is_p1(data) or is_seven_bits(data):
        return MeterKind.P1
    transport = _dlms_transport(data)
    if transport is not None:
        return next(kind for kind, one in _TRANSPORTS.items() if one is transport)
    if _is_wired(data):
        return MeterKind.MBUS
    if is_framed(data):
        return MeterKind.MQTT
    if _P1_SEALED.match(data):  # frames of HDLC and M-Bus carry the like
        return MeterKind.P1
    return MeterKind.WIRELESS if _is_wireless(data) else None


def is_seven_bits(data: bytes) -> bool:
    """Whether bytes are P1 or a readout of a line of seven bits that was read with eight."""
    return not data.isascii() and not _is_p1(data) and _is_p1(from_seven_bits(data))


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
        case _:
            return DlmsReader(_TRANSPORTS[kind], zone, keys.for_dlms())


def _is_p1(data: bytes) -> bool:
    return bool(_P1_START.search(data)) and bool(_P1_LINE.search(data))


def _dlms_transport(data: bytes) -> Transport | None:
    try:
        return recognise(data)
    except MalformedDlms:
        return None


def _is_wired(data: bytes) -> bool:
    return any(
        isinstance(event, Received)
        and isinstance(event.frame, LongFrame)
        and event.frame.ci > _OWN_CI
        for event in mbus_events(data)
    )


def _is_wireless(data: bytes) -> bool:
    """Whether bytes are frames of the radio, or begin with the line of a receiver."""
    return is_line(data) or are_frames(data)
