# SPDX-License-Identifier: Apache-2.0
"""SCP11 with our own host's side, in the forms that gpshell and Yubico's library send."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hub.card.commands.put_key import private_key
from hub.card.commands.scp11 import Certificate
from hub.card.open import Card
from hub.card.packages.host_tool import CardManager
from hub.card.status import CardRefusal
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp11 import Scp11, Variant
from protocols.secure_channel.session import Role
from tests.hub.card.test_yubikit import chain_of
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    add_applet,
    open_card,
    runtime_of,
)
from tests.support.card_host import Manager
from tests.support.host_certificates import own_certificate, point

AUTHORITY = ec.generate_private_key(ec.SECP256R1())
HOST = ec.generate_private_key(ec.SECP256R1())
CARD_KEY, VERSION = 0x11, 0x20


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    manager = Manager(card)
    authority = b"\xb0\x41" + point(AUTHORITY) + b"\xf0\x01\x00\x00"
    assert manager.sw("80D80010", bytes((VERSION,)) + authority) == "9000"
    for identifier in (0x11, 0x13, 0x15):
        answer = manager.ok(f"80F100{identifier:02X}", bytes((VERSION,)) + b"\xf0\x01\x00")
        assert answer[:2] == b"\xb0\x41"
    reference = Tlv.of(0xA6, [Tlv(0x80, b"\0"), Tlv(0x42, b"\xa1\xa2\xa3"),
                              Tlv(0x83, bytes((0x10, VERSION)))])  # fmt: skip
    assert manager.sw("80E29000", reference.encode()) == "9000"
    yield card
    card.database.close()


def public_of(card: Card, identifier: int) -> ec.EllipticCurvePublicKey:
    key = card.keys.find(ISSUER, VERSION, identifier)
    assert key is not None
    return private_key(key).public_key()


def authenticate(
    card: Card, client: CardClient, variant: Variant, *, usage: int = 0x3C, key_size: int = 16,
    host: ec.EllipticCurvePrivateKey = HOST,
) -> Scp11:  # fmt: skip
    session = Scp11(Role.HOST, variant)
    request = session.request(
        public_of(card, variant.value),
        ec.generate_private_key(ec.SECP256R1()),
        static=None if variant is Variant.B else host,
        key_version=VERSION,
        usage=usage,
        key_size=key_size,
    )
    session.receive(client.send(request))
    client.use(session)
    return session


def opened(card: Card) -> CardClient:
    client = CardClient(card.connect().transmit, max_data=255)
    client.select(ISSUER)
    return client


def send_certificate(
    client: CardClient, certificate: bytes, *, more: bool = False, p2: int = 0x10
) -> list[int]:
    """Send it in pieces that P1 chains, as gpshell does."""
    pieces = [certificate[start : start + 255] for start in range(0, len(certificate), 255)]
    words = []
    for number, piece in enumerate(pieces):
        p1 = VERSION | (0x80 if number < len(pieces) - 1 else 0)
        command = CommandApdu(0x80, 0x2A, p1, p2 | (0x80 if more else 0), piece)
        words.append(client.send(command).sw)
    return words


LIST = CommandApdu(0x80, 0xF2, 0x80, 0x02, b"\x4f\x00", le=256)


@pytest.mark.parametrize("key_size", [16, 24, 32])
@pytest.mark.parametrize("usage", [0x34, 0x3C])
@pytest.mark.parametrize("variant", [Variant.A, Variant.C])
def test_a_host_with_a_certificate_manages(
    card: Card, variant: Variant, usage: int, key_size: int
) -> None:
    client = opened(card)
    assert set(send_certificate(client, own_certificate(HOST, AUTHORITY))) == {0x9000}
    session = authenticate(card, client, variant, usage=usage, key_size=key_size)
    assert session.level == (0x11 if usage == 0x34 else 0x33)
    assert client.call("list", LIST)
    assert client.call("list", LIST)


def test_an_x509_chain_longer_than_an_apdu_comes_in_pieces(card: Card) -> None:
    authority, certificates, key = chain_of(2)
    manager = Manager(card)
    data = b"\xb0\x41" + point(authority) + b"\xf0\x01\x00\x00"
    assert manager.sw(f"80D8{VERSION:02X}10", bytes((VERSION,)) + data) == "9000"
    client = opened(card)
    first, leaf = (each.public_bytes(Encoding.DER) for each in certificates)
    assert set(send_certificate(client, first, more=True)) == {0x9000}
    assert set(send_certificate(client, leaf)) == {0x9000}
    authenticate(card, client, Variant.A, host=key)
    assert client.call("list", LIST)


def test_a_client_that_names_the_cards_key_means_its_ca_key(card: Card) -> None:
    client = opened(card)
    assert set(send_certificate(client, own_certificate(HOST, AUTHORITY), p2=0x11)) == {0x9000}
    authenticate(card, client, Variant.A)
    assert client.call("list", LIST)


def test_a_ca_key_is_found_by_its_identifier(card: Card) -> None:
    connection = card.connect()
    ask = bytes.fromhex("80CA0083 07 A605 4203A1A2A3 00".replace(" ", ""))
    assert connection.transmit(ask).hex() == f"830210{VERSION:02x}9000"
    assert connection.transmit(ask[:-4] + b"\xa2\xa4\x00\x00")[-2:].hex() in {"6a88", "6700"}
    listed = connection.transmit(bytes.fromhex("80CAFF3300")).hex()
    assert listed == f"ff33094203a1a2a3830210{VERSION:02x}9000"


@pytest.mark.parametrize("variant", [Variant.A, Variant.C])
def test_without_a_certificate_nobody_authenticates(card: Card, variant: Variant) -> None:
    with pytest.raises(Exception, match="6A80"):
        authenticate(card, opened(card), variant)


def test_a_chain_that_is_not_complete_authenticates_nobody(card: Card) -> None:
    client = opened(card)
    assert send_certificate(client, own_certificate(HOST, AUTHORITY), more=True) == [0x9000]
    with pytest.raises(Exception, match="6A80"):
        authenticate(card, client, Variant.A)


def test_a_certificate_that_another_signed_is_refused_and_counted(card: Card) -> None:
    forger = ec.generate_private_key(ec.SECP256R1())
    client = opened(card)
    for _ in range(64):
        assert send_certificate(client, own_certificate(HOST, forger)) == [0x6A80]
    assert send_certificate(client, own_certificate(HOST, AUTHORITY)) == [0x6983]


def test_a_leaf_cannot_vouch_once_the_chain_is_complete(card: Card) -> None:
    client = opened(card)
    assert send_certificate(client, own_certificate(HOST, AUTHORITY)) == [0x9000]
    thief = ec.generate_private_key(ec.SECP256R1())
    assert send_certificate(client, own_certificate(thief, HOST)) == [0x6A80]


def test_the_allow_list_is_kept_with_its_counter(card: Card) -> None:
    manager = Manager(card)
    reference = Tlv.of(0xA6, [Tlv(0x83, bytes((0x10, VERSION)))]).encode()

    def allow(counter: str, *serials: bytes) -> str:
        entries = Tlv.of(0x70, [Tlv(0x93, serial) for serial in serials]).encode()
        return manager.sw("80E29000", reference + bytes.fromhex(f"9202{counter}") + entries)

    certificate = own_certificate(HOST, AUTHORITY)
    assert allow("0002", b"\x09") == "9000"
    assert send_certificate(opened(card), certificate) == [0x6982]
    assert allow("0001", b"\1\2\3") == "6985"
    assert allow("0003", b"\x09", b"\1\2\3") == "9000"
    assert send_certificate(opened(card), certificate) == [0x9000]
    assert allow("0004", b"\x09") == "9000"
    assert allow("0005") == "9000"
    assert send_certificate(opened(card), certificate) == [0x9000]


def test_an_applet_is_not_told_that_a_nameless_host_is_its_recipient(card: Card) -> None:
    add_applet(card)
    manager = Manager(card, DOMAIN, APPLET_KEYS)
    assert manager.ok("80F10013", bytes((VERSION,)) + b"\xf0\x01\x00")
    key = card.keys.find(DOMAIN, VERSION, 0x13)
    assert key is not None
    client = CardClient(card.connect().transmit)
    client.select(APPLET)
    session = Scp11(Role.HOST, Variant.B)
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    request = session.request(private_key(key).public_key(), ephemeral, key_version=VERSION)
    session.receive(client.send(request))
    client.use(session)
    client.call("echo", CommandApdu(0x80, 0x10, 0, 0, b"hello", le=256))
    context = runtime_of(card).contexts[-1]
    assert context.level == 0x33
    assert context.authenticated is None
    assert not context.is_protected


def test_keys_put_in_an_scp11_session_are_under_its_own_dek(card: Card) -> None:
    client = opened(card)
    send_certificate(client, own_certificate(HOST, AUTHORITY))
    authenticate(card, client, Variant.A)
    keys = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))
    CardManager(client).put_keys(0x40, keys)
    Manager(card, keys=keys, version=0x40)


def test_a_damaged_certificate_is_refused_with_a_status_word(card: Card) -> None:
    """Either form, damaged at every place in turn; the X.509 one is another CA's anyway."""
    _, certificates, _ = chain_of(1)
    client = opened(card)
    for whole in (certificates[0].public_bytes(Encoding.DER), own_certificate(HOST, AUTHORITY)):
        for place in range(len(whole)):
            for flip in (0x01, 0x80, 0xFF):
                bad = bytearray(whole)
                bad[place] ^= flip
                with pytest.raises(CardRefusal) as refused:
                    Certificate.decode(bytes(bad)).check(AUTHORITY.public_key())
                assert refused.value.status_word == 0x6A80
    assert send_certificate(client, own_certificate(HOST, AUTHORITY)) == [0x9000]
