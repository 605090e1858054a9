# SPDX-License-Identifier: Apache-2.0
"""VDE-AR-E 2418-6: tariffs and readings as German smart meter gateways exchange them.

The supplier's file says which tariff stage holds when (TAF 1: one stage; TAF 2: stages by time of
use, a profile for each day); the gateway's file has readings of registers with a status. From both
follow the amounts of the derived registers: one for each stage, and an error register for energy
that belongs to no one stage. The rules are those that the certified transparency software TRuDI
applies; its test cases are tests of this module.

The energy between two valid readings that follow each other goes to a stage if

  - all of the time between lies within one run of the stage on one local day, or
  - the stage is the same all the time between, and still is at the moment of the second reading;

otherwise to the error register. Readings with a status of 3 or worse count as absent. Time for
which the supplier's file has no profile goes to no register. Nor does the time before a period's
first valid reading and after its last one; `open_ends` names it.

TAF 1 has one stage for each direction, and a period of 1, 2, 3, 6 or 12 whole months: its amount is
the difference of the readings at the period's begin and end, and nothing stands in for them.

Only original lists of values count: a register that the gateway derived itself is refused.

Amounts are in the unit of the readings' register, value times 10^scaler Wh.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree

from protocols.canonical.foreign_text import ForeignTextRefused, read_xml
from tariffs.clock import DAY, ZoneClock, date_of, day_number
from tariffs.errors import MalformedTariff, UnbillableReadings
from tariffs.usage import utc_text

NAMES: Final = {"v": "http://vde.de/AR_2418-6.xsd", "e": "http://naesb.org/espi"}
ZONE: Final = "Europe/Berlin"
FIRST_INVALID_STATUS: Final = 3
ERROR_STAGE: Final = 63
MOST_LISTS: Final = 3
PERIOD_MONTHS: Final = (1, 2, 3, 6, 12)
OBIS: Final = re.compile(r"[0-9a-f]{12}")

Profile = tuple[tuple[int, int], ...]
"""From minute, stage: the runs of a day in order, the first from minute 0."""


@dataclass(frozen=True, slots=True)
class StampedValue:
    """A register's value at a moment."""

    time: int
    value: int
    status: int

    @property
    def valid(self) -> bool:
        """Whether it may be billed by."""
        return self.status < FIRST_INVALID_STATUS


@dataclass(frozen=True, slots=True)
class MeterSeries:
    """The values of one register of one meter, in order of time."""

    obis: str
    """The register's code, 12 hexadecimal digits, lower case."""
    meter: str
    scaler: int
    values: tuple[StampedValue, ...]


@dataclass(frozen=True, slots=True)
class StageTariff:
    """Which stage of a tariff holds when."""

    use_case: int
    """1 or 2: the TAF of BSI TR-03109-1."""
    stages: Mapping[int, str]
    """The derived register (OBIS code) of each stage."""
    days: Mapping[tuple[int, str], Profile]
    """For a day's number and a direction ("01" import, "02" export), its runs."""
    default: int
    period: tuple[int, int] | None = None
    """The billing period that the file says, in seconds since 1970."""

    def run_at(self, clock: ZoneClock, moment: int, direction: str) -> tuple[int, int] | None:
        """Return the stage at a moment and the end of its run that day; None: no profile."""
        day, second = divmod(moment + clock.span(moment)[2], DAY)
        profile = self.days.get((day, direction))
        if profile is None:
            return None
        place = bisect_right(profile, (second // 60, 1 << 32)) - 1
        midnight = clock.day_begin(day + 1)
        if place + 1 == len(profile):
            return profile[place][1], midnight
        # The run's end on the wall clock; a change of the clock may lie before it.
        local = day * DAY + profile[place + 1][0] * 60
        end = local - clock.span(local - clock.span(moment)[2])[2]
        return profile[place][1], min(end, midnight)


def register_amounts(
    tariff: StageTariff, series: Sequence[MeterSeries], begin: int, end: int
) -> dict[str, int]:
    """Return the amount of every derived register, by OBIS code, for [begin, end].

    Raises `UnbillableReadings` for readings or a period that give no amount.
    """
    _check_originals(tariff, series)
    clock = ZoneClock(ZONE)
    amounts = dict.fromkeys(tariff.stages.values(), 0)
    if tariff.use_case == 1:
        _check_period(tariff, clock, begin, end)
        for one in series:
            first, last = _value_at(one, begin), _value_at(one, end)
            amounts[_only_stage(tariff, one)] += _gain(one, first, last)
        return amounts
    for one in series:
        values = [value for value in one.values if begin <= value.time <= end]
        error = f"{one.obis[:8]}{ERROR_STAGE:02x}{one.obis[10:]}"
        amounts.setdefault(error, 0)
        valid = [value for value in values if value.valid]
        for before, after in pairwise(valid):
            stage = _stage_between(tariff, clock, before.time, after.time, one.obis[4:6])
            gain = _gain(one, before, after)
            if stage is not None:
                amounts[tariff.stages.get(stage, error)] += gain
    return amounts


def open_ends(series: Sequence[MeterSeries], begin: int, end: int) -> list[tuple[str, int, int]]:
    """Return the stretches at a period's ends whose energy no register holds, with the list."""
    found = []
    for one in series:
        times = [value.time for value in one.values if value.valid and begin <= value.time <= end]
        first, last = (times[0], times[-1]) if times else (end, end)
        found += [(one.obis, begin, first)] if first > begin else []
        found += [(one.obis, last, end)] if last < end else []
    return found


def _check_originals(tariff: StageTariff, series: Sequence[MeterSeries]) -> None:
    if not series:
        raise UnbillableReadings("there is no list of values")
    for one in series:
        if one.obis[8:10] != "00":
            raise UnbillableReadings(f"{one.obis} is a derived register, not an original list")
    if tariff.use_case == 1 and len(series) > MOST_LISTS:
        raise UnbillableReadings(f"{len(series)} lists of values; TAF 1 has {MOST_LISTS} at most")
    if tariff.use_case == 1 and len(tariff.stages) > len(series):
        raise UnbillableReadings("there are more stages than lists of values")


def _check_period(tariff: StageTariff, clock: ZoneClock, begin: int, end: int) -> None:
    """Refuse a period that is not 1, 2, 3, 6 or 12 months from the first of one."""
    day, second = divmod(begin + clock.span(begin)[2], DAY)
    first = date_of(day)
    if second or first.day != 1:
        raise UnbillableReadings(f"the period begins at {utc_text(begin)}, not with a month")
    ends = {}
    for months in PERIOD_MONTHS:
        place = first.month - 1 + months
        ends[clock.day_begin(day_number(date(first.year + place // 12, place % 12 + 1, 1)))] = place
    if end not in ends:
        raise UnbillableReadings(
            f"the period from {utc_text(begin)} to {utc_text(end)} is not of"
            f" {', '.join(map(str, PERIOD_MONTHS))} months"
        )
    last = divmod(end - 1 + clock.span(end - 1)[2], DAY)[0]
    for direction in {direction for _, direction in tariff.days}:
        days = {number for number, other in tariff.days if other == direction}
        if days != set(range(day, last + 1)):
            raise UnbillableReadings(
                f"the supplier's file has profiles for {len(days)} days, the period has"
                f" {last + 1 - day}"
            )


def _only_stage(tariff: StageTariff, one: MeterSeries) -> str:
    """Return the derived register of the one stage that a direction has in TAF 1."""
    direction = one.obis[4:6]
    stages = {
        stage
        for (_, other), profile in tariff.days.items()
        if other == direction
        for _, stage in profile
    } or {stage for stage, obis in tariff.stages.items() if obis[4:6] == direction}
    if len(stages) != 1:
        raise UnbillableReadings(f"TAF 1 has one stage for {one.obis}, the file {len(stages)}")
    return tariff.stages[stages.pop()]


def _value_at(one: MeterSeries, moment: int) -> StampedValue:
    found = next((value for value in one.values if value.time == moment), None)
    if found is None or not found.valid:
        what = "no value" if found is None else f"a value of status {found.status}"
        raise UnbillableReadings(f"{one.obis} has {what} at {utc_text(moment)}")
    return found


def _gain(one: MeterSeries, before: StampedValue, after: StampedValue) -> int:
    if after.value < before.value:
        raise UnbillableReadings(f"{one.obis} falls before {utc_text(after.time)}")
    return after.value - before.value


def _stage_between(
    tariff: StageTariff, clock: ZoneClock, begin: int, end: int, direction: str
) -> int | None:
    """Return the stage that the energy of [begin, end] goes to, -1 for none, None without a day."""
    found = tariff.run_at(clock, begin, direction)
    if found is None:
        return None
    stage, until = found
    if end <= until:
        return stage
    while until <= end:
        after = tariff.run_at(clock, until, direction)
        if after is None:
            return -1
        if after[0] != stage:
            return -1
        until = after[1]
    return stage


# Files


def _root(data: bytes) -> ElementTree.Element:
    try:
        return read_xml(data)
    except ForeignTextRefused as error:
        raise MalformedTariff(str(error)) from None


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path, namespaces=NAMES)
    if found is None or not found.strip():
        raise MalformedTariff(f"{_tag(element)} lacks {path.replace('v:', '').replace('e:', '')}")
    return found.strip()


def _integer(element: ElementTree.Element, path: str) -> int:
    text = _text(element, path)
    if not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
        raise MalformedTariff(f"{text!r} in {_tag(element)} is not a whole number")
    return int(text)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.partition("}")[2]


def _obis(element: ElementTree.Element, path: str) -> str:
    text = _text(element, path).lower()
    if not OBIS.fullmatch(text):
        raise MalformedTariff(f"{text!r} is not an OBIS code of 12 digits")
    return text


def _time(element: ElementTree.Element, path: str) -> int:
    text = _text(element, path)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedTariff(f"{text!r} is not a time") from None
    if moment.tzinfo is None:
        raise MalformedTariff(f"{text!r} has no offset from UTC")
    return int(moment.timestamp())


def read_meter_series(data: bytes) -> list[MeterSeries]:
    """Return the readings of a gateway's file; raise `MalformedTariff` for another file."""
    return [_series(reading) for reading in _root(data).iterfind(".//v:MeterReading", NAMES)]


def _series(reading: ElementTree.Element) -> MeterSeries:
    values = []
    for item in reading.iterfind("v:IntervalBlock/v:IntervalReading", NAMES):
        target = item.find("v:targetTime", NAMES) is not None
        time = _time(item, "v:targetTime" if target else "v:timePeriod/v:start")
        values.append(StampedValue(time, _integer(item, "e:value"), _integer(item, "v:statusPTB")))
    if any(before.time >= after.time for before, after in pairwise(values)):
        raise MalformedTariff("readings are not in order of time")
    return MeterSeries(
        obis=_obis(reading, "v:ReadingType/v:obisCode"),
        meter=_text(reading, "v:Meter/v:meterId"),
        scaler=_integer(reading, "v:ReadingType/v:scaler"),
        values=tuple(values),
    )


def read_stage_tariff(data: bytes, *, as_trudi: bool = False) -> StageTariff:
    """Return the tariff of a supplier's file; raise `MalformedTariff` for another file.

    TRuDI 1.0 does not see a stage that only the last entry of a day's profile has: it counts that
    entry as the one before it. `as_trudi` does the same, to compare with its results.
    """
    profile = _root(data).find(".//v:AnalysisProfile", NAMES)
    if profile is None:
        raise MalformedTariff("the file has no AnalysisProfile")
    use_case = _integer(profile, "v:tariffUseCase")
    if use_case not in (1, 2):
        raise MalformedTariff(f"the tariff use case is {use_case}, not 1 or 2")
    stages = {
        _integer(stage, "v:tariffNumber"): _obis(stage, "v:obisCode")
        for stage in profile.iterfind("v:TariffStage", NAMES)
    }
    default = _integer(profile, "v:defaultTariffNumber")
    if default not in stages:
        raise MalformedTariff(f"there is no stage {default}, the default")
    profiles = {
        _text(day, "v:dayId"): _profile(day, stages, as_trudi)
        for day in profile.iterfind(".//v:DayProfile", NAMES)
    }
    days: dict[tuple[int, str], Profile] = {}
    for special in profile.iterfind(".//v:SpecialDayProfile", NAMES):
        day, name = _day(special), _text(special, "v:dayId")
        if name not in profiles:
            raise MalformedTariff(f"there is no day profile {name}")
        key = day, stages[profiles[name][0][1]][4:6]
        if key in days:
            raise MalformedTariff("a day has two profiles for one direction")
        days[key] = profiles[name]
    return StageTariff(use_case, stages, days, default, _period(profile))


def _period(profile: ElementTree.Element) -> tuple[int, int] | None:
    """Return the billing period; durations are as long as the clock says, without its changes."""
    period = profile.find("v:billingPeriod", NAMES)
    if period is None:
        return None
    begin, seconds = _time(period, "v:start"), _integer(period, "v:duration")
    if not 0 < seconds <= 10 * 366 * DAY:
        raise MalformedTariff(f"a billing period of {seconds} s")
    return begin, begin + seconds


def _day(special: ElementTree.Element) -> int:
    parts = (
        _integer(special, f"v:specialDayDate/v:{one}") for one in ("year", "month", "day_of_month")
    )
    try:
        return day_number(date(*parts))
    except ValueError:
        raise MalformedTariff("impossible date of a special day") from None


def _profile(day: ElementTree.Element, stages: Mapping[int, str], as_trudi: bool) -> Profile:
    entries = []
    for item in day.iterfind("v:DayTimeProfile", NAMES):
        hour, minute = _integer(item, "v:startTime/v:hour"), _integer(item, "v:startTime/v:minute")
        stage = _integer(item, "v:tariffNumber")
        if not (0 <= hour < 24 and 0 <= minute < 60) or stage not in stages:
            raise MalformedTariff(f"impossible entry {hour}:{minute:02} stage {stage}")
        entries.append((60 * hour + minute, stage))
    starts = [start for start, _ in entries]
    if not entries or starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
        raise MalformedTariff("a day's profile is not in order from midnight")
    if len({stages[stage][4:6] for _, stage in entries}) > 1:
        raise MalformedTariff("a day's profile mixes import and export")
    if as_trudi and len(entries) > 1:
        entries[-1] = entries[-1][0], entries[-2][1]
    runs = [entries[0]]
    runs += [after for before, after in pairwise(entries) if before[1] != after[1]]
    return tuple(runs)
