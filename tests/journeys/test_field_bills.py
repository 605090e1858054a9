# SPDX-License-Identifier: Apache-2.0
"""Files and tariffs that people have, each with the outcome that is right, by the real command.

The table that comes with them has a row for each; every row is tested here.
"""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from tests.support.command import run_meterlet
from tests.support.field import FIELD_BILLS, named_in_table, needs_field_bills
from tests.support.shared import LONDON, require_shared
from tests.support.soak import IS_SOAKING, sampled
from tests.support.town import TARIFF, Town, done

pytestmark = needs_field_bills
FLAT: Final = FIELD_BILLS / "flat.toml"
ZONE: Final = ZoneInfo("Europe/London")
SHIPPED: Final = TARIFF.parent
ONE_DAY: Final = "2.29"
"""7.63 kWh at 0.30 EUR."""


# Files of readings

READ: Final[tuple[tuple[str, list[str], int, str], ...]] = (
    ("01_excel_de.csv", ["--column", "kWh"], 0, ONE_DAY),
    ("03_utf16_tab.txt", ["--column", "kWh"], 0, ONE_DAY),
    ("05_pge_download.csv", [], 0, ONE_DAY),
    ("12b_float_noise.csv", ["--column", "kWh"], 0, ONE_DAY),
    ("14b_cumulative_old_meter.csv", ["--column", "kWh"], 1, "say --cumulative"),
    ("14b_cumulative_old_meter.csv", ["--column", "kWh", "--cumulative"], 0, "2.26"),
    ("15_greenbutton.xml", [], 0, ONE_DAY),
    ("16_octopus_download.csv", [], 0, ONE_DAY),
    ("27_dsmr_two_registers.csv", [], 0, "2.26"),
    ("27_dsmr_two_registers.csv", ["--column", "delivered_1"], 1, "say --cumulative"),
)


@pytest.mark.parametrize(("name", "options", "code", "said"), READ)
def test_a_file_of_readings_is_billed_right_or_the_way_on_is_named(
    name: str, options: list[str], code: int, said: str
) -> None:
    ran = run_meterlet("tariff", "price", FLAT, FIELD_BILLS / name, *options)
    assert ran.returncode == code, ran.stderr
    assert (f"total {said} EUR" in ran.stdout) if code == 0 else (said in ran.stderr)


# Tariffs as people write them


def test_a_byte_order_mark_is_taken() -> None:
    done("tariff", "check", FIELD_BILLS / "bom.toml")


def test_a_typo_is_named() -> None:
    slip = run_meterlet("tariff", "check", FIELD_BILLS / "typo_key.toml")
    assert slip.returncode == 1
    assert "unknown key 'prize': did you mean 'price'?" in slip.stderr


# Private bills of a London home with missing half hours

MISSING: Final = {1: 1, 2: 2, 3: 0, 4: 4, 5: 5, 6: 6, 7: 7, 8: 15, 9: 9, 10: 0, 11: 11, 12: 12}
"""How many half hours of each month of 2013 are missing."""
WEEK_BEFORE: Final = [month for month, missing in MISSING.items() if missing]
SAMPLE: Final = 1, 8
OTHERS: Final = 3, 6, 10


def london_home(months: Collection[int]) -> Iterator[str]:
    """Yield the lines of a home's file, without what is missing: one half hour a day, at most."""
    with gzip.open(require_shared(LONDON), "rt", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        yield "time,kWh"
        gone: Counter[int] = Counter()
        for text, use, *_ in rows:
            time = datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(ZONE)
            month = time.month
            if month not in months:
                continue
            at_noon = (time.hour, time.minute) == (12, 0)
            if at_noon and time.day > 9 and gone[month] < MISSING[month]:
                gone[month] += 1
                continue
            yield f"{text},{use}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Town:
    town = Town(tmp_path_factory.mktemp("london"))
    file = town.folder / "home.csv"
    months = MISSING if IS_SOAKING else {*SAMPLE, *OTHERS}
    file.write_text("\n".join(london_home(months)) + "\n")
    town.build(("--zone", ZONE.key, "--slot", 30), (file, "--column", "kWh"))
    return town


@pytest.fixture(scope="module")
def address(home: Town) -> Iterator[str]:
    with home.serving() as where:
        yield where


def billed(home: Town, address: str, tariff: Path, month: int) -> dict[str, Any]:
    asked = home.request(address, tariff, "--json", month=f"2013-{month:02}")
    ran = run_meterlet(*asked)
    bill: dict[str, Any] = json.loads(ran.stdout)
    assert bill["verified"]
    assert len(bill["missing_slots"]) == MISSING[month]
    assert ran.returncode == (4 if bill["provisional"] else 0), ran.stderr
    return bill


def plain(home: Town, tariff: Path, month: int) -> str:
    """Return what the same month comes to where the readings are in the open."""
    period = "--month", f"2013-{month:02}"
    ran = run_meterlet(
        "tariff", "price", tariff, home.folder / "home.csv", "--column", "kWh", *period, "--json"
    )
    assert ran.returncode in (0, 4), ran.stderr  # 4: what is missing is left out
    return str(json.loads(ran.stdout)["total"])


@pytest.mark.parametrize("month", sampled(WEEK_BEFORE, SAMPLE))
def test_what_replaces_a_missing_slot_is_no_finer_question(
    home: Town, address: str, month: int
) -> None:
    tariff = FIELD_BILLS / "wb-flat.toml"
    assert billed(home, address, tariff, month)["total"] == plain(home, tariff, month)


@pytest.mark.parametrize(("name", "month"), [("change31.toml", 3), ("cpp.toml", 10)])
def test_a_price_of_a_few_hours_is_billed_and_the_check_says_so(
    home: Town, address: str, name: str, month: int
) -> None:
    tariff = FIELD_BILLS / name
    checked = done("tariff", "check", "--private", "--slot", 30, tariff)
    assert f"2013-{month:02}: answered under the ordinary consent" in checked
    assert billed(home, address, tariff, month)["total"] == plain(home, tariff, month)


def test_two_ways_of_one_bill_are_both_answered(home: Town, address: str) -> None:
    for tariff in (SHIPPED / "gb-economy7-2013.toml", FIELD_BILLS / "om-blocks.toml"):
        assert billed(home, address, tariff, 6)["total"] == plain(home, tariff, 6)


# All of them


def test_every_file_of_the_table_is_tried() -> None:
    tried = {name for name, *_ in READ} | {
        "bom.toml", "change31.toml", "cpp.toml", "gb-economy7-2013.toml", "om-blocks.toml",
        "typo_key.toml", "wb-flat.toml",
    }  # fmt: skip
    assert named_in_table(FIELD_BILLS / "README.md") == tried
    assert {path.name for path in FIELD_BILLS.iterdir()} <= tried | {"README.md", "flat.toml"}
