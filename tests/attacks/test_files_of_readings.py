# SPDX-License-Identifier: Apache-2.0
"""A file of readings is refused with its own error or read, whatever it holds; it cannot hide use.

What a file says twice, out of order, or beyond what a fuse lets through is never counted, and a
file that unpacks without end, nests without end or names entities does no harm.
"""

import gzip
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.device import Device
from hub.meters.files import content
from hub.meters.files.opened import FileForm, FileReport
from hub.meters.files.recognise import FORMATS
from hub.meters.replay import CsvReplay, ReplayError
from meterlet.commands.main import main
from protocols.metrology import ACTIVE_ENERGY_IMPORT
from tests.support import files_people_have as made

CLOCK = ZoneInfo("Europe/Berlin")
SEEDS = [
    made.PLAIN, made.EXCEL, made.REGISTER, made.PGE, made.OCTOPUS, made.DSMR, made.FLUVIUS,
    made.ENEDIS, made.NEM12, made.DASHBOARD, made.HISTORY, made.DAY_ROWS, made.GREEN_BUTTON,
]  # fmt: skip
PIECES = [
    "", ",", ";", "\n", '"', "-1", "1e308", "nan", "9" * 400, "\x00", "<!DOCTYPE a>", "&a;",
    "24:00", "31.02.2025 00:00", "٣", "0x1", "+", "1_000", "=1+1", "300,", "900\n", "</feed>",
    "\ud7ff",
]  # fmt: skip


def taken_or_refused(path: Path, form: FileForm) -> str:
    """Return the refusal of a file, empty where it is read."""
    try:
        read(path, form)
    except ReplayError as error:
        return str(error)
    return ""


def read(path: Path, form: FileForm) -> int:
    """Return the watt-hours in a file, checked against what its rows can hold."""
    report = FileReport()
    replay = CsvReplay(path, {ACTIVE_ENERGY_IMPORT: ()}, None, None, CLOCK, form=form)
    uses = replay.uses(report=report)
    known = uses.wh or {}
    limit = form.fuse.per_hour * uses.interval_seconds / 3600 + 1
    assert all(0 <= wh <= limit for wh in known.values())
    starts = sorted(known)
    assert all(b - a >= uses.interval_seconds for a, b in pairwise(starts))
    return sum(known.values())


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.text(max_size=8)
        ),
        min_size=1, max_size=4,
    ),
    st.sampled_from([None, *FORMATS]),
    st.sampled_from([None, True, False]),
)  # fmt: skip
def test_a_spoiled_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, seed: str, cuts: list[tuple[float, int, str]],
    name: str | None, cumulative: bool | None,
) -> None:  # fmt: skip
    text = seed
    for where, length, piece in cuts:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + length :]
    path = tmp_path_factory.mktemp("spoiled") / "file.csv"
    path.write_bytes(text.encode(errors="surrogatepass"))
    why = taken_or_refused(path, FileForm(format=name, cumulative=cumulative))
    assert why == "" or (why.startswith(str(path)) and "\n" not in why)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "file.csv"
    path.write_bytes(data)
    why = taken_or_refused(path, FileForm())
    assert why == "" or why.startswith(str(path))


def test_what_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "LARGEST_BYTES", 1 << 20)
    path = tmp_path / "file.csv.gz"
    path.write_bytes(gzip.compress(bytes(1 << 22)))
    with pytest.raises(ReplayError, match="larger than 1 MiB; cut it into files"):
        read(path, FileForm())


def test_entities_and_depth_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "file.xml"
    path.write_text('<!DOCTYPE feed [<!ENTITY a "b">]>' + made.GREEN_BUTTON.partition("?>")[2])
    with pytest.raises(ReplayError, match="document type"):
        read(path, FileForm())
    deep = "<a>" * 200_000 + "</a>" * 200_000
    path.write_text(f'<feed xmlns="http://naesb.org/espi">{deep}</feed>')
    with pytest.raises(ReplayError):
        read(path, FileForm())


@pytest.mark.parametrize("text", [made.PLAIN, made.OCTOPUS, made.NEM12, made.FLUVIUS, made.PGE])
def test_a_row_counts_once(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text)
    assert read(path, FileForm()) == made.TOTAL_WH
    lines = text.splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if "0.06" in line or "0,06" in line)
    path.write_text("".join([*lines[:place], lines[place], *lines[place:]]))
    with pytest.raises(ReplayError):
        read(path, FileForm())


def test_more_than_the_fuse_lets_through_is_not_billed(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    for text in (made.PLAIN.replace("0.07", "60"), made.OCTOPUS.replace("0.07", "60"),
                 made.NEM12.replace("0.07", "60")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ReplayError, match="237.187 kW flow through the fuse"):
            read(path, FileForm())
    path.write_text(made.PLAIN.replace("0.07", "59"))
    assert read(path, FileForm()) > made.TOTAL_WH


HOSTILE_CELLS = [
    "", " ", "9" * 5_000, "-1", "1e-99", "٣", "²", "13:00 PM", "24:00", "9999-12-31", "0000-00-00",
    "31.12.9999 24:00", "2025-01-01T00:00+99:99", "nan", "N", '"', "\n", "a,b;c\td|e",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([seed for seed in SEEDS if not seed.lstrip().startswith("<")]),
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True),
            st.sampled_from(["replace", "drop", "cut", "twice"]), st.sampled_from(HOSTILE_CELLS),
        ),
        min_size=1, max_size=5,
    ),
    st.sampled_from([None, *FORMATS]),
)  # fmt: skip
def test_a_table_whose_cells_are_hostile_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, seed: str,
    changes: list[tuple[float, float, str, str]], name: str | None,
) -> None:  # fmt: skip
    separator = max(",;\t", key=seed.count)
    lines = [line.split(separator) for line in seed.splitlines()]
    for where, which, what, piece in changes:
        # The header is the likeliest: what a reader finds its columns by is there.
        cells = lines[int(where * len(lines)) if where > 0.5 else int(where * 14) % len(lines)]
        at = int(which * len(cells))
        if what == "replace":
            cells[at : at + 1] = [piece]
        elif what == "drop":
            del cells[at : at + 1]
        elif what == "cut":
            del cells[at:]
        else:
            cells.insert(at, cells[at] if cells else piece)
    path = tmp_path_factory.mktemp("cells") / "file.csv"
    path.write_text("\n".join(map(separator.join, lines)) + "\n")
    why = taken_or_refused(path, FileForm(format=name))
    assert why == "" or why.startswith(str(path))


TIMES = ";".join(f"{hour:02}:00" for hour in range(24))
ONES = ";".join("1" * 24)
NEM12_DAY = "200,N,E1,E1,E1,,,KWH,30,\n300,20250101," + "1," * 48 + "V,,,20250101,\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{TIMES}\n{ONES}\n", "line 1: no column of days beside those of times"),
        (f"day;{TIMES};13:00 PM\n2025-01-01;{ONES};1\n", ""),
        (
            f"100,NEM12,200001010000,A,B\n{NEM12_DAY}400,1,{'9' * 5_000},A,,\n900\n",
            "line 4: a quality (400) says no first and last interval",
        ),
        (
            "DATE,START TIME,END TIME,USAGE (kWh),TYPE\n2025-01-01,00:00\n",
            "line 2: 2 cells, the header has 5",
        ),
        ("entity_id,state,last_changed\n", "line 1: no rows after the header"),
        ("a," * 1_000_000 + "\n" + "1," * 1_000_000, "1,000,001 cells; a table has 10,000 at most"),
        ('"a\n",' * 20_000 + "\n", "20,001 cells; a table has 10,000 at most"),
    ],
)
def test_each_is_refused_by_its_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "file.csv"
    path.write_text(text)
    assert taken_or_refused(path, FileForm()).endswith(why)


def test_an_entity_that_is_not_in_a_history_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text(made.HISTORY)
    columns = {ACTIVE_ENERGY_IMPORT: ("sensor.other",)}
    with pytest.raises(ReplayError, match="no entity 'sensor.other'; there are sensor"):
        CsvReplay(path, columns, None, None, CLOCK).uses()


@pytest.mark.parametrize("cumulative", [False, True])
def test_a_year_that_is_wrong_is_no_gap(tmp_path: Path, cumulative: bool) -> None:
    path = tmp_path / "file.csv"
    times = [f"{year}-03-01T0{hour}:00:00Z" for year in (2007, 2025) for hour in (0, 1)]
    path.write_text("time,kwh\n" + "".join(f"{one},{n}\n" for n, one in enumerate(times)))
    why = taken_or_refused(path, FileForm(cumulative=cumulative))
    assert "line 4: more than 1,000 days are missing up to here: cut the file" in why


def test_entries_within_entries_cost_no_more_than_others(tmp_path: Path) -> None:
    path = tmp_path / "file.xml"
    depth = 50_000
    block = '<entry><IntervalBlock xmlns="http://naesb.org/espi"/>' * depth + "</entry>" * depth
    path.write_text(f'<feed xmlns="http://www.w3.org/2005/Atom">{block}</feed>')
    began = time.process_time()
    assert taken_or_refused(path, FileForm()).endswith("nested too deeply")
    assert time.process_time() - began < 10


def test_a_file_with_readings_of_the_future_is_refused_as_a_whole(tmp_path: Path) -> None:
    path, hub = tmp_path / "use.csv", str(tmp_path / "hub")
    now = datetime.now(UTC).year
    years = (now - 1, now + 1)
    rows = [f"{year}-03-01T{hour:02}:00:00Z,0.25" for year in years for hour in range(24)]
    path.write_text("\n".join(["time,kwh", *rows]))
    ask = CliRunner().invoke
    assert ask(main, ["hub", "init", hub, "--serial", "3"]).exit_code == 0
    refused = ask(main, ["hub", "ingest", "--hub", hub, str(path), "--column", "kwh"])
    assert refused.exit_code == 1
    assert "that time has not come yet" in refused.output
    with Device.open(Path(hub)) as device:
        assert device.main.vault.latest(device.main.channel) is None
