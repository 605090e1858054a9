# SPDX-License-Identifier: Apache-2.0
"""Tables that people have: what is certain is recognised, and for the rest an option is named."""

import gzip
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.meters.files.cells import decimal_mark, parse_decimal
from hub.meters.files.moments import DAY_FIRST, MONTH_FIRST, day_order, parse_written
from hub.meters.files.opened import FileForm, FileReport, Label
from hub.meters.fuse import Fuse
from hub.meters.replay import CsvReplay, ReplayError
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support import files_people_have as made

PLAIN_FORM = FileForm()


def uses(
    folder: Path,
    text: str | bytes,
    *columns: str,
    form: FileForm = PLAIN_FORM,
    interval: int | None = None,
    zone: str = "UTC",
    report: FileReport | None = None,
) -> Mapping[int, int]:
    file = folder / "data.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    replay = CsvReplay(
        file, {ACTIVE_ENERGY_IMPORT: columns}, None, interval, ZoneInfo(zone), form=form
    )
    return replay.uses(report=report).wh or {}


def expected() -> dict[int, int]:
    return {int(begin.timestamp()): int(use * 1000) for begin, _, use in made.quarters()}


def as_text(time_form: str, label: Label = Label.START) -> str:
    def row(begin: datetime, end: datetime, use: object) -> str:
        return f"{(begin if label is Label.START else end).strftime(time_form)},{use}"

    return made.lines("when,kWh", row)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(made.PLAIN, id="plain"),
        pytest.param(made.EXCEL, id="semicolons and decimal commas"),
        pytest.param(made.EXCEL.replace("\n", "\r\n").encode(), id="carriage returns"),
        pytest.param(made.PLAIN.replace(",", "\t").encode("utf-16"), id="UTF-16 with tabs"),
        pytest.param(made.PLAIN.replace(",", "\t").encode("utf-16-be"), id="UTF-16 without a mark"),
        pytest.param(b"\xef\xbb\xbf" + made.PLAIN.encode(), id="byte-order mark"),
        pytest.param(gzip.compress(made.PLAIN.encode()), id="packed, whatever its name"),
        pytest.param(made.EXCEL.replace("Zeit", "Uhrzeit für").encode("cp1252"), id="Windows"),
        pytest.param(made.FLOATS, id="floats with many digits"),
        pytest.param("Customer 5\nMeter 7,main\n\n" + made.PLAIN, id="lines above the header"),
        pytest.param(made.PLAIN.partition("\n")[2], id="no header"),
        pytest.param(as_text("%d/%m/%Y %H:%M").replace("01/03", "13/03"), id="day first"),
        pytest.param(as_text("%Y%m%d%H%M"), id="compact"),
        pytest.param(as_text("%s"), id="seconds since 1970"),
        pytest.param(as_text("%s000"), id="milliseconds since 1970"),
        pytest.param(as_text("%Y/%m/%d %I:%M %p"), id="a clock of twelve hours"),
        pytest.param(as_text("%Y-%m-%d %H:%M", Label.END), id="ends, seen by the whole day"),
        pytest.param(
            as_text("%Y-%m-%d %H:%M", Label.END).replace("03-02 00:00", "03-01 24:00"),
            id="ends, seen by 24:00",
        ),
        pytest.param(
            made.lines("day,time,kWh", lambda b, e, u: f"{b:%Y-%m-%d},{b:%H:%M},{u}"),
            id="day and time",
        ),
        pytest.param(
            made.lines("meter,kWh,until", lambda b, e, u: f"7 A,{u},{e:%Y-%m-%d %H:%M}"),
            id="times in the last column, ends by its name",
        ),
        pytest.param(
            made.lines("kWh,from,to", lambda b, e, u: f"{u},{b:%Y-%m-%d %H:%M},{e:%Y-%m-%d %H:%M}"),
            id="start and end",
        ),
        pytest.param(
            made.lines("start,use (Wh)", lambda b, e, u: f"{b:%Y-%m-%d %H:%M},{u * 1000:.0f}"),
            id="unit by the column's name",
        ),
        pytest.param(
            made.lines("start,kW", lambda b, e, u: f"{b:%Y-%m-%d %H:%M},{u * 4}"), id="power"
        ),
    ],
)
def test_what_is_certain_is_recognised(tmp_path: Path, text: str | bytes) -> None:
    found = uses(tmp_path, text)
    moved = int(timedelta(days=12).total_seconds()) if next(iter(found)) > 1_741_800_000 else 0
    assert {start - moved: wh for start, wh in found.items()} == expected()


def test_the_hour_of_rows_is_seen(tmp_path: Path) -> None:
    rows = "".join(f"2025-03-01 {h:02}:00,{1 + h % 3}\n" for h in range(24))
    found = uses(tmp_path, "start,kWh\n" + rows)
    assert [*found.values()][:3] == [1000, 2000, 3000]
    assert sorted(found)[1] - min(found) == 3600


@pytest.mark.parametrize(
    ("text", "form", "why"),
    [
        (as_text("%d/%m/%Y %H:%M"), PLAIN_FORM, "can be two days; say --time-format"),
        (
            made.lines("Zeit;kWh", lambda b, e, u: f"{b:%d.%m.%Y %H:%M};1,234"),
            PLAIN_FORM,
            "'1,234' can be two numbers; say --decimal comma or --decimal point",
        ),
        (made.REGISTER, PLAIN_FORM, "column 'kWh' only rises, .* a register.* say --cumulative"),
        (
            made.lines("start,a,b", lambda b, e, u: f"{b:%Y-%m-%d %H:%M},{u},{u}"),
            PLAIN_FORM,
            "say which --column; there are a, b",
        ),
        (as_text("%A %H:%M"), PLAIN_FORM, "line 2: 'Saturday 00:00' is not an ISO 8601 time"),
        (as_text("%d.%m.%Y %H:%M"), FileForm(time_format="%Y"), "is not a time as %Y"),
        (b"PK\x03\x04" + bytes(60), PLAIN_FORM, "an Excel workbook; .* save the sheet as CSV"),
        (bytes(range(256)), PLAIN_FORM, "line 1: neither UTF-8 nor Windows-1252"),
        (b"start,kWh\n\0", PLAIN_FORM, "not a text file"),
        (b"", PLAIN_FORM, "no rows|no table"),
        (made.PLAIN, FileForm(format="pge"), "this is no file of the format pge"),
        (made.PLAIN.replace("0.06", "9999"), PLAIN_FORM, "no home uses .*--cumulative.*--fuse"),
        (made.REGISTER.replace("12345.728", "99"), FileForm(cumulative=True), "register falls"),
        (made.REGISTER.replace("12345.9", "99999.9"), FileForm(cumulative=True), "no home uses"),
        (made.PLAIN.replace("0.06", "-0.06"), PLAIN_FORM, "line 3: kWh is '-0.06'"),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_refused_and_the_way_on_is_named(
    tmp_path: Path, text: str | bytes, form: FileForm, why: str
) -> None:
    with pytest.raises(ReplayError, match=why):
        uses(tmp_path, text, *(("kWh",) if "kWh is" in why else ()), form=form)


def test_options_decide(tmp_path: Path) -> None:
    ambiguous = as_text("%d/%m/%Y %H:%M")
    british = uses(tmp_path, ambiguous, form=FileForm(time_format="%d/%m/%Y %H:%M"))
    american = uses(tmp_path, ambiguous, form=FileForm(time_format="%m/%d/%Y %H:%M"))
    assert british == expected()
    assert next(iter(american)) == int(datetime(2025, 1, 3, tzinfo=UTC).timestamp())
    late = uses(tmp_path, made.PLAIN, form=FileForm(label=Label.END))
    assert next(iter(late)) == int(made.DAY.timestamp()) - 900
    skipped = "start,kWh,old\nstart,kWh\n" + made.PLAIN.partition("\n")[2]
    assert uses(tmp_path, skipped, form=FileForm(skip=1)) == expected()
    two = made.lines("start,a,b", lambda b, e, u: f"{b:%Y-%m-%d %H:%M},{u},0.01")
    assert sum(uses(tmp_path, two, "a", "b").values()) == made.TOTAL_WH + 96 * 10
    thousands = made.lines("start;kWh", lambda b, e, u: f"{b:%Y-%m-%d %H:%M};1.234")
    big = FileForm(decimal=",", fuse=Fuse(10_000, 3))
    assert set(uses(tmp_path, thousands, form=big).values()) == {1_234_000}
    assert set(uses(tmp_path, thousands, form=FileForm(decimal=".")).values()) == {1234}
    rising = "start,kWh\n" + "".join(f"2025-03-01 {h:02}:00,{h}\n" for h in range(12))
    assert sum(uses(tmp_path, rising, form=FileForm(cumulative=False)).values()) == 66_000


def test_a_register_is_what_it_shows(tmp_path: Path) -> None:
    form = FileForm(cumulative=True)
    assert sum(uses(tmp_path, made.REGISTER, form=form).values()) == made.TOTAL_WH
    file = tmp_path / "data.csv"
    replay = CsvReplay(file, {ACTIVE_ENERGY_IMPORT: "kWh"}, None, None, ZoneInfo("UTC"), form=form)
    shown = [reading.register_wh for reading in replay.readings()]
    assert (shown[0], shown[-1]) == (12_345_678, 12_345_678 + made.TOTAL_WH)
    without = made.REGISTER.splitlines(keepends=True)
    del without[10:14]
    report = FileReport()
    known = uses(tmp_path, "".join(without), form=form, report=report)
    assert len(known) == 96 - 5
    assert report.gaps == [
        (int(made.DAY.timestamp()) + 8 * 900, int(made.DAY.timestamp()) + 13 * 900)
    ]


def test_seconds_beside_the_bounds_are_of_the_bound_as_in_the_hub(tmp_path: Path) -> None:
    text = "time,kWh\n" + "".join(
        f"{time - timedelta(seconds=7):%Y-%m-%dT%H:%M:%S},{shown}\n"
        for time, shown in made.registers()
    )
    form = FileForm(cumulative=True)
    assert uses(tmp_path, text, form=form, interval=900) == expected()
    old = text.replace(":53,", ":01,")
    assert uses(tmp_path, old, form=form, interval=60) == {}


def test_an_interval_that_no_rows_are_apart_is_refused(tmp_path: Path) -> None:
    hourly = "time,kWh\n" + "".join(f"2025-03-10T{hour:02}:00Z,0.4\n" for hour in range(24))
    with pytest.raises(ReplayError, match="rows are 60 min apart, --interval says 15 min"):
        uses(tmp_path, hourly, interval=900)
    assert sum(uses(tmp_path, hourly, interval=3600).values()) == 24 * 400
    assert uses(tmp_path, hourly) == uses(tmp_path, hourly, interval=3600)
    with pytest.raises(ReplayError, match="rows are 60 min apart, --interval says 120 min"):
        uses(tmp_path, hourly, interval=7200)


def test_gaps_alone_do_not_tell_an_interval(tmp_path: Path) -> None:
    text = "time,kWh\n2025-03-10T00:00Z,0.4\n2025-03-10T03:00Z,0.4\n2025-03-10T05:00Z,0.4\n"
    assert sum(uses(tmp_path, text, interval=3600).values()) == 1200


def test_what_was_found_out_is_told(tmp_path: Path) -> None:
    report = FileReport()
    uses(tmp_path, made.EXCEL, report=report)
    assert [*report.lines()][-1] == "recognised: semicolons, decimal commas"
    report = FileReport()
    uses(tmp_path, made.FLOATS, report=report)
    assert report.rounded == 96
    assert "96 values have more than 12 decimals and were rounded" in [*report.lines()][-1]
    gap = made.PLAIN.splitlines(keepends=True)
    del gap[20:22]
    report = FileReport()
    uses(tmp_path, "".join(gap), report=report)
    begin = int(made.DAY.timestamp()) + 19 * 900
    assert (report.gaps, report.rows) == ([(begin, begin + 1800)], 94)


ROWS = st.lists(st.decimals(0, 40, places=3), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    ROWS,
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
    st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M", "%Y/%m/%d %H:%M", "%s"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
)
def test_however_it_is_written_it_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], separator: str, commas: bool,
    written: str, encoding: str,
) -> None:  # fmt: skip
    commas = commas and separator != ","
    text = f"begin{separator}kWh\n" + "".join(
        f"{(made.DAY + n * made.QUARTER).strftime(written)}{separator}"
        f"{str(value).replace('.', ',') if commas else value}\n"
        for n, value in enumerate(values)
    )
    form = replace(PLAIN_FORM, cumulative=False, decimal="," if commas else ".")
    folder = tmp_path_factory.mktemp("files")
    found = uses(folder, text.encode(encoding), "kWh", form=form, interval=900)
    begin = int(made.DAY.timestamp())
    assert found == {
        begin + 900 * n: int(1000 * Fraction(str(value))) for n, value in enumerate(values)
    }


@given(st.decimals(0, 10**9, places=4), st.sampled_from([".", ","]))
def test_a_number_with_groups_is_the_same_number(value: object, mark: str) -> None:
    plain, grouped = f"{value:f}", f"{value:,f}"
    if mark == ",":
        plain = plain.replace(".", ",")
        grouped = grouped.translate(str.maketrans(",.", ".,"))
    assert (
        parse_decimal(plain, mark) == parse_decimal(grouped, mark) == (Fraction(str(value)), False)
    )


def test_decimal_marks() -> None:
    assert decimal_mark(["0,05", "12"], ";") == ","
    assert decimal_mark(["1.234,5"], ";") == ","
    assert decimal_mark(["1,234.5"], ";") == "."
    assert decimal_mark(["1,234", "2,345"], ";") is None
    assert decimal_mark(["1.234"], ";") is None
    assert decimal_mark(["1.234"], ",") == "."
    assert decimal_mark(["12345.678"], ";") == "."
    assert decimal_mark(["1,5", "1.5"], ";") is None


def test_days_and_months_are_told_apart_by_the_whole_column() -> None:
    assert day_order(["01/02/2025", "13/02/2025"]) == DAY_FIRST
    assert day_order(["01/02/2025", "01/13/2025"]) == MONTH_FIRST
    assert day_order(["01/02/2025", "02/02/2025"]) is None
    assert day_order(["01.02.2025"]) == DAY_FIRST
    with pytest.raises(ValueError, match="neither"):
        day_order(["13/02/2025", "01/13/2025"])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1.3.25 7:05", datetime(2025, 3, 1, 7, 5)),
        ("2025-03-01 24:00", datetime(2025, 3, 2)),
        ("3/1/2025 12:15 AM", datetime(2025, 3, 1, 0, 15)),
        ("3/1/2025 12:15 p.m.", datetime(2025, 3, 1, 12, 15)),
        ("2025-03-01T00:00:00.000Z", datetime(2025, 3, 1, tzinfo=UTC)),
        ("1740787200", datetime(2025, 3, 1, tzinfo=UTC)),
        ("1740787200123", datetime(2025, 3, 1, tzinfo=UTC)),
        ("202503010015", datetime(2025, 3, 1, 0, 15)),
    ],
)
def test_times_as_they_are_written(text: str, moment: datetime) -> None:
    assert parse_written(text, MONTH_FIRST if "/" in text else DAY_FIRST) == moment


@pytest.mark.parametrize(
    "text", ["13:00 PM", "2025-02-30", "2025-03-01 25:00", "3/1/2025 13:00 PM", ""]
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_written(text)
