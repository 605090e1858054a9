# SPDX-License-Identifier: Apache-2.0
"""Keys of a domain that whoever manages the card does not learn (GPC Amendment A, scenario 3)."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from hub.card.commands.key_hand_over import AUTHORITY
from protocols.iso7816.tlv import Tlv
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.key_hand_over import (
    REPLACES,
    WITH_NAMES,
    WITH_RANDOM,
    KeyOwner,
    KeyRequest,
)
from protocols.secure_channel.keys import StaticKeys, cmac
from tests.support.card import DOMAIN, ISSUER, KEYS, open_card
from tests.support.card_host import Manager
from tests.support.key_hand_over import EPHEMERAL, STORE, Field, card_in_the_field, with_authority

OWNER = b"the owner"


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Field]:
    with card_in_the_field(tmp_path) as made:
        yield made


@pytest.mark.parametrize("parameters", [WITH_RANDOM, WITH_RANDOM | WITH_NAMES])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_the_owner_opens_the_domain_with_keys_that_it_alone_has(
    field: Field, parameters: int, size: int
) -> None:
    name = OWNER if parameters & WITH_NAMES else b""
    keys = field.agree(KeyRequest(0x30, size, parameters, name=name))
    assert len(keys.enc) == size
    Manager(field.card, DOMAIN, keys)
    with pytest.raises(RemoteChannelError):
        Manager(field.card, DOMAIN, KEYS)  # the issuer's open it no more


def test_the_certificate_is_read_before_anybody_has_authenticated(field: Field) -> None:
    transmit = field.card.connect().transmit
    CardClient(transmit).select(AUTHORITY)
    answer = transmit(bytes.fromhex("80CA7F2100"))
    assert answer == Tlv(0x7F21, b"a certificate").encode() + b"\x90\x00"


def test_keys_are_those_of_the_formulas(field: Field) -> None:
    """Computed here by hand: X9.63 with SHA-256, usage, type, length, random bytes, names."""
    request = KeyRequest(0x31, 16, WITH_RANDOM | WITH_NAMES, name=OWNER)
    owner = KeyOwner(request, EPHEMERAL)
    answer = field.operator.ok(STORE, owner.groups())
    fields = Tlv.decode_map(answer)
    secret = EPHEMERAL.exchange(ec.ECDH(), field.authority)
    iin, cin = field.names()
    shared = bytes.fromhex("108810") + fields[0x85]
    shared += b"".join(bytes((len(one),)) + one for one in (OWNER, iin, cin))
    block = b"".join(
        hashlib.sha256(secret + number.to_bytes(4, "big") + shared).digest() for number in (1, 2)
    )
    receipt, enc, mac, dek = (block[n : n + 16] for n in range(0, 64, 16))
    assert fields[0x86] == cmac(receipt, request.encode() + b"\x85\x10" + fields[0x85])
    keys = owner.receive(answer, field.authority, [iin, cin])
    assert keys == StaticKeys(enc, mac, dek)
    Manager(field.card, DOMAIN, keys)


@pytest.mark.parametrize(
    "reference",
    [
        "90020302 950110 800188 810110 820101 830130 9100",  # the counter empty
        "90020302 950110 800188 810110 830130",  # no identifier
        "90020302 950110 960100 800188 810110 830130",  # with key access
        "90020302 950110 800188 810110 830130 9103000000",  # the counter in full
    ],
)
def test_the_forms_that_other_hosts_send_are_taken(field: Field, reference: str) -> None:
    request = KeyRequest.decode(Tlv(0xA6, bytes.fromhex(reference)).encode())
    Manager(field.card, DOMAIN, field.agree(request))


def test_the_domain_is_named_by_its_image_number_or_not_at_all(field: Field) -> None:
    image = field.operator.ok("00CA0045")
    owner = KeyOwner(KeyRequest(0x31, image=b"another"), EPHEMERAL)
    assert field.operator.sw(STORE, owner.groups()) == "6A80"
    Manager(field.card, DOMAIN, field.agree(KeyRequest(0x30, image=image)))


def test_other_keys_go_where_that_is_asked_for(field: Field) -> None:
    field.operator = Manager(field.card, DOMAIN, field.agree(KeyRequest(0x30)))
    owner = KeyOwner(KeyRequest(0x30), EPHEMERAL)
    assert field.operator.sw(STORE, owner.groups()) == "6985"  # that version is there
    field.operator = Manager(field.card, DOMAIN, field.agree(KeyRequest(0x31)), version=0x31)
    assert {version for version, _, _ in field.card.keys.describe(DOMAIN)} == {0x30, 0x31}
    keys = field.agree(KeyRequest(0x32, parameters=REPLACES | WITH_RANDOM))
    assert {version for version, _, _ in field.card.keys.describe(DOMAIN)} == {0x32}
    Manager(field.card, DOMAIN, keys)


REQUEST = KeyRequest(0x30).encode()
POINT = KeyOwner(KeyRequest(0x30), EPHEMERAL).groups()[-68:]
GROUP = bytes.fromhex("00A6") + bytes((len(REQUEST),)) + REQUEST


def changed(old: str, new: str) -> bytes:
    nodes = REQUEST[2:].hex().replace(old, new, 1)
    value = Tlv(0xA6, bytes.fromhex(nodes)).encode()
    return bytes.fromhex("00A6") + bytes((len(value),)) + value


@pytest.mark.parametrize(
    "data",
    [
        GROUP,
        POINT + GROUP,
        GROUP + POINT + bytes.fromhex("00700000"[:6]),
        GROUP + bytes.fromhex("7F4900"),
        GROUP + POINT[:4] + bytes(64),
        changed("90020302", "90020402") + POINT,  # scenario 2B
        changed("90020302", "900101") + POINT,  # scenario 1
        changed("90020302", "9002030A") + POINT,  # a certificate of the owner's before it
        changed("90020302", "90020306") + POINT,  # names, and none is there
        changed("90020302", "90020300") + POINT,  # no random bytes of the card's
        changed("90020302", "90020301") + POINT,
        changed("950110", "95015C") + POINT,  # one base key
        changed("800188", "800180") + POINT,  # DES
        changed("810110", "810111") + POINT,
        changed("820101", "820102") + POINT,
        changed("820101830130", "830130820101") + POINT,
        changed("830130", "830100") + POINT,
        changed("830130", "8301FF") + POINT,
        changed("830130", "8301309103000001") + POINT,
        changed("830130", "830130840141") + POINT,
        changed("830130", "830130B900") + POINT,
    ],
)
def test_other_requests_are_refused_and_change_nothing(field: Field, data: bytes) -> None:
    assert field.operator.sw(STORE, data) == "6A80"
    assert field.card.keys.describe(DOMAIN) == []
    Manager(field.card, DOMAIN, KEYS)


@pytest.mark.parametrize("domain", [ISSUER, AUTHORITY])
@pytest.mark.parametrize("parameters", [WITH_RANDOM, REPLACES | WITH_RANDOM])
def test_the_issuers_domain_and_the_authoritys_are_handed_to_nobody(
    field: Field, domain: bytes, parameters: int
) -> None:
    """The card would lose the key that all agree with, or its issuer."""
    before = field.card.keys.describe(domain)
    owner = KeyOwner(KeyRequest(0x40, parameters=parameters), EPHEMERAL)
    assert Manager(field.card, domain).sw(STORE, owner.groups()) == "6985"
    assert field.card.keys.describe(domain) == before != []
    field.agree(KeyRequest(0x30))


@pytest.mark.parametrize(("curve", "version"), [("01", "74"), ("00", "70")])
def test_a_card_without_the_authoritys_key_agrees_none(
    tmp_path: Path, curve: str, version: str
) -> None:
    card = open_card(tmp_path)
    assert Manager(card).install_domain(DOMAIN) == "9000"
    groups = KeyOwner(KeyRequest(0x30), EPHEMERAL).groups()
    assert Manager(card, DOMAIN).sw(STORE, groups) == "6985"
    with_authority(card, curve, version)
    assert Manager(card, DOMAIN).sw(STORE, groups) == "6985"


def test_the_curve_is_the_authoritys(tmp_path: Path) -> None:
    card = open_card(tmp_path)
    authority = with_authority(card, "03")
    assert Manager(card).install_domain(DOMAIN) == "9000"
    manager = Manager(card, DOMAIN)
    assert manager.sw(STORE, KeyOwner(KeyRequest(0x30), EPHEMERAL).groups()) == "6A80"
    owner = KeyOwner(KeyRequest(0x30), ec.generate_private_key(ec.BrainpoolP256R1()))
    keys = owner.receive(manager.ok(STORE, owner.groups()), authority)
    Manager(card, DOMAIN, keys)


def test_who_has_not_authenticated_hands_nothing_over(field: Field) -> None:
    transmit = field.card.connect().transmit
    CardClient(transmit).select(DOMAIN)
    groups = KeyOwner(KeyRequest(0x30), EPHEMERAL).groups()
    command = bytes.fromhex(STORE) + bytes((len(groups),)) + groups + b"\0"
    assert transmit(command).hex() == "6982"


# What the one in between can do


def test_a_request_that_is_altered_on_its_way_has_another_receipt(field: Field) -> None:
    owner = KeyOwner(KeyRequest(0x30), EPHEMERAL)
    altered = owner.groups().replace(bytes.fromhex("830130"), bytes.fromhex("830131"))
    with pytest.raises(RemoteChannelError, match="receipt"):
        owner.receive(field.operator.ok(STORE, altered), field.authority)


def test_a_point_that_is_put_in_the_owners_place_is_noticed(field: Field) -> None:
    owner = KeyOwner(KeyRequest(0x30), EPHEMERAL)
    thief = KeyOwner(KeyRequest(0x30), ec.generate_private_key(ec.SECP256R1()))
    answer = field.operator.ok(STORE, thief.groups())
    with pytest.raises(RemoteChannelError, match="receipt"):
        owner.receive(answer, field.authority)


def test_another_card_or_none_makes_no_receipt(field: Field, tmp_path: Path) -> None:
    owner = KeyOwner(KeyRequest(0x30), EPHEMERAL)
    answer = field.operator.ok(STORE, owner.groups())
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(RemoteChannelError, match="receipt"):
        owner.receive(answer, other)
    for wrong in (b"", answer[:-1], answer[18:], answer[18:] + answer[:18], answer + answer):
        with pytest.raises(RemoteChannelError):
            owner.receive(wrong, field.authority)
    flipped = bytearray(answer)
    flipped[5] ^= 1  # the card's random bytes
    with pytest.raises(RemoteChannelError, match="receipt"):
        owner.receive(bytes(flipped), field.authority)


@given(st.binary(max_size=60))
def test_any_request_is_refused_or_reproduced(noise: bytes) -> None:
    try:
        request = KeyRequest.decode(noise)
    except RemoteChannelError:
        return
    assert request.encode() == noise


@given(
    st.integers(1, 127),
    st.sampled_from([16, 24, 32]),
    st.integers(0, 7),
    st.binary(max_size=16),
    st.binary(min_size=1, max_size=16),
)
def test_what_is_asked_for_is_read_back(
    version: int, size: int, parameters: int, image: bytes, name: bytes
) -> None:
    name = name if parameters & WITH_NAMES else b""
    request = KeyRequest(version, size, parameters, image, name)
    read = KeyRequest.decode(request.encode())
    assert (read.version, read.key_size, read.parameters) == (version, size, parameters)
    assert (read.image, read.name, read.encode()) == (image, name, request.encode())
