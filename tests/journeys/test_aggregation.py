# SPDX-License-Identifier: Apache-2.0
"""Private sums through real processes: hubs, concentrator, MDMS, and the commands between them."""

import json
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from meterlet.demo.region import Region
from protocols.metrology import Period
from tests.support.command import run_meterlet
from tests.support.mdms import london_homes
from tests.support.region_plan import region_plan
from tests.support.shared import LONDON, require_shared

pytestmark = pytest.mark.process


def demonstrate(*options: object) -> tuple[int, dict[str, Any]]:
    done = run_meterlet("demo", "aggregation", "--json", *options)
    return done.returncode, json.loads(done.stdout)


def test_the_embedded_homes_are_added_up_exactly_with_a_drop_out() -> None:
    code, facts = demonstrate("--homes", 6, "--dropouts", 10)
    assert code == 0
    assert facts["schema"] == "meterlet.demo.aggregation/1"
    assert (facts["homes"], facts["homes_in_sum"], facts["dropouts"]) == (6, 5, 1)
    assert facts["slots"] == 92  # the day has 23 hours
    assert facts["sums_equal"] is True
    assert sum(facts["sums_wh"]) > 20_000
    assert facts["cheats_found"] == 0
    assert facts["raw_readings_seen_outside"] == 0
    assert facts["raw_readings_left_houses"] == 0
    assert facts["saw"]["residents"]["sums_on_record"] == 5
    assert 1000 < facts["bytes_per_home"] < 20_000
    assert {"homes", "round", "round: collection", "round: opening"} <= set(facts["timings"])


def test_london_homes_are_added_up_as_their_file_has_them_though_the_concentrator_cheats() -> None:
    code, facts = demonstrate(
        "--readings", require_shared(LONDON), "--homes", 6,
        "--from", "2013-03-30", "--until", "2013-03-31", "--resolution", 60, "--cheat", "alter",
    )  # fmt: skip
    assert code == 3
    assert facts["cheats_found"] == 1
    assert [one["who"] for one in facts["culprits"]] == ["concentrator"]
    homes = london_homes(date(2013, 3, 30), date(2013, 3, 31))[:6]
    halves = [sum(slot) for slot in zip(*homes, strict=True)]
    hours = [a + b for a, b in zip(halves[::2], halves[1::2], strict=True)]
    assert facts["sums_wh"] == hours
    assert facts["plain_sums_wh"] == hours


def test_a_home_that_encrypts_what_its_certifier_did_not_sign_is_named() -> None:
    code, facts = demonstrate("--homes", 5, "--cheat", "home")
    assert code == 3
    assert [one["who"] for one in facts["culprits"]] == ["0a014d544c0000000001"]
    assert facts["verified"] is False


def test_no_process_but_a_homes_own_ever_holds_its_readings(tmp_path: Path) -> None:
    day = date(2025, 3, 4)
    plan = region_plan(5, Period(day, day), processes=5, splits_key=True)
    region = Region(tmp_path, plan)
    with ExitStack() as servers, ExitStack() as homes:
        region.start(homes, servers)
        assert region.aggregate()["verified"]
        needles = region.needles()
        held = {party: needles.find_in_process(pid) for party, pid in region.pids.items()}
        outside = [tmp_path / "hubs.json", *tmp_path.glob("*.log"), *(tmp_path / "mdms").rglob("*")]
        assert not needles.find_in_files(outside)
    assert set(held) == {
        "concentrator",
        "mdms",
        "trustee",
        *(f"homes {number}" for number in range(5)),
    }
    assert held.pop("concentrator") == set()
    assert held.pop("mdms") == set()
    assert held.pop("trustee") == set()
    for party, found in held.items():
        # A home's own process holds its readings: the search does find what is there.
        home = f"home {int(party.split()[1]) + 1}:"
        assert any(name.startswith(home) for name in found), party
        assert all(name.startswith(home) for name in found), party
