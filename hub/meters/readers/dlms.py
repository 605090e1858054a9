# SPDX-License-Identifier: Apache-2.0
"""DLMS: what a meter pushes, in frames of HDLC, M-Bus or the wrapper."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from dlms_codec import (
    NO_KEYS,
    Damage,
    DamageKind,
    Date,
    DateTime,
    Keys,
    Push,
    PushValue,
    StreamDecoder,
    Telegram,
    Time,
    Transport,
)
from hub.meters.readers.decoding import DecodingReader
from hub.meters.telegrams import (
    IN_CLEAR,
    NO_TAG,
    SEEN_BEFORE,
    Counted,
    Counters,
    Heard,
    LostBytes,
    MeterTelegram,
    Quantity,
    counted,
    gathered,
    key_mark,
)
from protocols.metrology import medium_of

PROTOCOL: Final = "DLMS"
IDENTIFICATIONS: Final = ((0, 96, 1, 0), (0, 96, 1, 1), (0, 42, 0, 0), (1, 0, 0, 5), (1, 0, 0, 0))
"""Groups A, C, D and E of what names a meter."""


class DlmsReader(DecodingReader[Iterable[Telegram | Damage]]):
    """Reads pushes; `zone` is where the meter's clock hangs, for times that say no deviation."""

    def __init__(
        self,
        transport: Transport,
        zone: tzinfo,
        keys: Keys = NO_KEYS,
        system_title: bytes | None = None,
    ) -> None:
        self._zone, self._counters = zone, Counters()
        self._keys = keys
        self._mark = None if keys.encryption is None else key_mark(keys.encryption)
        self._decoder = StreamDecoder(transport, keys=keys, system_title=system_title)

    def _heard(self, events: Iterable[Telegram | Damage]) -> Heard:
        heard = Heard()
        for event in events:
            match event:
                case Damage():
                    if event.kind is not DamageKind.INCOMPLETE:
                        heard.lost.append(LostBytes(event.offset, event.reason))
                case Telegram(push=None):
                    reason = "no push: a meter that answers questions has to be asked"
                    why = str(event.error) if event.error is not None else reason
                    heard.lost.append(LostBytes(event.offset, why))
                case Telegram(push=push) if push is not None:
                    if why := self._untrusted(event):
                        heard.lost.append(LostBytes(event.offset, why))
                    else:
                        heard.telegrams.append(self._telegram(event, push))
        return heard

    def _untrusted(self, telegram: Telegram) -> str:
        """Return why a push is not believed; nothing if it is."""
        if self._keys.encryption is None:
            return ""
        protection = telegram.protection
        if protection is None or not protection.protected.encrypted:
            return IN_CLEAR
        if self._keys.authentication is not None and not telegram.authenticated:
            return NO_TAG
        title = getattr(protection, "system_title", b"")
        counter = protection.protected.counter
        return "" if self._counters.follows(title, counter) else SEEN_BEFORE

    def _telegram(self, telegram: Telegram, push: Push) -> MeterTelegram:
        meter = next(
            (text for wanted in IDENTIFICATIONS if (text := _text(push.values, wanted))), b""
        )
        if not meter:
            title = getattr(telegram.protection, "system_title", b"")
            meter = title.hex().encode() if title else b""
        return MeterTelegram(
            telegram.offset,
            PROTOCOL,
            meter,
            _counted(push.values),
            self._seconds(push.time),
            key_mark=self._mark,  # in clear it would not have been believed
        )

    def _seconds(self, time: DateTime | None) -> int | None:
        """Return the moment. A deviation of 0 says nothing: meters send it and mean local time."""
        local: datetime | None = None if time is None else time.local
        if time is None or local is None:
            return None
        if time.deviation:
            return int((local.replace(tzinfo=UTC) + timedelta(minutes=time.deviation)).timestamp())
        return int(local.replace(tzinfo=self._zone).timestamp())


def _counted(values: Iterable[PushValue]) -> dict[Quantity, Counted]:
    return gathered(
        (
            Quantity.of(code.code),
            counted(number, scaler, one.unit_symbol, medium_of(code.code)),
        )
        for one in values
        if (code := one.obis) is not None
        and (number := one.number) is not None
        and (scaler := one.meaning.scaler) is not None
    )


def _text(values: Iterable[PushValue], wanted: tuple[int, int, int, int]) -> bytes:
    for one in values:
        code = None if one.obis is None else one.obis.code
        if code is None or (code[0], *code[2:5]) != wanted:
            continue
        if isinstance(one.value, bytes) and not isinstance(one.value, DateTime | Date | Time):
            data = bytes(one.value)
            return data if data.isascii() and data.decode().isprintable() else data.hex().encode()
    return b""
