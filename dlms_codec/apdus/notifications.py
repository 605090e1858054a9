# SPDX-License-Identifier: Apache-2.0
"""What a meter sends unasked (DLMS UA 1000-2, clauses 9.3.4 and 9.3.10).

0f | invoke id, 4 bytes | 00 or 0c and a date-time | value          data-notification
c2 | 00 or 01 0c and a date-time | attribute | value                event-notification
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dlms_codec.apdus.addressing import Attribute
from dlms_codec.axdr import encode_data, encode_octets, read_data
from dlms_codec.data import Data
from dlms_codec.datetimes import DateTime
from dlms_codec.errors import EncodingError, MalformedDlms
from dlms_codec.options import DEFAULT_LIMITS, NO_QUIRK, Limits, Quirk
from dlms_codec.reader import Reader


@dataclass(frozen=True, slots=True)
class DataNotification:
    """A push: values that the meter sends of its own accord.

    `quirks` are those it was read with, and is written with.
    """

    invoke: int
    time: DateTime | None
    body: Data
    quirks: Quirk = NO_QUIRK
    tag: ClassVar[int] = 0x0F

    def encode(self) -> bytes:
        """Return the APDU."""
        if not 0 <= self.invoke < 1 << 32:
            raise EncodingError(f"{self.invoke} is no invoke id of four bytes")
        begin = bytes([self.tag]) + self.invoke.to_bytes(4, "big")
        if self.time is None:
            begin += b"\0"
        else:
            begin += (b"\x09" if Quirk.TAGGED_TIME in self.quirks else b"") + b"\x0c" + self.time
        return begin + encode_data(self.body)

    @classmethod
    def decode(
        cls, apdu: bytes, *, limits: Limits = DEFAULT_LIMITS, quirks: Quirk = Quirk.ALL
    ) -> DataNotification:
        """Return the push that an APDU is; `quirks` are those that are taken."""
        time, at, found = read_header(apdu, quirks)
        try:
            body = _body(apdu, at, limits, bare_descriptors=False)
        except MalformedDlms as error:
            if Quirk.BARE_DESCRIPTORS not in quirks:
                raise
            try:
                body = _body(apdu, at, limits, bare_descriptors=True)
            except MalformedDlms:
                raise error from None  # of the strict reading
            found |= Quirk.BARE_DESCRIPTORS
        invoke = int.from_bytes(apdu[1:5], "big")
        return cls(invoke, time, body, found)


def read_header(apdu: bytes, quirks: Quirk) -> tuple[DateTime | None, int, Quirk]:
    """Return the date-time of a push, where its value begins, and the quirk it has."""
    if len(apdu) < 7:
        raise MalformedDlms("cut short", offset=len(apdu))
    if apdu[0] != DataNotification.tag:
        raise MalformedDlms("not a data-notification", offset=0)
    if apdu[5] == 0:
        return None, 6, NO_QUIRK
    at, found = 6, NO_QUIRK
    if apdu[5] == 9 and apdu[6] == 12 and Quirk.TAGGED_TIME in quirks:
        at, found = 7, Quirk.TAGGED_TIME
    elif apdu[5] != 12:
        raise MalformedDlms(f"a date-time of {apdu[5]} bytes", offset=5)
    if len(apdu) < at + 13:
        raise MalformedDlms("cut short", offset=len(apdu))
    return DateTime(apdu[at : at + 12]), at + 12, found


def _body(apdu: bytes, at: int, limits: Limits, *, bare_descriptors: bool) -> Data:
    body, stop = read_data(apdu, at, limits=limits, bare_descriptors=bare_descriptors)
    if stop != len(apdu):
        raise MalformedDlms(f"{len(apdu) - stop} bytes behind the value", offset=stop)
    return body


@dataclass(frozen=True, slots=True)
class EventNotification:
    """One attribute that the meter sends of its own accord."""

    time: DateTime | None
    attribute: Attribute
    value: Data
    tag: ClassVar[int] = 0xC2

    def encode(self) -> bytes:
        """Return the APDU."""
        time = b"\0" if self.time is None else b"\x01" + encode_octets(bytes(self.time))
        begin = bytes([self.tag]) + time + self.attribute.encode_plain()
        return begin + encode_data(self.value)


def read_event_notification(reader: Reader) -> EventNotification:
    """Return the event whose tag was read."""
    time: DateTime | None = None
    if reader.flag():
        reader.tag(12, "a date-time of 12 bytes")
        time = DateTime(reader.take(12))
    return EventNotification(time, Attribute.read_plain(reader), reader.value())
