# SPDX-License-Identifier: Apache-2.0
"""Every real tariff of the shared data, imported and priced against the original file."""

import csv
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tariffs import Bill, MalformedTariff, Tariff, compute_bill
from tariffs.importers.ceem import import_ceem
from tariffs.importers.modul3 import import_modul3
from tariffs.importers.pge import import_pge
from tariffs.importers.transcribed import import_transcribed
from tariffs.source import load_toml
from tests.support.shared import SHARED, needs_shared
from tests.support.soak import sampled

TARIFFS = SHARED / "data" / "tariffs"
PRICES = SHARED / "data" / "prices"
pytestmark = needs_shared(TARIFFS)


def text_of(name: str) -> str:
    for path in (TARIFFS / name, PRICES / Path(name).name):
        if path.exists():
            data = path.read_bytes()
            return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    raise FileNotFoundError(2, "No such file", name)


def ceem() -> list[dict[str, Any]]:
    if not TARIFFS.is_dir():
        return []
    data = json.loads(text_of("ceem_au_retail_tariffs_2019.json"), parse_float=Decimal)
    entries: list[dict[str, Any]] = data[0]["Tariffs"]
    return entries


def use_at(start: int) -> int:
    """A household of its own: from 0 to 2.5 kWh in half an hour."""
    return start // 1800 * 7919 % 2503


def half_hours(tariff: Tariff, first: datetime, days: int) -> list[int]:
    begin = int(first.replace(tzinfo=ZoneInfo(tariff.zone)).timestamp())
    return [begin + 1800 * i for i in range(48 * days)]


def bill(tariff: Tariff, starts: list[int], export: bool = False) -> Bill:
    use = [use_at(start) for start in starts]
    fed = [use_at(start + 999) // 2 for start in starts] if export else None
    return compute_bill(tariff, starts, 1800, use, export_wh=fed)


def exact(found: Bill) -> Fraction:
    return Fraction(found.total_exact, 10**found.exact_decimals)


# Australia


def in_band(facts: dict[str, Any], local: datetime) -> bool:
    weekend = local.weekday() >= 5
    if not facts.get("Weekend" if weekend else "Weekday", True):
        return False
    if local.month not in facts.get("Month", range(1, 13)):
        return False
    minute = 60 * local.hour + local.minute
    for begin, until in facts["TimeIntervals"].values():
        low, high = (
            60 * int(text.replace(" ", "")[:2]) + int(text[-2:]) for text in (begin, until)
        )
        if low == high or low <= minute < high or (high < low and not high <= minute < low):
            return True
    return False


def energy_of(parameters: dict[str, Any], locals_: list[datetime], use: list[int]) -> Fraction:
    if "FlatRate" in parameters:
        return Fraction(parameters["FlatRate"]["Value"]) * sum(use) / 1000
    if "TOU" in parameters:
        return sum(
            (
                Fraction(facts["Value"]) * wh / 1000
                for local, wh in zip(locals_, use, strict=True)
                for facts in parameters["TOU"].values()
                if in_band(facts, local)
            ),
            Fraction(0),
        )
    daily = "BlockDaily" in parameters
    groups: dict[object, int] = {}
    for local, wh in zip(locals_, use, strict=True):
        key = local.date() if daily else (local.month - 1) // 3
        groups[key] = groups.get(key, 0) + wh
    first, second = parameters["BlockDaily" if daily else "BlockQuarterly"].values()
    limit = int(Decimal(first["HighBound"]) * 1000)
    return sum(
        (
            Fraction(first["Value"]) * min(wh, limit) / 1000
            + Fraction(second["Value"]) * max(0, wh - limit) / 1000
            for wh in groups.values()
        ),
        Fraction(0),
    )


def feed_in_of(parameters: dict[str, Any], locals_: list[datetime], fed: list[int]) -> Fraction:
    if "FiT_TOU" in parameters:
        bands = parameters["FiT_TOU"].values()
        return sum(
            (
                Fraction(facts["Value"]) * wh / 1000
                for local, wh in zip(locals_, fed, strict=True)
                for facts in bands
                if in_band(facts, local)
            ),
            Fraction(0),
        )
    return Fraction(parameters.get("FiT", {"Value": 0})["Value"]) * sum(fed) / 1000


@pytest.mark.parametrize(
    "entry", sampled(ceem(), ceem()[::8]), ids=lambda entry: entry["Tariff ID"]
)
def test_an_australian_tariff_bills_a_quarter_as_its_file_says(entry: dict[str, Any]) -> None:
    sources = import_ceem(json.dumps([{"Tariffs": [entry]}], default=float))
    (source,) = sources.values()
    tariff = load_toml(source)
    zone = ZoneInfo(tariff.zone)
    begin, end = (int(datetime(2019, m, 1, tzinfo=zone).timestamp()) for m in (4, 7))
    starts = list(range(begin, end, 1800))  # the quarter in which summer time ends
    locals_ = [datetime.fromtimestamp(start, zone) for start in starts]
    found = bill(tariff, starts, export=True)
    parameters = entry["Parameters"]
    energy = energy_of(parameters, locals_, [use_at(start) for start in starts])
    daily = 91 * Fraction(parameters["Daily"]["Value"])
    fed = [use_at(start + 999) // 2 for start in starts]
    discount = Fraction(entry["Discount (%)"]) / 100
    expected = (energy + daily) * (1 - discount) - feed_in_of(parameters, locals_, fed)
    assert exact(found) == expected


def test_there_are_74_australian_tariffs() -> None:
    assert len(ceem()) == len(import_ceem(text_of("ceem_au_retail_tariffs_2019.json"))) == 74


# Germany


def test_every_modul_3_network_charge_is_that_of_its_file() -> None:
    text = text_of("de_14a_modul3_network_charges.json")
    data = json.loads(text, parse_float=Decimal)
    sources = import_modul3(text)
    count = 0
    for operator, entries in data["operators"].items():
        for entry in entries:
            name = f"de-modul3-{operator.lower().replace('_', '-')}-{entry['year']}"
            tariff = load_toml(sources[name])
            for quarter in entry["quarters"]:
                first = datetime(entry["year"], 3 * int(quarter[1]) - 2, 5)
                starts = [s // 900 * 900 for s in half_hours(tariff, first, 1)]
                starts = sorted({s + o for s in starts for o in (0, 900)})
                for start, price in zip(starts, tariff.prices(starts, 900), strict=True):
                    local = datetime.fromtimestamp(start, ZoneInfo("Europe/Berlin"))
                    now = f"{local:%H:%M}"
                    bands = [
                        item["band"]
                        for item in entry["daily"]
                        if item["from"] <= now < item["to"]
                        or (item["to"] < item["from"] and not item["to"] <= now < item["from"])
                    ]
                    assert len(bands) == 1
                    assert price == entry["ct_per_kWh"][bands[0]] * 10_000
                    count += 1
    assert count == 96 * 54


def test_a_yearly_flat_price_with_versions() -> None:
    sources = import_transcribed(text_of("transcribed_tariffs.json"))
    tariff = load_toml(sources["de_auew_allgaeustrom_basis"])
    zone = ZoneInfo("Europe/Berlin")
    begin, end = (
        int(datetime(y, m, 1, tzinfo=zone).timestamp()) for y, m in ((2022, 11), (2023, 3))
    )
    starts = list(range(begin, end, 1800))
    use = {t: use_at(t) for t in starts}
    years = [datetime.fromtimestamp(t, zone).year for t in starts]
    expected = sum(
        (
            Fraction("0.3769" if year == 2022 else "0.413") * use[t] / 1000
            for t, year in zip(starts, years, strict=True)
        ),
        2 * Fraction("12.51") + 2 * Fraction("13.10"),
    )
    assert exact(bill(tariff, starts)) == expected


# Series and signals


def test_the_dynamic_signal_of_london_2013() -> None:
    sources = import_transcribed(text_of("transcribed_tariffs.json"))
    tariff = load_toml(sources["gb_lcl_dtou_2013"], files=text_of)
    prices = {"High": Fraction("0.672"), "Normal": Fraction("0.1176"), "Low": Fraction("0.0399")}
    expected, starts = Fraction(0), []
    for row in csv.DictReader(text_of("lcl_dtou_2013_signal_30min.csv.gz").splitlines()):
        start = int(datetime.fromisoformat(row["start"]).replace(tzinfo=UTC).timestamp())
        starts.append(start)
        expected += prices[row["band"]] * use_at(start) / 1000
    found = bill(tariff, starts)
    assert exact(found) == expected
    assert {item.label for item in found.items} == {"High", "Normal", "Low"}


def series(text: str, column: str) -> list[tuple[str, Decimal]]:
    return [
        (next(iter(row.values())), Decimal(row[column]))
        for row in csv.DictReader(text.splitlines())
        if row[column]
    ]


def test_the_german_spot_price_with_negative_hours() -> None:
    sources = import_transcribed(
        text_of("transcribed_tariffs.json"), first="2024-01-01", until="2025-01-01", step="1h",
        zone="UTC", column="ct_per_kWh", markup="0.19",
    )  # fmt: skip
    name = "de_lu_day_ahead_2024_60min.csv.gz"
    tariff = load_toml(sources["de_dynamic_spot"], files=text_of)
    rows = series(text_of(name), "ct_per_kWh")
    first = int(datetime.fromisoformat(rows[0][0]).timestamp())
    starts = list(range(first, first + 3600 * len(rows), 900))
    use = [use_at(start) for start in starts]
    found = compute_bill(tariff, starts, 900, use)
    expected = sum(
        (
            (Fraction(rows[i // 4][1]) / 100 + Fraction("0.19")) * wh / 1000
            for i, wh in enumerate(use)
        ),
        Fraction(0),
    )
    assert exact(found) == expected
    assert min(tariff.prices(starts, 900)) == -135_450 + 190_000


AGILE = """
format = 1
name = "agile"
revision = 1
currency = "GBP"
zone = "Europe/London"
valid_from = 2022-11-01
valid_until = 2024-01-01
rounding = { rule = "half-even", decimals = 2 }
[[charge]]
name = "agile"
kind = "series"
file = "gb_octopus_agile_2022-11_2023-12_30min.csv.gz"
column = "import_p_per_kWh"
unit = "p/kWh"
step = "30min"
"""


def test_a_half_hourly_series_on_a_clock_that_changes() -> None:
    name = "gb_octopus_agile_2022-11_2023-12_30min.csv.gz"
    tariff = load_toml(
        AGILE.replace('"30min"\n', '"30min"\nprice_rule = "half-even"\n'), files=text_of
    )
    zone = ZoneInfo("Europe/London")
    expected, starts = Fraction(0), []
    for time, pence in series(text_of(name), "import_p_per_kWh"):
        start = int(datetime.fromisoformat(time).replace(tzinfo=zone).timestamp())
        starts.append(start)
        expected += Fraction(round(pence * 10_000), 10**6) * use_at(start) / 1000
    found = bill(tariff, starts)
    assert exact(found) == expected
    assert len(found.missing_slots) == 2  # the repeated hour has one price only
    gap = int(datetime(2023, 10, 29, 1, tzinfo=UTC).timestamp())
    assert found.missing_slots == (gap, gap + 1800)


def test_a_gap_in_a_series_can_repeat_the_price_before() -> None:
    text = AGILE + 'price_rule = "half-even"\ngaps = "repeat"\n'
    tariff = load_toml(text, files=text_of)
    gap = int(datetime(2023, 10, 29, 1, tzinfo=UTC).timestamp())
    before, first, second = tariff.prices([gap - 1800, gap, gap + 1800], 1800)
    assert before == first == second


def test_agiles_formula_over_a_wholesale_series() -> None:
    rows = [
        (f"2024-01-15T{h:02}:{m:02}:00Z", Decimal(5 + h * 3 + m))
        for h in range(24)
        for m in (0, 30)
    ]
    wholesale = "start,pence\n" + "\n".join(f"{time},{price}" for time, price in rows)
    sources = import_transcribed(
        text_of("transcribed_tariffs.json"), first="2024-01-15", until="2024-01-16", region="C",
        column="pence",
    )  # fmt: skip
    tariff = load_toml(sources["gb_octopus_agile_formula"], files=lambda _: wholesale)
    starts = [int(datetime.fromisoformat(time).timestamp()) for time, _ in rows]
    expected = []
    for time, pence in rows:
        adder = 12 if 16 <= int(time[11:13]) < 19 else 0
        exact_price = min(Decimal(100), Decimal("1.05") * (2 * pence + adder))
        expected.append(int((exact_price * 10_000).to_integral_value()))
    assert tariff.prices(starts, 1800) == expected
    assert max(expected) == 1_000_000  # the cap was reached


def test_an_end_labelled_five_minute_market_price() -> None:
    text = AGILE.replace("gb_octopus_agile_2022-11_2023-12_30min", "aemo_nsw1_rrp_2025-01_5min")
    text = text.replace("import_p_per_kWh", "AUD_per_MWh").replace("p/kWh", "AUD/MWh")
    text = text.replace('"30min"', '"5min"\nlabel = "end"\nzone = "Australia/Brisbane"')
    text = text.replace("2022-11-01", "2025-01-01").replace("2024-01-01", "2025-02-01")
    tariff = load_toml(
        text.replace("Europe/London", "Australia/Brisbane").replace("GBP", "AUD"), files=text_of
    )
    rows = series(text_of("aemo_nsw1_rrp_2025-01_5min.csv.gz"), "AUD_per_MWh")
    zone = ZoneInfo("Australia/Brisbane")
    starts = [
        int((datetime.fromisoformat(time).replace(tzinfo=zone) - timedelta(minutes=5)).timestamp())
        for time, _ in rows
    ]
    assert tariff.prices(starts, 300) == [int(price * 1000) for _, price in rows]


# Italy


def test_bands_linked_to_a_monthly_index() -> None:
    pytest.importorskip("holidays")
    sources = import_transcribed(text_of("transcribed_tariffs.json"), markup="0.01", files=text_of)
    tariff = load_toml(sources["it_bioraria_indexed"])
    rows = {
        row["month"]: row
        for row in csv.DictReader(text_of("it_pun_monthly_f1f2f3_2023_2025.csv").splitlines())
    }
    assert len(tariff.versions) == len(rows)
    zone = ZoneInfo("Europe/Rome")
    for day, month in ((datetime(2024, 1, 31), "2024-01"), (datetime(2024, 2, 1), "2024-02")):
        starts = half_hours(tariff, day, 1)
        for start, price in zip(starts, tariff.prices(starts, 1800), strict=True):
            hour = datetime.fromtimestamp(start, zone).hour
            band = "F1" if 8 <= hour < 19 else "F2" if 7 <= hour < 23 else "F3"
            assert price == (Decimal(rows[month][band]) + Decimal("0.01")) * 10**6
    christmas = half_hours(tariff, datetime(2024, 12, 25), 1)
    assert set(tariff.bands(christmas, 1800)) == {"F3"}


# California


def test_tiers_on_a_baseline_that_changes_with_the_season() -> None:
    tariff = load_toml(import_pge(text_of("pge_e1_etoud_eelec_2025.csv"))["us-pge-e-1-2025"])
    starts = half_hours(tariff, datetime(2025, 5, 20), 31)
    zone = ZoneInfo("America/Los_Angeles")
    winter = sum(use_at(t) for t in starts if datetime.fromtimestamp(t, zone).month == 5)
    summer = sum(use_at(t) for t in starts if datetime.fromtimestamp(t, zone).month == 6)
    expected = Fraction(0)
    for use, baseline in ((winter, 12 * 11_000), (summer, 19 * 13_500)):
        below = min(use, baseline)
        expected += (Fraction("0.41") * below + Fraction("0.51") * (use - below)) / 1000
    assert exact(bill(tariff, starts)) == expected


@pytest.mark.parametrize("plan", ["E-TOU-D", "E-ELEC"])
def test_californian_times_of_use(plan: str) -> None:
    text = text_of("pge_e1_etoud_eelec_2025.csv")
    tariff = load_toml(import_pge(text)[f"us-pge-{plan.lower()}-2025"])
    rows = [row for row in csv.DictReader(text.splitlines()) if row["Rate Plan Code"] == plan]
    for day in (datetime(2025, 5, 31), datetime(2025, 6, 1), datetime(2025, 10, 1)):
        season = "Summer" if 6 <= day.month <= 9 else "Winter"
        starts = half_hours(tariff, day, 1)
        for i, price in enumerate(tariff.prices(starts, 1800)):
            hits = [
                row["Cost in cents"]
                for row in rows
                if row["Season Name"].startswith(season)
                and hour(row["Start Time"]) <= i / 2 < (hour(row["End Time"]) or 24)
            ]
            assert [int(cents) * 10_000 for cents in hits] == [price]


def hour(text: str) -> int:
    return datetime.strptime(text, "%I:%M %p").hour


# What cannot be imported


@pytest.mark.parametrize(
    ("importer", "text", "message"),
    [
        (import_ceem, "{", "not JSON"),
        (import_ceem, '[{"Tariffs": [{"Tariff ID": "X", "Name": "n"}]}]', "X lacks 'Parameters'"),
        (import_modul3, "{}", "the file lacks 'operators'"),
        (import_pge, "a,b\n1,2\n", "not a file of plans"),
        (import_transcribed, '[{"id": "x", "currency": "EUR"}]', "x lacks 'energy'"),
    ],
)
def test_a_file_of_another_shape_is_refused(
    importer: Callable[[str], dict[str, str]], text: str, message: str
) -> None:
    with pytest.raises(MalformedTariff, match=message):
        importer(text)


def test_series_that_are_wrong_name_file_and_line() -> None:
    text = AGILE.replace("gb_octopus_agile_2022-11_2023-12_30min.csv.gz", "x.csv")
    for rows, message in (
        ("start,y\n", r"x.csv: line 1: no column 'import_p_per_kWh'; there are y"),
        ("start,import_p_per_kWh\n", "x.csv: line 1: no rows"),
        ("start,import_p_per_kWh\n2023-01-01,1\n2023-01-01,1", "line 3: 2023-01-01 is not later"),
        ("start,import_p_per_kWh\nnoon,1", "line 2: 'noon' is not an ISO 8601 time"),
        ("start,import_p_per_kWh\n2023-01-01,1,2", "line 2: 3 cells, the header has 2"),
        ("start,import_p_per_kWh\n2023-03-26T01:30:00,1", "01:30 does not exist on the clock"),
        ("start,import_p_per_kWh\n2023-01-01,1\n2023-01-01T00:10:00,1", "not steps of 1800 s"),
        ("start,import_p_per_kWh\n2023-01-01,cheap", "'cheap' is not a decimal number"),
        ("start,import_p_per_kWh\n2023-01-01,1.23456", "more than 6 decimals: give price_rule"),
    ):
        with pytest.raises(MalformedTariff, match=message) as caught:
            load_toml(text, source="t.toml", files={"x.csv": rows}.__getitem__)
        assert str(caught.value).startswith("t.toml:")
    with pytest.raises(MalformedTariff, match="there is no folder"):
        load_toml(AGILE)

    def absent(name: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", name)

    with pytest.raises(MalformedTariff, match=r"csv.gz: No such file"):
        load_toml(AGILE, files=absent)
