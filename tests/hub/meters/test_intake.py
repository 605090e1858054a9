# SPDX-License-Identifier: Apache-2.0
"""`meterlet hub init|ingest` for a meter that counts what is drawn and what is fed in."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.device import Device
from meterlet.commands.hub import hub

ROWS = """start,drawn,fed in
2025-03-01T00:00:00,0.5,0
2025-03-01T00:15:00,0.25,0.125
2025-03-01T00:30:00,,0.5
2025-03-01T00:45:00,0.5,
2025-03-01T01:00:00,0.5,1
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(hub, [str(one) for one in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = run("init", tmp_path / "hub", "--serial", 1, "--feed-in-register")
    assert made.exit_code == 0, made.output
    return tmp_path / "hub"


def registers(folder: Path) -> list[list[int]]:
    with Device.open(folder) as device:
        return [
            [one.register_wh for one in meter.vault.between(meter.channel, 0, 1 << 40)]
            for meter in device.registers.values()
        ]


def test_two_columns_fill_two_registers_and_a_gap_in_either_is_one_in_both(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "home.csv"
    file.write_text(ROWS)
    columns = ("--column", "drawn", "--feed-in-column", "fed in", "--interval", "15min")
    done = run("ingest", "--hub", folder, file, *columns, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["readings"] == 5
    assert registers(folder) == [[0, 500, 750, 750, 1250], [0, 0, 125, 125, 1125]]
    file.write_text(ROWS.replace("2025-03-01", "2025-03-02"))
    assert run("ingest", "--hub", folder, file, *columns).exit_code == 0
    drawn, fed_in = registers(folder)
    assert (drawn[-1], fed_in[-1]) == (2500, 2250), "each goes on where it stood"


def test_a_synthetic_household_goes_on_in_both_registers(folder: Path) -> None:
    for day in (14, 15):
        at = f"2025-06-{day}"
        done = run(
            "ingest", "--hub", folder, "synthetic", "--from", at, "--until", at, "--solar", "5.5"
        )
        assert done.exit_code == 0, done.output
        assert "97 readings stored" in done.output or "96 readings stored" in done.output
    status = json.loads(run("status", "--hub", folder, "--json").stdout)
    assert (status["certified_days"], status["feed_in_days"]) == (2, 2)
    drawn, fed_in = registers(folder)
    assert fed_in[0] == 0 < fed_in[96] < fed_in[-1]
    assert drawn == sorted(drawn)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("home.csv", "--column", "drawn"), "--feed-in-column"),
        (("synthetic", "--from", "2025-06-14", "--until", "2025-06-14"), "--solar"),
    ],
)
def test_a_source_without_feed_in_is_no_source_for_such_a_meter(
    folder: Path, arguments: tuple[str, ...], why: str
) -> None:
    done = run("ingest", "--hub", folder, *arguments)
    assert (done.exit_code, why in done.output) == (2, True)
    assert registers(folder) == [[], []]


@pytest.mark.parametrize("register", ["1-0:1.8.0*255", "7-0:3.0.0*255", "nonsense"])
def test_only_a_register_of_energy_fed_in_is_taken(tmp_path: Path, register: str) -> None:
    done = run("init", tmp_path / "hub", "--serial", 1, "--feed-in-register", register)
    assert done.exit_code == 2
    assert not (tmp_path / "hub").exists()


def test_a_hub_for_one_register_takes_what_a_meter_of_two_says_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    assert run("init", folder, "--serial", 1).exit_code == 0
    done = run(
        "ingest", "--hub", folder, "synthetic",
        "--from", "2025-06-14", "--until", "2025-06-14", "--solar", 5,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "feed_in_register" not in json.loads(run("status", "--hub", folder, "--json").stdout)
    [drawn] = registers(folder)
    assert len(drawn) == 97
