# SPDX-License-Identifier: Apache-2.0
"""What real card managers found: each answer that a clause prescribes, and the clause.

Clauses without a name are those of GPCS 2.3.1. Most faults are of one kind: something was granted
or taken that the card did not honour.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.keys.keystore import KeyType
from hub.card.open import Card
from hub.card.profile import YUBIKEY
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_length, encode_lv
from protocols.secure_channel.keys import StaticKeys, key_check_value
from protocols.secure_channel.session import SecureSession, SecurityLevel
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    KEYS,
    MODULE,
    PACKAGE,
    add_domain,
    open_card,
    runtime_of,
)
from tests.support.card_host import Manager

FIRST, SECOND = bytes.fromhex("F000000001"), bytes.fromhex("F000000002")
OTHER = APPLET + b"\x99"


@pytest.fixture
def blank(tmp_path: Path) -> Card:
    return open_card(tmp_path)


def session_of(manager: Manager) -> SecureSession:
    assert manager.client.session is not None
    return manager.client.session


def encrypted(manager: Manager, padded: bytes) -> bytes:
    """Encrypt whole blocks under the DEK, with whatever the host has filled the last one with."""
    encryptor = Cipher(AES(session_of(manager).dek), CBC(bytes(16))).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def put_in_links(manager: Manager, data: bytes) -> str:
    pieces = [data[start : start + 200] for start in range(0, len(data), 200)]
    for piece in pieces[:-1]:
        assert manager.sw("80D88001", piece) == "9000"
    return manager.sw("80D80001", pieces[-1])


def registry_update(
    manager: Manager, aid: bytes, privileges: bytes = b"", more: bytes = b""
) -> str:
    return manager.sw("80E64000", encode_lv(b"", b"", aid, privileges, more, b""))


# Keys


@pytest.mark.parametrize(("header", "answer"), [("80CA00E0", "E000"), ("00CA00E0", "")])
def test_a_domain_without_keys_has_an_empty_key_information_template(
    blank: Card, header: str, answer: str
) -> None:
    """11.3.2.1: every domain supports E0. `gp --lock` reads it before it puts the first keys."""
    assert Manager(blank).install_domain(FIRST) == "9000"
    assert Manager(blank, FIRST).ok(header).hex().upper() == answer


@pytest.mark.parametrize("padding", ["8000000000000000", "0000000000000000", "5AA55AA55AA55AA5"])
def test_a_key_may_be_padded_with_anything(blank: Card, padding: str) -> None:
    """11.8.2.3.2 and Amendment D, 7.2.1."""
    manager, key = Manager(blank), bytes(range(24))
    one = b"\x88\x21\x18" + encrypted(manager, key + bytes.fromhex(padding))
    one += b"\x03" + key_check_value(key)
    assert manager.sw("80D80081", b"\x21" + 3 * one) == "9000"
    kept = blank.keys.find(ISSUER, 0x21, 1)
    assert kept is not None
    assert kept.part(KeyType.AES) == key


@pytest.mark.parametrize("bits", [1024, 2048])
def test_the_length_within_a_key_has_as_many_bytes_as_it_needs(blank: Card, bits: int) -> None:
    """Table 11-70: the modulus of RSA-2048 has the length 82 01 00, that of RSA-1024 81 80."""
    manager, size = Manager(blank), bits // 8
    numbers = rsa.generate_private_key(65537, bits).private_numbers()
    modulus = numbers.public_numbers.n.to_bytes(size, "big")
    exponent = numbers.d.to_bytes(size, "big")
    data = b"\x22"
    for kind, value in ((0xA2, modulus), (0xA3, exponent)):
        inner = encode_length(size) + encrypted(manager, value)
        data += bytes((kind,)) + encode_length(len(inner)) + inner
    assert put_in_links(manager, data + b"\0") == "9000"
    kept = blank.keys.find(ISSUER, 0x22, 1)
    assert kept is not None
    assert kept.part(KeyType.RSA_PRIVATE_MODULUS) == modulus
    assert kept.part(KeyType.RSA_PRIVATE_EXPONENT) == exponent


@pytest.mark.parametrize("size", [16, 24, 32])
def test_an_aes_key_comes_with_a_check_value(blank: Card, size: int) -> None:
    """11.8.2.3.3: it shall be present."""
    manager, key = Manager(blank), bytes(size)
    part = bytes((size,)) + encrypted(manager, key + bytes(-size % 16))
    one = b"\x88" + encode_length(len(part)) + part
    assert manager.sw("80D80081", b"\x23" + 3 * (one + b"\0")) == "6A80"
    wrong = key_check_value(bytes([1] * size))
    assert manager.sw("80D80081", b"\x23" + 3 * (one + b"\x03" + wrong)) == "6A80"
    assert manager.sw("80D80081", b"\x23" + 3 * (one + b"\x03" + key_check_value(key))) == "9000"


@pytest.mark.parametrize(
    ("curve", "reference", "part"),
    [
        (ec.SECP256R1(), 0, "B040F00100"),
        (ec.SECP384R1(), 1, "B060F00101"),
        (ec.SECP521R1(), 2, "B084F00102"),
        (ec.BrainpoolP256R1(), 3, "B040F00103"),
    ],
)
def test_key_information_counts_a_point_without_its_prefix(
    blank: Card, curve: ec.EllipticCurve, reference: int, part: str
) -> None:
    """11.3.3.1.1: the length of the coordinates, and the curve's reference after its length."""
    manager = Manager(blank)
    public = ec.generate_private_key(curve).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    data = b"\x73\xb0" + encode_length(len(point)) + point + bytes((0xF0, 1, reference, 0))
    assert manager.sw("80D80001", data) == "9000"
    assert f"C0070173{part}" in manager.ok("80CA00E0").hex().upper()


# Questions


def test_criteria_that_the_card_does_not_know_are_ignored(card: Card) -> None:
    """11.4.2.3. The life cycle and the domain are such criteria here."""
    manager = Manager(card)
    everything = manager.ok("80F24002", bytes.fromhex("4F00"))
    assert manager.ok("80F24002", bytes.fromhex("4F009F700103")) == everything
    assert manager.ok("80F24002", bytes.fromhex("4F00C503000000CC00")) == everything
    assert manager.sw("80F22002", bytes.fromhex("4F009F700101")) == "9000"


def test_criteria_do_not_matter_where_the_issuers_domain_is_asked_for(card: Card) -> None:
    """11.4.2.1; which tags are wanted still does."""
    manager = Manager(card)
    plain = manager.ok("80F28002", bytes.fromhex("4F00"))
    assert manager.ok("80F28002", bytes.fromhex("4F05F011223344")) == plain
    brief = manager.ok("80F28002", bytes.fromhex("4F05F0112233445C029F70"))
    assert brief == Tlv(0xE3, Tlv(0x4F, ISSUER).encode() + bytes.fromhex("9F70010F")).encode()


# Parameters that are kept or refused


@pytest.mark.parametrize(
    "parameters",
    [
        "EF03D90101",  # Restrict
        "EF03CF0180",  # a contactless interface
        "EF03CF0154",  # a logical channel that there is not
        "EF04C8020100",  # memory is asked for when something is installed
        "EF05CB03800101",  # a global service
        "EA00",
        "C900",
    ],
)
def test_a_registry_update_that_asks_for_more_than_there_is_is_refused(
    card: Card, parameters: str
) -> None:
    """11.5.2.3.7: rejected where the card does not implement it."""
    manager = Manager(card)
    before = card.find(APPLET)
    assert registry_update(manager, APPLET, more=bytes.fromhex(parameters)) == "6A80"
    assert card.find(APPLET) == before


@pytest.mark.parametrize(
    "parameters",
    ["C900EF04D7020100", "C900EF04D8020100", "C900EF05CB03800101", "C900EF04C6020100",
     "C900EA028000", "C900CA00", "C900A000"],
)  # fmt: skip
def test_an_installation_that_asks_for_more_than_there_is_is_refused(
    card: Card, parameters: str
) -> None:
    """Reserved memory, global services, code of an application, SIM toolkit parameters."""
    assert Manager(card).install(OTHER, parameters=bytes.fromhex(parameters)) == "6A80"
    assert card.find(OTHER) is None


@pytest.mark.parametrize("parameters", ["EF03CD0101", "EF03DD0101", "C900", "EF03CF0140"])
def test_a_load_that_asks_for_more_than_there_is_is_refused(blank: Card, parameters: str) -> None:
    """Other formats of load files, for one (table 11-48)."""
    assert Manager(blank).load_package(parameters=bytes.fromhex(parameters)) == "6A80"


@pytest.mark.parametrize("tag", ["C7", "C8"])
def test_a_load_that_needs_more_data_than_there_is_is_refused(blank: Card, tag: str) -> None:
    manager = Manager(blank)
    assert manager.load_package(parameters=bytes.fromhex(f"EF06{tag}047FFFFFFF")) == "6A84"
    assert manager.load_package(parameters=bytes.fromhex(f"EF04{tag}020100")) == "9000"


@pytest.mark.parametrize(
    ("template", "sw"),
    [
        ("", "9000"),
        ("42064D4554455201", "9000"),
        ("45084D45544552000001", "9000"),
        ("5F2003010203930107", "9000"),
        ("42064D4554455202", "6985"),
        ("45084D45544552000002", "6985"),
        ("860101", "6A80"),
    ],
)
def test_a_token_for_another_card_is_refused(card: Card, template: str, sw: str) -> None:
    """11.1.9: B6 names the card that a token is for."""
    given = Tlv(0xB6, bytes.fromhex(template)).encode()
    manager = Manager(card)
    assert manager.install(OTHER, parameters=b"\xc9\x00" + given) == sw
    assert (card.find(OTHER) is None) == (sw != "9000")
    assert manager.sw("80E40000", Tlv(0x4F, APPLET).encode() + given) == sw


@pytest.mark.parametrize(
    ("parameters", "sw"),
    [
        ("C90481020370", "9000"),
        ("C90C810203708202202087022020", "9000"),
        ("C900", "9000"),
        ("C90481020255", "6A80"),  # SCP02
        ("C90481020310", "6A80"),  # without protection of answers
        ("C90481021104", "6A80"),  # SCP11, which this profile does not list
        ("C90681040370 0255", "6A80"),
        ("C9028100", "6A80"),
        ("C903810103", "6A80"),
        ("C90482021020", "6A80"),
        ("C903840101", "6A80"),
        ("C90112", "6A80"),
    ],
)
def test_a_domain_speaks_the_secure_channel_that_was_asked_for_or_is_not_made(
    blank: Card, parameters: str, sw: str
) -> None:
    manager = Manager(blank)
    assert manager.install_domain(FIRST, parameters=bytes.fromhex(parameters)) == sw
    assert (blank.find(FIRST) is None) == (sw != "9000")


def test_the_secure_channels_of_other_profiles_can_be_asked_for(tmp_path: Path) -> None:
    yubikey = open_card(tmp_path, profile=YUBIKEY)
    manager = Manager(yubikey)
    for pair in ("0370", "1104"):
        parameters = bytes.fromhex(f"C9048102{pair}")
        assert (
            manager.install_domain(bytes.fromhex(f"F00000{pair}"), parameters=parameters) == "9000"
        )


def test_an_application_is_selected_on_the_channel_that_it_was_installed_for(card: Card) -> None:
    """6.4.2.1 and table 11-50: CF 41 is the first supplementary channel over contacts."""
    manager = Manager(card)
    assert manager.install(OTHER, parameters=bytes.fromhex("C900EF03CF0141")) == "9000"
    other = card.connect()
    assert other.transmit(bytes.fromhex("0070000001")).hex() == "019000"
    assert other.transmit(bytes.fromhex("8110000002ABCD")).hex() == "abcd9000"
    third = OTHER + b"\1"
    assert manager.install(third, parameters=bytes.fromhex("C900EF03CF0141")) == "6985"
    assert card.find(third) is None
    assert registry_update(manager, APPLET, more=bytes.fromhex("EF03CF0140")) == "9000"
    assert card.connect().transmit(bytes.fromhex("8010000002ABCD")).hex() == "abcd9000"


# Privileges


@pytest.mark.parametrize("privileges", ["800040", "800020", "800010", "800100"])
def test_privileges_that_the_card_cannot_keep_are_not_granted(blank: Card, privileges: str) -> None:
    """11.6.2.3: a domain with ciphered loads must get D4; there is no such load here."""
    manager, wanted = Manager(blank), bytes.fromhex(privileges)
    assert manager.install_domain(FIRST, wanted) == "6A80"
    assert manager.install_domain(FIRST) == "9000"
    assert registry_update(manager, FIRST, wanted) == "6A80"


@pytest.mark.parametrize("privileges", ["100000", "080000", "020000", "000400", "000800", "001000"])
def test_an_applet_gets_no_privilege_that_its_program_cannot_use(
    card: Card, privileges: str
) -> None:
    manager, wanted = Manager(card), bytes.fromhex(privileges)
    assert manager.install(OTHER, privileges=wanted) == "6A80"
    assert registry_update(manager, APPLET, wanted) == "6A80"
    assert manager.ok("80CA0067").hex().find("8203040200") > 0  # and says so


def test_there_is_one_final_application(blank: Card) -> None:
    """6.6.2: the issuer's domain stands back for it, and nobody else gets the privilege."""
    manager, final = Manager(blank), bytes.fromhex("800200")
    assert manager.install_domain(FIRST, final) == "9000"
    assert manager.install_domain(SECOND, final) == "6985"
    assert manager.install_domain(SECOND) == "9000"
    assert registry_update(manager, SECOND, final) == "6985"
    shown = manager.listing("80")[ISSUER.hex().upper()][0xC5]
    assert not shown[1] & 0x02
    assert registry_update(manager, FIRST, final) == "9000"  # what it has it keeps
    assert manager.sw("80E40000", Tlv(0x4F, FIRST).encode()) == "9000"
    assert manager.listing("80")[ISSUER.hex().upper()][0xC5][1] & 0x02
    assert registry_update(manager, SECOND, final) == "9000"


def test_the_issuers_domain_is_not_the_default_while_an_application_is(card: Card) -> None:
    """6.6.2: Card Reset is one application's."""
    manager = Manager(card)
    assert manager.listing("80")[ISSUER.hex().upper()][0xC5][0] & 0x04
    assert manager.install(OTHER, privileges=b"\x04") == "9000"
    assert not manager.listing("80")[ISSUER.hex().upper()][0xC5][0] & 0x04
    short = manager.ok("80F28000", b"\x4f\x00")
    assert not short[-1] & 0x04
    assert manager.sw("80E40000", Tlv(0x4F, OTHER).encode()) == "9000"
    assert manager.listing("80")[ISSUER.hex().upper()][0xC5][0] & 0x04


def test_a_domain_can_be_the_default_and_an_application_after_it(card: Card) -> None:
    manager = Manager(card)
    assert manager.install_domain(FIRST, bytes.fromhex("840000")) == "9000"
    assert card.connect().selected == FIRST
    assert manager.install(OTHER, privileges=b"\x04") == "9000"
    assert card.connect().selected == OTHER
    assert manager.listing("40", FIRST)[FIRST.hex().upper()][0xC5] == bytes.fromhex("800000")


def test_making_selectable_grants_card_reset_alone(blank: Card) -> None:
    """11.5.2.3.3; what it has it may be told again."""
    manager = Manager(blank)
    assert manager.load_package() == "9000"
    assert manager.install(APPLET, p1="04", privileges=bytes.fromhex("000200")) == "9000"
    for privileges, sw in (("100000", "6A80"), ("800000", "6A80"), ("040200", "9000")):
        fields = encode_lv(b"", b"", APPLET, bytes.fromhex(privileges), b"", b"")
        assert manager.sw("80E60800", fields) == sw
    assert manager.listing("40")[APPLET.hex().upper()][0xC5] == bytes.fromhex("040200")


def test_delegated_management_excludes_token_verification(blank: Card) -> None:
    """6.6.2; also when the second comes later."""
    manager = Manager(blank)
    assert manager.install_domain(FIRST, bytes.fromhex("A02000")) == "6A80"
    assert manager.install_domain(FIRST, bytes.fromhex("A00000")) == "9000"
    for privileges in ("A02000", "A04000"):
        assert registry_update(manager, FIRST, bytes.fromhex(privileges)) == "6A80"


# States


@pytest.mark.parametrize("state", ["0F", "17", "7F", "07", "03", "00"])
def test_a_domain_does_not_set_an_applications_own_state(card: Card, state: str) -> None:
    """11.10.2.2: it locks and unlocks. What is not locked cannot be unlocked."""
    for manager in (Manager(card), Manager(card, DOMAIN, APPLET_KEYS)):
        assert manager.sw(f"80F040{state}", APPLET) == "6985"
        assert manager.state(APPLET) == 0x07


@pytest.mark.parametrize("lock", ["80", "83", "87"])
def test_what_is_locked_is_not_locked_again(card: Card, lock: str) -> None:
    """11.10.2.2."""
    manager = Manager(card)
    assert manager.sw(f"80F040{lock}", APPLET) == "9000"
    assert manager.sw(f"80F040{lock}", APPLET) == "6985"
    assert manager.sw("80F04000", APPLET) == "9000"
    assert manager.state(APPLET) == 0x07


def test_the_card_does_not_go_to_the_state_that_it_has(blank: Card) -> None:
    """11.10.2.2."""
    manager = Manager(blank)
    assert manager.sw("80F0800F") == "6985"
    assert manager.sw("80F0807F") == "9000"
    assert manager.sw("80F0807F") == "6985"
    assert manager.sw("80F0800F") == "9000"


def test_a_domain_and_all_it_holds_are_not_locked_twice(card: Card) -> None:
    manager = Manager(card)
    for command in ("80F06080", "80F06000"):
        assert manager.sw(command, DOMAIN) == "9000"
        assert manager.sw(command, DOMAIN) == "6985"


def test_a_domain_is_personalised_once(blank: Card) -> None:
    manager = Manager(blank)
    add_domain(blank, FIRST)
    assert manager.sw("80F0400F", FIRST) == "9000"
    assert manager.sw("80F0400F", FIRST) == "6985"
    assert manager.sw("80F04007", FIRST) == "6985"
    assert manager.state(FIRST) == 0x0F


# Several instances, several channels


def test_a_module_has_as_many_instances_as_are_asked_for(card: Card) -> None:
    """9.3.6: `gp --create` gives each its own AID."""
    manager = Manager(card)
    for number in range(3):
        assert manager.install(APPLET + bytes((0x90, number))) == "9000"
    assert manager.install(APPLET + bytes((0x90, 0))) == "6985"
    assert len(manager.listing("40", APPLET)) == 4


@pytest.mark.parametrize("what", [APPLET, DOMAIN, PACKAGE])
def test_what_is_selected_on_another_channel_is_not_deleted(card: Card, what: bytes) -> None:
    """9.5.1: neither by itself nor with what it belongs to."""
    manager = Manager(card)
    assert manager.connection.transmit(bytes.fromhex("0070000100")).hex() == "9000"
    select = b"\x01\xa4\x04\x00" + encode_lv(APPLET)
    assert manager.connection.transmit(select).hex().endswith("9000")
    command = Tlv(0x4F, what).encode()
    assert manager.sw("80E40080", command) == "6985"
    assert card.find(APPLET) is not None
    # Another host's selection does not hold it back.
    assert card.connect().transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET)).hex().endswith("9000")
    assert manager.connection.transmit(bytes.fromhex("0070800100")).hex() == "9000"
    assert manager.sw("80E40080", command) == "9000"
    assert card.find(APPLET) is None


def test_the_module_of_another_package_is_none_of_this_one(card: Card) -> None:
    assert Manager(card).install(OTHER, module=MODULE + b"\1") == "6A88"


# Formats of keys and data


def extended(manager: Manager, identifier: int, key: bytes, usage: str, access: str) -> bytes:
    part = bytes((len(key),)) + encrypted(manager, key)
    data = b"\xff\x88" + len(part).to_bytes(2, "big") + part + b"\x03" + key_check_value(key)
    tail = bytes.fromhex(usage), bytes.fromhex(access)
    return data + encode_lv(*tail)


def test_keys_come_in_the_extended_format_too(blank: Card) -> None:
    """11.8.2.3.2: FF before the type, two bytes of length, usage and access behind."""
    manager = Manager(blank)
    key = bytes(range(16))
    data = b"".join(
        extended(manager, number, key, usage, access)
        for number, usage, access in ((1, "38", "01"), (2, "34", "00"), (3, "48", ""))
    )
    answer = manager.send("80D80081", b"\x21" + data)
    assert (answer.sw, answer.data) == (0x9000, b"\x21" + 3 * key_check_value(key))
    Manager(blank, keys=StaticKeys.same(key), version=0x21)


def test_a_public_key_comes_in_the_extended_format_too(blank: Card) -> None:
    manager = Manager(blank)
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    data = b"\x73\xff\xb0\x00\x41" + point + b"\xff\xf0\x00\x01\x00" + b"\0" + b"\0" + b"\0"
    assert manager.sw("80D80001", data) == "9000"
    assert "B040F00100" in manager.ok("80CA00E0").hex().upper()
    for tail in (b"\0\0", b"\0\x01\x82\0", b"\0\0\x01\x02", b"\0\0\0\0", b"\0\0\x01"):
        assert manager.sw("80D80001", b"\x74" + data[1:-3] + tail) == "6A80"


@pytest.mark.parametrize(("usage", "access"), [("34", "01"), ("38", "02"), ("3838", "")])
def test_a_usage_that_the_card_does_not_keep_is_refused(
    blank: Card, usage: str, access: str
) -> None:
    manager = Manager(blank)
    data = 3 * extended(manager, 1, bytes(16), usage, access)
    assert manager.sw("80D80081", b"\x21" + data) == "6A80"


@pytest.mark.parametrize("value", [b"", b"abc", bytes(15), bytes(16), b"0123456789abcdef"])
def test_data_groups_are_encrypted_each_by_itself(card: Card, value: bytes) -> None:
    """11.11.2.2 and Amendment D, 4.1.4: P1 60 with structure; names and lengths stand in clear."""
    manager = Manager(card, DOMAIN, APPLET_KEYS)
    padded = value + b"\x80" + bytes(-(len(value) + 1) % 16)
    for secret in [padded, value] if len(value) == 16 else [padded]:
        sealed = encrypted(manager, secret)
        group = b"\x12\x34" + bytes((len(sealed),)) + sealed
        assert manager.sw("80E2E800", group[:9]) != "9000"  # cut off
        assert manager.sw("80E26800", group[:9]) == "9000"
        assert manager.sw("80E2E801", group[9:]) == "9000"
        assert (card.registry.find_object(DOMAIN, 0x1001234) or b"") == value
        assert manager.sw("80E2F000", Tlv(0x45, sealed).encode()) == "9000"
        assert (card.registry.find_object(DOMAIN, 0x45) or b"") == value


def test_encrypted_data_groups_reach_an_application_plain(card: Card) -> None:
    manager = Manager(card, DOMAIN, APPLET_KEYS)
    assert manager.sw("80E62000", encode_lv(b"", b"", APPLET, b"", b"", b"")) == "9000"
    sealed = encrypted(manager, b"secret\x80" + bytes(9))
    assert manager.sw("80E2E800", b"\x00\x01\x10" + sealed) == "9000"
    told = [what for kind, what in runtime_of(card).calls if kind == "personalise"]
    assert told == [(APPLET, b"\x00\x01\x06secret")]


@pytest.mark.parametrize(("first", "second"), [("E26000", "E28001"), ("E20000", "E2E001")])
def test_encryption_does_not_change_between_blocks(card: Card, first: str, second: str) -> None:
    manager = Manager(card, DOMAIN, APPLET_KEYS)
    block = encrypted(manager, bytes.fromhex("42024142") + b"\x80" + bytes(11))
    assert manager.sw(f"80{first}", block) == "9000"
    assert manager.sw(f"80{second}", block) == "6985"
    assert manager.sw("80E2C000", block) == "6A86"


# Answers protected for a while


@pytest.mark.parametrize(("level", "p1"), [(0x01, 0x10), (0x03, 0x10), (0x03, 0x30)])
def test_answers_are_protected_between_begin_and_end_r_mac_session(
    card: Card, level: int, p1: int
) -> None:
    """Amendment D, 7.1.3 and 7.1.4: from the next command to the answer of END."""
    manager = Manager(card, level=level)
    session = session_of(manager)
    assert manager.ok("80CA00D3") == bytes((0xD3, 1, level))
    assert manager.ok(f"807A{p1:02X}01", b"\x04abcd") == b""
    session.change_level(SecurityLevel(level | p1))
    assert manager.ok("80CA00D3") == bytes((0xD3, 1, level | p1))
    assert manager.sw(f"807A{p1:02X}01") == "6985"  # it has begun
    assert manager.sw("80780001") == "6A86"
    plain = manager.connection.transmit
    wrapped = session.wrap_command(CommandApdu(0x80, 0x78, 0x00, 0x03, le=256))
    answer = ResponseApdu.decode(plain(wrapped.encode()))
    assert len(answer.data) == 8  # the last with a MAC
    assert session.unwrap_response(answer) == ResponseApdu(b"", 0x9000)
    session.change_level(SecurityLevel(level))
    assert manager.ok("80CA00D3") == bytes((0xD3, 1, level))
    assert manager.sw("80780003") == "6985"


@pytest.mark.parametrize(
    ("level", "header", "sw"),
    [
        (0x00, "807A1001", "6985"),  # commands carry no MAC that an answer's could follow
        (0x01, "807A3001", "6985"),  # answers are not encrypted where commands are not
        (0x13, "807A1001", "6985"),
        (0x33, "80780003", "6985"),
        (0x03, "807A2001", "6A86"),
        (0x03, "807A1003", "6A86"),
    ],
)
def test_r_mac_sessions_begin_where_they_can(card: Card, level: int, header: str, sw: str) -> None:
    assert Manager(card, level=level).sw(header) == sw


def test_an_r_mac_session_ends_with_its_secure_channel(card: Card) -> None:
    manager = Manager(card, level=0x01)
    assert manager.sw("807A1001", b"\x19" + bytes(25)) == "6A80"
    assert manager.sw("807A1001", b"\x02a") == "6A80"
    assert manager.sw("807A1001") == "9000"
    manager.client.select(ISSUER)
    manager.client.open_scp03(KEYS, bytes(8), level=SecurityLevel(0x01))
    assert manager.sw("80780003") == "6985"
    assert card.connect().transmit(bytes.fromhex("807A100100")).hex() == "6982"
