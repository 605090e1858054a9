# SPDX-License-Identifier: Apache-2.0
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey
from hypothesis import given
from hypothesis import strategies as st

from protocols.canonical.cbor import encode
from protocols.canonical.cose import CoseRefused, SignedParts
from protocols.canonical.signing import sign_document, verify_document

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
TYPE = "application/example+cbor"


def peer(key: Ed25519PrivateKey, key_id: bytes) -> COSEKey:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return COSEKey.from_pem(pem, kid=key_id)  # type: ignore[return-value]


@given(st.binary(max_size=400), st.binary(min_size=1, max_size=40))
def test_another_implementation_signs_the_same_bytes(payload: bytes, key_id: bytes) -> None:
    header = {1: -8, 3: TYPE, 4: key_id}
    document = COSE.new(deterministic_header=True).encode_and_sign(
        payload,
        peer(KEY, key_id),
        protected=header,
    )
    assert sign_document(payload, TYPE, KEY, key_id) == document
    assert verify_document(document, TYPE, PUBLIC, key_id) == payload


def test_another_implementation_verifies_what_is_signed_here() -> None:
    document = sign_document(b"payload", TYPE, KEY, b"me")
    assert COSE.new().decode(document, peer(KEY, b"me")) == b"payload"


@given(st.integers(0, len(sign_document(b"payload", TYPE, KEY, b"me")) * 8 - 1))
def test_a_document_with_a_bit_flipped_is_refused(bit: int) -> None:
    flipped = bytearray(sign_document(b"payload", TYPE, KEY, b"me"))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CoseRefused):
        verify_document(bytes(flipped), TYPE, PUBLIC, b"me")


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"\xd2", b"\xd2\x84"):
        with pytest.raises(CoseRefused):
            verify_document(start + data, TYPE, PUBLIC)


def test_the_parts_make_the_document_again() -> None:
    document = sign_document(b"payload", TYPE, KEY, b"me")
    parts = SignedParts.decode(document, TYPE)
    assert parts.encode() == document
    PUBLIC.verify(parts.signature, parts.to_be_signed)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"\xd2" + encode([b"", {}, b"", bytes(64)]), "cut short"),
        (b"\xd2" + encode([encode([]), {}, b"", bytes(64)]), "the header is not"),
        (b"\xd2" + encode([encode({1: -8, 3: TYPE}), {}, b"", bytes(64)]), "the header is not"),
        (b"\xd2" + encode([encode({1: -8, 3: TYPE, 4: "x"}), {}, b"", bytes(64)]), "the header"),
        (b"\xd2" + encode([b"", {}, b""]), "not the four parts"),
        (
            b"\xd2" + encode([encode({1: -8, 3: TYPE, 4: b"x"}), {4: b"x"}, b"", bytes(64)]),
            "nobody",
        ),
        (b"\xd2" + encode([encode({1: -8, 3: TYPE, 4: b"x"}), {}, b"", bytes(63)]), "64 bytes"),
        (b"\xd2" + encode([encode({1: -8, 3: TYPE, 4: b""}), {}, b"", bytes(64)]), "key id"),
        (sign_document(b"", "text/plain", KEY, b"x"), "the header is not that of application"),
        (sign_document(b"", TYPE, KEY, b"x")[1:], "not a COSE_Sign1"),
    ],
)
def test_documents_of_another_form_are_refused(document: bytes, reason: str) -> None:
    with pytest.raises(CoseRefused, match=reason):
        SignedParts.decode(document, TYPE)


def test_another_key_or_key_id_is_refused() -> None:
    document = sign_document(b"payload", TYPE, KEY, b"me")
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    with pytest.raises(CoseRefused, match="signature is wrong"):
        verify_document(document, TYPE, other)
    with pytest.raises(CoseRefused, match="signed with the key 6d65, not ff"):
        verify_document(document, TYPE, PUBLIC, b"\xff")
