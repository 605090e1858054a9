# SPDX-License-Identifier: Apache-2.0
"""Which language bytes of a meter are, and what shows it.

    1b 1b 1b 1b 01 01 01 01           SML; 76 at the very beginning: a file of SML without frames
    <msg> or </watts></ch             Current Cost
    / A B C 5 ... and code(value)     P1, or a readout of IEC 62056-21 (D0), of eight bits or seven
    7e a. .. with a right checksum    DLMS in HDLC
    68 LL LL 68 .. .. CI, CI below 20 DLMS in M-Bus frames
    68 LL LL 68 .. .. CI, CI above 1f M-Bus
    00 01 00 .. at the beginning      DLMS in the wrapper of IEC 62056-47
    L 44 and a maker's three letters  frames of wireless M-Bus; or the line of a receiver
    a topic of Shelly or Tasmota      messages of a broker (MQTT)
    db 08 .. and a key that opens it  P1, enciphered
    any other tag of a message        one message of DLMS without a frame

Stronger signs go before weaker ones: what has a checksum, or a long start, before what has a tag of
one byte. Whoever asks is told what was seen, and can say another kind.
"""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dlms_codec import HdlcFrame, MalformedDlms, MessageDecoder, Transport, recognise
from dlms_codec.crc import is_right
from hub.meters.readers.mqtt import is_framed
from hub.meters.readers.radio_frames import are_frames, is_line
from meter_codecs.mbus import (
    ChecksumMismatch,
    LongFrame,
    MbusError,
    Received,
    decode_link,
    manufacturer_text,
)
from meter_codecs.mbus import decode_stream as mbus_events
from meter_codecs.p1 import Telegram, decode_stream
from meter_codecs.p1.ciphering import P1Keys
from meter_codecs.p1.crc import from_seven_bits

LOOKED_AT: Final = 1 << 16
"""Bytes that a kind is looked for in, from the beginning."""
SML_START: Final = b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01"
SML_FILE: Final = 0x76
CURRENT_COST: Final = (b"<msg>", b"</watts></ch")
OWN_CI: Final = 0x1F
"""Up to this CI an M-Bus frame carries DLMS; above it, values of its own."""
_P1_START: Final = re.compile(rb"/[A-Za-z]{3}[^\r\n]{0,64}\r?\n")
_P1_LINE: Final = re.compile(rb"^[0-9A-Z:.*&-]{3,20}\([^()\r\n]*\)", re.MULTILINE)
_HDLC: Final = re.compile(rb"\x7e[\xa0-\xaf]")
_P1_SEALED: Final = re.compile(rb"\xdb\x08.{8}\x82..\x30", re.DOTALL)
HDLC_LONGEST: Final = 0x7FF
"""What the length of a frame of HDLC can say: 11 bits."""
HDLC_SHORTEST: Final = 8
"""From flag to flag: two bytes of format, two addresses, control and checksum."""
HDLC_HEADERS: Final = range(7, 14)
"""Bytes of a header with its checksum: its addresses have 1, 2 or 4 bytes."""
LONGEST_RADIO: Final = 300
"""Bytes of one radio frame with all its checksums, and of a mark in front of it."""
_CONTROLS: Final = frozenset(
    {0x06, 0x08, 0x18, 0x28, 0x38, 0x40, 0x43, 0x44, 0x46, 0x47, 0x48, 0x53, 0x73, 0xC4}
)
"""The control bytes of a radio link that carry values, or ask for a meter to be installed; c4 is
what Qundis' bridges hand on."""


class MeterKind(enum.StrEnum):
    """A language that meters speak."""

    SML = "sml"
    DLMS_HDLC = "dlms-hdlc"
    DLMS_MBUS = "dlms-mbus"
    DLMS_WRAPPER = "dlms-wrapper"
    DLMS_APDU = "dlms-apdu"
    P1 = "p1"
    MBUS = "mbus"
    WIRELESS = "wireless-mbus"
    CURRENT_COST = "current-cost"
    MQTT = "mqtt"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What bytes are, and what shows it."""

    kind: MeterKind
    why: str
    is_sure: bool = True
    """Whether more bytes would show the same. Without it, a line is listened to for longer."""


_DLMS: Final = {
    Transport.HDLC: Recognised(MeterKind.DLMS_HDLC, "frames of HDLC (7e a.) that are whole"),
    Transport.MBUS: Recognised(
        MeterKind.DLMS_MBUS, "frames of M-Bus (68 L L 68) that carry DLMS: their CI is below 20"
    ),
    Transport.WRAPPER: Recognised(
        MeterKind.DLMS_WRAPPER, "it begins with a wrapper of IEC 62056-47 (0001)"
    ),
}
_SEALED_P1: Final = "an enciphered frame (db 08), "


def recognise_meter(data: bytes, key: bytes | None = None) -> Recognised | None:
    """Return what bytes are; None where nothing shows it. `key` helps with what is enciphered."""
    data = data[:LOOKED_AT]
    return _text(data) or _frames(data) or _weak(data, key)


def _text(data: bytes) -> Recognised | None:
    at = data.find(SML_START)
    if at >= 0:
        return Recognised(MeterKind.SML, f"a frame of SML begins at byte {at} (1b1b1b1b01010101)")
    for sign in CURRENT_COST:
        at = data.find(sign)
        if at >= 0:
            return Recognised(MeterKind.CURRENT_COST, f"{sign.decode()} at byte {at}")
    if _is_p1_in_clear(data):
        return Recognised(MeterKind.P1, "a line /XXX of a meter, and lines of code(value)")
    if is_seven_bits(data):
        return Recognised(MeterKind.P1, "lines of code(value), once the parity bits are taken off")
    return None


def _frames(data: bytes) -> Recognised | None:
    transport = _transport(data)
    if transport is not None and (transport is not Transport.HDLC or _has_hdlc(data)):
        return _DLMS[transport]
    if is_wired(data):
        return Recognised(MeterKind.MBUS, "frames of M-Bus (68 L L 68) with values of its own")
    if _begins_long(data):
        return _DLMS[Transport.MBUS]
    if is_framed(data):
        return Recognised(MeterKind.MQTT, "messages of a broker, under a topic that is known")
    if is_wireless(data):
        maker = manufacturer_text(int.from_bytes(data[_radio_start(data) + 2 :][:2], "little"))
        return Recognised(
            MeterKind.WIRELESS, f"one radio frame: its length is right, the maker is {maker}"
        )
    if is_line(data):
        return Recognised(MeterKind.WIRELESS, "lines of a receiver of wireless M-Bus")
    if are_frames(data):
        return Recognised(MeterKind.WIRELESS, "radio frames, one after the other")
    return None


def _weak(data: bytes, key: bytes | None) -> Recognised | None:
    if key is not None and is_sealed_p1(data, key):
        return Recognised(MeterKind.P1, f"{_SEALED_P1}and the key opens P1 inside")
    if key is None and _P1_SEALED.match(data):
        return Recognised(
            MeterKind.P1,
            f"{_SEALED_P1}as Luxembourg's P1 ports send it; with its key, what is inside tells",
        )
    if data.lstrip(b"\0")[:1] == bytes([SML_FILE]) and _is_sml_file(data):
        return Recognised(MeterKind.SML, "a file of SML without frames (76)")
    for is_it, kind, why in _TEXT_REMAINS:
        if is_it(data):
            return Recognised(kind, why, is_sure=False)
    if is_dlms(data):
        return Recognised(
            MeterKind.DLMS_APDU,
            "no frame: it begins with the tag of one message of DLMS",
            is_sure=False,
        )
    remains = (Recognised(kind, why, is_sure=False) for is_it, kind, why in _REMAINS if is_it(data))
    return next(remains, None)


def _begins_text(data: bytes) -> bool:
    return bool(_P1_START.match(data) or _P1_LINE.search(data))


def _begins_radio(data: bytes) -> bool:
    start = _radio_start(data)
    if not start + 10 <= len(data) <= LONGEST_RADIO or data[start + 1] not in _CONTROLS:
        return False
    return manufacturer_text(data[start + 2] | data[start + 3] << 8).isalpha()


def _begins_hdlc(data: bytes) -> bool:
    """Whether frames of HDLC are there, damaged or cut; `7e a.` alone is in any noise."""
    starts = [found.start() for found in _HDLC.finditer(data)]
    return (
        _transport(data) is Transport.HDLC
        or any(_has_header(data, at) for at in starts)
        or (starts[:1] == [0] and _is_as_long(data, 0))
        or sum(_is_as_long(data, at) for at in starts) > 1
    )


def _has_header(data: bytes, at: int) -> bool:
    """Whether a frame begins there with a header whose checksum is right."""
    return any(is_right(data[at + 1 : at + 1 + size]) for size in HDLC_HEADERS)


def _is_as_long(data: bytes, at: int) -> bool:
    """Whether a frame ends where its length says; one at the very beginning may be cut off."""
    end = at + 1 + (int.from_bytes(data[at + 1 : at + 3], "big") & HDLC_LONGEST)
    if data[end : end + 1] == b"\x7e":
        return end - at >= HDLC_SHORTEST
    return at == 0 and end >= len(data)


_Remains = tuple[tuple[Callable[[bytes], bool], MeterKind, str], ...]
_TEXT_REMAINS: Final[_Remains] = (
    (
        lambda data: _begins_hdlc(data),
        MeterKind.DLMS_HDLC,
        "a frame of HDLC begins (7e a.), and none is whole",
    ),
    (_begins_text, MeterKind.P1, "a telegram of P1 or D0 begins or ends, and none is whole"),
    (
        lambda data: any(sign in data for sign in (b"</msg>", b"<src>CC128", b"<msg")),
        MeterKind.CURRENT_COST,
        "a part of a message of Current Cost",
    ),
)
"""Signs of text that are left where no frame is whole."""
_REMAINS: Final[_Remains] = (
    (
        lambda data: len(data) > 4 and data[0] == data[3] == 0x68,
        MeterKind.MBUS,
        "a frame of M-Bus begins (68 .. .. 68), and both its lengths differ",
    ),
    (
        _begins_radio,
        MeterKind.WIRELESS,
        "a radio frame of wireless M-Bus begins, and its length is not that of the bytes",
    ),
)
"""The same of bytes."""


def is_seven_bits(data: bytes) -> bool:
    """Whether bytes are P1 or a readout of a line of seven bits that was read with eight."""
    return (
        not data.isascii() and not _is_p1_in_clear(data) and _is_p1_in_clear(from_seven_bits(data))
    )


def is_p1(data: bytes) -> bool:
    """Whether bytes look like P1 or D0 in the clear: an identification, and lines of values."""
    return _is_p1_in_clear(data) or is_seven_bits(data)


def is_sealed_p1(data: bytes, key: bytes) -> bool:
    """Whether bytes have an enciphered frame that is P1 inside; DLMS has frames of the same kind.

    It does not say who made it: no authentication key is needed.
    """
    events = decode_stream(data, keys=P1Keys(key))
    return any(isinstance(event, Telegram) and event.ciphering for event in events)


def is_dlms(data: bytes) -> bool:
    """Whether bytes hold frames of DLMS, or begin as one message of it."""
    try:
        recognise(data)
    except MalformedDlms:
        return False
    return True


def is_wired(data: bytes) -> bool:
    """Whether these bytes begin like a long frame of M-Bus with values, or hold an intact one."""
    if _begins_long(data):
        return data[6] > OWN_CI
    return any(
        isinstance(event, Received)
        and isinstance(event.frame, LongFrame)
        and event.frame.ci > OWN_CI
        for event in mbus_events(data)
    )


def is_wireless(data: bytes) -> bool:
    """Whether these bytes are one frame of wireless M-Bus, or would be if its checksums held."""
    start = _radio_start(data)
    if len(data) < start + 11 or data[start + 1] not in _CONTROLS:
        return False
    if not manufacturer_text(data[start + 2] | data[start + 3] << 8).isalpha():
        return False
    try:
        decode_link(data)
    except ChecksumMismatch:
        return True
    except MbusError:
        return False
    return True


def _radio_start(data: bytes) -> int:
    """Return where the frame begins: some receivers leave the mode's mark in front of it."""
    return 2 if data[:2] in (b"\x54\xcd", b"\x54\x3d") and len(data) != 0x55 else 0


def _is_p1_in_clear(data: bytes) -> bool:
    return bool(_P1_START.search(data)) and bool(_P1_LINE.search(data))


def _begins_long(data: bytes) -> bool:
    return len(data) > 6 and data[0] == data[3] == 0x68 and data[1] == data[2] and data[1] >= 3


def _transport(data: bytes) -> Transport | None:
    try:
        return recognise(data)
    except MalformedDlms:
        return None


def _has_hdlc(data: bytes) -> bool:
    return any(isinstance(event, HdlcFrame) for event in MessageDecoder(Transport.HDLC).feed(data))


def _is_sml_file(data: bytes) -> bool:
    from sml_codec import read_file

    return bool(read_file(data).messages)
