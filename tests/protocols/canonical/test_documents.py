# SPDX-License-Identifier: Apache-2.0
"""What is signed, stored and sent has the bytes that it had before there was one encoder."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from hub.disclosure.log import LOG_COMPONENT, DisclosureLog
from hub.machine.bundle import Bundle
from hub.vault.database import Database
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tariffs.invoice import Invoice
from tariffs.signing import sign_index, sign_tariff
from tariffs.source import load_toml
from tests.support.applet_machine import MANIFEST
from utility_server.database import ledger_table, open_database
from utility_server.grid.mdms.aggregates import Aggregate, AggregateSpan
from utility_server.grid.mdms.group_value import GroupValue, GroupValueSpan
from utility_server.grid.privacy_notice import Budget, PrivacyNotice
from utility_server.retail.ledger import Content, Ledger
from utility_server.retail.verification import BillBundle

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["documents"]
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "tariffs"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BEGIN, END, NOW = 1_740_783_600, 1_743_458_400, 1_743_465_600
TARIFF = load_toml((EXAMPLES / "gb-economy7-2013.toml").read_text())
PRICES = PriceSeries(BEGIN, 3600, tuple(range(-5000, 43_000, 2000)))
INDEX = PriceIndex("de-lu-day-ahead", 2, "EUR", "EUR/MWh", "Europe/Berlin", PRICES)
INVOICE = Invoice(
    number=7,
    issued=NOW,
    meter=b"meter 1",
    begin=BEGIN,
    end=END,
    currency="EUR",
    total="61.38",
    exact=-61_380_000_000_000_123_456_789,
    decimals=15,
    missing=3,
    tariff=bytes(32),
    evidence=bytes(range(32)),
    replaces=5,
)
FILES = {
    "sample/__init__.py": b"",
    "sample/applet.py": b"from applets.sdk import *\n",
    "sample/more.py": bytes(70_000),
}
SUMS = tuple(10**k % 2**60 for k in range(24))
BUNDLE = BillBundle(
    b"question",
    b"answer" * 100,
    bytes(32),
    bytes(range(32)),
    bytes.fromhex("0100010800ff"),
    "Europe/Berlin",
    15,
    (bytes.fromhex("0100020800ff"),),
)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("tariff", sign_tariff(TARIFF, KEY, b"supplier")),
        ("index", sign_index(INDEX, KEY, b"index")),
        ("invoice", INVOICE.sign(KEY, b"supplier")),
        ("applet bundle", Bundle(MANIFEST.format(limits=""), FILES).sign(KEY, b"vendor")),
        (
            "privacy notice",
            PrivacyNotice(Budget("Nord/3", 2_500_000_000, 1_250_000_000), NOW, 4).sign(KEY),
        ),
        (
            "aggregate",
            Aggregate(
                AggregateSpan("Nord", 60, BEGIN, BEGIN + 86_400), "Europe/Berlin", SUMS, 12, 3, 20,
                bytes(32),
            ).encode(),
        ),
        (
            "group value",
            GroupValue(
                GroupValueSpan("Nord", 1, 2, bytes(32)), "de-lu-day-ahead", 2, "EUR", -5, 12, 3,
                (b"meter 1", b"meter 2"), bytes(32),
            ).encode(),
        ),
        ("bill bundle", BUNDLE.encode()),
    ],
)  # fmt: skip
def test_a_document_has_the_bytes_that_were_recorded(name: str, document: bytes) -> None:
    assert sha256(document).hexdigest() == RECORDED[name]


def test_an_entry_of_the_disclosure_log_has_the_bytes_that_were_recorded(tmp_path: Path) -> None:
    number = {"kind": "sum", "forms": [bytes(range(64))], "bits": 47, "least_minutes": 15}
    facts = {
        "applet": b"\xf0SMH\x01",
        "recipient": "supplier",
        "numbers": [number],
        "bits": 47,
        "begin": -86_400,
    }
    with Database(tmp_path / "hub.db", [LOG_COMPONENT], key=bytes(32)) as database:
        DisclosureLog(database).append(NOW, "release", facts, b"content")
        [sealed] = database.connection.execute("SELECT body FROM disclosure_entry").fetchone()
        bound = b"entry", (1).to_bytes(8, "big"), b"release"
        body = database.sealer("disclosure log").open(sealed, *bound)[32:]  # after the salt
    assert sha256(body).hexdigest() == RECORDED["log entry"]


def test_an_entry_of_the_ledger_has_the_bytes_that_were_recorded(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "utility.db")
    content: Content = {
        "begin": BEGIN,
        "end": END,
        "currency": "EUR",
        "total": "61.38",
        "missing": 0,
        "tariff": bytes(32),
    }
    Ledger(engine).append(NOW, "bill", b"meter 1", content, b"evidence")
    with engine.connect() as connection:
        body = connection.execute(select(ledger_table.c.body)).scalar_one()
    engine.dispose()
    assert sha256(body).hexdigest() == RECORDED["ledger entry"]
