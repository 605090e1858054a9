# SPDX-License-Identifier: Apache-2.0
"""The 45 golden cases of TRuDI, the certified German transparency software."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tariffs import MalformedTariff
from tariffs.ar2418 import (
    MeterSeries,
    StageTariff,
    StampedValue,
    open_ends,
    read_meter_series,
    read_stage_tariff,
    register_amounts,
)
from tariffs.errors import UnbillableReadings
from tests.support.shared import SHARED, needs_shared

FOLDER = SHARED / "data" / "golden" / "trudi"
CASES: list[dict[str, Any]] = (
    json.loads((FOLDER / "expected.json").read_text())["cases"] if FOLDER.is_dir() else []
)


def content(name: str) -> bytes:
    return gzip.decompress((FOLDER / name).read_bytes())


def hexadecimal(obis: str) -> str:
    """From "1-0:1.8.1*255" to the twelve digits of the files."""
    medium, rest = obis.split(":")
    codes, storage = rest.split("*")
    numbers = [*medium.split("-"), *codes.split("."), storage]
    return "".join(f"{int(number):02x}" for number in numbers)


@needs_shared(FOLDER)
def test_there_are_45_golden_cases() -> None:
    assert len(CASES) == 45


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_registers_are_those_of_trudi(case: dict[str, Any]) -> None:
    begin, end = (int(datetime.fromisoformat(case[key]).timestamp()) for key in ("begin", "end"))
    amounts = register_amounts(
        read_stage_tariff(content(case["supplier"]), as_trudi=True),
        read_meter_series(content(case["readings"])),
        begin,
        end,
    )
    expected = {hexadecimal(one["obis"]): one["amount_raw"] for one in case["registers"]}
    assert {obis: amounts.get(obis, 0) for obis in expected} == expected
    assert {obis for obis, amount in amounts.items() if amount} <= expected.keys()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"<UsagePoints", b"<!DOCTYPE x><UsagePoints", "document type"),
        (b"</UsagePoints>", b"", "not XML"),
        (b"<AnalysisProfile>", b"<Other>", "not XML"),
        (b"<tariffUseCase>2<", b"<tariffUseCase>7<", "tariff use case is 7"),
        (b"<defaultTariffNumber>1<", b"<defaultTariffNumber>9<", "no stage 9"),
        (b"<hour>0<", b"<hour>24<", "impossible entry 24:00"),
        (b"<hour>0<", b"<hour>5<", "not in order from midnight"),
        (b"<hour>0<", b"<hour>x<", "'x' in DayTimeProfile is not a whole number"),
        (b"<hour>0</hour>", b"", "DayTimeProfile lacks startTime/hour"),
        (b"<month>11<", b"<month>13<", "impossible date"),
        (b"<obisCode>0100010801ff<", b"<obisCode>1.8.1<", "not an OBIS code"),
        (b"<dayId>1</dayId>\r\n\t\t\t\t\t\t<DayTime", b"<dayId>2</dayId><DayTime",
         "no day profile 1"),
    ],
)  # fmt: skip
@needs_shared(FOLDER)
def test_a_suppliers_file_that_is_wrong_is_refused(old: bytes, new: bytes, message: str) -> None:
    data = content("taf2_supplier_single_day.xml.gz")
    if old not in data:
        old, new = old.replace(b"\r\n", b"\n"), new.replace(b"\r\n", b"\n")
    assert old in data
    with pytest.raises(MalformedTariff, match=message):
        read_stage_tariff(data.replace(old, new, 1))


@needs_shared(FOLDER)
def test_without_the_quirk_a_short_last_stage_gets_its_energy() -> None:
    supplier = content("taf2_supplier_single_day_maxTariffChange.xml.gz")
    readings = read_meter_series(content("taf2_result_single_day_2h-gap.xml.gz"))
    begin = int(datetime.fromisoformat("2017-11-04T00:00:00+01:00").timestamp())
    found = register_amounts(read_stage_tariff(supplier), readings, begin, begin + 86400)
    assert found == {"0100010801ff": 430, "0100010802ff": 440, "010001083fff": 90}


@needs_shared(FOLDER)
def test_a_months_registers_add_up_to_the_difference_of_its_readings() -> None:
    tariff = read_stage_tariff(content("supplier_2018-01.xml.gz"))
    series = read_meter_series(content("taf7_readings_2018-01.xml.gz"))
    begin = int(datetime.fromisoformat("2018-01-01T00:00:00+01:00").timestamp())
    end = begin + 31 * 86400
    imported = next(one for one in series if one.obis == "0100010800ff")
    found = register_amounts(tariff, [imported], begin, end)
    valid = [one.value for one in imported.values if one.valid and begin <= one.time <= end]
    assert sum(found.values()) == valid[-1] - valid[0]
    assert all(amount > 0 for amount in found.values())


@needs_shared(FOLDER)
def test_readings_out_of_order_are_refused() -> None:
    data = content("taf2_result_single_day_simple_gap.xml.gz")
    with pytest.raises(MalformedTariff, match="not in order"):
        read_meter_series(data.replace(b"T00:30:00", b"T00:00:00"))


def taf1(lists: int = 1, **changes: Any) -> tuple[StageTariff, list[MeterSeries], int, int]:
    """October 2017 of TAF 1: as many lists of values as asked for, and their stages."""
    begin, end = (
        int(datetime.fromisoformat(text).timestamp())
        for text in ("2017-10-01T00:00:00+02:00", "2017-11-01T00:00:00+01:00")
    )
    obis = ("0100010800ff", "0100020800ff", "0100010800ff", "0100010800ff")
    series = [
        MeterSeries(obis[place], f"meter {place}", -1, (
            StampedValue(begin, 1000, 0), StampedValue(begin + 900, 1010, 4),
            StampedValue(end, 1000 + gain, 0),
        ))
        for place, gain in enumerate((29_800, 27_800, 5, 5)[:lists])
    ]  # fmt: skip
    stages = {1: "0100010801ff", 2: "0100020801ff"} if lists > 1 else {1: "0100010801ff"}
    days = {
        (day, direction): ((0, stage),)
        for day in range(17_440, 17_471)
        for stage, direction in ((1, "01"), (2, "02"))[: len(stages)]
    }
    tariff = StageTariff(1, stages, days, 1, (begin, end))
    return replace(tariff, **changes), series, begin, end


def test_taf_1_keeps_what_is_drawn_and_fed_in_apart() -> None:
    assert register_amounts(*taf1()) == {"0100010801ff": 29_800}
    assert register_amounts(*taf1(2)) == {"0100010801ff": 29_800, "0100020801ff": 27_800}
    assert register_amounts(*taf1(3)) == {"0100010801ff": 29_805, "0100020801ff": 27_800}


def revalued(series: list[MeterSeries], place: int, **changes: int) -> list[MeterSeries]:
    values = list(series[0].values)
    values[place] = replace(values[place], **changes)
    return [replace(series[0], values=tuple(values)), *series[1:]]


REFUSALS: dict[str, tuple[Callable[[], tuple[StageTariff, list[MeterSeries], int, int]], str]] = {}


def refusal(why: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(make: Callable[..., Any]) -> Callable[..., Any]:
        REFUSALS[make.__name__] = (lambda: make(*taf1()), why)
        return make

    return keep


@refusal("there is no list of values")
def no_list(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, [], begin, end


@refusal("4 lists of values; TAF 1 has 3 at most")
def too_many_lists(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return taf1(4)


@refusal("0100010801ff is a derived register, not an original list")
def derived(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, [*series, replace(series[0], obis="0100010801ff")], begin, end


@refusal("more stages than lists of values")
def too_many_stages(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return taf1(2)[0], series, begin, end


@refusal("begins at 2017-10-09T22:00:00Z, not with a month")
def starts_within(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, series, begin + 9 * 86_400, end


@refusal("is not of 1, 2, 3, 6, 12 months")
def too_short(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, series, begin, end - 86_400


@refusal("is not of 1, 2, 3, 6, 12 months")
def four_months(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, series, begin, end + 92 * 86_400


@refusal("has no value at 2017-09-30T22:00:00Z")
def no_start(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, revalued(series, 0, time=begin + 1), begin, end


@refusal("has no value at 2017-10-31T23:00:00Z")
def no_end(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, revalued(series, 2, time=end - 1), begin, end


@refusal("has a value of status 4 at 2017-09-30T22:00:00Z")
def invalid_start(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, revalued(series, 0, status=4), begin, end


@refusal("has a value of status 3 at 2017-10-31T23:00:00Z")
def invalid_end(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, revalued(series, 2, status=3), begin, end


@refusal("profiles for 32 days, the period has 31")
def a_day_too_many(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    days = {**tariff.days, (17_471, "01"): ((0, 1),)}
    return replace(tariff, days=days), series, begin, end


@refusal("TAF 1 has one stage for 0100010800ff, the file 2")
def changing_stage(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    other = replace(series[0], meter="other")
    days = {**tariff.days, (17_450, "01"): ((0, 1), (600, 2))}
    stages = {1: "0100010801ff", 2: "0100010802ff"}
    return replace(tariff, days=days, stages=stages), [*series, other], begin, end


@refusal("0100010800ff falls before 2017-10-31T23:00:00Z")
def falling(tariff: StageTariff, series: list[MeterSeries], begin: int, end: int) -> Any:
    return tariff, revalued(series, 2, value=999), begin, end


@pytest.mark.parametrize("name", REFUSALS)
def test_what_gives_no_amount_is_refused(name: str) -> None:
    make, why = REFUSALS[name]
    with pytest.raises(UnbillableReadings, match=re.escape(why)):
        register_amounts(*make())


def test_what_no_register_holds_is_named() -> None:
    _, series, begin, end = taf1()
    assert open_ends(series, begin, end) == []
    late = revalued(series, 0, status=3)
    assert open_ends(late, begin, end) == [("0100010800ff", begin, end)]
    early = revalued(series, 2, status=3)
    assert open_ends(early, begin, end) == [("0100010800ff", begin, end)]
