# SPDX-License-Identifier: Apache-2.0
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tariffs import MalformedTariff, TariffError
from tariffs._toml_lines import lines_of
from tariffs.clock import date_of
from tariffs.energy import EnergyCharge
from tariffs.holiday_calendars import named_holidays
from tariffs.schedule import Schedule
from tariffs.source import load_toml
from tests.support.soak import examples

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "tariffs").glob("*.toml"))

GOOD = """\
format = 1
name = "test"
revision = 1
currency = "EUR"
zone = "Europe/Berlin"
valid_from = 2025-01-01
valid_until = 2026-01-01
rounding = { rule = "half-up", decimals = 2 }
[holidays.some]
dates = [2025-12-25]
[seasons]
summer = "06-01 to 08-31"
[[charge]]
name = "energy"
kind = "energy"
holidays = "some"
[[charge.band]]
name = "day"
price = "0.30"
when = [
  { days = "Mon-Fri", times = "06:00-22:00" },
  { days = ["Sat"], times = ["06:00-12:00", "13:00-14:00"] },
]
[[charge.band]]
name = "night"
price = "0.20"
[[charge]]
name = "base"
kind = "standing"
per_day = "0.25"
[[step]]
name = "VAT"
kind = "tax"
percent = "19"
"""


def test_the_text_the_errors_are_made_from_is_a_tariff() -> None:
    assert load_toml(GOOD).name == "test"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("format = 1", "format = 2", 1, "format 2, this release reads 1"),
        ("format = 1\n", "", 1, "'format' is missing"),
        ('name = "test"', "name = 1", 2, "'name' is not a text"),
        ('name = "test"', 'name = ""', 2, "the tariff's name '' is empty"),
        ('name = "test"', 'name = " test"', 2, "cannot be shown"),
        ('name = "test"', 'name = "te\\u001bst"', 2, "cannot be shown"),
        ('name = "test"', 'name = "te\u202est"', 2, "cannot be shown"),
        ("revision = 1", "revision = true", 3, "'revision' is not a whole number"),
        ("revision = 1", "revision = 0", 3, "revision is not a number from 1"),
        ('"EUR"', '"Euro"', 4, "no currency code"),
        ("Europe/Berlin", "Europe/Bertin", 5, "unknown time zone 'Europe/Bertin'"),
        ("Europe/Berlin", "../../etc/passwd", 5, "unknown time zone"),
        ("Europe/Berlin", "Europe", 5, "unknown time zone"),
        ('zone = "Eur', 'clock = "sun"\nzone = "Eur', 5, "'clock' is 'sun', not one of local,"),
        ("2025-01-01\nv", '"2025-01-01"\nv', 6, "'valid_from' is not a date"),
        ("2025-01-01\nv", "2025-01-01T00:00:00\nv", 6, "has a time of day"),
        ("2026-01-01", "2025-01-01", 7, "is not after"),
        ("2026-01-01", "2025-13-01", 7, "not TOML"),
        ("2026-01-01", "2205-01-01", 1, "valid from 1970 to 2200"),
        ('"half-up"', '"up"', 8, "rounding: 'rule' is 'up', not one of half-even, half-up, down"),
        ("decimals = 2", "decimals = 10", 8, "rounding: decimals must be 0 to 9"),
        ("decimals = 2", "decimals = 2, to = 5", 8, "rounding: unknown key 'to'"),
        ("[2025-12-25]", "[]", 9, "holidays some: neither 'calendar' nor 'dates'"),
        ("[2025-12-25]", "[2025-12-25, 5]", 10, "holidays some: 'dates' holds 5"),
        ("dates = [", 'calendar = "XX"\ndates = [', 10, "unknown holiday calendar 'XX'"),
        ("dates = [", 'calendar = "DE-QQ"\ndates = [', 10, "unknown holiday calendar 'DE-QQ'"),
        ("dates = [", 'calendar = "moon"\ndates = [', 10, "unknown holiday calendar 'moon'"),
        ('"some"\n[[ch', '"any"\n[[ch', 16, "charge energy: unknown holiday calendar 'any'"),
        ("06-01 to", "06-31 to", 12, "season summer: impossible date 06-31"),
        ("06-01 to", "6-1 to", 12, "season summer: impossible dates '6-1 to 08-31'"),
        ("06-01 to", "2025-06-01 to", 12, "season summer: a range of dates has the year"),
        ("06-01 to 08-31", "2025-06-01 to 2025-05-01", 12, "end before they begin"),
        ("06-01 to 08-31", "2025-02-29", 12, "impossible date 2025-02-29"),
        ("06-01 to 08-31", "02-30 to 03-01", 12, "impossible date 02-30"),
        ('kind = "energy"', 'kind = "power"', 15, "charge energy: 'kind' is 'power'"),
        ('"0.30"', "0.30", 19, "charge energy, band day: 'price' is not a decimal in quotes"),
        ('"0.30"', '"0.3000001"', 19, "'0.3000001' has more than 6 decimals"),
        ('"0.30"', '"30 ct"', 19, "'30 ct' is not a decimal number"),
        ('price = "0.30"\n', "", 17, "charge energy, band day: 'price' is missing"),
        ("Mon-Fri", "Mon-Tues", 21, "impossible days 'Mon-Tues'"),
        ("Mon-Fri", "Fri-Mon", 21, "impossible days 'Fri-Mon': the week begins with Mon"),
        ("Mon-Fri", "Mon-holiday", 21, "impossible days"),
        ("Mon-Fri", "holiday-Mon", 21, "impossible days"),
        ('["Sat"]', "[]", 22, "a rule names no days"),
        ('["Sat"]', "[6]", 22, "'days' holds 6, which is no text"),
        ("06:00-22:00", "22:00-06:00", 21, "impossible time 22:00-06:00"),
        ("06:00-22:00", "06:00-06:00", 21, "impossible time 06:00-06:00"),
        ("06:00-22:00", "06:00-25:00", 21, "impossible time 06:00-25:00"),
        ("06:00-22:00", "6-22", 21, "impossible times '6-22'"),
        ("13:00-14:00", "11:00-14:00", 22, "times are out of order or overlap at 11:00"),
        ('days = ["Sat"]', 'days = ["Fri"]', 13, "bands day and day overlap at 06:00 on Fri"),
        ('days = ["Sat"]', 'days = ["Sat"], season = "winter"', 22, "unknown season 'winter'"),
        ('days = ["Sat"]', 'weekdays = ["Sat"]', 22, "unknown key 'weekdays'"),
        ('"night"', '"day"', 13, "charge energy: two bands have the same name"),
        ('"night"\nprice = "0.20"', '"night"\nprice = "0.20"\nwhen = { times = "00:00-05:00" }', 13,
         "charge energy: no band is in force at 05:00-06:00 on Mon"),
        ('"night"\nprice = "0.20"',
         '"night"\nprice = "0.20"\nwhen = { days = "Sun", season = "summer" }', 13,
         "no band is in force at 00:00-06:00 on Mon"),
        ('[[charge.band]]\nname = "night"', '[[charge.band]]\nname = "x"\nprice = "1"\n'
         '[[charge.band]]\nname = "night"', 13, "two bands claim the rest of the time"),
        ('[[charge.band]]\nname = "night"', '[[charge.band]]\nname = "x"\nprice = "1"\n'
         'when = { days = "Mon", times = "05:00-07:00" }\n[[charge.band]]\nname = "night"', 13,
         "the bands x and day overlap at 06:00 on Mon"),
        ('holidays = "some"\n', 'price = "1"\n', 17, "charge energy: unknown key 'band'"),
        ('"base"', '"energy"', 27, "two components have the name 'energy'"),
        ('per_day = "0.25"', 'per_week = "0.25"', 27,
         "charge base: there is not one of per_day, per_month"),
        ('per_day = "0.25"', 'per_day = "0.25"\nx = 1', 31, "charge base: unknown key 'x'"),
        ('kind = "tax"', 'kind = "duty"', 33, "step VAT: 'kind' is 'duty', not one of tax"),
        ('percent = "19"', 'percent = "19"\non = ["enrgy"]', 31, "step VAT: 'on' names 'enrgy'"),
        ('percent = "19"', 'percent = "19"\non = []', 31, "step VAT: 'on' names nothing"),
        ('percent = "19"', 'percent = "-1"', 34, "step VAT: the rate is not between 0 and 1000 %"),
        ('percent = "19"', 'percent = "19.00001"', 34, "more than 4 decimals"),
        ("[[step]]", "[[steps]]", 31, "unknown key 'steps'"),
        ("[[step]]", "[[step", 31, "not TOML"),
    ],
)  # fmt: skip
def test_every_error_names_line_and_component(old: str, new: str, line: int, message: str) -> None:
    if "calendar = " in new and "moon" not in new:
        pytest.importorskip("holidays")
    assert GOOD.count(old) >= 1
    with pytest.raises(MalformedTariff) as caught:
        load_toml(GOOD.replace(old, new, 1), source="file.toml")
    text = str(caught.value)
    assert message in text
    assert text.startswith(f"file.toml:{line}: ")
    assert "\n" not in text


def test_a_version_that_does_not_follow_is_refused() -> None:
    text = GOOD.replace("valid_from = 2025-01-01\nvalid_until = 2026-01-01\n", "")
    head, tail = text.split("[holidays")
    version = "[[version]]\nvalid_from = {}\nvalid_until = {}\n[[version.charge]]\n"
    version += 'name = "energy"\nkind = "energy"\nprice = "1"\n'
    text = head + version.format("2025-01-01", "2025-02-01")
    text += version.format("2025-02-02", "2025-03-01")
    with pytest.raises(MalformedTariff, match="ends on 2025-02-01 and the next begins on"):
        load_toml(text)
    assert tail


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_tariffs(path: Path) -> None:
    assert (
        load_toml(
            path.read_text(), files=lambda name: (path.parent / name).read_text(), source=path.name
        ).name
        == path.stem
    )


def test_a_named_calendar_is_resolved_to_the_dates_of_the_validity() -> None:
    pytest.importorskip("holidays")
    italy = next(path for path in EXAMPLES if path.stem == "it-bioraria-2025").read_text()
    begin, end = italy.index("dates = ["), italy.index("]\n\n[[charge]]") + 1
    named = load_toml(italy[:begin] + 'calendar = "IT"\nwithout = [2025-04-21]' + italy[end:])
    charge = named.versions[0].charges[0]
    assert isinstance(charge, EnergyCharge)
    assert isinstance(charge.timetable, Schedule)
    assert charge.timetable.holidays is not None
    days = {date_of(day) for day in charge.timetable.holidays}
    assert {date(2025, 1, 6), date(2025, 4, 25), date(2025, 12, 26)} <= days
    assert date(2025, 4, 21) not in days
    assert {day.year for day in days} <= {2025, 2026}


def test_a_named_calendar_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MalformedTariff, match="needs the package 'holidays'"):
        named_holidays("IT", 2025, 2025)


def test_a_leap_days_season_ends_with_february_in_other_years() -> None:
    text = GOOD.replace("06-01 to 08-31", "12-01 to 02-29").replace(
        '"06:00-22:00" }', '"06:00-22:00", season = "summer" }'
    )
    tariff = load_toml(text)
    noon = tariff.begin + 12 * 3600
    days = [noon + 86400 * n for n in range(31 + 28 + 5)]
    bands = tariff.bands(days, 3600)
    assert bands[31 + 27] == "day"  # Friday 28 February
    assert bands[31 + 30] == "night"  # Monday 3 March


@examples(75, soak=300)
@given(st.text(max_size=60), st.integers(0, len(GOOD)), st.integers(0, 12))
def test_any_text_raises_only_the_packages_errors(text: str, at: int, cut: int) -> None:
    changed = GOOD[:at] + text + GOOD[at + cut :]
    try:
        load_toml(changed)
    except TariffError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_the_line_of_every_path_is_found() -> None:
    text = '''# a comment = [
a."b c".d = 1 # [x]
[t]
s = """
not = 1
[no]
""""
l = [ 1, # ]
  [2, "]"],
  { k = '}', m.n = 2 },
]
[[u.v]]
w = 'it"s'
[[u.v]]
[u.v.x]
y = 1979-05-27T07:32:00Z
'''
    assert lines_of(text) == {
        (): 1,
        ("a",): 2,
        ("a", "b c"): 2,
        ("a", "b c", "d"): 2,
        ("t",): 3,
        ("t", "s"): 4,
        ("t", "l"): 8,
        ("t", "l", 0): 8,
        ("t", "l", 1): 9,
        ("t", "l", 1, 0): 9,
        ("t", "l", 1, 1): 9,
        ("t", "l", 2): 10,
        ("t", "l", 2, "k"): 10,
        ("t", "l", 2, "m"): 10,
        ("t", "l", 2, "m", "n"): 10,
        ("u", "v"): 12,
        ("u", "v", 0): 12,
        ("u", "v", 0, "w"): 13,
        ("u", "v", 1): 14,
        ("u", "v", 1, "x"): 15,
        ("u", "v", 1, "x", "y"): 16,
    }
