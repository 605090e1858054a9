# SPDX-License-Identifier: Apache-2.0
"""SML telegrams as the JSON of `meterlet meter decode`; `meterlet sml` shows more of them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from meterlet.meter_views.events import Event, damage_view
from sml_codec import (
    Damage,
    FileReader,
    Limits,
    ListEntry,
    PeriodEntry,
    SmlFile,
    StreamDecoder,
    Telegram,
    TimeChoice,
    entries,
)
from sml_codec.records import record_of

LONGEST_FILE: Final = 1 << 24
_STAMPS: Final = (TimeChoice.TIMESTAMP, TimeChoice.LOCAL_TIMESTAMP)


class SmlCapture:
    """Reads a stream of frames, or one file without frames that ends with the stream."""

    def __init__(self, *, is_bare: bool = False) -> None:
        self._decoder = None if is_bare else StreamDecoder()
        self._file = bytearray()
        self.frames = 0

    def feed(self, data: bytes) -> list[Event]:
        """Return what these bytes complete."""
        if self._decoder is not None:
            return self._shown(self._decoder.feed(data))
        self._file += data[: LONGEST_FILE - len(self._file)]
        return []

    def close(self) -> list[Event]:
        """Return what is left at the end."""
        if self._decoder is not None:
            return self._shown(self._decoder.close())
        size = len(self._file)
        found = FileReader(limits=Limits(frame=size, octets=size)).read(bytes(self._file))
        view = _view(0, None, None, found)
        if found.error is not None:
            view |= {"error": str(found.error), "fault": "malformed"}
        return [view]

    def _shown(self, telegrams: Iterable[Telegram]) -> list[Event]:
        return [self._event(telegram) for telegram in telegrams]

    def _event(self, telegram: Telegram) -> Event:
        frame = telegram.frame
        if isinstance(frame, Damage):
            reason = "; ".join(frame.reasons)
            return damage_view(frame.offset, frame.length, frame.kind.value, reason)
        self.frames += 1
        found = telegram.file
        if not telegram.is_intact:
            why = str(found.error) if found.error is not None else "a message of it is damaged"
            view = _view(frame.offset, None, None, None)
            return view | {"error": why, "fault": "malformed"}
        meter = None if telegram.server_id is None else telegram.server_id.hex()
        view = _view(frame.offset, meter, _time_text(telegram), found)
        if telegram.device_id:
            view["device_id"] = telegram.device_id
        return view


def _view(offset: int, meter: str | None, time: str | None, found: SmlFile | None) -> Event:
    return {
        "offset": offset,
        "protocol": "sml",
        "meter": meter,
        "time": time,
        "encrypted": False,
        "authenticated": None,
        "values": None if found is None else [value_view(entry) for entry in entries(found)],
    }


def value_view(entry: ListEntry | PeriodEntry) -> dict[str, Any]:
    """Return one value as a tree of JSON."""
    record = record_of(entry)
    return {
        "obis": record["obis"],
        "value": record["value"],
        "scaler": entry.scaler,
        "unit": entry.unit_symbol or None,
    }


def _time_text(telegram: Telegram) -> str | None:
    time = telegram.meter_time
    if time is None or time.choice not in _STAMPS:
        return None
    with suppress(ValueError, OverflowError, OSError):  # beyond any calendar
        return f"{datetime.fromtimestamp(time.seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return None
