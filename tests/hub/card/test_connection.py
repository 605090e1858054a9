# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.card.open import Card
from protocols.iso7816.apdu import CommandApdu
from protocols.secure_channel.errors import CardRefused, RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.session import SecurityLevel
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    KEYS,
    add_domain,
    client,
    delete,
    open_card,
    runtime_of,
)

ECHO = CommandApdu(0x80, 0x10, 0, 0, b"hello", le=256)


def transmit(card: Card, *commands: str) -> list[str]:
    connection = card.connect()
    return [connection.transmit(bytes.fromhex(text)).hex().upper() for text in commands]


def test_the_issuers_domain_is_selected_by_full_partial_and_no_name(card: Card) -> None:
    fci = "6F108408A000000151000000A5049F6501FF9000"
    assert transmit(
        card, "00A4040008A00000015100000000", "00A4040005A00000015100", "00A4040000"
    ) == [fci, fci, fci]


def test_select_next_walks_the_names_that_begin_alike(card: Card) -> None:
    first, second, third = transmit(
        card, "00A4040004F0534D48", "00A4040204F0534D48", "00A4040204F0534D48"
    )
    assert first[8:-4].startswith(DOMAIN.hex().upper())
    assert second == f"6F098407{APPLET.hex().upper()}9000"
    assert third == "6A82"


def test_an_applet_of_its_own_domain_answers_behind_full_protection(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    host.open_scp03(APPLET_KEYS, bytes(8), expected_aid=APPLET)
    assert host.call("echo", ECHO) == b"hello"
    context = runtime_of(card).contexts[-1]
    assert context.is_protected
    assert context.authenticated == DOMAIN
    assert context.instance.aid == APPLET


def test_an_applet_learns_when_nobody_has_authenticated(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    assert host.call("echo", ECHO) == b"hello"
    context = runtime_of(card).contexts[-1]
    assert not context.is_protected
    assert context.authenticated is None
    assert context.level is SecurityLevel.NONE


def test_the_issuers_keys_do_not_open_an_applet_whose_domain_has_its_own(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    with pytest.raises(RemoteChannelError, match="does not know the keys"):
        host.open_scp03(KEYS, bytes(8))


def test_a_domain_without_keys_is_opened_with_its_parents(card: Card) -> None:
    child, grandchild = DOMAIN + b"\x01", DOMAIN + b"\x02"
    add_domain(card, child, DOMAIN)
    add_domain(card, grandchild, child)
    host = client(card)
    host.select(grandchild)
    host.open_scp03(APPLET_KEYS, bytes(8), expected_aid=grandchild)


@pytest.mark.parametrize("max_data", [255, 65535])
@pytest.mark.parametrize("size", [0, 1, 230, 239, 240, 247, 248, 255, 256, 5000, 65_519, 70_000])
@pytest.mark.parametrize("level", [0x00, 0x01, 0x11, 0x33])
def test_messages_of_any_size_go_there_and_back(
    card: Card, size: int, max_data: int, level: int
) -> None:
    host = client(card, max_data=max_data)
    host.select(APPLET)
    host.open_scp03(APPLET_KEYS, bytes(8), level=SecurityLevel(level))
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for _ in range(2):
        assert host.call("echo", CommandApdu(0x80, 0x10, 0, 0, message, le=256)) == message


def test_an_answer_of_hundreds_of_kilobytes_arrives_whole(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    host.open_scp03(APPLET_KEYS, bytes(8))
    assert len(host.call("long", CommandApdu(0x80, 0x01, 0x01, 0x90, le=65536))) == 400 * 1024


def test_another_command_drops_the_rest_of_an_answer(card: Card) -> None:
    host = "00A4040007" + APPLET.hex()
    answers = transmit(card, host, "8001000100", "80100000", "00C0000000")
    assert [answer[-4:] for answer in answers] == ["9000", "6100", "9000", "9000"]
    assert answers[3] == "9000"  # the applet's echo of nothing, not the rest


def test_get_response_after_another_command_finds_nothing(card: Card) -> None:
    select = "00A4040008" + ISSUER.hex()
    answers = transmit(card, select, "80CA9F7F10", "80CA004500", "00C0000000")
    assert [answer[-4:] for answer in answers] == ["9000", "611D", "9000", "6985"]


def test_the_sequence_counter_survives_a_restart(card: Card, tmp_path: Path) -> None:
    begin = "80500000080000000000000000"
    first, second = transmit(card, begin, begin)
    assert (first[-10:-4], second[-10:-4]) == ("000001", "000002")
    card.database.close()
    again = open_card(tmp_path)
    (third,) = transmit(again, begin)
    again.database.close()
    assert third[-10:-4] == "000003"


def test_a_key_set_at_the_end_of_its_counter_opens_nothing(card: Card) -> None:
    with card.database.transaction() as db:
        db.execute("UPDATE card_key_set SET sequence = 0xFFFFFE WHERE domain = ?", (ISSUER,))
    begin = "80500000080000000000000000"
    first, second = transmit(card, begin, begin)
    assert first[-10:] == "FFFFFF9000"
    assert second == "6985"


def test_wrong_keys_block_the_key_set_for_good(card: Card, tmp_path: Path) -> None:
    begin, guess = "80500000080000000000000000", "84823300100000000000000000" + "00" * 8
    for _ in range(64):
        assert transmit(card, begin, guess)[1] == "6300"
    assert transmit(card, begin) == ["6983"]
    card.database.close()
    again = open_card(tmp_path)
    assert transmit(again, begin) == ["6983"]
    again.database.close()


def test_a_success_takes_failures_back(card: Card) -> None:
    begin, guess = "80500000080000000000000000", "84823300100000000000000000" + "00" * 8
    for _ in range(63):
        transmit(card, begin, guess)
    host = client(card)
    host.select(ISSUER)
    host.open_scp03(KEYS, bytes(8))
    for _ in range(63):
        assert transmit(card, begin, guess)[1] == "6300"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00", "6700"), ("80F2800002", "6982"), ("80AA000000", "6D00"),
        ("80F2800000000000", "6700"),
        ("FF00000000", "6E00"), ("2000000000", "6E00"), ("8C50000000", "6882"),
        ("81F28000024F00", "6881"), ("84F28000024F00", "6982"), ("00A4040011" + "00" * 17, "6700"),
        ("00A40400051122334455", "6A82"), ("00A4041005A000000151", "6A86"),
        ("8050000007" + "00" * 7, "6700"), ("8050770008" + "00" * 8, "6A88"),
        ("8482330010" + "00" * 16, "6982"), ("0070800000", "6A86"), ("0070800100", "6A86"),
        ("0070010000", "6A86"),
    ],
)  # fmt: skip
def test_a_command_that_is_wrong_gets_the_status_word_of_its_rule(
    card: Card, command: str, sw: str
) -> None:
    assert transmit(card, command) == [sw]


def test_twenty_channels_open_and_each_has_its_own_session(card: Card) -> None:
    connection = card.connect()
    numbers = [connection.transmit(bytes.fromhex("0070000001")) for _ in range(20)]
    assert [answer[:1] for answer in numbers[:19]] == [bytes((n,)) for n in range(1, 20)]
    assert numbers[19].hex() == "6a81"


def test_a_reset_ends_every_session_and_channel(card: Card) -> None:
    connection = card.connect()
    assert connection.transmit(bytes.fromhex("0070000001")).hex() == "019000"
    connection.reset()
    assert connection.transmit(bytes.fromhex("01A4040000")).hex() == "6881"
    assert ("reset", connection.number) in runtime_of(card).calls


def test_an_applet_that_fails_answers_with_a_status_word_and_the_session_lives(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    host.open_scp03(APPLET_KEYS, bytes(8))
    with pytest.raises(CardRefused, match="6A80"):
        host.call("trap", CommandApdu(0x80, 0xEE, 0, 0))
    assert host.call("echo", ECHO) == b"hello"


def test_an_applet_that_is_deleted_answers_no_more(card: Card) -> None:
    host = client(card)
    host.select(APPLET)
    delete(card, APPLET)
    with pytest.raises(CardRefused, match="6999"):
        host.call("echo", ECHO)


def test_keys_are_sealed_in_the_file_and_never_shown(card: Card, tmp_path: Path) -> None:
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for key in (KEYS.enc, APPLET_KEYS.enc, APPLET_KEYS.dek):
        assert key not in files
    assert KEYS.enc.hex() not in repr(KEYS)
    assert StaticKeys.same(bytes(range(0x40, 0x50))) == KEYS
    assert KEYS != APPLET_KEYS


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_whatever_comes_in_a_status_word_goes_out(card: Card, raws: list[bytes]) -> None:
    connection = card.connect()
    for raw in raws:
        assert len(connection.transmit(raw)) >= 2
