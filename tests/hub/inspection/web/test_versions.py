# SPDX-License-Identifier: Apache-2.0
"""A new version that a recipient has brought, on the resident's pages: seen, accepted, refused."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.device import Device
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from hub.offers import let_manage
from tests.support.pages import Browser
from tests.support.sharing import AIDS, VENDOR, Home
from tests.support.versions import WIDER, Bringer, version

CAT = AIDS["cat"]


def bring(anna: Browser, folder: Path, machine: AppletMachine, number: str) -> str:
    """Bring a version that asks for more; return the page that shows it."""
    (anna.folder / "vendors" / "cats.pem").write_bytes(
        VENDOR.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with Device.open(anna.folder) as device:
        home = Home(device, device.card(machine), folder)
        installer = Installer(device, home.card)
        if home.card.find(CAT) is None:
            home.install("cat")
            let_manage(installer, CAT, is_allowed=True)
            enrolment = home.enrolments["cat"]
        else:
            home.packages["cat"] = b""
            enrolment = installer.rotate_channel(CAT)
        assert Bringer(home.card, enrolment).bring(version(home, number, WIDER)) == 0x9000
        entry = home.card.find(CAT)
        assert entry is not None
        return f"/applets/{entry.package.hex()}/version"


def shown(page: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def in_place(anna: Browser, machine: AppletMachine) -> str:
    with Device.open(anna.folder) as device:
        return Installer(device, device.card(machine)).bundle(CAT).manifest.version


def test_the_resident_reads_what_is_more_and_says_yes_to_just_that(
    anna: Browser, tmp_path: Path, machine: AppletMachine
) -> None:
    path = bring(anna, tmp_path, machine, "0.2.0")
    assert f'href="{path}"' in anna.get("/applets").text
    page = anna.get(path).text
    assert "cat: version 0.2 waits for you" in page
    more = page[page.index("New: this is more than before") : page.index("What it says of itself")]
    assert "grid" in more
    assert " 3 " in more
    earlier = shown(page)
    assert bring(anna, tmp_path, machine, "0.3.0") == path  # while the resident reads
    refused = anna.post(f"{path}/accept", digest=earlier)
    assert refused.status_code == 409
    assert in_place(anna, machine) == "0.1.0"
    assert anna.post(f"{path}/accept", digest="zz").status_code == 409
    anna.post(f"{path}/accept", digest=shown(anna.get(path).text))
    assert in_place(anna, machine) == "0.3.0"
    assert "waits for you" not in anna.get("/applets").text
    assert "version accepted" in anna.happened()
    log = anna.get("/log", headers={"Accept-Language": "de"}).text
    assert "neue Version eines Applets" in log
    assert "sie ist in Betrieb" in log


def test_the_resident_says_no_and_the_version_in_place_stays(
    anna: Browser, tmp_path: Path, machine: AppletMachine
) -> None:
    path = bring(anna, tmp_path, machine, "0.2.0")
    digest = shown(anna.get(path).text)
    anna.post(f"{path}/refuse", digest=digest)
    assert "waits for you" not in anna.get("/applets").text
    assert in_place(anna, machine) == "0.1.0"
    assert "version refused" in anna.happened()


@pytest.mark.parametrize("path", ["/applets/zz/version", "/applets/f04d544c/version"])
def test_where_nothing_waits_the_page_says_so(anna: Browser, path: str) -> None:
    answer = anna.get(path)
    assert answer.status_code == 409
    assert "waits for you" in answer.text


def test_whoever_may_only_look_decides_nothing(
    reader: Browser, tmp_path: Path, machine: AppletMachine
) -> None:
    path = bring(reader, tmp_path, machine, "0.2.0")
    assert "cat: version 0.2 waits for you" in reader.get("/applets").text
    assert path not in reader.get("/applets").text
    assert reader.get(path).status_code == 403
    for verb in ("accept", "refuse"):
        assert reader.post(f"{path}/{verb}", digest=bytes(32).hex()).status_code == 403
    assert in_place(reader, machine) == "0.1.0"
