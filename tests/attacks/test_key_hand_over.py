# SPDX-License-Identifier: Apache-2.0
"""An operator who has handed a domain over wants it back, or wants to hear again what was said.

The promise: from the receipt on, the domain is its owner's. No session of before goes on in it, no
keys of its parent open a new one, and no hand-over brings keys that there have been before.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from hub.card.commands.put_key import private_key
from protocols.iso7816.apdu import CommandApdu
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.key_hand_over import REPLACES, WITH_RANDOM, KeyOwner, KeyRequest
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.scp11 import Scp11, Variant
from protocols.secure_channel.session import Role, SecurityLevel
from tests.support.card import DOMAIN, ISSUER, KEYS
from tests.support.card_host import Manager
from tests.support.host_certificates import own_certificate, point
from tests.support.key_hand_over import EPHEMERAL, STORE, Field, card_in_the_field

MINE: Final = StaticKeys(b"\1" * 16, b"\2" * 16, b"\3" * 16)
REQUEST: Final = KeyRequest(0x30)
CA_VERSION: Final = 0x20


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    with card_in_the_field(tmp_path) as made:
        yield made


def test_the_session_that_carried_the_request_ends_with_the_receipt(field: Field) -> None:
    keys = field.agree(REQUEST)
    assert field.operator.put_keys(0x32, MINE, replaces=0x30).sw == 0x6982
    assert field.operator.put_keys(0x32, MINE).sw == 0x6982
    Manager(field.card, DOMAIN, keys)


@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x13, 0x33])
def test_no_other_session_of_before_goes_on(field: Field, level: int) -> None:
    others = [Manager(field.card, DOMAIN, level=level) for _ in range(2)]
    elsewhere = Manager(field.card)
    keys = field.agree(REQUEST)
    for other in others:
        assert other.put_keys(0x32, MINE, replaces=0x30).sw == 0x6982
        assert other.sw("80E40000", bytes.fromhex("D00101D20130")) == "6982"
    assert elsewhere.sw("80F24002", b"\x4f\x00") != "6982"  # the issuer's goes on
    assert {version for version, _, _ in field.card.keys.describe(DOMAIN)} == {0x30}
    Manager(field.card, DOMAIN, keys)


def test_a_session_of_the_owners_own_former_keys_ends_too(field: Field) -> None:
    first = field.agree(REQUEST)
    former, field.operator = (Manager(field.card, DOMAIN, first) for _ in range(2))
    keys = field.agree(KeyRequest(0x30, parameters=REPLACES | WITH_RANDOM))
    assert former.put_keys(0x32, MINE, replaces=0x30).sw == 0x6982
    with pytest.raises(RemoteChannelError):
        Manager(field.card, DOMAIN, first)
    Manager(field.card, DOMAIN, keys)


def test_a_challenge_of_before_opens_nothing_afterwards(field: Field) -> None:
    client = CardClient(field.card.connect().transmit)
    client.select(DOMAIN)
    session = Scp03(Role.HOST, KEYS, bytes(8))
    session.receive_challenge(client.send(session.initialize_update()), DOMAIN)
    keys = field.agree(REQUEST)
    assert client.send(session.external_authenticate()).sw == 0x6982
    Manager(field.card, DOMAIN, keys)


def test_a_refused_request_ends_no_session(field: Field) -> None:
    other = Manager(field.card, DOMAIN)
    owner = KeyOwner(KeyRequest(0x30, image=b"another"), EPHEMERAL)
    assert field.operator.sw(STORE, owner.groups()) == "6A80"
    assert other.sw("80F22002", b"\x4f\x00") != "6982"
    field.agree(REQUEST)


@pytest.mark.parametrize("parameters", [WITH_RANDOM, REPLACES | WITH_RANDOM])
def test_the_same_request_never_brings_the_same_keys(field: Field, parameters: int) -> None:
    """The operator deletes the domain, makes it anew and sends the request once more."""
    request = KeyRequest(0x30, parameters=parameters)
    keys, recorded = field.agree(request), list[tuple[bytes, bytes]]()
    connection = field.card.connect()

    def transmit(raw: bytes) -> bytes:
        recorded.append((raw, connection.transmit(raw)))
        return recorded[-1][1]

    client = CardClient(transmit, max_data=255)
    client.select(DOMAIN)
    client.open_scp03(keys, b"HOSTCHAL", level=SecurityLevel(0x33))
    stored = Tlv(0x7F21, b"owner's object").encode()
    assert client.send(CommandApdu(0x80, 0xE2, 0x90, 0x00, stored, None)).sw == 0x9000
    issuer = Manager(field.card)
    assert issuer.sw("80E40080", Tlv(0x4F, DOMAIN).encode()) == "9000"
    assert issuer.install_domain(DOMAIN) == "9000"
    Manager(field.card, DOMAIN).ok(STORE, KeyOwner(request, EPHEMERAL).groups())
    replayed = field.card.connect()
    answers = [replayed.transmit(raw) for raw, _ in recorded]
    assert answers[1] != recorded[1][1]  # the card's cryptogram
    assert all(answer[-2:] != b"\x90\0" for answer in answers[2:])
    assert field.card.registry.find_object(DOMAIN, 0x7F21) is None


@pytest.mark.parametrize("parameters", [0, REPLACES])
def test_without_random_bytes_of_the_cards_there_is_no_hand_over(
    field: Field, parameters: int
) -> None:
    groups = KeyOwner(KeyRequest(0x30, parameters=parameters), EPHEMERAL).groups()
    assert field.operator.sw(STORE, groups) == "6A80"
    assert field.card.keys.describe(DOMAIN) == []


@pytest.mark.parametrize("variant", [Variant.A, Variant.C])
def test_hosts_that_the_parent_knows_do_not_open_a_domain_with_keys(
    field: Field, variant: Variant
) -> None:
    """SCP03 takes the nearest domain's keys, and so does SCP11 where it lets a host in."""
    authority, host = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    manager = Manager(field.card)
    key = b"\xb0\x41" + point(authority) + b"\xf0\x01\x00\x00"
    assert manager.sw("80D80010", bytes((CA_VERSION,)) + key) == "9000"
    manager.ok(f"80F100{variant.value:02X}", bytes((CA_VERSION,)) + b"\xf0\x01\x00")
    assert opened(field, DOMAIN, variant, authority, host) == "9000"  # it has no keys yet
    field.operator = Manager(field.card, DOMAIN)
    field.agree(REQUEST)
    assert opened(field, DOMAIN, variant, authority, host) == "6A88"
    assert opened(field, ISSUER, variant, authority, host) == "9000"


def opened(
    field: Field,
    aid: bytes,
    variant: Variant,
    authority: ec.EllipticCurvePrivateKey,
    host: ec.EllipticCurvePrivateKey,
) -> str:
    """Return the status word that a host with a certificate of the issuer's gets."""
    client = CardClient(field.card.connect().transmit, max_data=255)
    client.select(aid)
    certificate = own_certificate(host, authority)
    sent = client.send(CommandApdu(0x80, 0x2A, CA_VERSION, 0x10, certificate, None))
    assert sent.sw == 0x9000
    key = field.card.keys.find(ISSUER, CA_VERSION, variant.value)
    assert key is not None
    request = Scp11(Role.HOST, variant).request(
        private_key(key).public_key(),
        ec.generate_private_key(ec.SECP256R1()),
        static=host,
        key_version=CA_VERSION,
        usage=0x3C,
        key_size=16,
    )
    return f"{client.send(request).sw:04X}"
