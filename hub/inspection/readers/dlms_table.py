# SPDX-License-Identifier: Apache-2.0
"""What a reader finds that asks by DLMS, as a head end does: what its consent allows, no more.

    0-0:1.0.0      clock, read only
    0-0:42.0.0     name of the logical device
    0-B:96.1.0     identification of a meter whose registers it may read; B counts these meters
    A-B:C.29.E     register (class 3): the use of the last interval, with scaler and unit
    A-B:99.1.N     load profile (class 7): end of interval, state, use; N counts the registers

Every value that is read is handed over as over REST (`readers.handing_over`): on record before it
leaves. An interval is the finest that the consent allows. A state is 0 for a measured interval, 1
estimated, 2 substituted, 3 missing; of a missing one the use is null.

What is not allowed is answered with read-write-denied; what is at fault at home, with
temporary-failure. A reader that may read nothing more, since it was revoked or its consent is over,
is told nothing at all: neither the clock nor the list of objects (`ReaderTable.is_allowed`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from functools import partial
from typing import Final, TypeVar

from dlms_codec import DateTime, UInt8, UInt64, VisibleString
from dlms_codec.apdus.addressing import AccessResult
from dlms_codec.data import Data
from dlms_codec.errors import AccessRefused
from dlms_codec.obis import Obis as CosemObis
from dlms_codec.objects import CosemObject, ObjectTable, Row, clock, comparable, data, profile
from dlms_codec.objects import register as register_object
from dlms_codec.selecting import CLOCK, CaptureObject, Entries, Range
from hub.device import Device
from hub.disclosure import ReleaseRefused
from hub.errors import HubError
from hub.inspection.readers.handing_over import HandedSlot, HandingOver
from hub.inspection.readers.readers import LoginRefused, Reader
from hub.text import printed_id
from protocols.canonical.day_zone import wall_zone
from protocols.metrology import Period, date_at, find_zone, medium_of

INTERVAL: Final = 29
"""In group D: the use of an interval (IEC 62056-6-1)."""
PROFILE: Final = 99
WATT_HOURS: Final = 30
LITRES: Final = 19
STATE: Final = "0-0:96.10.1"
DEVICE_NAME: Final = b"MLT-HUB"
_DAY: Final = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReaderTable:
    """Makes the objects of one reader; `find` finds it anew at each request, or refuses."""

    device: Device
    find: Callable[[], Reader]
    now: Callable[[], int] = field(repr=False)

    def make(self) -> ObjectTable:
        """Return the table; which registers are in it is what the reader is allowed by now."""
        zone = wall_zone(self.device.description.zone)
        objects: list[CosemObject] = [
            clock(lambda: _moment(self.now(), zone)),
            data("0-0:42.0.0", lambda: DEVICE_NAME),
            data(STATE, lambda: UInt8(0)),
        ]
        met: list[bytes] = []
        for number, code in enumerate(self.find().scope.registers, 1):
            if code not in self.device.every_register:
                continue
            objects += self._of_register(code, number)
            if (meter := self.device.meter_of(code).description.meter) not in met:
                identified = partial(self._identification, code)
                objects.append(data(f"0-{len(met)}:96.1.0", identified))
                met.append(meter)
        return ObjectTable(objects)

    def is_allowed(self) -> bool:
        """Tell whether the reader may ask anything by now; that it may not is put on record."""
        try:
            reader = self.find()
            HandingOver(self.device, reader, reader.scope.registers[0]).require_consent()
        except HubError:
            return False
        return True

    def _identification(self, code: bytes) -> Data:
        """Return which meter counts a register, for a reader that may read it."""
        self._guarded(self._handing(code).require_register)
        return VisibleString(printed_id(self.device.meter_of(code).mounted_meter).encode())

    def _of_register(self, code: bytes, number: int) -> list[CosemObject]:
        name = bytes([*code[:3], INTERVAL, *code[4:]])
        unit = LITRES if medium_of(code).counts_volume else WATT_HOURS
        seconds = 60 * max(
            self.find().terms.least_minutes, self.device.every_register[code].slot_minutes
        )
        columns = [
            CLOCK,
            CaptureObject(1, CosemObis.parse(STATE), 2),
            CaptureObject(3, CosemObis(name), 2),
        ]
        zone = wall_zone(self.device.meter_of(code).description.zone)

        def rows(part: Range | Entries) -> Iterator[Row]:
            for slot in self._slots(code, part):
                use = None if slot.use is None else UInt64(slot.use)
                yield bytes(_moment(slot.end, zone)), UInt8(int(slot.state)), use

        def last() -> Data:
            found = self._guarded(lambda: self._handing(code).latest().slots.slots)
            return None if not found or found[-1].use is None else UInt64(found[-1].use)

        return [
            register_object(str(CosemObis(name)), last, scaler=0, unit=unit),
            profile(
                f"{code[0]}-{code[1]}:{PROFILE}.1.{number}", columns, rows, seconds=seconds,
                in_use=lambda: sum(1 for _ in self._slots(code, Entries())),
            ),
        ]  # fmt: skip

    def _slots(self, code: bytes, part: Range | Entries) -> Iterator[HandedSlot]:
        """Yield what is handed over of a part, page by page."""
        handing = self._handing(code)
        period = self._guarded(lambda: self._days(handing, part))
        minutes = handing.reader.terms.least_minutes
        if period is None:
            return
        since: date | None = period.first
        while since is not None:
            page = self._guarded(partial(handing.slots, period, minutes, since))
            yield from page.slots
            since = page.next_day

    def _handing(self, code: bytes) -> HandingOver:
        return HandingOver(self.device, self._guarded(self.find), code)

    @staticmethod
    def _days(handing: HandingOver, part: Range | Entries) -> Period | None:
        """Return the days of a range that the consent has; None where there are none."""
        scope = handing.reader.scope.period
        if isinstance(part, Entries):
            return scope
        zone = find_zone(handing.meter.zone)
        begin, end = (_day_of(comparable(one), zone) for one in (part.begin, part.end))
        # An interval that ends at midnight is of the day before.
        first, last = max(scope.first, begin - _DAY), min(scope.last, end)
        return Period(first, last) if first <= last else None

    @staticmethod
    def _guarded(ask: Callable[[], T]) -> T:
        try:
            return ask()
        except (ReleaseRefused, LoginRefused):
            raise AccessRefused(AccessResult.READ_WRITE_DENIED) from None
        except HubError:
            raise AccessRefused(AccessResult.TEMPORARY_FAILURE) from None


def _day_of(moment: int | datetime | None, zone: tzinfo) -> date:
    if not isinstance(moment, datetime):
        raise AccessRefused(AccessResult.TYPE_UNMATCHED)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return date_at(int(moment.timestamp()), zone)
    except (OverflowError, ValueError, OSError):
        raise AccessRefused(AccessResult.TYPE_UNMATCHED) from None


def _moment(time: int, zone: tzinfo) -> DateTime:
    return DateTime.of(datetime.fromtimestamp(time, zone))
