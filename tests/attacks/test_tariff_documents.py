# SPDX-License-Identifier: Apache-2.0
"""Tariffs as weapons: documents made to confuse, to exhaust, or to pass for another."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.canonical import cbor
from tariffs import MalformedTariff, SignatureRefused, Tariff, split_signed_tariff
from tariffs.signing import sign_tariff, verify_signed_tariff
from tariffs.source import load_toml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "tariffs"
TARIFF = load_toml((EXAMPLES / "gb-economy7-2013.toml").read_text())
SUPPLIER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEY_ID = b"supplier"


def changed_tree() -> dict[int | str, cbor.CborValue]:
    tree = cbor.decode(TARIFF.encode())
    assert isinstance(tree, dict)
    return tree


def test_a_cheaper_tariff_signed_by_a_stranger_in_the_suppliers_name_is_refused() -> None:
    text = (EXAMPLES / "gb-economy7-2013.toml").read_text().replace("0.1593", "0.0001")
    forged = sign_tariff(load_toml(text), STRANGER, KEY_ID)
    with pytest.raises(SignatureRefused, match="signature is wrong"):
        verify_signed_tariff(forged, SUPPLIER.public_key(), KEY_ID)


def test_a_signature_cannot_be_moved_to_another_payload() -> None:
    text = (EXAMPLES / "gb-economy7-2013.toml").read_text().replace("0.1593", "0.0001")
    cheap, dear = load_toml(text).encode(), TARIFF.encode()
    document = sign_tariff(TARIFF, SUPPLIER, KEY_ID)
    assert len(cheap) <= len(dear)
    protected = split_signed_tariff(document).protected
    parts: list[cbor.CborValue] = [protected, {}, cheap, document[-64:]]
    with pytest.raises(SignatureRefused, match="signature is wrong"):
        verify_signed_tariff(b"\xd2" + cbor.encode(parts), SUPPLIER.public_key(), KEY_ID)


def test_tariffs_that_differ_have_digests_that_differ() -> None:
    source = (EXAMPLES / "gb-economy7-2013.toml").read_text()
    variants = [
        source,
        source.replace("revision = 1", "revision = 2"),
        source.replace("0.0628", "0.0629"),
        source.replace("half-even", "half-up"),
        source.replace('clock = "standard"', 'clock = "local"'),
        source.replace("2014-01-01", "2014-01-02"),
        source.replace('name = "night"', 'name = "day2"'),
    ]
    assert len({load_toml(text).digest for text in variants}) == len(variants)


def test_a_document_whose_check_would_take_for_ever_is_refused_at_once() -> None:
    tree = changed_tree()
    rule = {"days": 255, "times": [[0, 1440]], "dates": []}
    schedule = {
        "zone": "UTC",
        "standard": 0,
        "bands": [{"name": "x", "when": [rule] * 100}, {"name": "y", "when": []}],
    }
    charges = [
        {"kind": "energy", "name": f"c{i}", "schedule": schedule, "prices": [1, 2]}
        for i in range(60)
    ]
    tree["versions"][0]["charges"] = charges  # type: ignore[index]
    with pytest.raises(MalformedTariff, match="than can be checked in good time"):
        Tariff.decode(cbor.encode(tree))


def test_many_schedules_of_many_dates_are_refused_at_once() -> None:
    dates: list[cbor.CborValue] = [[0, m % 12 + 1, 1, 0, m % 12 + 1, 2] for m in range(60)]
    rule: cbor.CborValue = {"days": 255, "times": [[0, 60]], "dates": dates}
    timetable: cbor.CborValue = {
        "zone": "UTC",
        "standard": 0,
        "bands": [{"name": "x", "when": [rule]}, {"name": "y", "when": []}],
    }
    charges: list[cbor.CborValue] = [
        {"kind": "energy", "name": f"c{i}", "timetable": timetable, "prices": [1, 2],
         "register": "import"}
        for i in range(60)
    ]  # fmt: skip
    tree = changed_tree()
    tree["versions"][0]["charges"] = charges  # type: ignore[index]
    with pytest.raises(MalformedTariff, match="than can be checked in good time"):
        Tariff.decode(cbor.encode(tree))


@pytest.mark.parametrize("count", [65, 10_000])
def test_a_thousand_date_ranges_are_refused(count: int) -> None:
    ranges = ", ".join(f'"20{n % 90 + 10}-{n % 12 + 1:02}-{n % 28 + 1:02}"' for n in range(count))
    text = (EXAMPLES / "gb-economy7-2013.toml").read_text()
    text = text.replace("when = { times", f"when = {{ dates = [{ranges}], times")
    with pytest.raises(MalformedTariff, match="more than 64 ranges of dates"):
        load_toml(text)


def test_a_document_nested_without_end_is_refused() -> None:
    with pytest.raises(MalformedTariff, match="nested too deeply"):
        Tariff.decode(b"\x81" * (1 << 20))


def test_prices_beyond_reason_are_refused() -> None:
    tree = changed_tree()
    tree["versions"][0]["charges"][0]["prices"][0] = 1 << 62  # type: ignore[index, call-overload]
    with pytest.raises(MalformedTariff, match="beyond all reason"):
        Tariff.decode(cbor.encode(tree))
