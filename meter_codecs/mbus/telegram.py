# SPDX-License-Identifier: Apache-2.0
"""From a frame to a meter's values: layers, keys, records.

`read_*` always return a telegram, with as much as could be read and the `error` that ended it;
`decode_*` raise that error. A telegram whose authentication code is wrong has no values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Final, TypeAlias

from meter_codecs.mbus._twins import twin
from meter_codecs.mbus.address import Address
from meter_codecs.mbus.compact import FormatMemory, decode_compact, decode_format
from meter_codecs.mbus.crc import crc16
from meter_codecs.mbus.errors import (
    ChecksumMismatch,
    ForgedMessage,
    KeyMissing,
    MalformedMbus,
    MbusError,
    RequestRefused,
    UnreadContent,
    UnsupportedMode,
    WrongKey,
)
from meter_codecs.mbus.fixed import FixedData, decode_fixed
from meter_codecs.mbus.frames import LongFrame
from meter_codecs.mbus.keys import BLOCK, CCM_TAG, NO_KEYS, KeyRing, MeterKey
from meter_codecs.mbus.layers import (
    AES_CCM,
    APPLICATION_ERROR,
    APPLICATION_ERRORS,
    COMPACT,
    COMPACT_LONG,
    COMPACT_SHORT,
    ELL_LONG_SESSION,
    ELL_SHORT,
    FIXED,
    FORMATS,
    MODES,
    RECORDS,
    Authentication,
    ExtendedLink,
    Header,
    content_name,
    read_authentication,
    read_extended_link,
    read_header,
)
from meter_codecs.mbus.link import FrameFormat, LinkFrame, decode_link, without_last_checksum
from meter_codecs.mbus.proprietary import OWN_CI, maker_name, mode_name, own_address, pretender
from meter_codecs.mbus.quantities import STANDARD
from meter_codecs.mbus.records import Body, Record, decode_body

_CHECK: Final = b"\x2f\x2f"
_AFL: Final = b"\x90"
_CMACS: Final = frozenset({5, 6, 7})
"""The kinds of authentication code that count: AES-CMAC of 8, 12 and 16 bytes; 2 are guessed."""
_ZEROS: Final = bytes(BLOCK)
_ALL: Final = 0xFF
_DERIVATION: Final = 0x30
_BY_CMAC: Final = 0x10
"""Of a configuration's extension: the key of the message is derived by AES-CMAC."""

Content: TypeAlias = Body | FixedData


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a meter has sent, from its layers to its values."""

    frame: LongFrame | LinkFrame
    meter: Address | None = None
    """Who measured: of a long header, or else of the radio link."""
    ci: int | None = None
    """What the content is; None if the layers before it cannot be read."""
    header: Header | None = None
    extended_link: ExtendedLink | None = None
    authentication: Authentication | None = None
    is_encrypted: bool = False
    is_authenticated: bool | None = None
    """Whether its authentication code is right; None without one, or without the key for it."""
    plain: bytes | None = None
    """The content behind the header, deciphered."""
    content: Content | None = None
    error: MbusError | None = None
    key: MeterKey | None = field(default=None, repr=False, compare=False)
    """What opened it, of its layers the innermost; None: it came in clear."""

    @property
    def records(self) -> tuple[Record, ...]:
        """The values, in the order sent."""
        return self.content.records if isinstance(self.content, Body) else ()

    @property
    def mode(self) -> int:
        """The security mode of the header, 0 without one."""
        return self.header.mode if self.header else 0

    @property
    def counter(self) -> int | None:
        """The message counter, which must rise from message to message."""
        if self.header is not None and self.header.counter is not None:
            return self.header.counter
        return self.authentication.counter if self.authentication else None

    def encode(self) -> bytes:
        """Return the bytes of its frame."""
        return self.frame.encode()


_Blank: Final = twin(Telegram)


class _Reading:
    """The telegram as it becomes known."""

    def __init__(
        self, frame: LongFrame | LinkFrame, keys: KeyRing, formats: FormatMemory | None
    ) -> None:
        self.frame = frame
        self.is_radio = isinstance(frame, LinkFrame)
        self.link = frame.address if isinstance(frame, LinkFrame) else None
        self.keys = keys
        self.formats = formats
        self.meter = self.link
        self.ci: int | None = None
        self.header: Header | None = None
        self.extended: ExtendedLink | None = None
        self.authentication: Authentication | None = None
        self.is_encrypted = False
        self.is_authenticated: bool | None = None
        self.plain: bytes | None = None
        self.content: Content | None = None
        self.opened_by: MeterKey | None = None

    def telegram(self, error: MbusError | None) -> Telegram:
        made = _Blank()
        made.frame = self.frame
        made.meter = self.meter
        made.ci = self.ci
        made.header = self.header
        made.extended_link = self.extended
        made.authentication = self.authentication
        made.is_encrypted = self.is_encrypted
        made.is_authenticated = self.is_authenticated
        made.plain = self.plain
        made.content = self.content
        made.error = error
        made.key = self.opened_by
        made.__class__ = Telegram
        telegram: Telegram = made
        return telegram

    def key(self) -> MeterKey:
        key = self.keys.find(self.meter, self.link)
        if key is None:
            raise KeyMissing(f"enciphered, and there is no key for {self.meter or 'this meter'}")
        return key

    def source(self) -> tuple[Address | None, bool]:
        """Return whose formats are meant; clear frames teach nothing about enciphered ones."""
        return self.meter, self.is_encrypted

    def wrong_key(self, sign: str) -> WrongKey:
        unchecked = (
            isinstance(self.frame, LinkFrame) and self.frame.frame_format is FrameFormat.BARE
        )
        rest = ", or it was damaged: it came without checksums" if unchecked else ""
        return WrongKey(f"the key for {self.meter or 'this meter'} does not open it ({sign}){rest}")

    def read(self, payload: bytes) -> None:
        """Read all layers; `payload` begins with a CI byte."""
        at = 0
        if payload and ELL_SHORT <= payload[0] <= ELL_LONG_SESSION:
            self.extended, at = read_extended_link(payload, 0)
            if self.extended.session is not None:
                payload, at = self.open_session(self.extended, payload[at:]), 0
        if payload[at : at + 1] == _AFL:
            self.authentication, at = read_authentication(payload, at)
            if self.authentication.is_fragment:
                raise MalformedMbus("a fragment of a longer message: join them first", offset=0)
        if at >= len(payload):
            raise MalformedMbus("end before the content", offset=at)
        ci = self.ci = payload[at]
        start = at
        at += 1
        if ci == FIXED and not self.is_radio:
            self.plain = payload[at:]
            self.content = decode_fixed(self.plain)
            return
        if self.is_radio and ci == COMPACT_LONG:
            self.header, at = read_header(0x72, payload, at)
        else:
            self.header, at = read_header(ci, payload, at)
        if self.header and self.header.address:
            self.meter = self.header.address
        elif isinstance(self.frame, LinkFrame):
            mode = self.header.mode if self.header else 0
            self.meter = own_address(self.frame.control, self.frame.address, ci, mode)
        self.plain = self.open_content(payload, start, at)
        self.read_content(ci, self.plain)

    def open_session(self, layer: ExtendedLink, data: bytes) -> bytes:
        """Return what the extended link layer carries; its CRC comes first and is checked."""
        if len(data) < 3:
            raise MalformedMbus("end within the extended link layer", offset=len(data))
        if _has_crc(data):
            return data[2:]  # in clear, or deciphered by who received it
        if layer.encryption == 0:
            raise ChecksumMismatch("extended link layer", offset=0)
        self.is_encrypted = True
        if layer.encryption != 1:
            raise UnsupportedMode(
                f"extended link layer: enciphering {layer.encryption} is reserved"
            )
        if self.link is None:
            raise MalformedMbus("a session on the wire, where there is none", offset=0)
        session = (layer.session or 0).to_bytes(4, "little")
        start = self.link.encode_link() + bytes([layer.control]) + session + bytes(3)
        key = self.key()
        plain = key.apply_ctr(start, data)
        if not _has_crc(plain):
            raise self.wrong_key("the CRC of what it carries is wrong")
        self.opened_by = key
        return plain[2:]

    def open_content(self, payload: bytes, start: int, at: int) -> bytes:
        """Return what the header carries, deciphered, its authentication code checked."""
        header, data = self.header, payload[at:]
        mode = header.mode if header else 0
        nothing = header is not None and mode < 5 and not header.configuration & 0xFF
        if mode not in (5, 7, AES_CCM) and (nothing or data.startswith(_CHECK)):
            mode = 0  # no byte is enciphered, or who received it has deciphered it
        if mode not in MODES and not self.is_radio and self.ci in RECORDS:
            # Old meters on a wire have anything in these two bytes. By radio nothing is tried: of
            # short scrambled telegrams one in a hundred would look like records.
            mode = 0 if _are_plain_records(data) else mode
        if mode not in (0, 5, 7, AES_CCM):
            self.is_encrypted = True
            what = MODES.get(mode) or mode_name(mode, self.meter)
            raise UnsupportedMode(f"security mode {mode} ({what}) is not read")
        if header is not None and mode == AES_CCM:
            return self.open_ccm(header, payload[start:at], data)
        if self.authentication is not None:
            self.check_mac(self.authentication, payload[start:])
        plain: bytes | None = data
        if header is not None and mode and not data.startswith(_CHECK):
            self.is_encrypted = True
            plain = self.open_blocks(header, data)
            if plain is None:
                raise self.wrong_key("it does not begin with 2f2f")
            if mode == 7 and self.is_authenticated is None:
                raise ForgedMessage("mode 7 without an authentication code of 8 bytes or more")
        if self.is_authenticated is False:
            raise ForgedMessage("the authentication code is wrong: it is not what the meter sent")
        return plain if plain is not None else data

    def check_mac(self, layer: Authentication, content: bytes) -> None:
        """Note whether the authentication code is right; nothing if there is no key to tell."""
        key = self.keys.find(self.meter, self.link)
        if key is None or layer.counter is None or layer.mac is None or self.meter is None:
            return
        if (layer.control or 0) & 0x0F not in _CMACS:
            return
        mac = key.derive(1, layer.counter, self.meter.number)
        expected = mac.mac(layer.authenticated() + content)[: len(layer.mac)]
        self.is_authenticated = compare_digest(expected, layer.mac)

    def open_ccm(self, header: Header, clear: bytes, data: bytes) -> bytes:
        """Return the content under AES-CCM; its tag covers the header, too."""
        self.is_encrypted = True
        counter = header.counter or 0
        # Nothing else has been seen, and a layout is not guessed: all of it is enciphered, by a
        # key derived for the message.
        if header.configuration & 0xFF != _ALL or header.extension[0] & _DERIVATION != _BY_CMAC:
            raise UnsupportedMode(
                f"security mode {AES_CCM} ({MODES[AES_CCM]}) with the configuration "
                f"{header.configuration:04x}, {header.extension[:2].hex()} is not read"
            )
        if len(data) < CCM_TAG:
            raise MalformedMbus("end within the tag", offset=len(data))
        if self.meter is None:
            raise MalformedMbus("enciphered, without the address of the meter", offset=0)
        own = self.key()
        key = own.derive(0, counter, self.meter.number)
        nonce = self.meter.encode_link() + b"\0" + counter.to_bytes(4, "big")
        plain = key.open_ccm(nonce, data, clear[: -len(header.extension[2:])])
        if plain is None:
            self.is_authenticated = False
            raise self.wrong_key("its tag is wrong: it may be changed, too")
        self.is_authenticated = True
        self.opened_by = own
        return plain

    def open_blocks(self, header: Header, data: bytes) -> bytes | None:
        """Return the content, its first blocks deciphered; None if the key is wrong."""
        size = BLOCK * header.blocks or len(data) // BLOCK * BLOCK
        if not 0 < size <= len(data):
            raise MalformedMbus(f"{size} bytes enciphered, {len(data)} are there", offset=0)
        if self.meter is None:
            raise MalformedMbus("enciphered, without the address of the meter", offset=0)
        if header.mode == 5:
            own = key = self.key()
            start = self.meter.encode_link() + bytes((header.access,)) * 8
        else:
            if self.authentication is None or self.authentication.counter is None:
                raise MalformedMbus("mode 7 without a message counter", offset=0)
            own = self.key()
            key = own.derive(0, self.authentication.counter, self.meter.number)
            start = _ZEROS
        plain = key.decrypt_cbc(start, data[:size])
        if not plain.startswith(_CHECK):
            return None
        self.opened_by = own
        return plain + data[size:]

    def read_content(self, ci: int, plain: bytes) -> None:
        """Read the records."""
        if ci in RECORDS:
            if whose := pretender(self.meter):
                raise UnreadContent(f"no records, though CI {ci:02x} says so: {whose}", ci=ci)
            body = decode_body(plain)
            if self.formats is not None:
                self.formats.learn(body, self.source())
            self.content = body
        elif ci in (COMPACT, COMPACT_SHORT) or (ci == COMPACT_LONG and self.is_radio):
            self.content = decode_compact(
                plain.removeprefix(_CHECK), self.formats or _NOTHING, self.source()
            )
        elif ci in FORMATS:
            heads = decode_format(plain)
            if self.formats is not None:
                self.formats.add(heads, self.source())
            self.content = Body(())
        elif ci in APPLICATION_ERROR and len(plain) == 1:
            reason = APPLICATION_ERRORS.get(plain[0], f"number {plain[0]}")
            raise RequestRefused(f"the meter sends an application error: {reason}")
        else:
            what = maker_name(self.meter) if ci in OWN_CI else content_name(ci)
            raise UnreadContent(f"CI {ci:02x} ({what}) has no values that are read", ci=ci)


_NOTHING: Final = FormatMemory()


def _are_plain_records(data: bytes) -> bool:
    """Whether bytes are in clear: records to the last byte, each of a quantity of the standard."""
    try:
        body = decode_body(data)
    except MbusError:
        return False
    return bool(body.records) and body.own_data is None and all(map(_is_plain, body.records))


def _is_plain(record: Record) -> bool:
    is_named = record.head.quantity in STANDARD and not record.head.extensions
    return is_named and not record.is_invalid


def _has_crc(data: bytes) -> bool:
    return crc16(data[2:]) == int.from_bytes(data[:2], "little")


def _read(reading: _Reading, payload: bytes) -> Telegram:
    try:
        reading.read(payload)
    except MbusError as error:
        reading.content = None
        return reading.telegram(error)
    return reading.telegram(None)


def read_wired(
    frame: LongFrame, *, keys: KeyRing = NO_KEYS, formats: FormatMemory | None = None
) -> Telegram:
    """Return what a long frame carries, as far as it can be read.

    `formats` is where the formats of compact frames are kept from one frame to the next.
    """
    return _read(_Reading(frame, keys, formats), bytes([frame.ci]) + frame.data)


def read_wireless(
    frame: LinkFrame, *, keys: KeyRing = NO_KEYS, formats: FormatMemory | None = None
) -> Telegram:
    """Return what a frame of the radio link carries, as far as it can be read."""
    telegram = _read(_Reading(frame, keys, formats), frame.payload)
    if isinstance(telegram.error, MalformedMbus) and (
        rest := _without_last_checksum(telegram, frame)
    ):
        again = _read(_Reading(rest, keys, formats), rest.payload)
        return telegram if again.error else replace(again, frame=frame)
    return telegram


def _without_last_checksum(telegram: Telegram, frame: LinkFrame) -> LinkFrame | None:
    """Return a frame that cannot be read without the checksum at its end; None if there is none."""
    rest = without_last_checksum(frame)
    header, plain = telegram.header, telegram.plain
    if rest is not None or header is None or plain is None or header.mode != 5:
        return rest
    # Who received it has deciphered it, too: the checksum was that of the enciphered bytes. It lies
    # behind them, and two bytes are no value.
    is_left_in = not telegram.is_encrypted and len(plain) == BLOCK * header.blocks + 2 > 2
    if not is_left_in or frame.frame_format is not FrameFormat.BARE:
        return None
    return replace(frame, payload=frame.payload[:-2])


def decode_wired(
    frame: LongFrame, *, keys: KeyRing = NO_KEYS, formats: FormatMemory | None = None
) -> Telegram:
    """Return what a long frame carries; raise `MbusError` if it cannot be read."""
    return _whole(read_wired(frame, keys=keys, formats=formats))


def decode_wireless(
    wire: bytes, *, keys: KeyRing = NO_KEYS, formats: FormatMemory | None = None
) -> Telegram:
    """Return what a wireless frame carries; raise `MbusError` if it cannot be read."""
    return _whole(read_wireless(decode_link(wire), keys=keys, formats=formats))


def _whole(telegram: Telegram) -> Telegram:
    if telegram.error is not None:
        raise telegram.error
    return telegram
