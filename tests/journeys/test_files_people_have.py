# SPDX-License-Identifier: Apache-2.0
"""Files that people have, through the commands: the right bill, or the way on."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.hub import hub
from meterlet.commands.inspect import inspect
from meterlet.commands.main import main
from meterlet.commands.tariff import tariff
from tests.support import files_people_have as made
from tests.support.command import run_meterlet

FLAT = """format = 1
name = "flat"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2012-01-01
valid_until = 2028-01-01
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "energy"
kind = "energy"
price = "0.30"
"""
ONE_DAY = "2.29"
"""7.63 kWh at 0.30 EUR."""


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    path = tmp_path / "flat.toml"
    path.write_text(FLAT)
    return path


def price(flat: Path, name: str, content: str | bytes, *options: str) -> Result:
    file = flat.parent / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return CliRunner().invoke(tariff, ["price", str(flat), str(file), *options])


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("excel.csv", made.EXCEL, ["--column", "kWh"], "semicolons, decimal commas"),
        ("excel.csv", made.EXCEL, [], "column 'kWh' is taken"),
        ("utf16.txt", made.PLAIN.replace(",", "\t").encode("utf-16"), ["--column", "kWh"],
         "UTF-16"),
        ("floats.csv", made.FLOATS, ["--column", "kWh"], "96 values have more than 12 decimals"),
        ("register.csv", made.REGISTER, ["--column", "kWh", "--cumulative"], ""),
        ("dsmr.csv", made.DSMR, [], "added: delivered_1, delivered_2, which are registers"),
        ("dsmr.csv", made.DSMR, ["--column", "delivered_1", "--column", "delivered_2",
                                 "--cumulative"], ""),
        ("pge.csv", made.PGE, [], "recognised as pge"),
        ("pge.csv", made.PGE, ["--format", "pge"], ""),
        ("green.xml", made.GREEN_BUTTON, [], "recognised as green-button"),
        ("octopus.csv", made.OCTOPUS, [], "recognised as octopus"),
        ("nem12.csv", made.NEM12, [], "stream Q1, in kvarh"),
        ("fluvius.csv", made.FLUVIUS, [], "Afname Dag, Afname Nacht"),
        ("enedis.csv", made.ENEDIS, [], "mean power"),
        ("ha.csv", made.DASHBOARD, [], "recognised as home-assistant"),
        ("days.csv", made.DAY_ROWS, [], "recognised as day-rows"),
    ],
)  # fmt: skip
def test_each_is_billed_right(
    flat: Path, name: str, content: str | bytes, options: list[str], said: str
) -> None:
    shown = price(flat, name, content, *options)
    assert shown.exit_code == 0, shown.output
    assert f"total {ONE_DAY} EUR" in shown.stdout
    assert said in shown.stderr
    as_json = json.loads(price(flat, name, content, *options, "--json", "--no-slots").stdout)
    assert (as_json["total"], as_json["provisional"]) == (ONE_DAY, False)
    assert as_json["readings"]["rows"] > 0


@pytest.mark.parametrize(
    ("content", "options", "way"),
    [
        (made.REGISTER, ["--column", "kWh"], "say --cumulative"),
        (made.DSMR, ["--column", "delivered_1"], "say --cumulative"),
        (made.PLAIN, ["--column", "use"], "no column 'use'; there are kWh"),
        (made.PLAIN, ["--column", "kWh", "--fuse", "1", "--phases", "1"], "--fuse"),
        (made.PLAIN, ["--column", "kWh", "--interval", "soon"], "write it as 30min"),
    ],
)
def test_what_is_not_billed_names_the_way_on(
    flat: Path, content: str, options: list[str], way: str
) -> None:
    refused = price(flat, "file.csv", content, *options)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert way in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_bill_with_gaps_is_provisional(flat: Path) -> None:
    rows = made.PLAIN.splitlines(keepends=True)
    del rows[40:44]
    shown = price(flat, "gap.csv", "".join(rows), "--column", "kWh", "--json", "--no-slots")
    assert shown.exit_code == 4
    bill = json.loads(shown.stdout)
    assert (bill["provisional"], len(bill["missing_slots"])) == (True, 4)
    assert "provisional: 4 slots are missing and not billed" in shown.stderr


def test_a_doubtful_row_is_a_gap(flat: Path) -> None:
    text = made.lines("start,kWh,bad", lambda b, e, u: f"{b:%Y-%m-%d %H:%M},{u},{int(b.hour == 5)}")
    options = ["--column", "kWh", "--suspect-column", "bad"]
    assert price(flat, "file.csv", text, *options).exit_code == 4


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    made_hub = CliRunner().invoke(hub, ["init", str(folder), "--serial", "7", "--zone", "UTC"])
    assert made_hub.exit_code == 0, made_hub.output
    return folder


def ingest(home: Path, name: str, content: str, *options: str) -> Result:
    file = home.parent / name
    file.write_text(content)
    return CliRunner().invoke(hub, ["ingest", "--hub", str(home), str(file), *options])


def test_a_hub_takes_them_and_tells_of_gaps(home: Path) -> None:
    rows = made.EXCEL.splitlines(keepends=True)
    del rows[40:44]
    taken = ingest(home, "excel.csv", "".join(rows), "--json")
    assert taken.exit_code == 0, taken.output
    facts = json.loads(taken.stdout)
    gap = {"from": "2025-03-01T09:45:00Z", "until": "2025-03-01T10:45:00Z", "seconds": 3600}
    assert (facts["gaps"], facts["days_certified"]) == ([gap], 1)
    assert facts["file"]["rows"] == 92
    assert "no readings from 2025-03-01T09:45:00Z to 2025-03-01T10:45:00Z" in taken.stderr


def test_what_a_hub_gives_out_as_green_button_is_read(home: Path, flat: Path) -> None:
    assert ingest(home, "days.csv", made.DAY_ROWS).exit_code == 0
    out = home.parent / "own"
    copied = CliRunner().invoke(
        inspect,
        ["export", "readings", "--hub", str(home), "--from", "2025-03-01", "--until", "2025-03-01",
         "--format", "green-button", "--output", str(out), "--yes"],
    )  # fmt: skip
    assert copied.exit_code == 0, copied.output
    own = out.read_text()
    billed = price(flat, "own.xml", own)
    assert billed.exit_code == 0, billed.output
    assert f"total {ONE_DAY} EUR" in billed.stdout
    other = home.parent / "other"
    CliRunner().invoke(hub, ["init", str(other), "--serial", "8", "--zone", "UTC"])
    taken = CliRunner().invoke(hub, ["ingest", "--hub", str(other), str(out.with_name("own.xml"))])
    assert taken.exit_code == 0, taken.output
    assert "1 day certified" in taken.stdout


def test_a_register_as_use_never_reaches_a_hub(home: Path) -> None:
    refused = ingest(home, "register.csv", made.REGISTER, "--column", "kWh")
    assert refused.exit_code == 1
    assert "say --cumulative" in str(refused.stderr or refused.exception)
    taken = ingest(home, "register.csv", made.REGISTER, "--column", "kWh", "--cumulative", "--json")
    assert taken.exit_code == 0, taken.output
    assert json.loads(taken.stdout)["readings"] == 97


def test_the_demonstration_takes_the_files_that_people_have(tmp_path: Path) -> None:
    rows = ["Datum;Uhrzeit;Verbrauch (kWh)"]
    begin = datetime(2025, 2, 1)
    for n in range(24 * 28):
        time = begin + timedelta(hours=n)
        rows.append(f"{time:%d.%m.%Y};{time:%H:%M};0,{n % 5}")
    file = tmp_path / "excel.csv"
    file.write_text("\n".join(rows))
    done = run_meterlet(
        "demo", "--readings", file, "--month", "2025-02", "--zone", "Europe/Berlin",
        "--column", "Verbrauch (kWh)", "--separator", "semicolon", "--decimal", "comma",
        "--time-column", "Datum", "--time-column", "Uhrzeit", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["verified"], facts["notes"]) == (True, [])


def test_a_hub_holds_a_file_against_its_own_fuse(tmp_path: Path) -> None:
    folder, file = tmp_path / "hub", tmp_path / "file.csv"
    made_hub = CliRunner().invoke(
        main, ["hub", "init", str(folder), "--serial", "9", "--fuse", "16", "--phases", "1"]
    )
    assert made_hub.exit_code == 0, made_hub.output
    file.write_text(made.PLAIN.replace("0.07", "3"))
    ingest = ["hub", "ingest", "--hub", str(folder), str(file), "--column", "kWh"]
    refused = CliRunner().invoke(main, ingest)
    assert refused.exit_code == 1
    assert "kW flow through the fuse" in refused.stderr
    assert CliRunner().invoke(main, [*ingest, "--fuse", "63", "--phases", "3"]).exit_code == 0


def test_profiles_are_found_in_a_table_as_people_have_it(tmp_path: Path) -> None:
    rows = ["Zeit;a;b;c;d"]
    for n in range(96 * 14):
        time = datetime(2025, 3, 3) + timedelta(minutes=15 * n)
        day, night = (2, 1) if 6 <= time.hour < 18 else (1, 2)
        cells = f"0,{day};0,{day};0,{night};0,{night}"
        rows.append(f"{time:%d.%m.%Y %H:%M};{cells}")
    file, output = tmp_path / "homes.csv", tmp_path / "made"
    file.write_text("\n".join(rows))
    where = ["-o", str(output), "--zone", "Europe/Berlin", "--json"]
    asked = ["profile", "extract", str(file), "--classes", "2", "--name", "n", *where]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["slot_minutes"], sorted(facts["homes"].values())) == (15, [2, 2])
    assert output.exists()
