# SPDX-License-Identifier: Apache-2.0
"""Load profiles: the shape of a day's use, and how like it a household's use is.

A profile has a number for each slot of a workday, a Saturday and a Sunday (holidays count as
Sundays). A household's score is the covariance of its use with the profile over the period, divided
by the profile's deviation: Σ w[t]·x[t] with w[t] = SCALE·(p[t] − mean) / √Σ(p − mean)². So the
highest score is that of the profile whose shape correlates best with the use, whatever its size.
All of it is whole numbers, rounded down, so that both sides reckon the same.

    document = JSON, keys in order, no blanks, whole numbers only: one set has one encoding
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from hashlib import sha256
from math import isqrt
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FORMAT: Final = "meterlet profiles 1"
DIGEST_DOMAIN: Final = b"meterlet/profiles/digest/1\x00"
SCALE: Final = 10**5
DAY_SECONDS: Final = 86_400
WORKDAY, SATURDAY, SUNDAY = range(3)
MOST_PROFILES: Final = 12
LARGEST: Final = 1 << 40
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9 ._-]{0,39}", re.ASCII)


class ProfilesMalformed(Exception):
    """A document is not a set of profiles."""


def canonical_json(value: object) -> bytes:
    """Return the one encoding that documents have here."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True,
                      separators=(",", ":"))  # fmt: skip
    return text.encode()


@dataclass(frozen=True, slots=True)
class Profile:
    """The shape of a workday, a Saturday and a Sunday."""

    name: str
    days: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ProfilesMalformed(f"{self.name!r} is no name for a profile")
        if len(self.days) != 3 or len({len(day) for day in self.days}) != 1:
            raise ProfilesMalformed(f"{self.name}: not three days of as many slots")
        if any(not 0 <= value < LARGEST for day in self.days for value in day):
            raise ProfilesMalformed(f"{self.name}: a number is below 0 or too large")


@dataclass(frozen=True)
class ProfileSet:
    """Profiles to choose from."""

    name: str
    version: int
    zone: str
    """Whose local days the profiles are of."""
    holidays: tuple[str, ...]
    """Local dates that count as Sundays, `2025-05-01`, in order."""
    profiles: tuple[Profile, ...]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or not 1 <= self.version < 1 << 32:
            raise ProfilesMalformed("a set has a name and a version from 1")
        if not 2 <= len(self.profiles) <= MOST_PROFILES:
            raise ProfilesMalformed(f"a set has 2 to {MOST_PROFILES} profiles")
        if len({profile.name for profile in self.profiles}) != len(self.profiles):
            raise ProfilesMalformed("two profiles have one name")
        slots = {len(profile.days[0]) for profile in self.profiles}
        if len(slots) != 1 or DAY_SECONDS % max(slots.pop(), 7):
            raise ProfilesMalformed("the profiles' slots do not fill a day, or differ")
        try:
            ZoneInfo(self.zone)
            days = [date.fromisoformat(day) for day in self.holidays]
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ProfilesMalformed("there is no such zone or holiday") from None
        if [day.isoformat() for day in sorted(set(days))] != list(self.holidays):
            raise ProfilesMalformed("the holidays are not in order")

    @property
    def slot_seconds(self) -> int:
        """How long a profile's slots are."""
        return DAY_SECONDS // len(self.profiles[0].days[0])

    @property
    def names(self) -> tuple[str, ...]:
        """The profiles' names, in order."""
        return tuple(profile.name for profile in self.profiles)

    def weights(self, starts: Sequence[int], slot_seconds: int) -> list[list[int]]:
        """Return for each profile the weight of each slot in its score.

        Raises `ProfilesMalformed` where slots are not as long as the profiles', or a profile is
        flat over them.
        """
        if slot_seconds != self.slot_seconds:
            raise ProfilesMalformed(
                f"the profiles have slots of {self.slot_seconds} s, the meter {slot_seconds} s"
            )
        places = [self._place(start) for start in starts]
        return [_normal(profile, places) for profile in self.profiles]

    def _place(self, start: int) -> tuple[int, int]:
        local = datetime.fromtimestamp(start, ZoneInfo(self.zone))
        kind = _kind(local.date(), self.holidays)
        seconds = 3600 * local.hour + 60 * local.minute + local.second
        return kind, seconds // self.slot_seconds

    def members(self) -> dict[str, Any]:
        """Return what the document holds."""
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "zone": self.zone,
            "holidays": list(self.holidays),
            "profiles": [{"name": p.name, "days": p.days} for p in self.profiles],
        }

    def encode(self) -> bytes:
        """Return the document."""
        return canonical_json(self.members())

    @classmethod
    def from_members(cls, members: object) -> "ProfileSet":
        """Return the set that a document holds; raise `ProfilesMalformed`."""
        match members:
            case {
                "format": str(form),
                "name": str(name),
                "version": int(version),
                "zone": str(zone),
                "holidays": list(holidays),
                "profiles": list(profiles),
                **rest,
            } if (
                form == FORMAT
                and not rest
                and type(version) is int
                and all(type(day) is str for day in holidays)
            ):
                found = tuple(map(_profile, profiles))
                return cls(name, version, zone, tuple(holidays), found)
            case _:
                raise ProfilesMalformed(f"not a {FORMAT!r} document")

    @classmethod
    def decode(cls, document: bytes) -> "ProfileSet":
        """Return the set that `document` is; raise `ProfilesMalformed` for anything else."""
        try:
            found = cls.from_members(json.loads(document))
        except (ValueError, RecursionError):
            raise ProfilesMalformed("not JSON") from None
        if found.encode() != document:
            raise ProfilesMalformed("not in its one encoding")
        return found

    @cached_property
    def digest(self) -> bytes:
        """The 32 bytes that name this set."""
        return sha256(DIGEST_DOMAIN + self.encode()).digest()


@lru_cache(maxsize=4096)
def _kind(day: date, holidays: tuple[str, ...]) -> int:
    if day.isoformat() in holidays or day.weekday() == 6:
        return SUNDAY
    return SATURDAY if day.weekday() == 5 else WORKDAY


def _profile(value: object) -> Profile:
    match value:
        case {"name": str(name), "days": list(days), **rest} if not rest:
            if all(type(day) is list and all(type(n) is int for n in day) for day in days):
                return Profile(name, tuple(map(tuple, days)))
    raise ProfilesMalformed("a profile has a name and three days of whole numbers")


def _normal(profile: Profile, places: Sequence[tuple[int, int]]) -> list[int]:
    count = len(places)
    values = [count * profile.days[kind][slot] for kind, slot in places]
    mean = sum(values) // count
    offsets = [value - mean for value in values]
    deviation = isqrt(sum(offset * offset for offset in offsets))
    if not deviation:
        raise ProfilesMalformed(f"{profile.name}: the profile is flat over these slots")
    return [SCALE * offset // deviation for offset in offsets]
