# SPDX-License-Identifier: Apache-2.0
"""Bad input gets one line that names the place, the right exit code, and changes nothing."""

import json
import re
import sqlite3
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from hub.device import Device
from hub.meters.emulated import emulated_meter_id, telegrams
from hub.readings import Reading
from protocols.metrology import Period, SlotState
from tests.support.command import ROOT, run_meterlet

NOON = 1_743_500_000
TARIFF = (ROOT / "meterlet" / "demo" / "tariff.toml").read_text()


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    line: str


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    assert run_meterlet("hub", "init", folder, "--serial", 1).returncode == 0
    return folder


def refused(*arguments: object) -> Refusal:
    """Run the command; it must print nothing but one line of error."""
    done = run_meterlet(*arguments)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("meterlet: ")
    assert "Traceback" not in line
    return Refusal(done.returncode, line)


def readings_in(hub: Path) -> int:
    done = run_meterlet("hub", "status", "--hub", hub, "--json")
    assert done.returncode == 0, done.stderr
    number = json.loads(done.stdout)["readings"]
    assert isinstance(number, int)
    return number


def frames(number: int = 4) -> list[bytes]:
    return list(
        telegrams(emulated_meter_id(1), (Reading(NOON + 900 * n, 5 * n) for n in range(number)))
    )


def test_a_damaged_capture_is_reported_by_byte_and_its_intact_telegrams_kept(
    hub: Path, tmp_path: Path
) -> None:
    capture, good = tmp_path / "line.bin", frames()
    broken = good[1][:70] + bytes([good[1][70] ^ 0x10]) + good[1][71:]
    capture.write_bytes(good[0] + broken + good[2] + good[3][:-3])
    done = run_meterlet("hub", "ingest", "--hub", hub, capture)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"meterlet: {capture}: byte {len(good[0])}: ")
    assert second.startswith(f"meterlet: {capture}: byte {sum(map(len, good[:3]))}: ")
    assert readings_in(hub) == 2


def test_a_file_that_is_no_capture_is_refused(hub: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing that a meter would say")
    done = run_meterlet("hub", "ingest", "--hub", hub, text)
    assert done.returncode == 1
    assert done.stderr == f"meterlet: {text}: no SML telegram in it\n"
    missing = refused("hub", "ingest", "--hub", hub, tmp_path / "gone.bin")
    assert (missing.code, "gone.bin: No such file" in missing.line) == (1, True)


def test_telegrams_of_another_meter_are_set_aside_by_name(hub: Path, tmp_path: Path) -> None:
    capture = tmp_path / "other.bin"
    other = list(telegrams(emulated_meter_id(2), [Reading(NOON + 4000, 70)]))
    capture.write_bytes(b"".join(frames() + other))
    done = run_meterlet("hub", "ingest", "--hub", hub, capture)
    assert done.returncode == 1
    place, other_meter = sum(map(len, frames())), emulated_meter_id(2).hex()
    assert f"byte {place}: set aside: it is of meter {other_meter}, this hub" in done.stderr
    assert "4 readings stored, 1 set aside, 0 repeated" in done.stdout
    assert readings_in(hub) == 4


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ("2025-01-01T01:00:00,1\n2025-01-01T00:00:00,1\n", "line 3: .* is earlier"),
        ("2025-01-01T01:00:00,1\n2025-01-01T01:00:00,1\n", "line 3: .* repeats"),
        ("2025-03-30T02:15:00,1\n", "line 2: .* does not exist on the clock of Europe/Berlin"),
    ],
)
def test_bad_rows_are_refused_by_line_and_nothing_of_the_file_kept(
    hub: Path, tmp_path: Path, rows: str, place: str
) -> None:
    file = tmp_path / "use.csv"
    file.write_text("start,home\n" + rows)
    refusal = refused(
        "hub", "ingest", "--hub", hub, file, "--column", "home", "--interval", "1h",
        "--zone", "Europe/Berlin",
    )  # fmt: skip
    assert refusal.code == 1
    assert re.search(rf"use\.csv: {place}", refusal.line)
    assert readings_in(hub) == 0


def test_readings_that_are_in_already_are_counted_and_nothing_changes(
    hub: Path, tmp_path: Path
) -> None:
    capture = tmp_path / "line.bin"
    capture.write_bytes(b"".join(frames()))
    assert run_meterlet("hub", "ingest", "--hub", hub, capture).returncode == 0
    again = run_meterlet("hub", "ingest", "--hub", hub, capture)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("0 readings stored, 0 set aside, 4 repeated")
    assert readings_in(hub) == 4


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('[[charge.band]]\nname = "night and weekend"\nprice = "0.2689"\n', "", "energy"),
        ("06:00-22:00", "06:00-26:00", "tariff.toml:"),
        ("Europe/Berlin", "Europe/Bärlin", "tariff.toml:6: unknown time zone"),
        ('price = "0.3412"', 'price = "0.34120001"', "tariff.toml:"),
        ("format = 1", "format = ", "tariff.toml:"),
    ],
)
def test_a_bad_tariff_is_refused_by_line(tmp_path: Path, old: str, new: str, place: str) -> None:
    assert old in TARIFF
    file = tmp_path / "tariff.toml"
    file.write_text(TARIFF.replace(old, new))
    refusal = refused("demo", "--tariff", file)
    assert (refusal.code, place in refusal.line) == (1, True), refusal.line


def test_an_unknown_zone_month_or_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "use.csv"
    file.write_text("start,home\n2025-01-01T00:00:00,1\n")
    asked = ("demo", "--readings", file, "--month", "2025-01", "--column")
    zone = refused(*asked, "home", "--zone", "Mars/Olympus")
    assert (zone.code, "Mars/Olympus" in zone.line) == (1, True)
    column = refused(*asked, "garage", "--interval", "1h")
    assert (column.code, "use.csv: line 1: no column 'garage'" in column.line) == (1, True)
    month = run_meterlet("demo", "--month", "2025-13")
    assert (month.returncode, "2025-13" in month.stderr) == (2, True)


def test_a_database_of_a_newer_release_is_refused_and_left_alone(hub: Path) -> None:
    with sqlite3.connect(hub / "hub.db") as connection:
        connection.execute("UPDATE schema_version SET version = 99 WHERE component = 'vault'")
    connection.close()
    before = (hub / "hub.db").read_bytes()
    refusal = refused("hub", "status", "--hub", hub)
    assert (refusal.code, "vault have version 99" in refusal.line) == (1, True)
    assert (hub / "hub.db").read_bytes() == before


def test_a_wrong_or_open_key_is_refused(hub: Path) -> None:
    key = hub / "keys" / "vault.key"
    key.chmod(0o644)
    refusal = refused("hub", "status", "--hub", hub)
    assert (refusal.code, "mode 0644" in refusal.line) == (1, True)
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    refusal = refused("hub", "status", "--hub", hub)
    assert (refusal.code, "sealed with another key" in refusal.line) == (1, True)


def test_there_is_no_hub_where_none_was_made(tmp_path: Path) -> None:
    refusal = refused("hub", "status", "--hub", tmp_path)
    assert (refusal.code, "there is no hub" in refusal.line) == (1, True)
    (tmp_path / "something").touch()
    refusal = refused("hub", "init", tmp_path, "--serial", 1)
    assert (refusal.code, "not empty" in refusal.line) == (1, True)
    usage = run_meterlet("hub", "init", tmp_path / "new")
    assert (usage.returncode, "--meter" in usage.stderr) == (2, True)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ("2200-01-01T00:00:00,1\n", "line 2: .* is not within 1971 to 2105"),
        ("2025-01-01T00:00:00,999999999999\n", "line 2: home is .*: no home uses that"),
        ("2025-01-01T00:00:00,\xe9\n", "line 2: home is '\xe9', not a decimal"),
    ],
)
def test_what_would_spoil_the_hub_for_ever_is_not_let_in(
    hub: Path, tmp_path: Path, rows: str, place: str
) -> None:
    file = tmp_path / "use.csv"
    file.write_text("start,home\n" + rows)
    refusal = refused("hub", "ingest", "--hub", hub, file, "--column", "home")
    assert refusal.code == 1
    assert re.search(rf"use\.csv: {place}", refusal.line)
    good = tmp_path / "good.csv"
    good.write_text("start,home\n2025-01-01T00:00:00,1\n2025-01-02T00:00:00,1\n")
    assert run_meterlet("hub", "ingest", "--hub", hub, good, "--column", "home").returncode == 0


@pytest.mark.parametrize(
    ("first", "last", "code", "why"),
    [
        ("2025-01-02", "2025-01-01", 2, "is after"),
        ("0001-01-01", "0001-01-02", 2, "only the years"),
        ("9999-12-30", "9999-12-31", 2, "only the years"),
        ("2150-01-01", "2150-01-02", 1, "a telegram's times end in 2106"),
    ],
)
def test_days_that_cannot_be_simulated_are_refused(
    hub: Path, first: str, last: str, code: int, why: str
) -> None:
    refusal = refused(
        "hub", "ingest", "--hub", hub, "synthetic", "--from", first, "--until", last
    )  # fmt: skip
    assert (refusal.code, why in refusal.line) == (code, True), refusal.line
    assert readings_in(hub) == 0


def test_a_month_without_a_value_is_no_bill(tmp_path: Path) -> None:
    file = tmp_path / "use.csv"
    file.write_text("start,home\n2025-01-01T00:00:00,1\n2025-02-01T00:00:00,\n")
    refusal = refused(
        "demo", "--readings", file, "--column", "home", "--interval", "1h", "--month", "2025-02"
    )  # fmt: skip
    assert refusal.code == 1
    assert refusal.line.endswith("no value from 2025-02-01 to 2025-02-28: nothing to bill")


def test_a_hub_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"\xff\x00")
    folder = tmp_path / "hub"
    refusal = refused("hub", "init", folder, "--serial", 1, "--vendor", junk)
    assert (refusal.code, str(junk) in refusal.line) == (1, True)
    assert not folder.exists()
    usage = run_meterlet("hub", "init", folder, "--serial", 1, "--zone", "Mars/Olympus")
    assert (usage.returncode, "no time zone 'Mars/Olympus'" in usage.stderr) == (2, True)
    assert not folder.exists()


@pytest.mark.parametrize("source", ["tcp://127.0.0.1:1", "tcp://nowhere.invalid:80"])
def test_a_line_that_cannot_be_opened_is_named(hub: Path, source: str) -> None:
    refusal = refused("hub", "ingest", "--hub", hub, source)
    assert refusal.line.startswith(f"meterlet: {source}: ")


def test_a_damaged_database_is_named_by_every_command(hub: Path) -> None:
    database, damaged = hub / "hub.db", 0
    source = "synthetic", "--from", "2025-01-01", "--until", "2025-01-05"
    assert run_meterlet("hub", "ingest", "--hub", hub, *source).returncode == 0
    whole = database.read_bytes()
    for page in range(1, len(whole) // 4096, 16):
        at = 4096 * page
        database.write_bytes(whole[:at] + b"\xa5" * 4096 + whole[at + 4096 :])
        for command in ("hub", "status"), ("hub", "ingest", *source):
            done = run_meterlet(*command, "--hub", hub)
            assert "Traceback" not in done.stderr
            assert len(done.stderr.splitlines()) <= 1
            damaged += str(database) in done.stderr
    assert damaged


def test_files_that_are_not_what_they_should_be_are_named(tmp_path: Path) -> None:
    utility, junk = tmp_path / "utility", tmp_path / "junk"
    assert run_meterlet("utility", "init", utility).returncode == 0
    junk.write_bytes(b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01")  # a decimal beyond any exponent
    for code, command in (
        (1, ("utility", "enrol", "--utility", utility, junk)),
        (1, ("utility", "sign", "--utility", utility, junk, "-o", tmp_path / "signed")),
        (4, ("bill", "verify", junk)),
        (1, ("applet", "install", "--hub", tmp_path / "gone", junk, "--recipient", junk,
             "--enrolment", tmp_path / "new")),
    ):  # fmt: skip
        refusal = refused(*command)
        assert refusal.code == code
        assert str(tmp_path) in refusal.line


def test_months_of_intervals_follow_each_other_and_what_lies_between_is_missing(
    hub: Path, tmp_path: Path
) -> None:
    for month, days in ((1, (1, 2, 3)), (3, (1, 2))):
        file = tmp_path / f"{month}.csv"
        rows = [
            f"2025-0{month}-{day:02}T{hour:02}:00:00,0.5\n" for day in days for hour in range(24)
        ]
        file.write_text("start,home\n" + "".join(rows))
        done = run_meterlet(
            "hub", "ingest", "--hub", hub, file, "--column", "home", "--interval", "1h",
            "--zone", "Europe/Berlin",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    with Device.open(hub) as device:
        uses = device.main.uses(Period(date(2025, 1, 1), date(2025, 3, 2)))
    states = [state for use in uses for state in use.states]
    assert states.count(SlotState.MISSING) == 96 * (28 + 28)
    assert sum(sum(use.uses) for use in uses) == 5 * 24 * 500
    assert not any(use.unattributed_wh for use in uses)
