# SPDX-License-Identifier: Apache-2.0
import gzip
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.meters.files.opened import FileForm
from hub.meters.replay import CsvReplay, EnergyUnit, ReplayError, parse_interval, parse_zone
from hub.readings import Reading, ReadingFlag
from protocols.metrology import ACTIVE_ENERGY_IMPORT

RESUMED = ReadingFlag.RESUMED
USE_OF_INTERVALS = FileForm(cumulative=False)
NOON = 1_362_139_200  # 2013-03-01T12:00:00Z


def replay(
    path: Path,
    text: str,
    *,
    unit: EnergyUnit = EnergyUnit.KWH,
    zone: str = "UTC",
    suspect: str | None = None,
    interval: int = 1800,
    form: FileForm | None = None,
) -> CsvReplay:
    file = path / "data.csv"
    file.write_text(text)
    return CsvReplay(
        file,
        {ACTIVE_ENERGY_IMPORT: "home"},
        unit,
        interval,
        ZoneInfo(zone),
        suspect,
        form=form or FileForm(),
    )


def test_intervals_become_a_growing_register(tmp_path: Path) -> None:
    source = replay(
        tmp_path, "start,home\n2013-03-01T12:00:00,0.2194\n2013-03-01T12:30:00,0.0007\n"
    )
    assert list(source.readings()) == [
        Reading(NOON, 0),
        Reading(NOON + 1800, 219),
        Reading(NOON + 3600, 220),  # 219.4 and 0.7 make 220.1: nothing is lost to rounding
    ]


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    source = replay(
        tmp_path,
        "start,home,suspect\n"
        "2013-03-01T12:00:00,1,0\n"
        "2013-03-01T12:30:00,,0\n"
        "2013-03-01T13:00:00,2,0\n"
        "2013-03-01T14:30:00,3,0\n"
        "2013-03-01T15:00:00,4,1\n"
        "2013-03-01T15:30:00,5,0\n",
        suspect="suspect",
    )
    assert list(source.readings()) == [
        Reading(NOON, 0),
        Reading(NOON + 1800, 1000),
        Reading(NOON + 3600, 1000, RESUMED),
        Reading(NOON + 5400, 3000),
        Reading(NOON + 9000, 3000, RESUMED),
        Reading(NOON + 10800, 6000),
        Reading(NOON + 12600, 6000, RESUMED),
        Reading(NOON + 14400, 11000),
    ]


def test_what_a_file_lacks_at_either_end_of_a_range_is_a_gap(tmp_path: Path) -> None:
    source = replay(
        tmp_path,
        "start,home\n"
        "2013-03-01T11:30:00,7\n"
        "2013-03-01T12:30:00,1\n"
        "2013-03-01T13:00:00,\n"
        "2013-03-01T13:30:00,9\n",
    )
    assert list(source.readings(NOON, NOON + 5400)) == [
        Reading(NOON, 0),
        Reading(NOON + 1800, 0, RESUMED),
        Reading(NOON + 3600, 1000),
        Reading(NOON + 5400, 1000, RESUMED),
    ]
    assert list(source.readings(NOON - 86_400, NOON - 82_800)) == [
        Reading(NOON - 86_400, 0),
        Reading(NOON - 82_800, 0, RESUMED),
    ]


def test_power_becomes_energy_exactly(tmp_path: Path) -> None:
    rows = "".join(f"2013-03-01T12:{m:02}:00Z,100.1\n" for m in range(60))
    source = replay(tmp_path, "start,home\n" + rows, unit=EnergyUnit.W, interval=60)
    assert list(source.readings())[-1] == Reading(NOON + 3600, 100)


def test_both_passes_of_the_repeated_hour_are_kept(tmp_path: Path) -> None:
    rows = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    text = "start,home\n" + "".join(f"2024-10-27T{r}:00,1\n" for r in rows)
    times = [r.time for r in replay(tmp_path, text, zone="Europe/Berlin").readings()]
    assert times == [1_729_985_400 + 1800 * n for n in range(7)]


def test_a_packed_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b"start,home\n2013-03-01T12:00:00,1\n"))
    source = CsvReplay(path, {ACTIVE_ENERGY_IMPORT: "home"}, EnergyUnit.WH, 1800, ZoneInfo("UTC"))
    assert [r.register_wh for r in source.readings()] == [0, 1]


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ("2013-03-01T12:00:00,1\n2013-03-01T12:00:00,1\n", "line 3: .* repeats the row before"),
        ("2013-03-01T12:00:00,1\n2013-03-01T11:30:00,1\n", "line 3: .* is earlier"),
        ("2013-03-01T12:00:00,1\n2013-03-01T12:10:00,1\n", "line 3: .* less than 1800 s"),
        ("2013-03-01T12:00:00,-1\n", "line 2: home is '-1'"),
        ("2013-03-01T12:00:00,1e3\n", "line 2: home is '1e3'"),
        ("2013-03-01T12:00:00,nan\n", "line 2: home is 'nan'"),
        ("2013-03-01T12:00:00,٣\n", "line 2: home is"),
        ("noon,1\n", "line 2: 'noon' is not"),
        ("2013-03-01T12:00:00\n", "line 2: 1 cells, the header has 2"),
        ('2013-03-01T12:00:00,"1\n', "line 3: not readable"),
        ("", "line 1: no rows"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: str, place: str) -> None:
    with pytest.raises(ReplayError, match=r"data\.csv: " + place):
        list(replay(tmp_path, "start,home\n" + rows).readings())


def test_an_hour_that_did_not_exist_is_named(tmp_path: Path) -> None:
    source = replay(tmp_path, "start,home\n2025-03-30T02:30:00,1\n", zone="Europe/Berlin")
    with pytest.raises(ReplayError, match="line 2: .* does not exist .* Europe/Berlin"):
        list(source.readings())


def test_wrong_options_are_named(tmp_path: Path) -> None:
    source = replay(tmp_path, "start,flat\n2013-03-01T12:00:00,1\n")
    with pytest.raises(ReplayError, match="line 1: no column 'home'; there are flat"):
        list(source.readings())
    missing = CsvReplay(
        tmp_path / "no.csv", {ACTIVE_ENERGY_IMPORT: "home"}, EnergyUnit.WH, 60, ZoneInfo("UTC")
    )
    with pytest.raises(ReplayError, match=r"no\.csv: No such file"):
        list(missing.readings())
    (tmp_path / "not.csv.gz").write_bytes(b"\x1f\x8b\x08 nothing packed")
    packed = CsvReplay(
        tmp_path / "not.csv.gz", {ACTIVE_ENERGY_IMPORT: "home"}, EnergyUnit.WH, 60, ZoneInfo("UTC")
    )
    with pytest.raises(ReplayError, match="line 1: not unpacked with gzip"):
        list(packed.readings())
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ReplayError, match="unknown"):
            parse_zone(zone)
    for interval in ("30", "0min", "half an hour", "-5min"):
        with pytest.raises(ReplayError, match="interval"):
            parse_interval(interval)
    assert [parse_interval(i) for i in ("30min", "1h", "10s")] == [1800, 3600, 10]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.none() | st.decimals(0, 80, places=4), min_size=1, max_size=60),
)
def test_the_register_counts_just_what_the_file_holds(
    tmp_path_factory: pytest.TempPathFactory, cells: list[Decimal | None]
) -> None:
    lines = [
        f"2013-03-01T{n // 2 + 0:02}:{30 * (n % 2):02}:00,{'' if c is None else c}\n"
        for n, c in enumerate(cells[:48])
    ]
    source = replay(
        tmp_path_factory.mktemp("csv"), "start,home\n" + "".join(lines), form=USE_OF_INTERVALS
    )
    readings = list(source.readings())
    total = sum(int(1000 * c * 10000) for c in cells[:48] if c is not None)
    assert (readings[-1].register_wh if readings else 0) == total // 10000
    steps = sum(1 for r in readings[1:] if not r.flags & RESUMED)
    assert steps == sum(1 for c in cells[:48] if c is not None)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("0001-01-01T00:00:00,1", "0001-01-01T00:00:00 is not within 1971 to 2105"),
        ("9999-12-31T23:59:59-12:00,1", "is not within 1971 to 2105"),
        ("2013-03-01T12:00:00,999999999999", "home is 999999999999 kWh: no home uses that"),
    ],
)
def test_what_no_home_and_no_clock_shows_is_refused_by_line(
    tmp_path: Path, row: str, why: str
) -> None:
    with pytest.raises(ReplayError, match=f"data.csv: line 2: .*{why}|data.csv: line 2: {why}"):
        list(replay(tmp_path, f"start,home\n{row}\n").readings())


def test_a_byte_order_mark_does_no_harm_in_a_packed_file(tmp_path: Path) -> None:
    file = tmp_path / "data.csv.gz"
    file.write_bytes(gzip.compress(b"\xef\xbb\xbfstart,home\n2013-03-01T12:00:00,1\n"))
    source = CsvReplay(file, {ACTIVE_ENERGY_IMPORT: "home"}, EnergyUnit.KWH, 1800, ZoneInfo("UTC"))
    assert len(list(source.readings())) == 2
