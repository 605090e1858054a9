# SPDX-License-Identifier: Apache-2.0
"""Days of one zone under a tariff of another are said, and so are whole days of UTC."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from meterlet.commands.main import main
from meterlet.commands.zones import days_apart, utc_days
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


def test_a_file_of_utc_days_is_priced_and_that_is_said(tmp_path: Path) -> None:
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
    assert bool(utc_days(begin, end, other)) == (period.bounds(other) != (begin, end))
    assert utc_days(begin + 900, end, other) == []
