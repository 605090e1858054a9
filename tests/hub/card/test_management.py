# SPDX-License-Identifier: Apache-2.0
"""Content management as GPCS 2.3.1 has it, with the commands that tools send."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from hub.card.entries import CardState, Privilege
from hub.card.open import Card
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import Tlv, encode_lv
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.keys import StaticKeys, encrypt_key
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
from tests.support.card_host import DOMAIN_MODULE, DOMAIN_PACKAGE, Manager, load_block

NEW = bytes.fromhex("F0534D480099")
NEW_KEYS = StaticKeys(bytes([1] * 16), bytes([2] * 16), bytes([3] * 16))


@pytest.fixture
def blank(tmp_path: Path) -> Card:
    return open_card(tmp_path)


def name(aid: bytes) -> str:
    return aid.hex().upper()


@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x11, 0x13, 0x33])
def test_a_package_is_loaded_installed_selected_locked_and_deleted(blank: Card, level: int) -> None:
    manager = Manager(blank, level=level)
    assert manager.load_package() == "9000"
    assert manager.install(APPLET, parameters=bytes.fromhex("C9021234")) == "9000"
    assert ("install", (APPLET, b"\x12\x34")) in runtime_of(blank).calls
    assert manager.state(APPLET) == 0x07
    assert manager.listing("20")[name(PACKAGE)][0xCE] == b"\x01\x00"
    assert manager.listing("10")[name(PACKAGE)][0x84] == MODULE
    assert manager.ok("80F04083", APPLET) == b""
    assert manager.state(APPLET) == 0x87
    assert manager.sw("80F04007", APPLET) == "9000"
    assert manager.state(APPLET) == 0x07
    assert manager.sw("80E40000", Tlv(0x4F, PACKAGE).encode()) == "6985"
    assert manager.ok("80E40080", Tlv(0x4F, PACKAGE).encode()) == b"\0"
    assert manager.listing("40") == {}
    assert name(PACKAGE) not in manager.listing("20")
    assert ("uninstall", APPLET) in runtime_of(blank).calls
    assert ("unload", PACKAGE) in runtime_of(blank).calls


@pytest.mark.parametrize(("lock", "unlock"), [("80", "00"), ("83", "07"), ("80", "07")])
def test_a_locked_application_comes_back_to_the_state_it_had(
    card: Card, lock: str, unlock: str
) -> None:
    manager = Manager(card)
    with card.turn(), card.database.transaction():  # an applet's state is its own to set
        card.registry.update(replace(card.content.application(APPLET), life_cycle=0x17))
    assert manager.sw(f"80F040{lock}", APPLET) == "9000"
    other = card.connect()
    assert other.transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET)).hex() == "6a82"
    assert manager.sw(f"80F040{unlock}", APPLET) == "9000"
    assert manager.state(APPLET) == 0x17


def test_installing_and_making_selectable_are_two_steps_too(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.load_package() == "9000"
    assert manager.install(APPLET, p1="04") == "9000"
    assert manager.state(APPLET) == 0x03
    select = b"\x00\xa4\x04\x00" + encode_lv(APPLET)
    assert blank.connect().transmit(select).hex() == "6a82"
    assert manager.sw("80E60800", encode_lv(b"", b"", APPLET, b"\0", b"", b"")) == "9000"
    assert manager.state(APPLET) == 0x07
    assert blank.connect().transmit(select).hex().endswith("9000")


def test_load_install_and_make_selectable_are_one_process(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.sw("80E60E01", encode_lv(PACKAGE, b"", b"", b"", b"")) == "9000"
    assert manager.load(load_block()) == "9000"
    data = encode_lv(PACKAGE, MODULE, APPLET, b"\0", b"\xc9\x00", b"")
    assert manager.sw("80E60E03", data) == "9000"
    assert manager.state(APPLET) == 0x07
    assert manager.sw("80E60E03", data) == "6985"


def test_the_default_application_answers_without_select(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.load_package() == "9000"
    assert manager.install(APPLET, privileges=b"\x04") == "9000"
    assert blank.connect().transmit(bytes.fromhex("8010000002ABCD")).hex() == "abcd9000"
    assert manager.install(APPLET + b"\1", privileges=b"\x04") == "9000"
    assert manager.listing("40")[name(APPLET)][0xC5] == bytes(3)


@pytest.mark.parametrize(
    ("options", "sw"),
    [
        ({"digest": bytes(32)}, "6A80"),
        ({"digest": bytes(31)}, "6A80"),
        ({"digest": b""}, "9000"),
        ({"aid": PACKAGE + b"\1"}, "6A80"),
        ({"domain": NEW}, "6A88"),
        ({"parameters": bytes.fromhex("EF04C6020010")}, "6A84"),
        ({"parameters": bytes.fromhex("EF06C6047FFFFFFF")}, "6A84"),
        ({"parameters": bytes.fromhex("EF04C6022000")}, "9000"),
        ({"parameters": bytes.fromhex("EF03C60110")}, "6A80"),
        ({"bundle": b"bad"}, "6A80"),
    ],
)
def test_a_load_is_checked_and_leaves_nothing_behind(
    blank: Card, options: dict[str, bytes], sw: str
) -> None:
    manager = Manager(blank)
    assert manager.load_package(**options) == sw
    assert (name(PACKAGE) in manager.listing("20")) == (sw == "9000")


def test_blocks_out_of_order_end_the_load(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.install_for_load() == "9000"
    assert manager.sw("80E80000", b"\xc4\x05") == "9000"
    assert manager.sw("80E88002", b"abc") == "6985"
    assert manager.sw("80E88001", b"abc") == "6985"


def test_another_command_between_blocks_is_no_harm_but_an_install_ends_the_load(
    blank: Card,
) -> None:
    manager = Manager(blank)
    assert manager.install_for_load() == "9000"
    block = load_block()
    data = b"\xc4\x82" + len(block).to_bytes(2, "big") + block
    assert manager.sw("80E80000", data[:100]) == "9000"
    assert manager.ok("80CA00E0")
    assert manager.sw("80E88001", data[100:]) == "9000"
    assert manager.install_for_load(aid=NEW) == "9000"
    assert manager.install(APPLET) == "9000"
    assert manager.sw("80E80000", b"\xc4\x05") == "6985"


def test_a_large_bundle_takes_more_blocks_than_a_byte_counts(blank: Card) -> None:
    manager = Manager(blank)
    bundle = bytes(range(256)) * 600  # three custom components, 700 blocks
    assert manager.load_package(bundle=bundle) == "9000"
    assert blank.bundle(PACKAGE) == bundle


def test_a_domain_authenticates_with_its_parents_keys_until_it_has_its_own(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.install_domain(NEW) == "9000"
    assert manager.state(NEW) == 0x07
    own = Manager(blank, NEW)
    response = own.put_keys(1, NEW_KEYS)
    assert response.data[:1] == b"\x01"
    assert len(response.data) == 10
    assert manager.state(NEW) == 0x0F
    with pytest.raises(RemoteChannelError):
        Manager(blank, NEW)
    Manager(blank, NEW, NEW_KEYS)
    Manager(blank, NEW, NEW_KEYS, version=1)


def test_version_zero_stays_the_same_key_set_when_others_come(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.put_keys(1, NEW_KEYS).sw == 0x9000
    Manager(blank)
    Manager(blank, version=0x30)
    Manager(blank, keys=NEW_KEYS, version=1)
    # Replaced under another version, the default is the new one.
    assert manager.put_keys(2, APPLET_KEYS, replaces=0x30).sw == 0x9000
    Manager(blank, keys=APPLET_KEYS)
    with pytest.raises(CardRefused, match="6A88"):
        Manager(blank, version=0x30)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_keys_of_every_size_are_replaced_in_place(blank: Card, size: int) -> None:
    keys = StaticKeys(bytes([4] * size), bytes([5] * size), bytes([6] * size))
    manager = Manager(blank)
    assert manager.put_keys(0x30, keys, replaces=0x30).sw == 0x9000
    again = Manager(blank, keys=keys)
    assert again.ok("80CA00C1") == bytes.fromhex("C103000001")
    info = bytes.fromhex(f"0{1}3088{size:02X}")
    assert info in again.ok("80CA00E0")


def test_a_wrong_check_value_keeps_the_old_keys(blank: Card) -> None:
    manager = Manager(blank)
    session = manager.client.session
    assert session is not None
    data = b"\x31" + (b"\x88\x10" + bytes(16) + b"\x03\x00\x00\x00") * 3
    assert manager.sw("80D83081", data) == "6A80"
    Manager(blank)


def test_put_key_wants_to_know_what_it_replaces(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.put_keys(0x30, NEW_KEYS).sw == 0x6985
    assert manager.put_keys(0x31, NEW_KEYS, replaces=0x32).sw == 0x6A88
    assert manager.put_keys(0, NEW_KEYS).sw == 0x6A80
    assert manager.put_keys(0x80, NEW_KEYS).sw == 0x6A80


def test_keys_are_deleted_by_version_but_not_the_last(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.put_keys(1, NEW_KEYS).sw == 0x9000
    assert manager.sw("80E40000", bytes.fromhex("D00101D20101")) == "6985"
    assert manager.sw("80E40000", bytes.fromhex("D20101")) == "9000"
    assert manager.sw("80E40000", bytes.fromhex("D20101")) == "6A88"
    assert manager.sw("80E40000", bytes.fromhex("D20130")) == "6985"


def test_get_data_gives_the_value_alone_or_the_whole(blank: Card) -> None:
    manager = Manager(blank)
    value = manager.ok("00CA0066")
    assert manager.ok("80CA0066") == Tlv(0x66, value).encode()
    assert value.startswith(bytes.fromhex("73"))
    assert bytes.fromhex("64 0B 06 09 2A864886FC6B040370") in value
    for tag in ("9F7F", "0042", "0045", "00CF", "00C1", "00C2", "0067", "00E0", "FF21"):
        assert manager.ok(f"80CA{tag}").startswith(bytes.fromhex(tag).lstrip(b"\0"))
    assert len(manager.ok("00CA9F7F")) == 42
    assert manager.sw("80CA1234") == "6A88"


def test_get_data_needs_no_authentication(blank: Card) -> None:
    connection = blank.connect()
    answer = connection.transmit(bytes.fromhex("80CA00E000"))
    assert answer.hex() == "e012c00401308810c00402308810c004033088109000"


def test_data_are_stored_in_blocks_and_take_effect_with_the_last(blank: Card) -> None:
    manager = Manager(blank)
    before = manager.ok("80CA0042")
    assert manager.sw("80E21000", bytes.fromhex("42041122")) == "9000"
    assert manager.ok("80CA0042") == before
    assert manager.sw("80E29001", bytes.fromhex("334445020102")) == "9000"
    assert manager.ok("80CA0042") == bytes.fromhex("420411223344")
    assert manager.ok("80CA0045") == bytes.fromhex("45020102")
    assert manager.sw("80E29001", b"") == "6985"
    assert manager.sw("80E29800", b"") == "6A86"
    assert manager.sw("80E29000", bytes.fromhex("4204")) == "6A80"
    assert manager.sw("80E29000", bytes.fromhex("660100")) == "6A80"
    assert manager.sw("80E28800", bytes.fromhex("0070044202AABB")) == "9000"
    assert manager.ok("80CA0042") == bytes.fromhex("4202AABB")


def test_the_issuers_domain_can_be_renamed_and_keeps_its_keys(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.install_domain(NEW) == "9000"
    other = bytes.fromhex("A000000003000000")
    assert manager.sw("80E29000", Tlv(0x4F, other).encode()) == "9000"
    again = Manager(blank, other)
    assert list(again.listing("80")) == [name(other)]
    assert again.listing("40")[name(NEW)][0xCC] == other
    with pytest.raises(CardRefused, match="6A82"):
        Manager(blank, ISSUER)


def test_an_application_is_personalised_through_its_domain(card: Card) -> None:
    owner = Manager(card, DOMAIN, APPLET_KEYS)
    assert owner.sw("80E62000", encode_lv(b"", b"", APPLET, b"", b"", b"")) == "9000"
    assert owner.sw("80E20000", b"one") == "9000"
    assert owner.sw("80E28001", b"two") == "9000"
    calls = [what for kind, what in runtime_of(card).calls if kind == "personalise"]
    assert calls == [(APPLET, b"one"), (APPLET, b"two")]
    # Behind the last block the domain is meant again.
    assert owner.sw("80E29000", bytes.fromhex("42020102")) == "9000"


def test_data_encrypted_under_the_dek_arrive_plain(card: Card) -> None:
    owner = Manager(card, DOMAIN, APPLET_KEYS)
    session = owner.client.session
    assert session is not None
    assert owner.sw("80E62000", encode_lv(b"", b"", APPLET, b"", b"", b"")) == "9000"
    secret = encrypt_key(session.dek, b"secret\x80")
    assert owner.sw("80E2E000", secret) == "9000"
    assert ("personalise", (APPLET, b"secret")) in runtime_of(card).calls


def test_an_application_is_extradited_to_another_domain(card: Card) -> None:
    manager = Manager(card)
    assert manager.install_domain(NEW) == "9000"
    data = encode_lv(NEW, b"", APPLET, b"", b"", b"")
    assert manager.sw("80E61000", data) == "9000"
    assert manager.listing("40")[name(APPLET)][0xCC] == NEW
    owner = Manager(card, DOMAIN, APPLET_KEYS)
    assert owner.sw("80E62000", encode_lv(b"", b"", APPLET, b"", b"", b"")) == "6985"


def test_a_domain_cannot_move_below_itself(card: Card) -> None:
    manager = Manager(card)
    assert manager.install_domain(NEW) == "9000"
    assert manager.sw("80E61000", encode_lv(DOMAIN, b"", NEW, b"", b"", b"")) == "9000"
    assert manager.sw("80E61000", encode_lv(NEW, b"", DOMAIN, b"", b"", b"")) == "6985"


def test_the_registry_is_updated_with_privileges(card: Card) -> None:
    manager = Manager(card)
    data = encode_lv(b"", b"", APPLET, b"\x04\x00\x00", b"", b"")
    assert manager.sw("80E64000", data) == "9000"
    assert manager.listing("40")[name(APPLET)][0xC5] == b"\x04\x00\x00"


def test_a_domain_without_management_manages_nothing(card: Card) -> None:
    owner = Manager(card, DOMAIN, APPLET_KEYS)
    assert owner.install_for_load(aid=NEW) == "6985"
    assert owner.install(NEW) == "6985"
    assert owner.sw("80E40000", Tlv(0x4F, APPLET).encode()) == "6985"
    assert owner.sw("80F0807F") == "6985"
    assert owner.sw("80F04080", ISSUER) == "6985"


def test_a_domain_sees_and_locks_its_own_only(card: Card) -> None:
    Manager(card).install_domain(NEW)
    owner = Manager(card, DOMAIN, APPLET_KEYS)
    assert set(owner.listing("40")) == {name(DOMAIN), name(APPLET)}
    assert owner.listing("80") == {}
    assert owner.sw("80F04080", NEW) == "6985"
    assert owner.sw("80F04080", APPLET) == "9000"


@pytest.mark.parametrize(
    ("privileges", "sw"),
    [("C0", "9000"), ("C1", "9000"), ("81", "6A80"), ("A04000", "6A80"), ("A0", "9000"),
     ("00", "6A80"), ("804000", "9000"), ("80000F", "6A80"), ("8000", "6A80")],
)  # fmt: skip
def test_privileges_go_together_or_not(blank: Card, privileges: str, sw: str) -> None:
    assert Manager(blank).install_domain(NEW, bytes.fromhex(privileges)) == sw


def test_a_managing_domain_installs_below_itself_and_grants_no_more(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.load_package() == "9000"
    assert manager.install_domain(NEW, b"\x80\x40\x00") == "9000"
    own = Manager(blank, NEW)
    assert own.install(APPLET) == "9000"
    assert own.listing("40")[name(APPLET)][0xCC] == NEW
    assert own.install_domain(NEW + b"\1", b"\xc1") == "6985"
    assert own.sw("80E40000", Tlv(0x4F, APPLET).encode()) == "9000"
    assert own.sw("80E40000", Tlv(0x4F, PACKAGE).encode()) == "6985"


def test_the_card_goes_through_its_life(blank: Card) -> None:
    manager = Manager(blank)
    assert manager.sw("80F08007") == "6985"
    assert manager.sw("80F08055") == "6A86"
    assert manager.sw("80F0807F") == "9000"
    assert blank.entries()[0].life_cycle == CardState.LOCKED
    select = blank.connect().transmit(bytes.fromhex("00A4040000"))
    assert select.hex().endswith("6283")
    locked = LockedManager(blank)
    assert locked.sw("80E40000", Tlv(0x4F, PACKAGE).encode()) == "6985"
    assert locked.ok("80F28002", b"\x4f\x00")
    assert locked.sw("80F0800F") == "9000"
    assert locked.sw("80F080FF") == "9000"
    connection = blank.connect()
    assert connection.transmit(bytes.fromhex("80CA9F7F00")).hex().endswith("9000")
    assert connection.transmit(bytes.fromhex("00A4040000")).hex() == "6985"
    assert connection.transmit(bytes.fromhex("80500000080000000000000000")).hex() == "6985"


class LockedManager(Manager):
    def __init__(self, card: Card) -> None:
        self.client = CardClient(card.connect().transmit, max_data=255)
        self.client.open_scp03(KEYS, bytes(8))


def test_a_listing_comes_in_pages(blank: Card) -> None:
    manager = Manager(blank)
    aids = [NEW + bytes((number,)) for number in range(30)]
    for aid in aids:
        assert manager.install_domain(aid) == "9000"
    first = manager.send("80F24002", b"\x4f\x00")
    assert first.sw == 0x6310
    assert len(first.data) <= 239
    assert list(manager.listing("40")) == [name(aid) for aid in aids]
    assert list(manager.listing("40", aids[7])) == [name(aids[7])]
    assert manager.sw("80F24003", b"\x4f\x00") == "6985"
    assert manager.sw("80F24002", b"\x4f\x03\x01\x02\x03") == "6A88"
    assert manager.sw("80F24002", b"\x4f\x05") == "6A80"
    assert manager.sw("80F24004", b"\x4f\x00") == "6A86"


def test_a_listing_has_the_tags_that_were_asked_for(card: Card) -> None:
    manager = Manager(card)
    answer = manager.ok("80F24002", b"\x4f\x07" + APPLET + bytes.fromhex("5C054F9F70C5CC"))
    (node,) = Tlv.decode_all(answer)
    assert [item.tag for item in Tlv.decode_all(node.value)] == [0x4F, 0x9F70, 0xC5, 0xCC]


def test_the_old_form_of_a_listing_is_still_known(card: Card) -> None:
    manager = Manager(card)
    assert manager.ok("80F28000", b"\x4f\x00") == encode_lv(ISSUER) + b"\x0f\x9e"
    assert manager.ok("80F21000", b"\x4f\x05" + PACKAGE) == (
        encode_lv(PACKAGE) + b"\x01\x00\x01" + encode_lv(MODULE)
    )


def test_quotas_are_kept(blank: Card) -> None:
    manager = Manager(blank)
    quota = bytes.fromhex("C900EF0CC6020400C7020100C8020200")
    assert manager.install_domain(NEW, b"\x80\x40\x00", parameters=quota) == "9000"
    assert manager.load_package(bundle=bytes(1100), domain=NEW) == "6A84"
    assert manager.load_package(bundle=bytes(1000), domain=NEW) == "9000"
    own = Manager(blank, NEW)
    assert own.install(APPLET, parameters=bytes.fromhex("C900EF04C8020201")) == "6A84"
    assert own.install(APPLET, parameters=bytes.fromhex("C900EF04C7020101")) == "6A84"
    assert own.install(APPLET, parameters=bytes.fromhex("C900EF08C7020100C8020200")) == "9000"
    assert own.install(APPLET + b"\1", parameters=bytes.fromhex("C900EF04C8020001")) == "6A84"


def test_the_cards_own_parts_and_names_taken_are_out_of_reach(card: Card) -> None:
    manager = Manager(card)
    for aid, sw in ((ISSUER, "6985"), (DOMAIN_PACKAGE, "6985"), (NEW, "6A88")):
        assert manager.sw("80E40080", Tlv(0x4F, aid).encode()) == sw
    assert manager.install(APPLET) == "6985"
    assert manager.install_for_load() == "6985"
    assert manager.install(NEW, module=NEW) == "6A88"
    assert manager.install(b"1234") == "6A80"
    assert manager.install(NEW, package=DOMAIN_PACKAGE, module=DOMAIN_MODULE) == "6A80"


def test_chained_links_may_be_protected_one_by_one_or_as_a_whole(blank: Card) -> None:
    data = encode_lv(DOMAIN_PACKAGE, DOMAIN_MODULE, NEW, b"\x80", b"\xc9\x00", b"")
    manager = Manager(blank)
    assert manager.sw("80E68C00", data[:10]) == "9000"
    assert manager.sw("80E60C00", data[10:]) == "9000"
    assert manager.state(NEW) == 0x07
    whole = Manager(blank)
    session = whole.client.session
    assert session is not None
    aid = NEW + b"\1"
    data = encode_lv(DOMAIN_PACKAGE, DOMAIN_MODULE, aid, b"\x80", b"\xc9\x00", b"")
    wrapped = session.wrap_command(CommandApdu(0x80, 0xE6, 0x0C, 0, data, extended=True))
    first, second = wrapped.data[:20], wrapped.data[20:]
    transmit = whole.connection.transmit
    assert transmit(CommandApdu(0x84, 0xE6, 0x8C, 0, first).encode()).hex() == "9000"
    answer = ResponseApdu.decode(transmit(CommandApdu(0x84, 0xE6, 0x0C, 0, second).encode()))
    assert session.unwrap_response(answer) == ResponseApdu(b"\0", 0x9000)
    assert whole.state(aid) == 0x07


def test_what_needs_authentication_says_so(card: Card) -> None:
    connection = card.connect()
    for header in ("80F28002", "80F04080", "80E60C00", "80E80000", "80E40000", "80D80081",
                   "80E29000", "80F10013"):  # fmt: skip
        command = bytes.fromhex(header) + b"\x02\x4f\x00"
        assert connection.transmit(command).hex() == "6982"


def test_the_hash_of_a_load_may_be_any_sha(blank: Card) -> None:
    manager = Manager(blank)
    for number, algorithm in enumerate(("sha1", "sha256", "sha384", "sha512")):
        aid = PACKAGE + bytes((number,))
        block = load_block(aid=aid, module=MODULE + bytes((number,)))
        digest = hashlib.new(algorithm, block).digest()
        assert manager.install_for_load(aid=aid, digest=digest) == "9000"
        assert manager.load(block) == "9000"


def test_privileges_have_the_bits_of_the_standard() -> None:
    assert (
        Privilege.MANDATED_DAP | Privilege.DAP_VERIFICATION | Privilege.SECURITY_DOMAIN == 0xC10000
    )
    assert Privilege(0x9EFE80).encode().hex() == "9efe80"


def test_a_domain_goes_with_all_it_holds_if_that_is_asked(card: Card) -> None:
    manager = Manager(card)
    below = DOMAIN + b"\x01"
    add_domain(card, below, DOMAIN)
    assert manager.sw("80E40000", Tlv(0x4F, DOMAIN).encode()) == "6985"
    assert manager.sw("80E40080", Tlv(0x4F, DOMAIN).encode()) == "9000"
    assert manager.listing("40") == {}
    assert name(PACKAGE) not in manager.listing("20")
    assert runtime_of(card).calls[-2:] == [("uninstall", APPLET), ("unload", PACKAGE)]


def test_an_instance_goes_to_the_domain_that_its_package_was_loaded_for(blank: Card) -> None:
    """`gp --install .. --to` and gpshell's delegation load for a domain and install by another."""
    manager = Manager(blank)
    assert manager.install_domain(NEW, b"\xa0") == "9000"
    assert manager.load_package(domain=NEW) == "9000"
    assert manager.install(APPLET) == "9000"
    assert manager.listing("40")[name(APPLET)][0xCC] == NEW
    # A package of the issuer's is no way up, nor is one beside: what installs has the instance.
    assert manager.install_domain(DOMAIN) == "9000"
    assert manager.listing("40")[name(DOMAIN)][0xCC] == ISSUER
    assert manager.sw("80F060FF", NEW) == "9000"
    assert manager.install(APPLET + b"\1") == "6985"


def test_a_domain_whose_package_others_use_stays(card: Card) -> None:
    manager = Manager(card)
    assert manager.install(NEW) == "9000"
    moved = encode_lv(ISSUER, b"", NEW, b"", b"", b"")
    assert manager.sw("80E61000", moved) == "9000"  # into the issuer's, of the other's package
    assert manager.sw("80E40080", Tlv(0x4F, DOMAIN).encode()) == "6985"
    assert manager.state(APPLET) == 0x07


def test_a_locked_card_answers_by_its_issuer_alone(card: Card) -> None:
    Manager(card).sw("80E64000", encode_lv(b"", b"", APPLET, b"\x04\x00\x00", b"", b""))
    connection = card.connect()
    assert connection.transmit(bytes.fromhex("8010000000")).hex() == "9000"
    assert Manager(card).sw("80F0807F") == "9000"
    assert connection.transmit(bytes.fromhex("8010000000")).hex() == "6985"
    for aid in (APPLET, DOMAIN):
        select = b"\x00\xa4\x04\x00" + encode_lv(aid)
        assert card.connect().transmit(select).hex() == "6a82"
    assert card.connect().transmit(bytes.fromhex("80CA00E000"))[-2:].hex() == "9000"


@pytest.mark.parametrize("level", [0x01, 0x03, 0x13, 0x33])
def test_a_select_inside_the_session_is_answered_inside_it_and_ends_it(
    card: Card, level: int
) -> None:
    manager = Manager(card, level=level)
    assert manager.sw("00A40400", b"unknown") == "6A82"
    assert manager.ok("80F28002", b"\x4f\x00")
    assert manager.ok("00700000") == b"\x01"
    assert manager.ok("00A40400", APPLET) == bytes.fromhex("6F098407") + APPLET
    assert manager.sw("80100000") == "6982"
