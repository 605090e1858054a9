# SPDX-License-Identifier: Apache-2.0
"""Whoever talks to the card without being entitled to, and what the card answers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.card.connection import CardConnection
from hub.card.open import Card
from hub.card.profile import S16
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.iso7816.tlv import encode_lv
from protocols.secure_channel.errors import LocalChannelError
from protocols.secure_channel.host import CardClient
from protocols.secure_channel.scp03 import Scp03
from protocols.secure_channel.session import Role, SecureSession, SecurityLevel
from tests.support.card_host import Manager, load_block
from tests.support.card import (
    APPLET,
    APPLET_KEYS,
    DOMAIN,
    ISSUER,
    KEYS,
    PACKAGE,
    add_applet,
    delete,
    domain_parameters,
    open_card,
    runtime_of,
)

LIST = CommandApdu(0x80, 0xF2, 0x80, 0x02, b"\x4f\x00", le=256)
ECHO = CommandApdu(0x80, 0x10, 0x00, 0x00, b"message", le=256)
PROTECTED = [0x01, 0x03, 0x11, 0x13, 0x33]


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = open_card(tmp_path)
    add_applet(card)
    yield card
    card.database.close()


def opened(card: Card, level: int = 0x33) -> tuple[CardConnection, SecureSession]:
    manager = Manager(card, level=level)
    session = manager.client.session
    assert session is not None
    return manager.connection, session


def sw(connection: CardConnection, command: CommandApdu) -> str:
    return connection.transmit(command.encode())[-2:].hex()


@pytest.mark.parametrize("level", PROTECTED)
def test_a_replayed_command_ends_the_session(card: Card, level: int) -> None:
    connection, session = opened(card, level)
    wire = session.wrap_command(LIST)
    assert sw(connection, wire) == "9000"
    assert sw(connection, wire) == "6982"
    # The session has ended: what the host goes on to say is refused too.
    assert sw(connection, session.wrap_command(LIST)) == "6982"
    assert sw(connection, LIST) == "6982"


@pytest.mark.parametrize("level", PROTECTED)
def test_commands_in_another_order_end_the_session(card: Card, level: int) -> None:
    connection, session = opened(card, level)
    first, second = session.wrap_command(LIST), session.wrap_command(LIST)
    assert sw(connection, second) == "6982"
    assert sw(connection, first) == "6982"


@pytest.mark.parametrize("level", PROTECTED)
def test_a_bit_flipped_anywhere_ends_the_session(card: Card, level: int) -> None:
    length = len(opened(card, level)[1].wrap_command(LIST).encode())
    for place in range(length - 1):  # Le is not protected
        if place == 4:
            continue
        connection, session = opened(card, level)
        raw = bytearray(session.wrap_command(LIST).encode())
        raw[place] ^= 0x02
        answer = connection.transmit(bytes(raw))[-2:].hex()
        if place == 0:
            assert answer == "6881"  # another logical channel, which is not open
        elif place == 1 and raw[1] == 0x50:
            assert answer != "9000"
        else:
            assert answer == "6982"
            assert sw(connection, session.wrap_command(LIST)) == "6982"


@pytest.mark.parametrize("level", PROTECTED)
def test_a_truncated_command_ends_the_session(card: Card, level: int) -> None:
    for cut in range(10):
        connection, session = opened(card, level)
        wire = session.wrap_command(LIST)
        assert sw(connection, replace(wire, data=wire.data[:cut])) == "6982"


@pytest.mark.parametrize("level", PROTECTED)
def test_a_bare_command_in_a_session_ends_it(card: Card, level: int) -> None:
    connection, session = opened(card, level)
    assert sw(connection, LIST) == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


def test_a_session_of_one_channel_is_none_of_another(card: Card) -> None:
    connection, session = opened(card)
    assert connection.transmit(bytes.fromhex("0070000001")).hex() == "019000"
    wire = session.wrap_command(LIST)
    # The MAC does not cover the channel: the card must not look for the session elsewhere.
    assert sw(connection, wire.on_channel(1)) == "6982"
    assert sw(connection, LIST.on_channel(1)) == "6982"
    assert sw(connection, wire) == "9000"


def test_sessions_on_two_channels_do_not_mix(card: Card) -> None:
    connection = card.connect()
    assert connection.transmit(bytes.fromhex("0070000001")).hex() == "019000"
    issuer = CardClient(connection.transmit)
    issuer.select(ISSUER)
    issuer.open_scp03(KEYS, bytes(8))
    applet = CardClient(connection.transmit, channel=1)
    applet.select(APPLET)
    applet.open_scp03(APPLET_KEYS, bytes(8))
    assert issuer.session is not None
    assert applet.session is not None
    assert applet.call("echo", ECHO) == b"message"
    assert issuer.call("list", LIST)
    crossed = applet.session.wrap_command(ECHO)
    assert sw(connection, crossed) == "6982"
    assert sw(connection, issuer.session.wrap_command(LIST)) == "6982"
    context = runtime_of(card).contexts[-1]
    assert (context.channel, context.authenticated) == (1, DOMAIN)


def test_a_session_of_one_connection_is_none_of_another(card: Card) -> None:
    _, session = opened(card)
    other = card.connect()
    assert sw(other, session.wrap_command(LIST)) == "6982"


def test_selecting_another_application_ends_the_session(card: Card) -> None:
    connection, session = opened(card)
    assert connection.transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET)).hex().endswith("9000")
    assert sw(connection, session.wrap_command(ECHO)) == "6982"
    assert sw(connection, ECHO) == "9000"
    assert runtime_of(card).contexts[-1].level is SecurityLevel.NONE


def test_the_same_application_selected_again_forgets_the_host(card: Card) -> None:
    client = CardClient(card.connect().transmit)
    client.select(APPLET)
    client.open_scp03(APPLET_KEYS, bytes(8))
    assert client.call("echo", ECHO) == b"message"
    client.select(APPLET)
    assert client.call("echo", ECHO) == b"message"
    assert not runtime_of(card).contexts[-1].is_protected


def test_an_answer_that_waits_is_not_given_to_another_channel(card: Card) -> None:
    connection = card.connect()
    connection.transmit(bytes.fromhex("0070000001"))
    connection.transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET))
    assert connection.transmit(bytes.fromhex("8001000100"))[-2:].hex() == "6100"
    assert connection.transmit(bytes.fromhex("01C0000000")).hex() == "6985"
    assert connection.transmit(bytes.fromhex("00C0000000")).hex() == "9000"  # to the applet


def test_another_command_within_the_handshake_ends_it(card: Card) -> None:
    connection = card.connect()
    session = Scp03(Role.HOST, KEYS, bytes(8))
    answer = connection.transmit(session.initialize_update().encode())
    session.receive_challenge(ResponseApdu.decode(answer))
    assert connection.transmit(bytes.fromhex("80CA00E000")).hex().endswith("9000")
    assert sw(connection, session.external_authenticate()) == "6982"


@pytest.mark.parametrize("level", [0x02, 0x10, 0x12, 0x20, 0x30, 0x31, 0x32, 0x80, 0xFF])
def test_a_level_that_protects_by_halves_is_refused(card: Card, level: int) -> None:
    connection = card.connect()
    session = Scp03(Role.HOST, KEYS, bytes(8))
    session.receive_challenge(
        ResponseApdu.decode(connection.transmit(session.initialize_update().encode()))
    )
    command = session.external_authenticate()
    assert sw(connection, replace(command, p1=level)) == "6a86"


@pytest.mark.parametrize("level", [0x00, 0x01, 0x03, 0x11, 0x13])
def test_a_level_lowered_on_the_way_is_a_failed_attempt(card: Card, level: int) -> None:
    connection = card.connect()
    session = Scp03(Role.HOST, KEYS, bytes(8))
    session.receive_challenge(
        ResponseApdu.decode(connection.transmit(session.initialize_update().encode()))
    )
    command = session.external_authenticate()
    assert sw(connection, replace(command, p1=level)) == "6300"
    with card.database.transaction() as db:
        (failures,) = db.execute(
            "SELECT failures FROM card_key_set WHERE domain = ?", (ISSUER,)
        ).fetchone()
    assert failures == 1


def test_a_card_cannot_be_talked_into_an_old_handshake(card: Card) -> None:
    connection = card.connect()
    session = Scp03(Role.HOST, KEYS, bytes(8))
    first = connection.transmit(session.initialize_update().encode())
    session.receive_challenge(ResponseApdu.decode(first))
    old = session.external_authenticate()
    assert sw(connection, old) == "9000"
    # The same host challenge again: the card's own is new, the old cryptogram is worth nothing.
    assert (
        connection.transmit(Scp03(Role.HOST, KEYS, bytes(8)).initialize_update().encode()) != first
    )
    assert sw(connection, old) == "6300"


def test_blocked_keys_stay_blocked_whoever_asks(card: Card) -> None:
    begin = bytes.fromhex("80500000080000000000000000")
    guess = bytes.fromhex("8482330010") + bytes(16)
    for _ in range(64):
        connection = card.connect()
        connection.transmit(begin)
        assert connection.transmit(guess).hex() == "6300"
    assert card.connect().transmit(begin).hex() == "6983"
    # The applet's own keys are another key set.
    client = CardClient(card.connect().transmit)
    client.select(APPLET)
    client.open_scp03(APPLET_KEYS, bytes(8))


@pytest.mark.parametrize(
    "order", [[1, 0], [0, 2], [0, 0], [255]], ids=["swapped", "skipped", "twice", "last first"]
)
def test_blocks_of_a_load_in_another_order_load_nothing(card: Card, order: list[int]) -> None:
    delete(card, APPLET, PACKAGE)
    manager = Manager(card)
    block = load_block()
    data = b"\xc4\x82" + len(block).to_bytes(2, "big") + block
    third = len(data) // 3 + 1
    pieces = [data[start : start + third] for start in range(0, len(data), third)]
    assert manager.install_for_load() == "9000"
    answers = [manager.sw(f"80E800{n:02X}", pieces[n % len(pieces)]) for n in order]
    assert answers[-1] == "6985"
    assert manager.sw("80E88001", pieces[1]) == "6985"
    assert card.find(PACKAGE) is None


@pytest.mark.parametrize(
    "tail", [b"", b"\x00", b"\xc4\x00", b"\xe2\x00"], ids=["cut", "more", "twice", "late"]
)
def test_a_load_file_that_does_not_end_where_it_says_loads_nothing(card: Card, tail: bytes) -> None:
    delete(card, APPLET, PACKAGE)
    manager = Manager(card)
    block = load_block()
    data = b"\xc4\x82" + len(block).to_bytes(2, "big") + block
    data = data + tail if tail else data[:-1]
    assert manager.install_for_load() == "9000"
    assert manager.sw("80E80000", data[:200]) == "9000"
    assert manager.sw("80E80001", data[200:400]) == "9000"
    assert manager.sw("80E88002", data[400:]) == "6A80"
    assert card.find(PACKAGE) is None


def test_a_chain_that_never_ends_is_cut_off(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.card.connection.MAX_COMMAND", 1 << 16)
    connection = card.connect()
    connection.transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET))
    link = CommandApdu(0x90, 0x10, 0, 0, bytes(30_000))
    assert [sw(connection, link) for _ in range(3)] == ["9000", "9000", "6a84"]
    assert sw(connection, ECHO) == "9000"


def test_another_command_within_a_chain_ends_it(card: Card) -> None:
    connection = card.connect()
    connection.transmit(b"\x00\xa4\x04\x00" + encode_lv(APPLET))
    assert sw(connection, CommandApdu(0x90, 0x10, 0, 0, b"first")) == "9000"
    assert sw(connection, CommandApdu(0x80, 0x11, 0, 0, b"other")) == "6883"
    assert connection.transmit(ECHO.encode()) == b"message\x90\x00"


def test_the_issuer_cannot_speak_in_an_applets_name(card: Card) -> None:
    """The issuer's keys open no applet whose domain has its own; nor does extradition help it."""
    manager = Manager(card)
    assert manager.sw("80E61000", encode_lv(ISSUER, b"", APPLET, b"", b"", b"")) == "9000"
    client = CardClient(card.connect().transmit)
    client.select(APPLET)
    client.open_scp03(KEYS, bytes(8))
    client.call("echo", ECHO)
    context = runtime_of(card).contexts[-1]
    # The runtime is told who speaks: the issuer, in whose domain the applet now is.
    assert context.authenticated == ISSUER
    assert context.instance.domain == ISSUER


def test_a_host_does_not_go_on_with_a_broken_session(card: Card) -> None:
    client = CardClient(card.connect().transmit)
    client.select(APPLET)
    session = client.open_scp03(APPLET_KEYS, bytes(8))
    session.close()
    with pytest.raises(LocalChannelError):
        client.call("echo", ECHO)


@pytest.mark.parametrize("second", ["84E40000", "84E60C00", "84F28002", "80E60C00", "84E60C01"])
def test_a_chain_protected_as_a_whole_that_is_broken_off_ends_the_session(
    card: Card, second: str
) -> None:
    """Else each new beginning would be another guess at the MAC of a single link."""
    connection, session = opened(card)
    assert sw(connection, CommandApdu(0x84, 0xE6, 0x84, 0x00, bytes(40))) == "9000"
    header = bytes.fromhex(second)
    assert connection.transmit(header + bytes((40,)) + bytes(40)).hex() == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


@pytest.mark.parametrize("second", ["84E88001", "84E80001", "84E88000", "84F28002", "80E88000"])
def test_a_load_in_links_that_proves_nothing_ends_the_session(tmp_path: Path, second: str) -> None:
    """Only a card with MACs of 16 bytes takes links of LOAD, and only the whole decides."""
    card = open_card(tmp_path, profile=S16)
    connection = card.connect()
    client = CardClient(connection.transmit, max_data=255)
    client.select(ISSUER)
    session = client.open_scp03(KEYS, bytes(16), level=SecurityLevel(0x33))
    assert sw(connection, CommandApdu(0x84, 0xE8, 0x80, 0x00, bytes(255))) == "9000"
    header = bytes.fromhex(second)
    assert connection.transmit(header + bytes((40,)) + bytes(40)).hex() == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


@pytest.mark.parametrize("size", [40, 254, 255])
def test_a_load_with_a_wrong_mac_ends_the_session_at_once(card: Card, size: int) -> None:
    connection, session = opened(card)
    assert sw(connection, CommandApdu(0x84, 0xE8, 0x80, 0x00, bytes(size))) == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


def test_a_broken_session_takes_no_links(card: Card) -> None:
    connection, session = opened(card)
    assert sw(connection, LIST) == "6982"
    assert sw(connection, CommandApdu(0x84, 0xE6, 0x84, 0x00, bytes(40))) == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


def test_a_bare_link_in_a_session_ends_it(card: Card) -> None:
    connection, session = opened(card)
    assert sw(connection, CommandApdu(0x80, 0xE6, 0x84, 0x00, bytes(40))) == "6982"
    assert sw(connection, session.wrap_command(LIST)) == "6982"


@pytest.mark.parametrize("kind", [0xB2, 0xB3, 0xB4, 0xB5, 0xB6])
def test_a_key_on_a_curve_of_the_senders_making_is_refused(card: Card, kind: int) -> None:
    """With a generator of one's own choice, anyone signs for any public point (CVE-2020-0601)."""
    honest = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = honest.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    fields = dict([(0xB0, point), *domain_parameters(0)])
    # The point itself as the generator makes 1 its private key.
    fields[kind] = point if kind == 0xB5 else bytes([fields[kind][0] ^ 1]) + fields[kind][1:]
    data = b"\x73" + b"".join(bytes((tag,)) + encode_lv(value) for tag, value in fields.items())
    manager = Manager(card)
    assert manager.sw("80D88001", data[:200]) == "9000"
    assert manager.sw("80D80001", data[200:] + b"\0") == "6A80"
    assert card.keys.find(ISSUER, 0x73, 1) is None
