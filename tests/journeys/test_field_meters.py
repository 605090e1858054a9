# SPDX-License-Identifier: Apache-2.0
"""Meters as the field has them, through the door of a hub: each fault with what is right."""

import json
import shutil
from datetime import date
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hub.device import Device
from hub.meters.fuse import Fuse
from protocols.metrology import Period, SlotState
from tests.support.command import run_meterlet
from tests.support.field import (
    FIELD_METERS,
    MARCH,
    METER,
    NEIGHBOUR,
    named_in_table,
    needs_field_meters,
    telegram,
)
from tests.support.town import done

DAY = date(2025, 3, 1)
JSON = dict[str, Any]
Done = CompletedProcess[str]


def run(*arguments: object) -> Done:
    return run_meterlet("hub", *arguments)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub without readings, to be copied."""
    folder = tmp_path_factory.mktemp("fresh") / "hub"
    done("hub", "init", folder, "--meter", METER.hex())
    return folder


@pytest.fixture
def folder(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "hub"))


def ingest(folder: Path, name: str, *options: str) -> tuple[int, JSON, str]:
    source = FIELD_METERS / f"{name}.bin"
    ran = run("ingest", "--hub", folder, source, *options, "--json")
    return ran.returncode, json.loads(ran.stdout or "{}"), ran.stderr


def counts(told: JSON) -> tuple[int, int, int]:
    return told["readings"], told["set_aside"], told["repeated"]


def quarantine(folder: Path) -> list[JSON]:
    listed = done("hub", "readings", "quarantine", "list", "--hub", folder, "--json")
    found: list[JSON] = json.loads(listed)["set_aside"]
    return found


def kinds(folder: Path) -> list[str]:
    return [one["kind"] for one in quarantine(folder)]


# The shared files


@needs_field_meters
def test_a_register_that_shows_0_once(folder: Path) -> None:
    code, told, why = ingest(folder, "01_zero_once")
    assert (code, counts(told)) == (1, (199, 1, 0))
    assert "set aside: 1-0:1.8.0*255 fell from 5,003,920 to 0 Wh" in why
    assert kinds(folder) == ["register-fell"]


@needs_field_meters
def test_a_leap_keeps_out_nothing_that_follows(folder: Path) -> None:
    code, told, why = ingest(folder, "02_leap_once")
    assert (code, counts(told)) == (1, (50, 1, 0))
    assert "more than flows through 3 x 250 A" in why
    code, told, _ = ingest(folder, "02_leap_then_true")
    assert (code, counts(told)) == (0, (249, 0, 0))


@needs_field_meters
def test_a_meter_without_time(folder: Path) -> None:
    code, _, why = ingest(folder, "04_no_time", "--start", "2025-03-01T00:00:00")
    assert (code, "--step 15min" in why) == (2, True)
    code, told, _ = ingest(
        folder, "04_no_time", "--start", "2025-03-01T00:00:00", "--step", "15min"
    )
    assert (code, counts(told)) == (0, (289, 0, 0))


@needs_field_meters
def test_a_clock_that_stands_in_1970_has_nothing_signed(folder: Path) -> None:
    code, told, why = ingest(folder, "06_clock_1970")
    assert (code, counts(told)) == (1, (197, 3, 0))
    assert "its clock is behind: 1970-01-01" in why
    with Device.open(folder) as device:
        assert device.main.journal.span() == (DAY, date(2025, 3, 2), 2)


@needs_field_meters
def test_a_clock_that_is_ahead_once(folder: Path) -> None:
    code, told, _ = ingest(folder, "07_clock_ahead_once")
    assert (code, counts(told), told["days_certified"]) == (1, (288, 1, 0), 3)
    assert kinds(folder) == ["clock-ahead"]
    code, told, _ = ingest(folder, "07_clock_ahead_once")
    assert (code, counts(told), len(quarantine(folder))) == (0, (0, 0, 289), 1)


@needs_field_meters
def test_a_register_that_is_not_sent(folder: Path) -> None:
    code, told, why = ingest(folder, "08_register_absent")
    assert (code, counts(told)) == (1, (0, 0, 0))
    assert "no telegram has 1-0:1.8.0*255; the meter sends 1-0:96.1.0*255" in why


@needs_field_meters
def test_a_locked_meter_is_not_measured_and_the_resident_is_told(folder: Path) -> None:
    code, told, why = ingest(folder, "09_locked_kWh")
    assert (code, counts(told), told["coarse"]) == (0, (200, 0, 0), True)
    assert "unlock it with its PIN" in why
    with Device.open(folder) as device:
        for day in device.main.certifications(Period(DAY, date(2025, 3, 2))):
            assert set(day.use.states) == {SlotState.ESTIMATED}
    status = json.loads(run("status", "--hub", folder, "--json").stdout)
    assert status["resolution"].startswith("1 kWh: the meter is locked")


@needs_field_meters
def test_a_meter_that_is_exchanged_in_mid_stream(folder: Path) -> None:
    code, told, why = ingest(folder, "10_new_meter")
    assert (code, counts(told)) == (1, (150, 139, 0))
    assert set(kinds(folder)) == {"foreign-meter"}
    command = why.split("say: meterlet hub ")[1].splitlines()[0].split()
    done("hub", command[0], "--hub", folder, *command[1:])
    assert quarantine(folder) == []
    with Device.open(folder) as device:
        assert device.mounted_meter == NEIGHBOUR
        days = device.main.certifications(Period(DAY, date(2025, 3, 3)))
        assert sum(sum(day.use.uses) for day in days) == 5_011_920 - 5_000_000 + 110
        assert [len(day.use.changes) for day in days] == [0, 1, 0]


@needs_field_meters
def test_a_damaged_frame_has_the_reason_that_sml_check_gives(folder: Path) -> None:
    _, told, _ = ingest(folder, "11_reason", "--start", "2025-03-01T00:00:00")
    checked = run_meterlet("sml", "check", FIELD_METERS / "11_reason.bin")
    [lost] = told["lost"]
    assert lost["reason"].startswith("frame crc")
    assert lost["reason"] in checked.stdout + checked.stderr
    code, _, why = ingest(folder, "11_reason")
    assert (code, "frame crc" in why, "--start" in why) == (2, True, True)


@needs_field_meters
def test_every_file_of_the_table_is_tried() -> None:
    names = named_in_table(FIELD_METERS / "README.md")
    assert {f"{name}.bin" for name in names} == {path.name for path in FIELD_METERS.glob("*.bin")}
    text = Path(__file__).read_text()
    assert [name for name in names if f'ingest(folder, "{name}"' not in text] == []


# Beyond them


def store(folder: Path, tmp_path: Path, *frames: bytes) -> Done:
    file = tmp_path / "line.bin"
    file.write_bytes(b"".join(frames))
    return run("ingest", "--hub", folder, file)


def test_the_fuse_is_kept_and_said(tmp_path: Path) -> None:
    made = run("init", tmp_path / "hub", "--meter", METER.hex(), "--fuse", 35, "--phases", 1)
    assert made.returncode == 0, made.stderr
    with Device.open(tmp_path / "hub") as device:
        assert device.description.fuse == Fuse(35, 1)
    frames = [telegram(5_000_001 + 10 * n, MARCH + 900 * n) for n in range(4)]
    ran = store(tmp_path / "hub", tmp_path, *frames, telegram(5_010_000, MARCH + 3600))
    assert (ran.returncode, "flows through 1 x 35 A" in ran.stderr) == (1, True)
    without = run("init", tmp_path / "other", "--meter", METER.hex())
    assert "no --fuse was said: up to 3 x 250 A is believed" in without.stdout + without.stderr
    assert "fuse" not in (tmp_path / "other" / "hub.toml").read_text()
    assert run("init", tmp_path / "third", "--meter", METER.hex(), "--phases", 1).returncode == 2


def test_accepting_a_leap_makes_it_a_reading(folder: Path, tmp_path: Path) -> None:
    frames = [telegram(5_000_001 + 10 * n, MARCH + 900 * n) for n in range(4)]
    assert store(folder, tmp_path, *frames, telegram(6_000_000, MARCH + 3600)).returncode == 1
    [waiting] = quarantine(folder)
    assert waiting["registers"] == {"1-0:1.8.0*255": 6_000_000}
    ran = run("readings", "quarantine", "accept", "--hub", folder, waiting["number"])
    assert (ran.returncode, ran.stdout.startswith("1 stored")) == (0, True), ran.stderr
    assert quarantine(folder) == []
    with Device.open(folder) as device:
        last = device.last_readout()
        assert last is not None
        assert (last.time, next(iter(last.readings.values())).register_wh) == (
            MARCH + 3600,
            6_000_000,
        )


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (telegram(77, MARCH + 3600, meter=NEIGHBOUR), "does not count here"),
        (telegram(5_000_100, MARCH + 90_000_000), "has not come yet"),
        (telegram(0, MARCH + 3600), "shows less than the last reading"),
    ],
)
def test_what_cannot_be_a_reading_is_not_accepted(
    folder: Path, tmp_path: Path, odd: bytes, why: str
) -> None:
    frames = [telegram(5_000_001 + 10 * n, MARCH + 900 * n) for n in range(4)]
    store(folder, tmp_path, *frames, odd)
    [waiting] = quarantine(folder)
    ran = run("readings", "quarantine", "accept", "--hub", folder, waiting["number"])
    assert ran.returncode == 1
    assert why in ran.stderr
    assert len(quarantine(folder)) == 1
    dropped = run("readings", "quarantine", "drop", "--hub", folder, "--all")
    assert (dropped.returncode, dropped.stdout) == (0, "1 dropped\n")
    assert quarantine(folder) == []


def test_accepting_what_came_late_corrects_a_certified_day(folder: Path, tmp_path: Path) -> None:
    frames = [telegram(5_000_001 + 10 * n, MARCH + 900 * n) for n in range(200) if n != 42]
    late = telegram(5_000_001 + 10 * 42, MARCH + 900 * 42)
    ran = store(folder, tmp_path, *frames, late)
    assert (ran.returncode, kinds(folder)) == (1, ["came-late"])
    ran = run("readings", "quarantine", "accept", "--hub", folder, 1)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("0 stored, 1 corrected")
    assert kinds(folder) == []
    with Device.open(folder) as device:
        [first] = device.main.certifications(Period(DAY, DAY))
        assert first.day.revisions[41] == 1


def test_numbers_that_are_not_there_are_refused(folder: Path) -> None:
    for verb in ("accept", "drop"):
        ran = run("readings", "quarantine", verb, "--hub", folder, 1)
        assert "has the number 1" in ran.stderr
        assert run("readings", "quarantine", verb, "--hub", folder).returncode == 2
        assert run("readings", "quarantine", verb, "--hub", folder, 1, "--all").returncode == 2


@pytest.mark.parametrize("options", [(), ("--kind", "current-cost")])
def test_a_display_sends_xml_and_no_table(tmp_path: Path, options: tuple[str, ...]) -> None:
    name = "current cost sensor 1 id 00629"
    hub, file = tmp_path / "hub", tmp_path / "display.xml"
    message = (
        "<msg><src>CC128-v1.31</src><dsb>01300</dsb><time>15:47:38</time><tmpr>26.4</tmpr>"
        "<sensor>1</sensor><id>00629</id><type>1</type><ch1><watts>00600</watts></ch1></msg>\r\n"
    )
    file.write_text(300 * message)
    done("hub", "init", hub, "--meter-text", name)
    source = "--hub", hub, file, *options
    refused = run("ingest", *source)
    assert refused.returncode == 2
    assert "say when the capture began, as --start" in refused.stderr
    moments = "--start", "2025-03-01T00:00:00", "--step", "60s"
    for counted in ("300 readings stored, 0 set aside, 0", "0 readings stored, 0 set aside, 300"):
        told = run("ingest", *source, *moments)
        assert (told.returncode, told.stdout) == (0, f"{counted} repeated, 0 days certified\n")
    assert "2025-03-01T04:59:00Z" in run("status", "--hub", hub).stdout
