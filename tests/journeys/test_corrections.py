# SPDX-License-Identifier: Apache-2.0
"""Readings that come late, from the hub's command to the supplier's invoice and the resident."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command import run_meterlet
from tests.support.town import METER, TARIFF, Town, done, provisional, refused

BEGIN = datetime(2025, 2, 28, 23, tzinfo=UTC)  # March begins in Berlin
DAYS = 31
STEP = timedelta(minutes=15)


def rows(path: Path, first: datetime, count: int, without: range = range(0)) -> Path:
    """Write a CSV of what a home used in each quarter-hour of March, without some."""
    lines = ["time,use"]
    for place in range(count):
        time = first + place * STEP
        slot = (time - BEGIN) // STEP
        if slot not in without:
            lines.append(f"{time.isoformat()},{random.Random(slot).randrange(40, 400) / 1000}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run_lines(*arguments: object) -> tuple[int, str]:
    """Run a command; return its exit code and all that it printed."""
    ran = run_meterlet(*arguments)
    return ran.returncode, ran.stdout + ran.stderr


TENTH = 9 * 96  # the first quarter-hour of the tenth
MARCH = DAYS * 96 - 4  # an hour less


def ingested(town: Town, folder: Path) -> None:
    """Build a town whose hub read nothing from eight to six on the tenth."""
    town.build(source=(
        rows(folder / "march.csv", BEGIN, MARCH + 96, HOLE), "--column", "use",
    ))  # fmt: skip


HOLE = range(TENTH + 32, TENTH + 72)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    (tmp_path / "town").mkdir()
    made = Town(tmp_path / "town")
    ingested(made, tmp_path)
    return made


def test_late_readings_become_a_corrected_bill_that_tells_the_difference(
    town: Town, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.bundle", tmp_path / "second.bundle"
    correct = "hub", "correct", "--hub", town.hub, "--column", "use"
    with town.serving() as address:
        bill = json.loads(provisional(*town.request(address, TARIFF, "--bundle", first, "--json")))
        assert (len(bill["missing_slots"]), bill["difference"]) == (40, None)
        # Half an hour alone is told by no bill: it would be told by itself.
        part = rows(tmp_path / "part.csv", BEGIN + HOLE[0] * STEP, 2)
        would = json.loads(done(*correct, part, "--dry-run", "--json"))
        assert (would["dry_run"], would["registers"][0]["slots"]) == (True, 2)
        assert "2 slots corrected (late)" in done(*correct, part)
        code, line = refused(*town.request(address))
        assert (code, "6985" in line) == (5, True)
        # All of it is one total over ten hours, and passes.
        late = rows(tmp_path / "late.csv", BEGIN + HOLE[0] * STEP, len(HOLE))
        would_be = done(*correct, late, "--dry-run").splitlines()[-1]
        assert would_be.startswith("1-0:1.8.0*255: 38 slots would be corrected (late)")
        again = json.loads(done(*correct, late, "--json"))
        [register] = again["registers"]
        assert [(day["day"], day["revision"]) for day in register["days"]] == [("2025-03-10", 2)]
        assert {slot["before"] for slot in register["days"][0]["slots"]} == {"missing"}
        said = done(*town.request(address, TARIFF, "--bundle", second))
        same = done(*town.request(address))
    lines = said.splitlines()
    assert "invoice 2, which replaces invoice 1" in lines[0]
    assert lines[1].endswith("for 40 corrected slots of 2025-03-10")
    assert "corrected" not in same  # since the second bill nothing was
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    entry = ledger["entries"][1]
    assert (entry["replaces"], entry["corrected"]) == (1, "2025-03-10:40")
    assert "difference" not in ledger["entries"][2]
    assert lines[1].startswith(f"corrected: +{entry['difference']} EUR")
    keys = "--supplier", town.utility / "public.pem"
    told = json.loads(done("bill", "verify", second, *keys, "--replaces", first, "--json"))
    assert told["corrected_days"] == [{"day": "2025-03-10", "slots": 40}]
    assert told["difference"] == entry["difference"]
    assert told["corrected_since"] == told["corrected_days"]
    assert "corrected: +" in done("bill", "verify", second, "--replaces", first)
    code, line = run_lines("bill", "verify", first, "--replaces", second)
    assert (code, "is not the newest revision known" in line) == (3, True)


def test_the_resident_sees_both_bills_and_the_difference(town: Town, tmp_path: Path) -> None:
    done("utility", "limits", "--utility", town.utility, "--unattributed-wh-per-day", 100)
    late = rows(tmp_path / "late.csv", BEGIN + HOLE[0] * STEP, len(HOLE))
    with town.serving() as address:
        provisional(*town.request(address))
        done("hub", "correct", "--hub", town.hub, "--column", "use", late)
        before = json.loads(done("inspect", "bill", "--hub", town.hub, "--json"))
        assert (before["verdict"], before["corrected_since"]) == (
            "matches", [{"day": "2025-03-10", "slots": 40}]
        )  # fmt: skip
        done(*town.request(address))
    ledger = json.loads(done("utility", "ledger", "--utility", town.utility, "--json"))
    kinds = [entry["kind"] for entry in ledger["entries"]]
    assert kinds == ["unattributed", "bill"] * 2  # of the days as they are known now, anew
    shown = json.loads(done("inspect", "bill", "--hub", town.hub, "--proof", "--json"))
    assert (shown["verdict"], shown["replaces"]) == ("matches", 2)
    assert shown["difference_to_replaced"] == ledger["entries"][3]["difference"]
    assert shown["corrected_days"] == [{"day": "2025-03-10", "slots": 40}]
    assert [one["corrected_slots"] for one in shown["released"]] == [0, 40]
    text = done("inspect", "bill", "--hub", town.hub)
    assert "it replaces invoice 2, readings were corrected since: +" in " ".join(text.split())
    readings = json.loads(
        done("inspect", "readings", "--hub", town.hub, "--from", "2025-03-01",
             "--until", "2025-03-31", "--by", "day", "--json")
    )  # fmt: skip
    assert readings["corrected_days"] == [{"day": "2025-03-10", "slots": 40}]
    assert readings["total"]["slots"]["missing"] == 0


def test_what_cannot_be_corrected_is_said_in_a_line(town: Town, tmp_path: Path) -> None:
    correct = "hub", "correct", "--hub", town.hub, "--column", "use"
    read = rows(tmp_path / "read.csv", BEGIN + 5 * STEP, 4)
    other = read.read_text().replace("0.", "1.")
    read.write_text(other)
    code, line = refused(*correct, read)
    assert (code, "was read already; say --replace" in line) == (1, True)
    later = rows(tmp_path / "later.csv", BEGIN + (MARCH + 200) * STEP, 4)
    code, line = refused(*correct, later)
    assert (code, "a day that is not certified yet is corrected once it is" in line) == (1, True)
    assert "4 slots corrected (replaced)" in done(*correct, read, "--replace")
    assert METER in done("hub", "status", "--hub", town.hub)
