# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote, with their own tests where they have some, over PC/SC.

`tests/card-clients` fetches them; those that are not there are skipped, and say so. What clients
send that cannot be had from a package registry is in `test_client_sequences`.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from hub.card.packages.cap_file import build_cap
from hub.card.profile import YUBIKEY
from tests.support import pcsc
from tests.support.card import APPLET, ISSUER, MODULE, PACKAGE, open_card
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
FETCHED = ROOT / "build/card-clients"
SITE = FETCHED / "site"
PLUGIN = ROOT / "tests/support/as_yubikey.py"

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(pcsc.MISSING), reason=f"PC/SC IS NOT TESTED, missing: {pcsc.MISSING}"),
]
smartcard = pytest.importorskip("smartcard.System")

READERS = {"usb": "Yubico YubiKey OTP+FIDO+CCID", "nfc": "Contactless"}
"""By their readers' names, Yubico's tools tell how they reach a YubiKey."""


def needs(path: Path, what: str) -> None:
    if not path.exists():
        pytest.skip(f"{what} IS NOT TESTED: tests/card-clients did not fetch {path}")


def yubico_tests(tmp_path: Path, transport: str, file: str) -> Counter[str]:
    """Run a file of Yubico's device tests; count how they went."""
    version = importlib.metadata.version("yubikey-manager")
    tests = FETCHED / f"yubikey_manager-{version}" / "tests"
    needs(tests, "YUBIKIT")
    needs(SITE / "makefun", "YUBIKIT")
    card = open_card(tmp_path, profile=YUBIKEY)
    report, reader = tmp_path / "report.xml", READERS[transport]
    plugins = tmp_path / "plugins"  # by itself: their package is called `tests`, too
    plugins.mkdir()
    shutil.copy(PLUGIN, plugins)
    with pcsc.daemon(reader), pcsc.inserted(card, contactless=transport == "nfc"):
        with pcsc.linked(reader):
            pass
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
                PLUGIN.stem, "-o", "addopts=", f"--rootdir={tests.parent}",
                "-c", os.devnull, "--device", "20251130", "--reader", f"{reader} 00 00",
                f"--junitxml={report}", f"{tests}/{file}",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env=os.environ | {
                "PYTHONPATH": f"{plugins}:{SITE}", "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTEST_ADDOPTS": "",
            },
        )  # fmt: skip
    sys.stdout.write(done.stdout[-6000:] + done.stderr[-2000:])
    return Counter(
        next(
            (child.tag for child in case if child.tag in {"failure", "error", "skipped"}), "passed"
        )
        for case in ET.parse(report).iter("testcase")
    )


@pytest.mark.parametrize("transport", READERS)
def test_yubikits_own_device_tests_of_the_security_domain_pass(
    tmp_path: Path, transport: str
) -> None:
    assert yubico_tests(tmp_path, transport, "device/test_securitydomain.py") == {"passed": 11}


@pytest.mark.parametrize("transport", READERS)
def test_ykmans_own_device_tests_of_the_security_domain_pass(
    tmp_path: Path, transport: str
) -> None:
    assert yubico_tests(tmp_path, transport, "device/cli/test_securitydomain.py") == {"passed": 4}


@pytest.mark.parametrize("level", ["00", "01", "03", "11", "13"])
def test_pygp_loads_installs_lists_locks_deletes_and_changes_keys(
    tmp_path: Path, level: str
) -> None:
    """At level 33 PyGP 1.0.0 stops by itself: it deciphers answers that carry no data."""
    needs(SITE / "pygp", "PYGP")
    card, cap = open_card(tmp_path), tmp_path / "applet.cap"
    cap.write_bytes(build_cap(PACKAGE, (1, 0), (MODULE,), bytes(900), "com.example.applet"))
    names = [aid.hex().upper() for aid in (PACKAGE, MODULE, APPLET)]
    with pcsc.daemon(), pcsc.inserted(card) as trace:
        with pcsc.linked():
            pass
        done = subprocess.run(
            [sys.executable, ROOT / "tests/support/with_pygp.py", cap, level, *names],
            env=os.environ | {"PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert sum("INSTALL" in line or "LOAD" in line for line in trace) >= 7
    assert not [line for line in trace if line.startswith("<- 6")]
    assert card.find(PACKAGE) is None
    assert {version for version, _, _ in card.keys.describe(ISSUER)} == {0x30, 0x31}


def test_scriptor_sends_a_script_of_commands(tmp_path: Path) -> None:
    scriptor = shutil.which("scriptor")
    if scriptor is None:
        pytest.skip("SCRIPTOR IS NOT TESTED, missing: pcsc-tools")
    script = tmp_path / "script"
    script.write_text("reset\n00 A4 04 00 00\n80 CA 9F 7F 00\n80 CA 00 66 00\n")
    with pcsc.daemon(), pcsc.inserted(open_card(tmp_path)):
        with pcsc.linked():
            pass
        done = subprocess.run(
            [scriptor, "-r", "Virtual PCD 00 00", script],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("90 00 : Normal processing.") == 3, done.stdout
