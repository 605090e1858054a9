# SPDX-License-Identifier: Apache-2.0
import json
import stat
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from meterlet.commands.tariff import tariff
from tariffs import Tariff, compute_bill
from tariffs.source import load_toml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"
ECONOMY7 = str(EXAMPLES / "gb-economy7-2013.toml")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(tariff, list(map(str, arguments)))


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    assert run("keygen", "--out", tmp_path / "key").exit_code == 0
    out = tmp_path / "economy7.cose"
    result = run("sign", ECONOMY7, "--key", tmp_path / "key", "--out", out)
    assert result.exit_code == 0
    return out


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    rows = [f"2013-03-01T{i // 2:02}:{i % 2 * 30:02}:00,0.{100 + i * 7 % 48}" for i in range(48)]
    rows[10] = rows[10].split(",")[0] + ","
    del rows[20]
    path = tmp_path / "readings.csv"
    path.write_text("start,home\n" + "\n".join(rows) + "\n")
    return path


def test_check_tells_good_files_from_bad_ones(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(Path(ECONOMY7).read_text().replace("00:30-07:30", "07:30-00:30"))
    result = run("check", ECONOMY7, bad, tmp_path / "none.toml")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{ECONOMY7}: ok: gb-economy7-2013 revision 1")
    assert f"{bad}:20: charge energy, band night: impossible time" in result.stderr
    assert "none.toml: No such file or directory" in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_check_prints_json(signed: Path) -> None:
    result = run("check", ECONOMY7, signed, "--json")
    assert result.exit_code == 0
    files = json.loads(result.stdout)["files"]
    assert [one["signature"] for one in files] == ["none", "not checked"]
    assert files[0]["digest"] == files[1]["digest"]


def test_a_signature_is_checked_with_a_key(signed: Path, tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    assert "verified" in run("check", signed, "--key", public).stdout
    changed = bytearray(signed.read_bytes())
    changed[-1] ^= 1
    signed.write_bytes(changed)
    result = run("check", signed, "--key", public)
    assert result.exit_code == 3
    assert result.stderr == f"meterlet: {signed}: the signature is wrong\n"
    result = run("check", ECONOMY7, "--key", public)
    assert (result.exit_code, result.stderr) == (
        3, f"meterlet: {ECONOMY7}: the tariff is not signed\n",
    )  # fmt: skip


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert run("keygen", "--out", key).exit_code == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    result = run("keygen", "--out", key)
    assert (result.exit_code, result.stderr) == (1, f"meterlet: {key}.pub: exists already\n")
    (tmp_path / "key.pub").unlink()
    assert run("keygen", "--out", key).exit_code == 1
    assert key.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key"]


def test_what_is_no_key_is_refused(tmp_path: Path, signed: Path) -> None:
    result = run("sign", ECONOMY7, "--key", ECONOMY7, "--out", tmp_path / "x")
    assert (result.exit_code, "mode must be 0600" in result.stderr) == (1, True)
    result = run("check", signed, "--key", tmp_path / "key")
    assert (result.exit_code, "a private key; the public one" in result.stderr) == (1, True)


def test_a_dry_run_writes_nothing(tmp_path: Path, signed: Path) -> None:
    out = tmp_path / "other.cose"
    arguments = ("sign", ECONOMY7, "--key", tmp_path / "key", "--out", out)
    assert run(*arguments, "--dry-run").exit_code == 0
    assert not out.exists()
    assert run(*arguments).exit_code == 0
    assert run(*arguments).exit_code == 1
    assert out.read_bytes() == signed.read_bytes()


def test_show_prints_bands_and_prices(signed: Path) -> None:
    result = run("show", EXAMPLES / "it-bioraria-2025.toml")
    assert result.exit_code == 0
    for words in ("0.16842 EUR/kWh", "Mon-Fri 08:00-19:00", "the rest", "10 %", "0.3945 EUR/day"):
        assert words in result.stdout
    shown = json.loads(run("show", signed, "--json").stdout)
    assert shown["document"]["name"] == "gb-economy7-2013"


def test_price_bills_a_file_of_readings_and_names_what_is_missing(readings: Path) -> None:
    arguments = ("price", ECONOMY7, readings, "--column", "home", "--interval", "30min")
    result = run(*arguments, "--from", "2013-03-01", "--until", "2013-03-01", "--json")
    assert result.exit_code == 4
    bill = json.loads(result.stdout)
    assert bill["missing_slots"] == ["2013-03-01T05:00:00Z", "2013-03-01T10:00:00Z"]
    assert bill["provisional"] is True
    assert result.stderr == "meterlet: provisional: 2 slots are missing and not billed\n"
    day = load_toml(Path(ECONOMY7).read_text())
    slots = [i for i in range(48) if i not in (10, 20)]
    starts = [1362096000 + 1800 * i for i in slots]
    expected = compute_bill(day, starts, 1800, [100 + i * 7 % 48 for i in slots])
    assert bill["total_exact"] == expected.total_exact
    assert bill["total"] == expected.total
    shown = run(*arguments)
    assert shown.exit_code == 4
    assert f"total {expected.total} GBP" in shown.stdout
    assert "missing 2013-03-01T05:00:00Z" in shown.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--column", "away"], 1, "no column 'away'"),
        (["--interval", "5 parsecs"], 1, "interval '5 parsecs'"),
        (["--zone", "Europe/Atlantis"], 1, "unknown"),
        (["--unit", "MWh"], 2, "Invalid value for '--unit'"),
        (["--from", "2013-03-02", "--until", "2013-03-01"], 2, "first day, 2013-03-02, is after"),
        (["--month", "2013-03", "--from", "2013-03-02"], 2, "say the period in one way"),
        (["--from", "2013-05-01"], 1, "no readings in the period"),
        (["--from", "2012-05-01"], 1, "not within the validity"),
        (["--interval", "15min"], 1, "--interval says 15 min"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(
    readings: Path, options: list[str], code: int, message: str
) -> None:
    defaults = {"--column": "home", "--interval": "30min"}
    for name, value in defaults.items():
        if name not in options:
            options = [*options, name, value]
    result = run("price", ECONOMY7, readings, *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert code == 2 or len(result.stderr.splitlines()) == 1


def test_a_canonical_document_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "economy7.cbor"
    path.write_bytes(load_toml(Path(ECONOMY7).read_text()).encode())
    assert run("check", path).exit_code == 0
    path.write_bytes(path.read_bytes()[:-1])
    result = run("check", path)
    assert (result.exit_code, "cut short" in result.stderr) == (1, True)
    path.write_bytes(b"\xff\xfe")
    assert "neither UTF-8 text nor a tariff document" in run("check", path).stderr
    path.write_bytes(b"")
    assert "'format' is missing" in run("check", path).stderr


def test_a_signed_tariff_prices_like_its_source(signed: Path, readings: Path) -> None:
    options = ("--column", "home", "--interval", "30min", "--json")
    assert run("price", signed, readings, *options).stdout == (
        run("price", ECONOMY7, readings, *options).stdout
    )
    assert isinstance(load_toml(Path(ECONOMY7).read_text()), Tariff)


SPOT = """
format = 1
name = "spot"
revision = 1
currency = "EUR"
zone = "UTC"
valid_from = 2013-03-01
valid_until = 2013-03-02
rounding = { rule = "half-up", decimals = 2 }
[[charge]]
name = "spot"
kind = "series"
file = "prices.csv"
column = "price"
step = "1h"
[[charge]]
name = "solar"
kind = "feed-in"
price = "0.08"
"""


@pytest.fixture
def spot(tmp_path: Path) -> Path:
    rows = "".join(f"2013-03-01T{hour:02}:00:00Z,0.{hour:02}\n" for hour in range(24))
    (tmp_path / "prices.csv").write_text("start,price\n" + rows)
    path = tmp_path / "spot.toml"
    path.write_text(SPOT)
    return path


def test_series_lie_beside_the_tariff_and_export_is_credited(spot: Path, tmp_path: Path) -> None:
    readings = tmp_path / "both.csv"
    rows = "".join(f"2013-03-01T{hour:02}:00:00,1.0,0.5\n" for hour in range(24))
    readings.write_text("start,used,fed\n" + rows)
    arguments = ("price", spot, readings, "--column", "used", "--interval", "1h", "--json")
    result = run(*arguments, "--export-column", "fed")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["total"] == "1.80"  # 0.01 · (0 + ... + 23) less 0.08 · 12
    assert sum(slot["amount_exact"] for slot in found["slots"]) == found["total_exact"]
    assert found["slots"][2] == {
        "start": "2013-03-01T02:00:00Z", "import_wh": 1000, "export_wh": 500, "band": "",
        "amount_exact": -20_000_000_000_000,
    }  # fmt: skip
    without = run(*arguments, "--export-column", "fed", "--no-slots")
    assert "slots" not in json.loads(without.stdout)
    result = run(*arguments)
    assert (result.exit_code, "readings of it are needed" in result.stderr) == (1, True)
    shown = run("show", spot)
    assert "24 prices" in shown.stdout
    assert "fed in, always" in shown.stdout
    assert json.loads(run("show", spot, "--json").stdout)["document"]["versions"]


@pytest.mark.parametrize("name", ["../prices.csv", "/etc/hostname", "none.csv"])
def test_a_tariff_reads_no_file_outside_its_folder(spot: Path, name: str) -> None:
    spot.write_text(SPOT.replace("prices.csv", name))
    result = run("check", spot)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"meterlet: {spot}:13: charge spot: {name}: ")


CEEM = """[{"Tariffs": [{"Tariff ID": "TR1", "Name": "Flat (x)", "Provider": "P", "State": "NSW",
"Distributor": "D", "Year": 2019, "Discount (%)": 5, "Parameters": {"Daily": {"Value": 1.1},
"FiT": {"Value": 0.1}, "BlockDaily": {"First": {"HighBound": 20, "Value": 0.28},
"Second": {"HighBound": Infinity, "Value": 0.31}}}}, {"Tariff ID": "TR2", "Name": "y",
"Provider": "P", "State": "QLD", "Distributor": "D", "Year": 2019, "Discount (%)": 0,
"Parameters": {"Daily": {"Value": 1}, "FlatRate": {"Value": 0.2}}}]}]"""


def test_foreign_tariffs_are_listed_printed_or_written(tmp_path: Path) -> None:
    file = tmp_path / "ceem.json"
    file.write_text(CEEM)
    assert run("import", "ceem", file).stdout == "tr1 Flat (x)\ntr2 y\n"
    one = run("import", "ceem", file, "--name", "tr1", "--set", "clock=standard")
    assert load_toml(one.stdout).name == "tr1 Flat (x)"
    assert 'clock = "standard"' in one.stdout
    out = tmp_path / "sources"
    assert run("import", "ceem", file, "--out", out).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["tr1-flat-x.toml", "tr2-y.toml"]
    assert run("check", *out.iterdir()).exit_code == 0
    assert run("import", "ceem", file, "--out", out).exit_code == 1  # nothing is overwritten
    shown = run("show", out / "tr1-flat-x.toml").stdout
    for words in ("block 1", "up to 20 kWh in each day", "rebate", "5 %"):
        assert words in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "tr9"], 1, "no tariff 'tr9'"),
        (["--set", "clock"], 2, "write KEY=VALUE"),
        (["--set", "speed=9"], 1, "unexpected keyword argument 'speed'"),
    ],
)
def test_an_import_that_cannot_be_says_why(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    file = tmp_path / "ceem.json"
    file.write_text(CEEM)
    result = run("import", "ceem", file, *arguments)
    assert (result.exit_code, message in result.stderr) == (code, True)
    file.write_text("[]]")
    assert "not JSON" in run("import", "ceem", file).stderr


SUPPLIER = """<UsagePoints xmlns="http://vde.de/AR_2418-6.xsd"><AnalysisProfile>
<tariffUseCase>1</tariffUseCase><TariffStage><tariffNumber>1</tariffNumber>
<obisCode>0100010801ff</obisCode></TariffStage><defaultTariffNumber>1</defaultTariffNumber>
</AnalysisProfile></UsagePoints>"""
GATEWAY = """<UsagePoints xmlns="http://vde.de/AR_2418-6.xsd" xmlns:espi="http://naesb.org/espi">
<MeterReading><Meter><meterId>1</meterId></Meter><ReadingType><scaler>-1</scaler>
<obisCode>0100010800FF</obisCode></ReadingType><IntervalBlock>{}</IntervalBlock></MeterReading>
</UsagePoints>"""
VALUE = """<IntervalReading><espi:value>{}</espi:value><timePeriod><start>{}
</start></timePeriod><statusPTB>0</statusPTB></IntervalReading>"""


def test_registers_are_derived_from_a_gateways_file(tmp_path: Path) -> None:
    supplier, readings = tmp_path / "supplier.xml", tmp_path / "readings.xml"
    supplier.write_text(SUPPLIER)
    moments = (
        "2017-10-01T00:00:00+02:00",
        "2017-10-02T00:00:00+02:00",
        "2017-11-01T00:00:00+01:00",
    )
    values = [VALUE.format(v, at) for at, v in zip(moments, (100, 350, 900), strict=True)]
    readings.write_text(GATEWAY.format("".join(values)))
    assert run("registers", supplier, readings).stdout == "1-0:1.8.1*255  800 x 10^-1 Wh\n"
    result = run("registers", supplier, readings, "--month", "2017-10", "--json")
    assert json.loads(result.stdout)["registers"] == [
        {"obis": "1-0:1.8.1*255", "amount": 800, "scaler": -1}
    ]
    result = run("registers", supplier, readings, "--from", "2017-10-02")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the period begins at 2017-10-01T22:00:00Z, not with a month" in result.stderr
    readings.write_text(GATEWAY.format(""))
    result = run("registers", supplier, readings)
    assert (result.exit_code, result.stderr) == (1, f"meterlet: {readings}: no readings\n")


@pytest.fixture
def winter(tmp_path: Path) -> Path:
    """Five kilowatt-hours at noon of every day from December to February."""
    first = date(2025, 12, 1)
    rows = [
        f"{first + timedelta(hour // 24)}T{hour % 24:02}:00:00,{5 if hour % 24 == 12 else 0}"
        for hour in range(24 * 90)
    ]
    path = tmp_path / "winter.csv"
    path.write_text("start,home\n" + "\n".join(rows) + "\n")
    return path


WINTER = ("--column", "home", "--interval", "1h", "--zone", "Europe/Berlin",
          "--from", "2025-12-01", "--until", "2026-02-28")  # fmt: skip


def test_bills_with_memory_are_priced_one_after_another(winter: Path) -> None:
    prepaid = EXAMPLES / "de-prepaid-2025.toml"
    options = (*WINTER, "--each", "month", "--paid", "70.50")
    result = run("price", prepaid, winter, *options, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["schema"] == "meterlet.tariff.prices/1"
    # (0.3045 x 5 kWh + 0.36) x 1.19 a day: 69.45 for 31 days, 62.72 for 28
    assert [bill["total"] for bill in found["bills"]] == ["0.00", "0.00", "0.00"]
    left = [bill["memory"]["values"]["prepaid/0/-"] for bill in found["bills"]]
    assert left == [1_050_000, 2_100_000, 9_880_000]
    assert found["bills"][0]["memory"]["until"] == "2025-12-31T23:00:00Z"
    shown = run("price", prepaid, winter, *options)
    assert "carried to the next bill: prepaid/0/- 9.88 EUR" in shown.stdout
    assert shown.stdout.count("total 0.00 EUR") == 3
    ended = run("price", prepaid, winter, *options, "--last-bill", "--json")
    bills = json.loads(ended.stdout)["bills"]
    assert [bill["total"] for bill in bills] == ["0.00", "0.00", "-9.88"]
    assert [bill.get("last") for bill in bills] == [None, None, True]
    assert bills[2]["memory"]["values"] == {}
    shown = run("price", prepaid, winter, *options, "--last-bill")
    assert shown.stdout.count("the last bill of the contract: it settles all") == 1
    one = run("price", prepaid, winter, *WINTER, "--json")
    assert json.loads(one.stdout)["schema"] == "meterlet.tariff.price/1"
    assert json.loads(one.stdout)["total"] == "201.62"


def test_a_tariff_with_memory_is_shown_with_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    for name, words in {
        "be-capacity-rolling-2025": ["peak, mean with those of 11 months before"],
        "us-ratchet-2025": ["peak, at least 80 % of the highest of 11 months before"],
        "dk-electric-heating-2025": ["up to 4000 kWh in each year, counted on over its bills"],
        "nl-saldering-2025": ["bills of each year (from 04-01)", "-0.055 EUR/kWh"],
        "us-net-metering-2025": ["left at the end of the year (from 03-01)"],
        "de-prepaid-2025": ["what was paid before is taken off"],
        "gb-budget-2025": ["95.00 GBP/month", "in place of the sum"],
    }.items():
        shown = run("show", EXAMPLES / f"{name}.toml")
        assert shown.exit_code == 0
        for text in words:
            assert text in shown.stdout, shown.stdout


@pytest.mark.parametrize(
    ("name", "options", "code", "message"),
    [
        ("de-prepaid-2025", ["--paid", "-1"], 2, "below 0"),
        ("de-prepaid-2025", ["--paid", "1,5"], 2, "'1,5' is not a decimal number"),
        ("de-prepaid-2025", ["--each", "week"], 2, "Invalid value for '--each'"),
        ("dk-electric-heating-2025", ["--paid", "1"], 1, "has no credit: what is paid"),
        ("de-prepaid-2025", ["--paid", "1.005"], 2, "1.005 has more decimals than the tariff"),
        ("gb-budget-2025", ["--from", "2026-02-01", "--until", "2026-05-01"], 1,
         "step budget plan: its year ends before 2026-04-01, within the bill"),
    ],
)  # fmt: skip
def test_what_cannot_be_billed_with_memory_is_told(
    winter: Path, name: str, options: list[str], code: int, message: str
) -> None:
    if "--from" in options:
        rows = winter.read_text().splitlines()
        winter.write_text("\n".join([rows[0], "2026-02-01T00:00:00,1", "2026-04-30T22:00:00,1"]))
    result = run("price", EXAMPLES / f"{name}.toml", winter, *WINTER, *options)
    assert result.exit_code == code, result.output
    assert message in result.stderr
