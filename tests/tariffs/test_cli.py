# SPDX-License-Identifier: Apache-2.0
import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.tariff import tariff
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
    rows = [f"2013-03-01T{i // 2:02}:{i % 2 * 30:02}:00,0.{100 + i}" for i in range(48)]
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
    assert (result.exit_code, result.stderr) == (1, f"meterlet: {key}.pub: File exists\n")
    (tmp_path / "key.pub").unlink()
    assert run("keygen", "--out", key).exit_code == 1
    assert key.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key"]


def test_what_is_no_key_is_refused(tmp_path: Path, signed: Path) -> None:
    result = run("sign", ECONOMY7, "--key", ECONOMY7, "--out", tmp_path / "x")
    assert (result.exit_code, "not an Ed25519 private key" in result.stderr) == (1, True)
    result = run("check", signed, "--key", tmp_path / "key")
    assert (result.exit_code, "not an Ed25519 public key" in result.stderr) == (1, True)


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
    result = run(*arguments, "--from", "2013-03-01", "--until", "2013-03-02", "--json")
    assert result.exit_code == 0
    bill = json.loads(result.stdout)
    assert bill["missing_slots"] == ["2013-03-01T05:00:00Z", "2013-03-01T10:00:00Z"]
    assert result.stderr == "meterlet: 2 slots have no reading and are not billed\n"
    day = load_toml(Path(ECONOMY7).read_text())
    slots = [i for i in range(48) if i not in (10, 20)]
    starts = [1362096000 + 1800 * i for i in slots]
    expected = compute_bill(day, starts, 1800, [100 + i for i in slots])
    assert bill["total_exact"] == expected.total_exact
    assert bill["total"] == expected.total
    shown = run(*arguments)
    assert shown.exit_code == 0
    assert f"total {expected.total} GBP" in shown.stdout
    assert "missing 2013-03-01T05:00:00Z" in shown.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--column", "away"], 1, "no column 'away'"),
        (["--interval", "5 parsecs"], 1, "interval '5 parsecs'"),
        (["--zone", "Europe/Atlantis"], 1, "unknown"),
        (["--unit", "MWh"], 2, "Invalid value for '--unit'"),
        (["--from", "2013-03-02", "--until", "2013-03-01"], 2, "--until must be after --from"),
        (["--from", "2013-05-01"], 1, "no readings in the period"),
        (["--from", "2012-05-01"], 1, "not within the validity"),
        (["--interval", "15min"], 0, "49 slots have no reading"),
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
