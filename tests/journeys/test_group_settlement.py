# SPDX-License-Identifier: Apache-2.0
"""A supplier's customers settled from their verified sum, through all processes of a region."""

import json
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from meterlet.demo.region import REGION, Region
from protocols.metrology import Period
from tests.support.region_plan import region_plan
from tests.support.town import done

pytestmark = pytest.mark.process
DAY = date(2025, 3, 4)


def test_what_a_group_used_is_settled_though_nobodys_part_is_known(tmp_path: Path) -> None:
    plan = region_plan(5, Period(DAY, DAY))
    region, sums = Region(tmp_path, plan), tmp_path / "north.json"
    with ExitStack() as servers, ExitStack() as homes:
        region.start(homes, servers)
        sums.write_text(
            done(
                "utility", "aggregate", "--mdms", tmp_path / "mdms", "--region", REGION,
                "--from", DAY, "--until", DAY, "--resolution", 15, "--json",
            )
        )  # fmt: skip
    spot = [7 * hour - 40 for hour in range(24)]  # EUR/MWh, some of them below 0
    rows = "".join(f"2025-03-04T{hour:02}:00:00,{price}\n" for hour, price in enumerate(spot))
    (tmp_path / "spot.csv").write_text("time,price\n" + rows)
    done(
        "index", "import", tmp_path / "spot.csv", "--series", "spot", "--currency", "EUR",
        "--column", "price", "--unit", "EUR/MWh", "--step", 60, "--zone", "Europe/Berlin",
        "-o", tmp_path / "spot.index",
    )  # fmt: skip
    done("utility", "init", tmp_path / "grid")
    facts = json.loads(
        done(
            "utility", "settle", "--utility", tmp_path / "grid", "--index", tmp_path / "spot.index",
            "--sums", f"Nordstrom={sums}", "--json",
        )
    )  # fmt: skip
    used = json.loads(sums.read_text())["sums_wh"]
    worth = sum(1000 * spot[place // 4] * wh for place, wh in enumerate(used))
    assert facts["suppliers"]["Nordstrom"]["exact"] == str(worth)
    assert facts["total"] == f"{round(worth / 10**7) / 100:.2f}"
    assert (facts["settled"], facts["provisional"]) == (5, False)
