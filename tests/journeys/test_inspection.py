# SPDX-License-Identifier: Apache-2.0
"""A resident at the command line: look, compare, check the proof, take copies, let programs in."""

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from hub.device import Device
from hub.inspection.api.application import create_api
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.main import main
from tests.support.command import ROOT
from tests.support.command import run_meterlet as run_process

MARCH = ("--from", "2025-03-01", "--until", "2025-03-31")
Inspect = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's household, kept."""
    keep = tmp_path_factory.mktemp("resident") / "demo"
    done = run_process("demo", "--keep", keep, "--json")
    assert done.returncode == 0, done.stderr
    return keep / "hub"


def run_meterlet(*arguments: object, stdin: str | None = None) -> CompletedProcess[str]:
    """Run the command in this process, for speed."""
    done = CliRunner().invoke(
        main, list(map(str, arguments)), stdin, {"NO_COLOR": "1", "COLUMNS": "200"}
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return CompletedProcess("meterlet", done.exit_code, done.stdout, done.stderr)


def inspect(folder: Path, *arguments: object, code: int = 0) -> Any:
    done = run_meterlet("inspect", *arguments, "--hub", folder, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_table_json_csv_and_interface_say_the_same(folder: Path) -> None:
    said = inspect(folder, "readings", *MARCH)
    bill = inspect(folder, "bill")
    assert said["total"]["energy_wh"] == bill["energy_wh"]
    assert said["total"]["cost"]["rounded"] == bill["invoiced"] == "127.46"
    rows = run_meterlet("inspect", "readings", *MARCH, "--csv", "--hub", folder).stdout
    lines = list(csv.DictReader(rows.splitlines()))
    assert [int(line["energy_wh"]) for line in lines] == [
        bucket["energy_wh"] for bucket in said["buckets"]
    ]
    cost = said["total"]["cost"]
    exact = Decimal(cost["exact"]).scaleb(-cost["exact_decimals"])
    assert sum(Decimal(line["cost"]) for line in lines) == exact
    table = run_meterlet("inspect", "readings", *MARCH, "--hub", folder).stdout
    whole, rest = divmod(said["total"]["energy_wh"], 1000)
    assert f"{whole}.{rest:03}" in table
    assert "127.46 EUR" in table
    made = inspect(folder, "tokens", "create", "home", "--scope", "readings", "--scope", "bills")
    headers = {"Authorization": f"Bearer {made['token']}"}
    with TestClient(create_api(lambda: Device.open(folder), BillingProofs())) as client:
        asked = "/v1/readings?from=2025-03-01&until=2025-03-31"
        answer = client.get(asked, headers=headers).json()
        [checked] = client.get("/v1/bills?proofs=true", headers=headers).json()["bills"]
    assert (checked["verdict"], checked["proof"]["verdict"]) == ("matches", "matches")
    assert answer["total"] == said["total"]
    assert answer["buckets"] == said["buckets"]


def test_a_year_is_compared_with_the_one_before(folder: Path) -> None:
    both = inspect(folder, "readings", "--by", "month", "--compare")
    assert both["now"]["first_day"] == "2025-01-01"
    assert both["before"]["last_day"] == "2024-12-31"
    assert both["energy_difference_wh"] is None  # nothing is known of the year before


def test_a_consent_is_narrowed_to_more_days_with_as_many_answers_and_not_to_fewer(
    folder: Path,
) -> None:
    consents = "inspect", "consents"
    wider = run_meterlet(*consents, "narrow", "--hub", folder, 1, "--within-days", 7)
    assert (wider.returncode, "would allow more" in wider.stderr) == (1, True)
    assert run_meterlet(*consents, "narrow", "--hub", folder, 1).returncode == 2
    done = run_meterlet(*consents, "narrow", "--hub", folder, 1, "--within-days", 62)
    assert done.returncode == 0, done.stderr
    [*_, newest] = inspect(folder, "consents", "list")["consents"]
    assert (newest["replaces"], newest["within_days"]) == (1, 62)


def test_a_day_is_shown_between_its_readings(folder: Path) -> None:
    said = inspect(folder, "readings", "--fine", "--from", "2025-03-30")
    whole = inspect(folder, "readings", "--from", "2025-03-30")
    assert sum(use["energy_wh"] for use in said["uses"]) == whole["total"]["energy_wh"]
    rows = run_meterlet(
        "inspect", "readings", "--fine", "--csv", "--from", "2025-03-30", "--hub", folder
    ).stdout
    assert len(rows.splitlines()) == 1 + len(said["uses"]) == 1 + 92
    month = run_meterlet("inspect", "readings", "--fine", *MARCH, "--hub", folder)
    assert (month.returncode, "--fine shows one day" in month.stderr) == (2, True)


def test_a_month_is_compared_with_the_month_before_everywhere(folder: Path) -> None:
    both = inspect(folder, "readings", "--compare", *MARCH)
    assert (both["before"]["first_day"], both["before"]["last_day"]) == ("2025-02-01", "2025-02-28")


def test_the_proof_is_checked_and_taken_out_for_anyone_to_check(
    folder: Path, tmp_path: Path
) -> None:
    assert inspect(folder, "bill", "--proof")["proof"]["verdict"] == "matches"
    bundle = tmp_path / "march.bundle"
    asked = run_meterlet("inspect", "export", "bill", "-o", bundle, "--hub", folder, stdin="n\n")
    assert (asked.returncode, bundle.exists()) == (5, False)
    done = run_meterlet("inspect", "export", "bill", "-o", bundle, "--yes", "--hub", folder)
    assert done.returncode == 0, done.stderr
    verified = run_meterlet("bill", "verify", bundle)
    assert (verified.returncode, "127.46" in verified.stdout) == (0, True)
    again = run_meterlet("inspect", "export", "bill", "-o", bundle, "--yes", "--hub", folder)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    [copy] = [c for c in inspect(folder, "releases")["copies"] if c["form"] == "bill bundle"]
    assert copy["size"] == bundle.stat().st_size
    assert bundle.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("form", "suffix"), [("csv", "csv"), ("green-button", "xml")])
def test_readings_are_taken_out_and_that_is_on_record(
    folder: Path, tmp_path: Path, form: str, suffix: str
) -> None:
    file = tmp_path / f"march.{suffix}"
    done = run_meterlet(
        "inspect", "export", "readings", *MARCH, "--format", form, "-o", file, "--yes",
        "--hub", folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    copies = inspect(folder, "releases")["copies"]
    assert (copies[-1]["readings"], copies[-1]["size"]) == (2972, file.stat().st_size)
    nothing = run_meterlet(
        "inspect", "export", "readings", "--from", "2024-01-01", "--until", "2024-01-02",
        "-o", tmp_path / "none", "--yes", "--hub", folder,
    )  # fmt: skip
    assert (nothing.returncode, (tmp_path / "none").exists()) == (1, False)
    assert "no readings of 2024-01-01 to 2024-01-02" in nothing.stderr


def test_other_tariffs_are_worked_out_and_nobody_is_told(folder: Path) -> None:
    before = inspect(folder, "releases")
    bioraria = ROOT / "examples" / "tariffs" / "it-bioraria-2025.toml"
    said = inspect(
        folder, "bill", "--tariff", bioraria, "--tariff", ROOT / "meterlet/demo/tariff.toml"
    )
    assert said["now"]["rounded"] == said["offers"][1]["cost"]["rounded"] == "127.46"
    priced = run_meterlet("tariff", "price", bioraria, "--help")
    assert priced.returncode == 0
    assert said["offers"][0]["cost"]["currency"] == "EUR"
    assert inspect(folder, "releases") == before
    ahead = run_meterlet("inspect", "bill", "--forecast", "--hub", folder)
    assert (ahead.returncode, ahead.stdout) == (1, "")
    assert "no readings of 2025-04-01 to 2025-04-30 yet" in ahead.stderr
    [column] = inspect(folder, "tariffs")["columns"]
    assert column["name"] == "demo-day-night"


def test_the_attack_finds_on_the_curve_what_the_bill_does_not_tell(folder: Path) -> None:
    said = inspect(folder, "attack", "--from", "2025-03-03", "--until", "2025-03-09")
    assert said["house"]["found"] > 5
    assert said["recipients"]["supplier"]["activations"] == []
    assert said["recipients"]["supplier"]["known_steps"] == 7 * 96


def test_a_token_is_listed_without_its_secret_and_revoked(folder: Path) -> None:
    made = inspect(folder, "tokens", "create", "wall display", "--scope", "device")
    listed = run_meterlet("inspect", "tokens", "list", "--hub", folder).stdout
    assert "wall display: device; holds, never used" in listed
    assert made["token"].split("_", 2)[2] not in listed
    done = run_meterlet("inspect", "tokens", "revoke", made["number"], "--hub", folder)
    assert done.returncode == 0
    [token] = [
        one for one in inspect(folder, "tokens", "list")["tokens"] if one["name"] == "wall display"
    ]
    assert token["revoked"] is not None
    missing = run_meterlet("inspect", "tokens", "revoke", 99, "--hub", folder)
    assert (missing.returncode, "there is no token 99" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("readings", "--until", "2025-03-31"), "--until goes with --from"),
        (("readings", "--csv", "--json"), "--csv goes with neither"),
        (("bill", "--forecast", "--proof"), "each ask for something else"),
        (("bill", "--month", "2025-03"), "a period goes with --tariff"),
        (("readings", "--from", "2025-03-31", "--until", "2025-03-01"), "first day"),
    ],
)
def test_what_makes_no_sense_is_said(folder: Path, arguments: tuple[str, ...], reason: str) -> None:
    done = run_meterlet("inspect", *arguments, "--hub", folder)
    assert done.returncode in (1, 2)
    assert reason in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_message_that_was_changed_is_no_proof(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "hub"
    shutil.copytree(folder, other)
    with sqlite3.connect(other / "hub.db") as database:
        database.execute("UPDATE disclosure_bytes SET content = zeroblob(length(content))")
    database.close()
    done = run_meterlet("inspect", "bill", "--proof", "--hub", other)
    assert (done.returncode, "the bytes of entry" in done.stderr) == (3, True)


def test_every_message_is_shown_to_the_byte_and_decoded(folder: Path) -> None:
    said = inspect(folder, "releases", "--bytes")
    [release] = said["released"]
    [message] = said["messages"]
    assert release["bytes"] == message["size"] == len(bytes.fromhex(message["bytes"])) > 1000
    names = [field["name"] for field in message["fields"]]
    assert {"OpenRes", "GetProfileListRes", "CloseRes"} <= set(names)
    total = next(field["value"] for field in message["fields"] if "127.46" in field["value"])
    assert total
    shown = run_meterlet("inspect", "releases", "--bytes", "--hub", folder).stdout
    assert message["bytes"] in shown
