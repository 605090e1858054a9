# SPDX-License-Identifier: Apache-2.0
"""Small things that people do to a tariff's source: slips in keys, editors' marks, calendars."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from meterlet.commands.tariff import tariff
from tariffs import MalformedTariff
from tariffs.source import load_toml

SOURCE = """format = 1
name = "slips"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 2 }

[holidays.bavaria]
calendar = "DE-BY"

[[charge]]
name = "energy"
kind = "energy"
price = "0.30"

[[charge]]
name = "base"
kind = "standing"
per_month = "9"
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("price =", "prize =", 16, "unknown key 'prize': did you mean 'price'?"),
        ("per_month", "permonth", 21, "unknown key 'permonth': did you mean 'per_month'?"),
        ("currency =", "curency =", 4, "unknown key 'curency': did you mean 'currency'?"),
        (
            "valid_until",
            "valid_untill",
            7,
            "unknown key 'valid_untill': did you mean 'valid_until'",
        ),
        ('price = "0.30"', 'price = "0.30"\nholiday = "bavaria"', 17, "did you mean 'holidays'?"),
        ("decimals", "decimal", 8, "unknown key 'decimal': did you mean 'decimals'?"),
        ("[[charge]]", "[[charges]]", 13, "unknown key 'charges': did you mean 'charge'?"),
        ('price = "0.30"', 'price = "0.30"\ncolour = "red"', 17, "unknown key 'colour'"),
    ],
)
def test_a_slip_is_named_where_it_is(old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(MalformedTariff) as refused:
        load_toml(SOURCE.replace(old, new))
    assert refused.value.line == line
    assert said in str(refused.value)
    assert ("did you mean" in str(refused.value)) is ("did you mean" in said)


def test_a_mark_of_an_editor_does_no_harm(tmp_path: Path) -> None:
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(SOURCE)
    marked.write_bytes(b"\xef\xbb\xbf" + SOURCE.encode())
    shown = [CliRunner().invoke(tariff, ["show", str(path), "--json"]) for path in (plain, marked)]
    assert shown[0].exit_code == 0
    assert shown[0].stdout == shown[1].stdout


def test_a_calendar_is_noted_unless_the_tariff_has_made_it_its_own(tmp_path: Path) -> None:
    notes: list[str] = []
    load_toml(SOURCE, notes=notes)
    assert notes == [
        "holidays bavaria: all public holidays of DE-BY; a tariff often has fewer: leave out the"
        " others with 'without', or list its own in 'dates'"
    ]
    path = tmp_path / "tariff.toml"
    path.write_text(SOURCE)
    checked = CliRunner().invoke(tariff, ["check", str(path)])
    assert checked.exit_code == 0
    assert "all public holidays of DE-BY" in checked.stderr
    own = 'calendar = "DE-BY"\nwithout = [2025-08-15]'
    for calendar in (own, "dates = [2025-12-25]"):
        notes = []
        load_toml(SOURCE.replace('calendar = "DE-BY"', calendar), notes=notes)
        assert notes == []
