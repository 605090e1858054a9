# SPDX-License-Identifier: Apache-2.0
"""Zones whose days begin at another hour than midnight, as the gas day begins at six.

    Europe/Berlin           the IANA zone; a day begins at midnight
    Europe/Berlin@06:00     the same clock on the wall; a day lasts from 06:00 to 06:00

Such a zone is the IANA one with its clock put back by so many hours. All that is worked out of
days, months and slots then holds for it, with 23 and 25 hours where the clock changes. `wall_zone`
gives the zone whose clock people read.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Self
from zoneinfo import ZoneInfo

_NAMED: Final = re.compile(r"([^@]+)@(0[1-9]|1[0-2]):00")
MOST_CACHED: Final = 64


class DayZone(ZoneInfo):
    """An IANA zone whose days begin some hours after midnight."""

    _later: timedelta
    _wall: ZoneInfo
    _name: str

    @classmethod
    def of(cls, name: str, wall: ZoneInfo, hours: int) -> Self:
        """Return the zone whose days begin at this hour of another's clock."""
        zone = cls.no_cache(wall.key)
        zone._later, zone._wall, zone._name = timedelta(hours=hours), wall, name
        return zone

    def utcoffset(self, moment: datetime | None, /) -> timedelta | None:
        """Return what its clock is ahead of UTC."""
        offset = self._of_wall(moment, ZoneInfo.utcoffset)
        return None if offset is None else offset - self._later

    def dst(self, moment: datetime | None, /) -> timedelta | None:
        """Return the daylight saving time of the IANA zone."""
        return self._of_wall(moment, ZoneInfo.dst)

    def tzname(self, moment: datetime | None, /) -> str | None:
        """Return the zone's name: its clock is not one that has a name by season."""
        return self._name

    def fromutc(self, moment: datetime, /) -> datetime:
        """Return the time of its clock; the fold is the IANA zone's."""
        shown = self._wall.fromutc(moment.replace(tzinfo=self._wall))
        return (shown.replace(tzinfo=None) - self._later).replace(tzinfo=self, fold=shown.fold)

    def _of_wall(
        self, moment: datetime | None, ask: Callable[[ZoneInfo, datetime], timedelta | None]
    ) -> timedelta | None:
        if moment is None:
            return None
        wall = (moment.replace(tzinfo=None) + self._later).replace(fold=moment.fold)
        return ask(self._wall, wall.replace(tzinfo=self._wall))

    def __str__(self) -> str:
        return self._name


@lru_cache(maxsize=MOST_CACHED)
def zone_named(name: str) -> ZoneInfo:
    """Return the zone; raise as `ZoneInfo` does where there is none of that name."""
    found = _NAMED.fullmatch(name)
    if found is None:
        return ZoneInfo(name)
    return DayZone.of(name, ZoneInfo(found[1]), int(found[2]))


def wall_zone(name: str) -> ZoneInfo:
    """Return the IANA zone whose clock people read where days are those of this zone."""
    return ZoneInfo(name.partition("@")[0])
