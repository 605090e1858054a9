# SPDX-License-Identifier: Apache-2.0
"""What is sent to the resident's pages: too much, script in names, packages of strangers."""

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.applet_host.store import AppletStore
from hub.device import Device
from hub.inspection.web.access.request_guard import FORM_BYTES, UPLOAD_BYTES
from hub.installer import build_package
from tests.attacks.test_pages import AID, REVOKE, consents_standing
from tests.support.pages import ORIGIN, Browser, browser

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def anna(demo_home: Path, tmp_path: Path) -> Iterator[Browser]:
    folder = tmp_path / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        yield someone


def test_bodies_that_are_too_large_are_refused_unread(anna: Browser) -> None:
    answer = anna.client.post(REVOKE, content=b"x" * (FORM_BYTES + 1), headers={"Origin": ORIGIN})
    assert answer.status_code == 413
    answer = anna.client.post(
        "/applets/package", content=b"x" * (UPLOAD_BYTES + 1), headers={"Origin": ORIGIN}
    )
    assert answer.status_code == 413

    def without_end() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 65_536

    kind = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    answer = anna.client.post(REVOKE, content=without_end(), headers=kind)
    assert answer.status_code == 413
    assert anna.events()[-1].facts["event"] == "oversized request"
    assert consents_standing(anna.folder) == 5


def test_a_form_of_a_thousand_fields_or_files_is_refused(anna: Browser) -> None:
    fields = {f"f{number}": "x" for number in range(1000)}
    answer = anna.client.post(REVOKE, data=fields, headers={"Origin": ORIGIN})
    assert answer.status_code == 400
    files = [("package", (f"{number}", b"x")) for number in range(10)]
    answer = anna.client.post("/applets/package", files=files, headers={"Origin": ORIGIN})
    assert answer.status_code == 400


SCRIPT = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


def test_script_in_an_applets_words_stays_words(anna: Browser, tmp_path: Path) -> None:
    vendor, recipient = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    pem = vendor.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (anna.folder / "vendors" / "new.pem").write_bytes(pem)
    copytree(ROOT / "applets" / "billing", tmp_path / "billing")
    manifest = tmp_path / "billing" / "manifest.toml"
    text = re.sub(
        r"^vendor = .*$", f"vendor = '{SCRIPT}'", manifest.read_text(), flags=re.MULTILINE
    )
    text = text.replace(AID.upper(), "F04D544C01019A")
    manifest.write_text(text)
    package = build_package(tmp_path / "billing", vendor, [tmp_path, ROOT])
    key = recipient.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    files = {"package": ("a.cap", package), "recipient": ("r.pem", key)}
    offer = anna.post("/applets/package", files=files)
    assert offer.status_code == 200, offer.text
    digest = re.search(r'name="digest" value="([0-9a-f]+)"', offer.text)
    assert digest is not None
    done = anna.finish(anna.post("/applets/install", digest=digest[1]))
    applets = anna.get("/applets")
    for page in (offer, done, applets, anna.get("/"), anna.get("/consents"), anna.get("/log")):
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
    assert "&lt;script&gt;alert(1)" in offer.text
    assert "&lt;script&gt;alert(1)" in applets.text


def test_script_in_what_is_asked_or_typed_stays_words(anna: Browser) -> None:
    tariff = (ROOT / "meterlet" / "demo" / "tariff.toml").read_text()
    named = re.sub(r"^name = .*$", f"name = '{SCRIPT}'", tariff, count=1, flags=re.MULTILINE)
    files = {"tariff": ("mine.toml", named.encode())}
    period = {"first": "2025-03-01", "last": "2025-03-31"}
    pages = [anna.finish(anna.post("/bill/what-if", period, files=files))]
    anna.post(
        "/consents/export",
        recipient=SCRIPT[:60],
        purpose=SCRIPT[:60],
        minutes="60",
        first="2025-03-01",
        last="2025-03-02",
        until="2099-12-31",
    )
    pages += [anna.get("/consents"), anna.get("/export"), anna.get("/log")]
    for query in ("view", "at", "by", "beside", "hour"):
        pages.append(anna.get("/readings", params={query: SCRIPT}))
    pages.append(anna.get("/releases", params={"recipient": SCRIPT}))
    for path, names in (
        ("/consents/export", ("recipient", "purpose", "minutes", "first", "last", "until")),
        ("/consents/1/narrow", ("until", "bits", "answers")),
        ("/export/readings", ("first", "last", "form", "agreed")),
        ("/export/bill", ("invoice", "agreed")),
        ("/bill/what-if", ("first", "last")),
        ("/releases/attack", ("first",)),
    ):  # what is refused is shown again
        refused = anna.post(path, dict.fromkeys(names, SCRIPT))
        assert refused.status_code == 400, path
        pages.append(refused)
    pages.append(anna.get("/consents/1", params={"change": "narrow", "bits": SCRIPT}))
    pages.append(anna.get("/log", params={"kind": SCRIPT, "page": SCRIPT}))
    for page in pages:
        assert "<script>alert" not in page.text, page.url
        assert "<img" not in page.text, page.url
    assert any("&lt;script&gt;" in page.text for page in pages)


def test_a_package_of_nobody_who_is_trusted_is_not_even_offered(
    anna: Browser, tmp_path: Path
) -> None:
    package = build_package(ROOT / "applets" / "billing", Ed25519PrivateKey.generate(), [ROOT])
    key = Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for content, why in (
        (package, "nobody who is trusted"),
        (b"PK\x03\x04", "package"),
        (b"", "CAP"),
    ):
        files = {"package": ("a.cap", content), "recipient": ("r.pem", pem)}
        answer = anna.post("/applets/package", files=files)
        assert answer.status_code in (400, 409)
        assert why in answer.text
    assert anna.post("/applets/install", digest="00").status_code == 400


def test_an_applet_that_keeps_rubbish_hides_no_readings(anna: Browser) -> None:
    with Device.open(anna.folder) as device, device.database.transaction():
        store = AppletStore(device.database, bytes.fromhex(AID), 1 << 20)
        store.put(b"resident/invoice/rubbish", b"\xff" * 40)
    for path in ("/", "/readings?view=month&at=2025-03-01", "/releases", "/log", "/about"):
        assert anna.get(path).status_code == 200
    told = anna.get("/bill")
    assert told.status_code == 409
    assert "a document in the applet&#39;s store" in told.text
