# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect serve` and `users` in processes of their own; one period, told alike."""

import csv
import http.client
import io
import json
import re
import ssl
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from shutil import copytree

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from hub.device import Device
from hub.inspection.api.tokens import Scope, Tokens
from hub.inspection.store import open_inspection
from tests.support.pages import Browser, browser
from tests.support.command import run_meterlet
from tests.support.serving import Home

PASSPHRASE = b"correct horse battery"


@pytest.fixture
def home(demo_folder: Path, tmp_path: Path) -> Home:
    copytree(demo_folder, tmp_path / "kept")
    return Home(tmp_path / "kept")


def users(home: Home, *arguments: str, stdin: bytes | None = None) -> tuple[int, str, str]:
    done = run_meterlet("inspect", "users", *arguments, "--hub", home.hub, stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def test_residents_are_added_listed_and_removed_and_that_is_on_record(home: Home) -> None:
    secret = "--passphrase-file", "-"
    code, _, _ = users(home, "add", "anna", "--role", "owner", *secret, stdin=PASSPHRASE)
    assert code == 0
    code, _, _ = users(home, "add", "ben", *secret, stdin=b"another one\n")
    assert code == 0
    _, listed, _ = users(home, "list", "--json")
    roles = {one["name"]: one["role"] for one in json.loads(listed)["users"]}
    assert roles == {"anna": "owner", "ben": "reader"}
    code, _, _ = users(home, "passphrase", "ben", *secret, stdin=b"a third one")
    assert code == 0
    assert users(home, "remove", "ben")[0] == 0
    with Device.open(home.hub) as device:
        events = [entry.facts["event"] for entry in device.disclosure.log.entries("door")]
    added = ["resident added"] * 2
    assert events == [*added, "passphrase changed", "resident removed"]


NO_RESIDENT = (
    (("add", "Anna"), PASSPHRASE, "is no name"),
    (("add", "ben"), b"12345\n", "6 to 256 characters"),
    (("add", "ben"), b"123456\n", "first one anybody would try"),
    (("add", "anna"), PASSPHRASE, "there is a resident anna"),
    (("passphrase", "nobody"), PASSPHRASE, "there is no resident nobody"),
    (("remove", "nobody"), None, "there is no resident nobody"),
    (("remove", "anna"), None, "anna is the last owner"),
)


def test_what_makes_no_resident_is_refused_in_a_line(home: Home) -> None:
    users(home, "add", "anna", "--role", "owner", "--passphrase-file", "-", stdin=PASSPHRASE)
    for arguments, stdin, why in NO_RESIDENT:
        more = () if stdin is None else ("--passphrase-file", "-")
        code, out, error = users(home, *arguments, *more, stdin=stdin)
        assert (code, out) == (1, "")
        [line] = error.splitlines()
        assert line.startswith("meterlet: ")
        assert why in line
        assert "12345" not in line


def test_beyond_loopback_there_is_tls_or_nothing(home: Home) -> None:
    done = run_meterlet("inspect", "serve", "--hub", home.hub, "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "is not loopback: say --certificate and --key" in done.stderr
    tls = "--certificate", home.hub / "hub.toml", "--key", home.hub / "hub.toml"
    done = run_meterlet("inspect", "serve", "--hub", home.hub, "--host", "0.0.0.0", *tls)
    assert done.returncode == 2
    assert "say what browsers call the hub" in done.stderr
    done = run_meterlet("inspect", "serve", "--hub", home.folder / "none", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.startswith("meterlet: ")


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, signed by itself."""
    from ipaddress import IPv4Address

    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, SHA256())
    )
    paths = folder / "hub.pem", folder / "hub.key"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    paths[1].write_bytes(secret)
    paths[1].chmod(0o600)
    return paths


def test_over_tls_cookies_are_secure_and_browsers_are_told_to_stay(
    home: Home, tmp_path: Path
) -> None:
    pem, key = certificate(tmp_path)
    tls = "--certificate", str(pem), "--key", str(key)
    with home.running("inspect", "serve", *tls) as serving:
        assert serving["address"].startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(pem))
        host = serving["address"].removeprefix("https://").rstrip("/")
        connection = http.client.HTTPSConnection(host, context=context, timeout=20)
        connection.request("GET", "/welcome")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 200
        assert answer.getheader("Strict-Transport-Security") == "max-age=31536000"
        assert "Secure" in str(answer.getheader("Set-Cookie"))
    key.chmod(0o644)
    done = run_meterlet("inspect", "serve", "--hub", home.hub, *tls)
    assert done.returncode == 1
    assert "its mode must be 0600" in done.stderr


def table(page: str) -> list[list[str]]:
    """The rows of the table behind the chart."""
    body = re.search(r'<table id="buckets">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body is not None
    rows = re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL)
    return [
        [
            unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row)
        ]
        for row in rows
    ]


def test_page_json_csv_command_and_export_tell_one_period_alike(home: Home) -> None:
    period = "--from", "2025-03-01", "--until", "2025-03-31"
    ask = "inspect", "readings", "--hub", home.hub, *period, "--by", "day"
    told = json.loads(run_meterlet(*ask, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(run_meterlet(*ask, "--csv").stdout)))
    printed = run_meterlet(*ask).stdout
    with browser(home.hub) as anna:
        page = table(anna.get("/readings?view=month&at=2025-03-14").text)
        bill = anna.get("/bill").text
        served = ask_api(home, anna)
        export = anna.post(
            "/export/readings", first="2025-03-01", last="2025-03-31", form="csv", agreed="yes"
        ).text
    energies = [bucket["energy_wh"] for bucket in told["buckets"]]
    assert served["buckets"] == told["buckets"]
    assert [int(row["energy_wh"]) for row in rows] == energies
    assert [cells[1] for cells in page] == [
        f"{Decimal(wh).scaleb(-3):,.3f}\xa0kWh" for wh in energies
    ]
    for wh in energies:
        assert f"{Decimal(wh).scaleb(-3):,.3f}" in printed
    costs = [bucket["cost"]["rounded"] for bucket in told["buckets"]]
    assert [cells[2] for cells in page] == [f"€{cost}" for cost in costs]
    for row, bucket in zip(rows, told["buckets"], strict=True):
        exact = Decimal(bucket["cost"]["exact"]).scaleb(-bucket["cost"]["exact_decimals"])
        assert Decimal(row["cost"]) == exact
    taken = [row for row in csv.DictReader(io.StringIO(export)) if row["energy_wh"]]
    assert (
        sum(int(row["energy_wh"]) for row in taken) == sum(energies) == told["total"]["energy_wh"]
    )
    assert f"€{told['total']['cost']['rounded']}" in bill


def ask_api(home: Home, anna: Browser) -> dict[str, list[object]]:
    """Ask the programming interface, mounted below the pages, for the same."""
    with Device.open(home.hub) as device, open_inspection(device) as database:
        _, token = Tokens(database, device).create("test", [Scope.READINGS])
    query = {"from": "2025-03-01", "until": "2025-03-31", "by": "day"}
    answer = anna.get(
        "/api/v1/readings", params=query, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.text
    assert anna.get("/api/v1/readings", params=query).status_code == 401
    found: dict[str, list[object]] = answer.json()
    return found
