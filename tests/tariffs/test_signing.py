# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from tariffs import MalformedTariff, SignatureRefused, Tariff, TariffError, split_signed_tariff
from tariffs.envelope import CONTENT_TYPE
from tariffs.signing import sign_tariff, verify_signed_tariff
from tariffs.source import load_toml
from tests.support.soak import examples

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tariffs" / "gb-economy7-2013.toml"
TARIFF = load_toml(EXAMPLE.read_text())
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = bytes.fromhex("0102030405060708")
DOCUMENT = sign_tariff(TARIFF, KEY, KEY_ID)


def test_a_signed_tariff_is_verified_and_returned() -> None:
    assert verify_signed_tariff(DOCUMENT, KEY.public_key(), KEY_ID) == TARIFF
    assert sign_tariff(TARIFF, KEY, KEY_ID) == DOCUMENT


def test_the_parts_can_be_verified_elsewhere() -> None:
    parts = split_signed_tariff(DOCUMENT)
    KEY.public_key().verify(parts.signature, parts.to_be_signed)
    assert Tariff.decode(parts.payload) == TARIFF
    assert parts.key_id == KEY_ID


def test_a_general_decoder_finds_the_parts_of_rfc_9052() -> None:
    tag = cbor2.loads(DOCUMENT)
    assert tag.tag == 18
    protected, unprotected, payload, signature = tag.value
    assert cbor2.loads(protected) == {1: -8, 3: CONTENT_TYPE, 4: KEY_ID}
    assert unprotected == {}
    signed = cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)
    assert signed == split_signed_tariff(DOCUMENT).to_be_signed
    assert len(signature) == 64


def test_every_byte_changed_is_refused() -> None:
    public = KEY.public_key()
    for at in range(len(DOCUMENT)):
        changed = bytearray(DOCUMENT)
        changed[at] ^= 1
        with pytest.raises(SignatureRefused):
            verify_signed_tariff(bytes(changed), public, KEY_ID)


def test_another_key_or_key_id_is_refused() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(SignatureRefused, match="signature is wrong"):
        verify_signed_tariff(DOCUMENT, other.public_key())
    with pytest.raises(SignatureRefused, match="signed with the key 0102030405060708, not ff"):
        verify_signed_tariff(DOCUMENT, KEY.public_key(), b"\xff")


def test_a_key_id_must_not_be_empty() -> None:
    with pytest.raises(SignatureRefused, match="key id"):
        sign_tariff(TARIFF, KEY, b"")


def resigned(protected: object, unprotected: object, payload: object, tag: int = 18) -> bytes:
    head = cbor2.dumps(protected, canonical=True) if isinstance(protected, dict) else protected
    signature = KEY.sign(cbor2.dumps(["Signature1", head, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(tag, [head, unprotected, payload, signature]))


GOOD = {1: -8, 3: CONTENT_TYPE, 4: KEY_ID}


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xd2",
        TARIFF.encode(),
        DOCUMENT[1:],
        DOCUMENT + b"\x00",
        DOCUMENT[:-1],
        resigned(GOOD, {}, TARIFF.encode(), tag=17),
        resigned(GOOD, {4: KEY_ID}, TARIFF.encode()),
        resigned({1: -7, 3: CONTENT_TYPE, 4: KEY_ID}, {}, TARIFF.encode()),
        resigned({1: -8, 3: "text/plain", 4: KEY_ID}, {}, TARIFF.encode()),
        resigned({1: -8, 3: CONTENT_TYPE}, {}, TARIFF.encode()),
        resigned({1: -8, 3: CONTENT_TYPE, 4: b""}, {}, TARIFF.encode()),
        resigned({1: -8, 3: CONTENT_TYPE, 4: "x"}, {}, TARIFF.encode()),
        resigned({**GOOD, 2: [99]}, {}, TARIFF.encode()),
        resigned(b"", {}, TARIFF.encode()),
        resigned(b"\x80", {}, TARIFF.encode()),
        resigned(GOOD, {}, None),
        cbor2.dumps(cbor2.CBORTag(18, [])),
    ],
)
def test_documents_of_another_form_are_refused_even_if_well_signed(document: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verify_signed_tariff(document, KEY.public_key())


def test_a_good_signature_over_something_else_is_no_tariff() -> None:
    with pytest.raises(MalformedTariff):
        verify_signed_tariff(resigned(GOOD, {}, b"\xa0"), KEY.public_key())


@examples(75, soak=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_refused_with_the_packages_error(data: bytes) -> None:
    with pytest.raises(TariffError):
        verify_signed_tariff(b"\xd2\x84" + data, KEY.public_key())
