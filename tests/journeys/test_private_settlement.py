# SPDX-License-Identifier: Apache-2.0
"""A supplier's customers settled by one number, through all processes of a region."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hub.device import Device
from meterlet.commands.common import one_line_errors
from meterlet.commands.index import load_index
from meterlet.commands.main import main
from meterlet.demo.region import REGION, Region, RegionPlan
from protocols.metrology import Period
from tests.support.command import run_meterlet
from tests.support.region_plan import region_plan
from tests.support.service import served
from utility_server.errors import CannotVerify, VerificationFailed
from utility_server.grid.mdms.control_socket import Request
from utility_server.grid.private_settlement import PrivateSettlement

pytestmark = pytest.mark.process
FEBRUARY = Period(date(2025, 2, 1), date(2025, 2, 28))
HOURS = 28 * 24
SPOT = [7 * (hour % 24) - 40 for hour in range(HOURS)]
"""EUR/MWh, some of them below 0."""


def plan_of(homes: int) -> RegionPlan:
    return region_plan(homes, FEBRUARY, 60, "UTC", dropouts_percent=10, manifest="settlement.toml")


def meterlet(*arguments: object) -> tuple[int, str]:
    """Run the command in this process, for speed; return exit code and what it says."""
    environment = {"NO_COLOR": "1", "COLUMNS": "200"}
    ran = CliRunner().invoke(main, list(map(str, arguments)), env=environment)
    return ran.exit_code, " ".join(ran.output.split())


def make_index(folder: Path) -> Path:
    rows = "".join(
        f"2025-02-{1 + hour // 24:02}T{hour % 24:02}:00:00,{price}\n"
        for hour, price in enumerate(SPOT)
    )
    (folder / "spot.csv").write_text("time,price\n" + rows)
    meterlet(
        "index", "import", folder / "spot.csv", "--series", "spot", "--currency", "EUR",
        "--column", "price", "--unit", "EUR/MWh", "--step", 60, "-o", folder / "spot.index",
    )  # fmt: skip
    return folder / "spot.index"


def settled_over_rest(folder: Path, index: Path) -> Any:
    """Have the service settle the same, with the MDMS that serves; return what has come of it."""
    order = {
        "index": base64.b64encode(index.read_bytes()).decode(), "month": "2025-02", "zone": "UTC",
        "regions": {"Nordstrom": [REGION]},
    }  # fmt: skip
    with served(folder / "grid", mdms=folder / "mdms") as service:
        run = service.post("/v1/group-settlement-runs", 202, json=order)["run"]
        service.run()  # others do not wait for rounds
        assert service.get(f"/v1/group-settlement-runs/{run}")["state"] == "waiting"
        while service.parts.rounds.step():
            pass
        return service.get(f"/v1/group-settlement-runs/{run}")


def test_one_number_of_all_is_settled_and_nothing_else_is_known_to_anyone(tmp_path: Path) -> None:
    region, index = Region(tmp_path, plan_of(6)), make_index(tmp_path)
    meterlet("utility", "init", tmp_path / "grid")
    settle = (
        "utility", "settle", "--utility", tmp_path / "grid", "--mdms", tmp_path / "mdms",
        "--index", index, "--month", "2025-02", "--zone", "UTC",
        "--private", f"Nordstrom={REGION}", "--json",
    )  # fmt: skip
    with ExitStack() as servers, ExitStack() as homes:
        region.start(homes, servers)
        settled = run_meterlet(*settle)
        again = run_meterlet(*settle)
        over_rest = settled_over_rest(tmp_path, index)
        needles = region.needles()
        held = {one: needles.find_in_process(region.pids[one]) for one in ("concentrator", "mdms")}
        outside = [tmp_path / "hubs.json", *tmp_path.glob("*.log"), *(tmp_path / "mdms").rglob("*")]
        assert not needles.find_in_files(outside)
    assert held == {"concentrator": set(), "mdms": set()}
    assert settled.returncode == 4, settled.stderr  # one home has dropped out
    facts = json.loads(settled.stdout)
    [vanished] = region.plan.vanishing
    worth, told = 0, 0
    for serial in range(1, 7):
        with Device.open(tmp_path / "homes" / f"{serial:04}") as device:
            told += sum(1 for _ in device.disclosure.log.entries("aggregate"))
            uses = [wh for day in device.main.uses(FEBRUARY) for wh in day.uses]
            if serial != vanished:
                worth += sum(1000 * price * wh for price, wh in zip(SPOT, uses, strict=True))
    assert facts["suppliers"]["Nordstrom"]["exact"] == str(worth)
    assert facts["suppliers"]["Nordstrom"]["customers"] == 5
    assert facts["total"] == f"{round(worth / 10**7) / 100:.2f}"
    assert (facts["provisional"], len(facts["unsettled"])) == (True, 1)
    assert [one["known_before"] for one in facts["groups"]] == [False]
    # Asked again, the MDMS tells what it knows: no hub has opened a second sum.
    assert again.returncode == 4, again.stderr
    known = json.loads(again.stdout)
    assert (known["suppliers"], known["provisional"]) == (facts["suppliers"], True)
    assert [one["known_before"] for one in known["groups"]] == [True]
    # So it does over REST.
    (group,) = over_rest["regions"]
    share = facts["suppliers"]["Nordstrom"]
    assert (group["exact"], group["homes"]) == (share["exact"], share["customers"])
    assert (group["known_before"], group["left_out"]) == (True, 1)
    assert over_rest["suppliers"][0]["share"] == share["share"] == over_rest["total_share"]
    assert (over_rest["state"], over_rest["provisional"]) == ("done", True)
    assert told == 5
    hub = tmp_path / "homes" / f"{1 + (vanished == 1):04}"
    _, said = meterlet("inspect", "releases", "--hub", hub)
    assert "got one number, the value at the prices of spot revision 1, over 5 households" in said


def test_what_makes_no_sense_or_cannot_be_settled_is_said(tmp_path: Path) -> None:
    index = make_index(tmp_path)
    meterlet("utility", "init", tmp_path / "grid")
    settle = "utility", "settle", "--utility", tmp_path / "grid", "--index", index
    north, month = ("--private", "A=north"), ("--month", "2025-02", "--zone", "UTC")
    for options, why in (
        (north, "--private with a period"),
        ((*north, *month, "--sums", "A=x"), "--private with a period"),
        (("--private", "A", *month), "write SUPPLIER=REGION"),
        ((*north, "--private", "B=north", *month), "each region once"),
        ((*north, *month, "--bundles", "b"), "goes with --customers"),
    ):
        code, said = meterlet(*settle, *options)
        assert (code, why in said) == (2, True), said
    mdms = "--mdms", tmp_path / "mdms"
    code, said = meterlet(*settle, *north, *month, *mdms)
    assert (code, "mdms serve" in said) == (1, True), said
    code, said = meterlet(*settle, *north, *mdms, "--month", "2025-03", "--zone", "UTC")
    assert (code, "there is no price at" in said) == (4, True), said


def test_a_region_without_a_sum_does_not_keep_others_from_being_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the MDMS says is made up here; that it says so is tested with the MDMS."""
    meterlet("utility", "init", tmp_path / "grid")
    index = make_index(tmp_path)
    digest = load_index(index)[0].between(*FEBRUARY.bounds("UTC")).digest.hex()

    def answer(folder: Path, request: Request) -> Iterator[dict[str, Any]]:
        match request.region:
            case "few":
                raise CannotVerify("region few: no round: a roster of 1")
            case "wrong":
                raise VerificationFailed("batch", "the concentrator has sent none")
        yield {**FACTS, "index": digest, "region": request.region}

    monkeypatch.setattr("utility_server.grid.private_settlement.ask", answer)
    settle = (
        "utility", "settle", "--utility", tmp_path / "grid", "--index", index, "--zone", "UTC",
        "--month", "2025-02", "--private", "A=north",
    )  # fmt: skip
    assert meterlet(*settle)[0] == 0
    code, said = meterlet(*settle, "--private", "B=few")
    assert (code, "A: 0.00 EUR, 5 customers" in said) == (4, True), said
    assert "B: region few: no round" in said
    assert "provisional: 0 customers are left out" in said
    code, said = meterlet(*settle, "--private", "B=few", "--private", "C=wrong")
    assert (code, "C: region wrong: batch" in said) == (3, True), said


FACTS: dict[str, Any] = {
    "verified": True, "absent": [], "refused": [], "culprits": [], "void": None,
    "index": bytes(32).hex(), "worth": "-70", "homes": 5, "missing_home_slots": 0, "left_out": [],
    "region": "north", "round": "00", "known_before": False, "bytes_sent": 1, "bytes_received": 2,
}  # fmt: skip
CULPRIT = {"who": "concentrator", "reason": "its product is not that of the contributions"}
GONE = {"meter": "0a", "step": "contribute", "why": "refused"}


@pytest.mark.parametrize(
    ("change", "code", "exact"),
    [
        ({}, None, {"A": -70}),
        ({"missing_home_slots": 3}, None, {"A": -70}),
        ({"left_out": ["0a"], "absent": [GONE]}, 4, {"A": -70}),
        ({"culprits": [CULPRIT]}, 3, {"A": -70}),  # its evidence has opened the sum
        ({"verified": False, "culprits": [CULPRIT]}, 3, {}),
        ({"verified": False}, 3, {}),
        ({"verified": False, "void": "no answer to 'open'", "absent": [GONE]}, 4, {}),
    ],
)
def test_what_became_of_a_suppliers_sum_is_what_the_exit_code_says(
    change: dict[str, Any], code: int | None, exact: dict[str, int]
) -> None:
    done = PrivateSettlement()
    done.take("A", bytes(32), {**FACTS, **change})
    assert (done.exact, done.missing) == (exact, change.get("missing_home_slots", 0))
    if code is None:
        done.require_whole()
        return
    with pytest.raises(SystemExit) as left, one_line_errors():
        done.require_whole()
    assert left.value.code == code


def test_a_supplier_of_several_groups_has_what_they_add_up_to() -> None:
    done = PrivateSettlement()
    for supplier, worth in (("A", -70), ("B", 5), ("A", 100)):
        done.take(supplier, bytes(32), {**FACTS, "worth": str(worth)})
    assert (done.exact, done.homes) == ({"A": 30, "B": 5}, {"A": 10, "B": 5})
    assert len(done.groups) == 3


def test_a_number_at_another_index_than_asked_is_refused() -> None:
    with pytest.raises(VerificationFailed, match="another index than asked"):
        PrivateSettlement().take("A", bytes(31) + b"1", FACTS)
