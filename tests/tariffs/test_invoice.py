# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tariffs import SignatureRefused, split_signed_tariff
from tariffs.invoice import CONTENT_TYPE, Invoice
from tariffs.signing import sign_document

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
INVOICE = Invoice(
    number=7,
    issued=1_743_500_000,
    meter=b"\x0a\x01MTL",
    begin=1_740_783_600,
    end=1_743_458_400,
    currency="EUR",
    total="98.77",
    exact=98_765_432_100_000_000_000,
    decimals=18,
    missing=2,
    tariff=bytes(32),
    evidence=bytes(range(32)),
)


def test_an_invoice_comes_back_as_it_was_signed() -> None:
    document = INVOICE.sign(KEY, b"kid")
    assert Invoice.verify(document, KEY.public_key()) == INVOICE
    assert INVOICE.sign(KEY, b"kid") == document


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_any_flipped_bit_is_refused(place: int, bit: int) -> None:
    document = bytearray(INVOICE.sign(KEY, b"kid"))
    document[place % len(document)] ^= 1 << bit
    with pytest.raises(SignatureRefused):
        Invoice.verify(bytes(document), KEY.public_key())


def test_an_invoice_is_no_tariff_and_another_key_no_signer() -> None:
    document = INVOICE.sign(KEY, b"kid")
    with pytest.raises(SignatureRefused, match="the header"):
        split_signed_tariff(document)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(SignatureRefused, match="the signature is wrong"):
        Invoice.verify(document, other.public_key())


@pytest.mark.parametrize("payload", [b"\x80", b"\xa0", b"\xff", b"\xa1\x01\x02"])
def test_what_was_signed_must_be_an_invoice(payload: bytes) -> None:
    document = sign_document(payload, CONTENT_TYPE, KEY, b"kid")
    with pytest.raises(SignatureRefused, match="no invoice"):
        Invoice.verify(document, KEY.public_key())


@pytest.mark.parametrize("exact", ["01", "1e3", "", "-", "9" * 70, "٣"])
def test_an_amount_has_one_spelling(exact: str) -> None:
    members = cbor2.loads(cbor2.loads(INVOICE.sign(KEY, b"kid")).value[2])
    members["exact"] = exact
    document = sign_document(cbor2.dumps(members, canonical=True), CONTENT_TYPE, KEY, b"kid")
    with pytest.raises(SignatureRefused, match="no invoice"):
        Invoice.verify(document, KEY.public_key())


def test_an_invoice_of_today_says_no_exact_amount() -> None:
    today = replace(INVOICE, exact=None, decimals=None)
    document = today.sign(KEY, b"kid")
    members = cbor2.loads(cbor2.loads(document).value[2])
    assert {"exact", "decimals"}.isdisjoint(members)
    assert Invoice.verify(document, KEY.public_key()) == today


@pytest.mark.parametrize(
    "change",
    [
        {"total": "1e999999999"},
        {"total": "1/3"},
        {"total": ""},
        {"total": "9" * 40},
        {"total": "0.0000000001"},
        {"decimals": -1},
        {"decimals": 1 << 40},
    ],
)
def test_amounts_that_would_take_for_ever_to_reckon_with_are_refused(
    change: dict[str, object],
) -> None:
    members = cbor2.loads(cbor2.loads(INVOICE.sign(KEY, b"kid")).value[2]) | change
    document = sign_document(cbor2.dumps(members, canonical=True), CONTENT_TYPE, KEY, b"kid")
    with pytest.raises(SignatureRefused, match="no invoice"):
        Invoice.verify(document, KEY.public_key())


@pytest.mark.parametrize("name", ["exact", "decimals"])
def test_an_exact_amount_is_there_with_its_decimals_or_not_at_all(name: str) -> None:
    members = cbor2.loads(cbor2.loads(INVOICE.sign(KEY, b"kid")).value[2])
    del members[name]
    document = sign_document(cbor2.dumps(members, canonical=True), CONTENT_TYPE, KEY, b"kid")
    with pytest.raises(SignatureRefused, match="no invoice"):
        Invoice.verify(document, KEY.public_key())
