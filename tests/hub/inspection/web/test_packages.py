# SPDX-License-Identifier: Apache-2.0
"""A package of several applets on the page Applets: all are installed, or those that are chosen."""

import re
import shutil
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.device import Device
from hub.inspection.locales.catalogue import catalogue
from hub.inspection.web.installed import installed_applets
from hub.installer import build_packages
from tests.support.command import ROOT
from tests.support.pages import Browser

AIDS = {"first": "f04d544c01019a", "second": "f04d544c01019b"}
PEM = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo


def upload(anna: Browser, folder: Path) -> dict[str, Any]:
    """A package of two applets, of a vendor whom the resident trusts, and a recipient's key."""
    vendor, recipient = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    (anna.folder / "vendors" / "corner-shop.pem").write_bytes(
        vendor.public_key().public_bytes(*PEM)
    )
    for name, aid in AIDS.items():
        shutil.copytree(ROOT / "applets" / "billing", folder / name / "billing")
        manifest = folder / name / "billing" / "manifest.toml"
        said = manifest.read_text().replace("F04D544C010101", aid.upper())
        manifest.write_text(re.sub(r'^name = ".*"', f'name = "{name}"', said, flags=re.MULTILINE))
    folders = [folder / name / "billing" for name in AIDS]
    package = build_packages(folders, vendor, [folder / "first", ROOT])
    pem = recipient.public_key().public_bytes(*PEM)
    return {"package": ("two.cap", package), "recipient": ("r.pem", pem)}


def digest(page: str) -> str:
    found = re.search(r'name="digest" value="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


def installed(anna: Browser) -> set[str]:
    with Device.open(anna.folder) as device:
        return {applet.aid.hex() for applet in installed_applets(device)} & set(AIDS.values())


def test_of_a_package_of_several_one_is_chosen_and_later_the_other(
    anna: Browser, tmp_path: Path
) -> None:
    files = upload(anna, tmp_path)
    offer = anna.post("/applets/package", files=files).text
    assert offer.count('type="checkbox"') == offer.count(" checked") == 2
    assert offer.count("It answers supplier") == 2

    none = anna.post("/applets/install", digest=digest(offer))
    assert none.status_code == 400
    assert "choose one applet or more" in none.text
    assert none.text.count('aria-invalid="true"') == 1
    assert none.text.count('type="checkbox"') == 2
    assert " checked" not in none.text
    assert installed(anna) == set()

    chosen = {f"install-{AIDS['second']}": "yes"}
    answer = anna.post("/applets/install", chosen, digest=digest(offer))
    page = anna.finish(answer).text
    assert f"/applets/{AIDS['second']}/enrolment" in page
    assert AIDS["first"] not in page
    assert installed(anna) == {AIDS["second"]}

    rest = anna.post("/applets/package", files=files).text
    assert "second is installed already" in rest
    assert rest.count('type="checkbox"') == 1
    forged = {f"install-{aid}": "yes" for aid in AIDS.values()}
    anna.finish(anna.post("/applets/install", forged, digest=digest(rest)))
    assert installed(anna) == set(AIDS.values())
    assert anna.happened().count("applet installed") == 2

    again = anna.post("/applets/package", files=files, headers={"Accept-Language": "de"})
    assert again.status_code == 400
    assert "alle Applets des Pakets sind schon installiert" in again.text


def test_all_of_a_package_are_installed_at_once_each_with_its_enrolment(
    anna: Browser, tmp_path: Path
) -> None:
    offer = anna.post("/applets/package", files=upload(anna, tmp_path)).text
    chosen = {f"install-{aid}": "yes" for aid in AIDS.values()}
    page = anna.finish(anna.post("/applets/install", chosen, digest=digest(offer))).text
    for name, aid in AIDS.items():
        assert f"/applets/{aid}/enrolment" in page
        assert f"{name}: Save the enrolment file" in page
        saved = anna.post(f"/applets/{aid}/enrolment")
        assert saved.headers["Content-Disposition"] == f'attachment; filename="{aid}.enrolment"'
    assert installed(anna) == set(AIDS.values())
    stale = anna.post("/applets/install", chosen, digest=digest(offer))
    assert stale.status_code == 400
    assert "read it again" in stale.text


def test_every_fact_of_the_log_has_a_name_in_every_language(anna: Browser) -> None:
    anna.get("/wrong")
    with Device.open(anna.folder) as device:
        names = {name for entry in device.disclosure.log.entries() for name in entry.facts}
    assert {"event", "recipient", "bits", "until"} <= names
    assert {name for name in names if f"fact.{name}" not in catalogue("en").texts} == set()
    page = anna.get("/log", headers={"Accept-Language": "de"}).text
    assert "was geschah: <code>Anmeldung</code>" in page
    assert not re.search(r">(recipient|purpose|least_days|begin): <code>", page)
