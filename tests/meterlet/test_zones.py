# SPDX-License-Identifier: Apache-2.0
"""Days of one zone under a tariff of another are said, and so are whole days of UTC."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from meterlet.commands.main import main
from meterlet.commands.zones import days_apart, days_of_another_clock
from protocols.metrology import Period
from tests.support.command import ROOT

TARIFF = ROOT / "examples" / "tariffs" / "de-modul3-2025.toml"
NOTE = "meterlet: the readings are of whole days of UTC, the tariff's days are of Europe/Berlin"


def price(folder: Path, days: int, *options: str) -> Result:
    begin = datetime(2025, 3, 1, tzinfo=UTC)
    hours = [begin + timedelta(hours=n) for n in range(24 * days)]
    rows = [f"{hour:%Y-%m-%d %H:%M},{n % 7 / 10}" for n, hour in enumerate(hours)]
    file = folder / "use.csv"
    file.write_text("\n".join(["time,kWh", *rows]) + "\n")
    return CliRunner().invoke(main, ["tariff", "price", str(TARIFF), str(file), *options])


def test_a_file_of_days_of_another_clock_is_priced_and_that_is_said(tmp_path: Path) -> None:
    shown = price(tmp_path, 2)
    assert shown.exit_code == 0, shown.output
    assert f"{NOTE}: there the bill is from 2025-03-01 01:00 to 2025-03-03 01:00." in shown.stderr
    assert "say --zone Europe/Berlin" in shown.stderr
    as_json = price(tmp_path, 2, "--json", "--no-slots")
    [note] = json.loads(as_json.stdout)["notes"]
    assert note in shown.stderr
    assert NOTE not in as_json.stderr


def test_whose_days_are_clear_is_not_told(tmp_path: Path) -> None:
    for options in (["--zone", "Europe/Berlin"], ["--from", "2025-03-02", "--json"]):
        done = price(tmp_path, 3, *options)
        assert NOTE not in done.stderr
        if "--json" in options:
            assert json.loads(done.stdout)["notes"] == []


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Europe/Rome", "Europe/London", "Asia/Kolkata"])


@given(ZONES, ZONES, st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 400))
def test_it_is_said_just_where_the_moments_differ(
    zone: str, other: str, first: date, more: int
) -> None:
    period = Period(first, first + timedelta(days=more))
    notes = days_apart(period, zone, other)
    assert bool(notes) == (period.bounds(zone) != period.bounds(other))
    begin, end = period.bounds("UTC")
    assert bool(days_of_another_clock(begin, end, other)) == (period.bounds(other) != (begin, end))
    assert days_of_another_clock(begin + 900, end, other) == []


def price_text(folder: Path, text: str, zone: str) -> Result:
    tariff = folder / "flat.toml"
    tariff.write_text(
        f'format = 1\nname = "flat"\nrevision = 1\ncurrency = "EUR"\nzone = "{zone}"\n'
        "valid_from = 2024-01-01\nvalid_until = 2027-01-01\n"
        'rounding = { rule = "half-up", decimals = 2 }\n'
        '[[charge]]\nname = "energy"\nkind = "energy"\nprice = "0.30"\n'
    )
    (folder / "use.csv").write_text(text)
    return CliRunner().invoke(main, ["tariff", "price", str(tariff), str(folder / "use.csv")])


def test_the_days_of_a_market_that_knows_no_summer_time_are_said(tmp_path: Path) -> None:
    day = ",".join(["0.5"] * 48)
    nem12 = (
        "100,NEM12,202501100000,A,B\n200,6123456789,E1,,E1,,1234,kWh,30,\n"
        f"300,20250110,{day},A,,,,\n900\n"
    )
    shown = price_text(tmp_path, nem12, "Australia/Sydney")
    assert shown.exit_code == 0, shown.output
    assert "from 2025-01-10 01:00 to 2025-01-11 01:00. Say the days with --from" in shown.stderr
    assert "--zone" not in shown.stderr
    assert "whole days" not in price_text(tmp_path, nem12, "Australia/Brisbane").stderr


def test_no_clock_is_asked_for_where_times_have_offsets(tmp_path: Path) -> None:
    hours = [datetime(2025, 3, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(24)]
    for suffix, said in (("+00:00", False), ("", True)):
        rows = "".join(f"{hour:%Y-%m-%dT%H:%M:%S}{suffix},0.1\n" for hour in hours)
        shown = price_text(tmp_path, "time,kWh\n" + rows, "Europe/Berlin")
        assert shown.exit_code == 0, shown.output
        assert "the readings are of whole days of UTC" in shown.stderr
        assert ("say --zone Europe/Berlin" in shown.stderr) == said


def test_a_hub_says_that_local_times_are_read_as_utc(tmp_path: Path) -> None:
    def ingest(number: int, zone: str, suffix: str, *options: str) -> Result:
        hub, file = tmp_path / str(number), tmp_path / f"{number}.csv"
        begin = datetime(2025, 3, 1, 10)
        rows = [f"{begin + timedelta(hours=n):%Y-%m-%dT%H:%M:%S}{suffix},0.1" for n in range(5)]
        file.write_text("\n".join(["time,kWh", *rows]) + "\n")
        made = CliRunner().invoke(main, ["hub", "init", str(hub), "--serial", "1", "--zone", zone])
        assert made.exit_code == 0, made.output
        command = ["hub", "ingest", "--hub", str(hub), str(file), *options]
        return CliRunner().invoke(main, command)

    said = "times without an offset are read as UTC; if they are those of the home's clock, say"
    shown = ingest(1, "Europe/Berlin", "")
    assert (shown.exit_code, f"{said} --zone Europe/Berlin" in shown.stderr) == (0, True)
    assert said not in ingest(2, "Europe/Berlin", "+01:00").stderr
    assert said not in ingest(3, "Europe/Berlin", "", "--zone", "UTC").stderr
    assert said not in ingest(4, "UTC", "").stderr
    assert said not in ingest(5, "Europe/London", "").stderr  # in March the same moments


def test_a_gas_tariff_prices_cubic_metres_from_six_to_six(tmp_path: Path) -> None:
    """Cubic metres are not taken for kWh, and days are told by the clock on the wall."""
    begin = datetime(2025, 3, 1, 5, tzinfo=UTC)
    rows = [f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%MZ};0.5" for hour in range(48)]
    readings = tmp_path / "gas.csv"
    readings.write_text("\n".join(["time;gas", *rows]) + "\n")
    tariff = ROOT / "examples" / "tariffs" / "de-gas-2025.toml"

    def priced(unit: str) -> Result:
        arguments = ["tariff", "price", tariff, readings, "--column", "gas", "--unit", unit]
        return CliRunner().invoke(main, [str(one) for one in arguments])

    metres = priced("m3")
    assert metres.exit_code == 0, metres.output
    assert "2025-03-01 06:00 to 2025-03-03 06:00 Europe/Berlin\n" in metres.stdout
    assert "258.974 kWh" in metres.stdout  # 24 m3 of 11.318 kWh, at 0.9534
    assert (priced("kWh").exit_code, "counts m3" in priced("kWh").stderr) == (2, True)


def test_days_of_gas_are_told_beside_those_of_midnight() -> None:
    period = Period(date(2025, 3, 1), date(2025, 3, 31))
    [note] = days_apart(period, "Europe/Berlin", "Europe/Berlin@06:00")
    assert "from 2025-03-01 00:00 to 2025-04-01 00:00" in note
    begin, end = period.bounds("Europe/Berlin@06:00")
    assert days_of_another_clock(begin, end, "Europe/Berlin@06:00") == []
