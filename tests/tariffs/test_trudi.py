# SPDX-License-Identifier: Apache-2.0
"""The 45 golden cases of TRuDI, the certified German transparency software."""

import gzip
import json
from datetime import datetime
from typing import Any

import pytest

from tariffs import MalformedTariff
from tariffs.ar2418 import read_meter_series, read_stage_tariff, register_amounts
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
