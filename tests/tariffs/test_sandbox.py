# SPDX-License-Identifier: Apache-2.0
"""The files an applet carries work by themselves, without files, sockets or native packages."""

import shutil
import subprocess
import sys
from pathlib import Path

import protocols.canonical
import tariffs
from tariffs.source import load_toml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"

PROGRAM = """
import sys
sys.path[0] = sys.argv[1]
for name in ("cbor2", "_cbor2", "cwt", "cryptography", "tomllib", "holidays", "ssl", "_socket",
             "socket", "ctypes", "_ctypes", "sqlite3", "_zoneinfo", "_datetime"):
    sys.modules[name] = None
import tariffs
tariff = tariffs.Tariff.decode(bytes.fromhex(sys.argv[2]))
starts = [tariff.begin + 900 * i for i in range(96)]
bill = tariffs.compute_bill(tariff, starts, 900, [100] * 96)
print(tariff.digest.hex(), bill.total_exact, sum(tariff.prices(starts, 900)))
"""


def test_the_sandboxs_files_price_a_document_by_themselves(tmp_path: Path) -> None:
    package = tmp_path / "tariffs"
    package.mkdir()
    for name in tariffs.SANDBOX_MODULES:
        shutil.copy(Path(tariffs.__file__).parent / name, package / name)
    canonical = Path(protocols.canonical.__file__).parent
    shutil.copytree(canonical, tmp_path / "protocols" / "canonical")
    tariff = load_toml((EXAMPLES / "de-modul3-2025.toml").read_text())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), tariff.encode().hex()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    starts = [tariff.begin + 900 * i for i in range(96)]
    bill = tariffs.compute_bill(tariff, starts, 900, [100] * 96)
    expected = f"{tariff.digest.hex()} {bill.total_exact} {sum(tariff.prices(starts, 900))}"
    assert done.stdout.strip() == expected


def test_public_names_are_those_listed() -> None:
    for name in tariffs.__all__:
        assert hasattr(tariffs, name)
    listed = set(tariffs.SANDBOX_MODULES)
    there = {path.name for path in Path(tariffs.__file__).parent.glob("*.py")}
    assert listed <= there
