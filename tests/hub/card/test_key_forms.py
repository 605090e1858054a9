# SPDX-License-Identifier: Apache-2.0
"""Keys in the forms of different clients, and what the card tells of them afterwards."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.keys.curves import CURVES
from hub.card.open import Card
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import encode_length, encode_lv
from protocols.secure_channel.keys import encrypt_key, key_check_value
from tests.support.card import ISSUER, domain_parameters, open_card
from tests.support.card_host import Manager


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return open_card(tmp_path)


def parts(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes((kind,)) + encode_length(len(value)) + value for kind, value in fields)


def point_on(curve: ec.EllipticCurve) -> bytes:
    public = ec.derive_private_key(12345, curve).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def put_whole(manager: Manager, p1: int, data: bytes, p2: int = 1) -> ResponseApdu:
    """Protect PUT KEY as one command and cut it then, as gpshell does."""
    session = manager.client.session
    assert session is not None
    extended = len(data) > 239  # what is left of 255 bytes by padding and MAC
    wrapped = session.wrap_command(CommandApdu(0x80, 0xD8, p1, p2, data, 256, extended=extended))
    links = [wrapped.data[start : start + 255] for start in range(0, len(wrapped.data), 255)]
    for link in links[:-1]:
        command = CommandApdu(wrapped.cla, 0xD8, p1 | 0x80, p2, link)
        assert manager.connection.transmit(command.encode()).hex() == "9000"
    command = CommandApdu(wrapped.cla, 0xD8, p1, p2, links[-1], 256)
    return session.unwrap_response(
        ResponseApdu.decode(manager.connection.transmit(command.encode()))
    )


@pytest.mark.parametrize("level", [0x03, 0x33])
@pytest.mark.parametrize("reference", CURVES)
def test_a_curve_that_is_spelt_out_is_kept_as_its_reference(
    card: Card, reference: int, level: int
) -> None:
    manager = Manager(card, level=level)
    point = point_on(CURVES[reference]())
    data = b"\x73" + parts((0xB0, point), *domain_parameters(reference)) + b"\0"
    assert put_whole(manager, 0, data) == ResponseApdu(b"\x73", 0x9000)
    key = card.keys.find(ISSUER, 0x73, 1)
    assert key is not None
    assert [(part.type, part.value) for part in key.parts] == [
        (0xB0, point),
        (0xF0, bytes((reference,))),
    ]


def test_a_private_key_may_come_with_its_curve_spelt_out(card: Card) -> None:
    manager = Manager(card)
    session = manager.client.session
    assert session is not None
    secret = encrypt_key(session.dek, (12345).to_bytes(32, "big"))
    data = b"\x71" + parts((0xB1, secret), *domain_parameters(3)) + b"\0"
    assert put_whole(manager, 0, data).sw == 0x9000


def test_an_rsa_key_may_have_an_empty_check_value_after_each_part(card: Card) -> None:
    manager = Manager(card)
    modulus = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
    value = modulus.to_bytes(128, "big")
    data = b"\x70\xa1\x80" + value + b"\0\xa0\x03\x01\x00\x01\0"
    assert manager.send("80D80001", data) == ResponseApdu(b"\x70", 0x9000)
    key = card.keys.find(ISSUER, 0x70, 1)
    assert key is not None
    assert key.part(key.parts[0].type) == value


def test_several_keys_stay_several_keys(card: Card) -> None:
    manager = Manager(card)
    session = manager.client.session
    assert session is not None
    one = b"\x88\x10" + encrypt_key(session.dek, bytes(16)) + b"\x03" + key_check_value(bytes(16))
    assert manager.sw("80D80001", b"\x11" + one + one) == "6A80"
    assert manager.sw("80D80081", b"\x11" + one) == "9000"
    assert manager.sw("80D80081", b"\x12" + one + one) == "9000"


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (1024, "c0060170a180a003"),
        (2048, "c0060170a100a003"),
        (4096, "c00c0170ffa10200ffa000030000"),
    ],
)
def test_a_key_of_256_bytes_has_the_basic_form_of_information(
    card: Card, bits: int, expected: str
) -> None:
    """A length of 00 is 256; a longer part has no place in two bytes."""
    manager = Manager(card)
    modulus = b"\xd5" * (bits // 8)  # only its length matters here
    data = b"\x70" + parts((0xA1, modulus), (0xA0, b"\x01\x00\x01")) + b"\0"
    assert put_whole(manager, 0, data).sw == 0x9000
    assert expected in manager.ok("80CA00E0").hex()


@pytest.mark.parametrize("level", [0x01, 0x03, 0x13, 0x33])
def test_the_security_level_can_be_asked_for(card: Card, level: int) -> None:
    assert card.connect().transmit(bytes.fromhex("80CA00D300")).hex() == "d301009000"
    assert Manager(card, level=level).ok("80CA00D3") == bytes((0xD3, 1, level))


def test_who_personalised_the_card_is_told_in_its_production_data(card: Card) -> None:
    manager = Manager(card)
    before = manager.ok("00CA9F7F")
    assert before[26:] == bytes(16)
    assert manager.sw("80E28000", bytes.fromhex("9F66080102030405060708")) == "9000"
    assert manager.sw("80E28000", bytes.fromhex("9F67081112131415161718")) == "9000"
    assert manager.sw("80E28000", bytes.fromhex("9F670711121314151617")) == "6A80"
    after = manager.ok("00CA9F7F")
    assert after == before[:26] + bytes.fromhex("11121314151617180102030405060708")
    assert manager.sw("80E28000", bytes.fromhex("9F7F") + encode_lv(after)) == "6A80"
    assert manager.sw("80E28000", bytes.fromhex("D30133")) == "6A80"
