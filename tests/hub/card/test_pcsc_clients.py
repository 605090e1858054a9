# SPDX-License-Identifier: Apache-2.0
"""Clients that others wrote, with their own tests where they have some, over PC/SC.

`tests/card-clients` fetches them; those that are not there are skipped, and say so.
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

from hub.card.profile import YUBIKEY
from tests.support import pcsc
from tests.support.card import open_card

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
            cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
            env=os.environ | {
                "PYTHONPATH": f"{plugins}:{SITE}", "PYTHONDONTWRITEBYTECODE": "1",
                "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "PYTEST_ADDOPTS": "",
            },
        )  # fmt: skip
    print(done.stdout[-60000:], done.stderr[-2000:])
    return Counter(
        next((child.tag for child in case if child.tag in {"failure", "error", "skipped"}), "passed")
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
