# SPDX-License-Identifier: Apache-2.0
"""Formats with a name: recognised, added up, and nothing of a file gone without a word."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub.meters.files.opened import FileForm, FileReport, Label
from hub.meters.files.recognise import FORMATS
from hub.meters.replay import CsvReplay, ReplayError
from protocols.metrology import ACTIVE_ENERGY_EXPORT, ACTIVE_ENERGY_IMPORT
from tests.support import files_people_have as made

UTC_CLOCK = ZoneInfo("UTC")
EXPORT_ONLY = frozenset((ACTIVE_ENERGY_EXPORT,))
PLAIN_FORM = FileForm()


def opened(
    folder: Path, text: str, *columns: str, register: bytes = ACTIVE_ENERGY_IMPORT,
    form: FileForm = PLAIN_FORM, zone: str = "UTC", optional: frozenset[bytes] = frozenset(),
    interval: int | None = None,
) -> tuple[dict[int, int] | None, FileReport]:  # fmt: skip
    file = folder / "download"
    file.write_text(text)
    report = FileReport()
    replay = CsvReplay(
        file, {register: columns}, None, interval, ZoneInfo(zone), form=form, optional=optional
    )
    return replay.uses(report=report).wh, report


def quarters() -> dict[int, int]:
    return {int(begin.timestamp()): int(use * 1000) for begin, _, use in made.quarters()}


@pytest.mark.parametrize(
    ("name", "text", "fed_in"),
    [
        ("green-button", made.GREEN_BUTTON, None),
        ("octopus", made.OCTOPUS, None),
        ("pge", made.PGE, None),
        ("nem12", made.NEM12, 96 * 2),
        ("fluvius", made.FLUVIUS, 96 * 1),
        ("enedis", made.ENEDIS, None),
        ("home-assistant", made.DASHBOARD, 24 * 3),
        ("dsmr", made.DSMR, None),
        ("day-rows", made.DAY_ROWS, None),
    ],
)
def test_each_is_recognised_and_holds_the_day(
    tmp_path: Path, name: str, text: str, fed_in: int | None
) -> None:
    drawn, report = opened(tmp_path, text)
    assert report.format == name in FORMATS
    assert f"recognised as {name}" in report.notes
    assert drawn is not None
    assert sum(drawn.values()) == made.TOTAL_WH
    if name not in ("home-assistant", "nem12"):
        assert drawn == quarters()
    returned, _ = opened(tmp_path, text, register=ACTIVE_ENERGY_EXPORT, optional=EXPORT_ONLY)
    assert (None if returned is None else sum(returned.values())) == fed_in
    named, _ = opened(tmp_path, text, form=FileForm(format=name))
    assert named == drawn


def test_a_history_of_home_assistant_is_a_register_told_when_it_changes(tmp_path: Path) -> None:
    drawn, report = opened(tmp_path, made.HISTORY, interval=900)
    assert report.format == "home-assistant"
    assert drawn == quarters()
    assert report.left_out == {"state 'unavailable'": 1}
    two = made.HISTORY + "sensor.other,1,2025-03-02T01:00:00.000Z\n"
    with pytest.raises(ReplayError, match="say which --column; there are sensor.meter, sensor.ot"):
        opened(tmp_path, two)
    chosen, report = opened(
        tmp_path, two, "sensor.meter", form=FileForm(format="home-assistant"), interval=900
    )
    assert chosen == drawn
    assert report.left_out["entity 'sensor.other'"] == 1


def test_a_stamp_of_enedis_is_the_end_of_its_interval(tmp_path: Path) -> None:
    drawn, report = opened(tmp_path, made.ENEDIS)
    assert any("ends of intervals" in note for note in report.notes)
    starts, _ = opened(tmp_path, made.ENEDIS, form=FileForm(label=Label.START))
    assert drawn is not None
    assert starts is not None
    assert min(starts) - min(drawn) == 900
    index = made.ENEDIS.replace("Courbe de charge", "Index")
    with pytest.raises(ReplayError, match="holds an index or a sum, not a load curve"):
        opened(tmp_path, index)


def test_days_of_nem12_are_of_its_standard_time(tmp_path: Path) -> None:
    drawn, report = opened(tmp_path, made.NEM12)
    assert drawn is not None
    assert min(drawn) == int(datetime(2025, 2, 28, 14, tzinfo=UTC).timestamp())
    assert report.left_out == {"stream Q1, in kvarh": 1}
    assert "added: B1, E1" in report.notes
    lines = made.NEM12.splitlines(keepends=True)
    values = lines[2].replace(",A,,,", ",V,,,")
    with_gap = "".join([*lines[:2], values, "400,1,90,A,,\n400,91,96,N,,\n", *lines[3:]])
    fewer, _ = opened(tmp_path, with_gap)
    assert fewer is not None
    assert len(fewer) == 90


def test_local_times_are_those_of_the_formats_country(tmp_path: Path) -> None:
    form = FileForm(local_zone=ZoneInfo("Europe/Berlin"))
    fluvius, report = opened(tmp_path, made.FLUVIUS, form=form)
    assert fluvius is not None
    assert min(fluvius) == int(made.DAY.timestamp()) - 3600
    assert "times without an offset are those of Europe/Brussels" in report.notes
    pge, report = opened(tmp_path, made.PGE, form=form)
    assert pge is not None
    assert min(pge) == int(made.DAY.timestamp()) - 3600
    assert "times without an offset are those of Europe/Berlin" in report.notes


def test_rows_of_other_things_are_named(tmp_path: Path) -> None:
    gas = made.PGE + "Natural gas usage,2025-03-01,,,1.02,$1.03,\n"
    drawn, report = opened(tmp_path, gas)
    assert drawn == quarters()
    assert report.left_out == {"of type 'Natural gas usage'": 1}
    _, report = opened(tmp_path, made.FLUVIUS)
    assert report.left_out == {"register 'Afname Reactief', in 'kVArh'": 96}
    _, report = opened(tmp_path, made.DASHBOARD)
    assert report.left_out == {"of type 'grid_consumption_cost'": 1}


def test_a_day_of_rows_on_which_the_clock_changes(tmp_path: Path) -> None:
    text = made.DAY_ROWS.replace("01.03.2025", "30.03.2025")
    with pytest.raises(ReplayError, match="02:00 does not exist on that day, and has a value"):
        opened(tmp_path, text, zone="Europe/Berlin")
    header, row = text.splitlines()
    cells = row.split(";")
    cells[9:13] = ["0", "", "0,00", "0"]
    drawn, _ = opened(tmp_path, f"{header}\n{';'.join(cells)}\n", zone="Europe/Berlin")
    assert drawn is not None
    assert len(drawn) == 92
    twice, _ = opened(tmp_path, text.replace("30.03", "26.10"), zone="Europe/Berlin")
    assert twice is not None
    assert len(twice) == 96


TYPES = (
    '<entry><link rel="self" href="U/1/MeterReading/{n}"/>'
    '<link rel="related" href="ReadingType/{n}"/><content>'
    '<MeterReading xmlns="http://naesb.org/espi"/></content></entry>'
    '<entry><link rel="self" href="ReadingType/{n}"/><content>'
    '<ReadingType xmlns="http://naesb.org/espi"><commodity>{c}</commodity>'
    "<flowDirection>{d}</flowDirection><powerOfTenMultiplier>{p}</powerOfTenMultiplier>"
    "<uom>{u}</uom><accumulationBehaviour>4</accumulationBehaviour></ReadingType></content></entry>"
    '<entry><link rel="up" href="U/1/MeterReading/{n}/IntervalBlock"/><content>'
    '<IntervalBlock xmlns="http://naesb.org/espi"><IntervalReading><timePeriod>'
    "<duration>3600</duration><start>1740787200</start></timePeriod><value>{v}</value>"
    "</IntervalReading></IntervalBlock></content></entry>"
)


def feed(*readings: dict[str, int]) -> str:
    entries = "".join(TYPES.format(n=n, **one) for n, one in enumerate(readings, 1))
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{entries}</feed>'


def test_a_green_button_says_unit_direction_and_power_of_ten(tmp_path: Path) -> None:
    drawn = {"c": 1, "d": 1, "p": 3, "u": 72, "v": 2}
    fed_in = {"c": 1, "d": 19, "p": -1, "u": 72, "v": 70}
    gas = {"c": 7, "d": 1, "p": 0, "u": 169, "v": 5}
    text = feed(drawn, fed_in, gas)
    assert opened(tmp_path, text)[0] == {1_740_787_200: 2000}
    assert opened(tmp_path, text, register=ACTIVE_ENERGY_EXPORT)[0] == {1_740_787_200: 7}
    assert opened(tmp_path, text)[1].left_out == {"commodity 7, not electricity": 1}
    mean = {"c": 1, "d": 1, "p": 0, "u": 38, "v": 1500}
    assert opened(tmp_path, feed(mean))[0] == {1_740_787_200: 1500}
    with pytest.raises(ReplayError, match="its start is there twice, or of a second meter"):
        opened(tmp_path, feed(drawn, {**drawn, "p": 0}))
    with pytest.raises(ReplayError, match="there is no energy fed in"):
        opened(tmp_path, feed(drawn), register=ACTIVE_ENERGY_EXPORT)


@pytest.mark.parametrize(
    ("text", "spoil", "why"),
    [
        (made.NEM12, lambda t: t.replace("900\n", ""), "no end record"),
        (made.NEM12, lambda t: t.replace(",kWh,15,", ",kWh,7,"), "line 2: .*5, 15 or 30"),
        (made.NEM12, lambda t: t.replace("0.05,", "", 1), "line 3: .* is no quality"),
        (made.NEM12, lambda t: t.replace("0.05,", "x,", 1), "line 3: 'x' is no decimal"),
        (made.NEM12, lambda t: t.replace("200,NEM1201009,E1B1Q1,2", "20,N"), "no record of NEM12"),
        (made.NEM12, lambda t: t.replace("NEM1201009,E1B1Q1,2", "OTHER,E1B1Q1,2"), "say which"),
        (made.OCTOPUS, lambda t: t.replace("00:15:00+00:00\n", "00:20:00+00:00\n", 1), "line 3"),
        (made.OCTOPUS, lambda t: t + t.splitlines()[5] + "\n", "line 98: .* is there twice"),
        (made.PGE, lambda t: t.replace("0.06", "six"), "line 8: 'six' is not a decimal"),
        (made.PGE, lambda t: t.replace(",00:29,", ",later,"), "line 8: .* is no time of day"),
        (made.FLUVIUS, lambda t: t.replace("0,06", "0.0.6"), "line 5: '0.0.6' is not a decimal"),
        (made.FLUVIUS, lambda t: t + t.splitlines()[1], "is not after the row before"),
        (made.ENEDIS, lambda t: t.replace("T00:30", "T00:31"), "s after the row before"),
        (made.DASHBOARD, lambda t: t.replace(",Wh,", ",gal,"), "line 5: 'gal' is no unit of"),
        (made.DASHBOARD, lambda t: t.replace("T05:00", "T07:30"), "not in order"),
        (made.DSMR, lambda t: t.replace(",200\n", ",-1\n", 1), "line 2: delivered_2 is '-1'"),
        (made.DAY_ROWS, lambda t: t.replace("00:30;", "00:31;"), "not the intervals of a whole"),
        (made.GREEN_BUTTON, lambda t: t.replace("<value>60<", "<value>x<"), "reading 2: value is"),
        (made.GREEN_BUTTON, lambda t: t.replace("?>", "?><!DOCTYPE a>"), "document type"),
        (made.GREEN_BUTTON, lambda t: t[:-9], "not XML"),
        (made.GREEN_BUTTON, lambda t: t.replace(">900<", ">901<", 1), "intervals of 900, 901 s"),
        (made.GREEN_BUTTON, lambda t: t.replace("1740788100", "1740787200", 1), "there twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_one_is_named(
    tmp_path: Path, text: str, spoil: Callable[[str], str], why: str
) -> None:
    spoiled = spoil(text)
    assert spoiled != text
    with pytest.raises(ReplayError, match=why):
        opened(tmp_path, spoiled)
