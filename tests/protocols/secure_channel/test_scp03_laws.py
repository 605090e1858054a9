# SPDX-License-Identifier: Apache-2.0
"""Host and card over a fake link, each checking the other, at every level and key size."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import CardRefused, LocalChannelError, RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Option, Scp03
from protocols.secure_channel.session import LEVELS, Phase, Role, SecureSession, SecurityLevel

AID = bytes.fromhex("A000000151000000")

levels = st.sampled_from(sorted(LEVELS)).map(SecurityLevel)
key_sizes = st.sampled_from([16, 24, 32])
sizes = st.sampled_from([8, 16])


@st.composite
def key_sets(draw: st.DrawFn) -> StaticKeys:
    size = draw(key_sizes)
    return StaticKeys(*(draw(st.binary(min_size=size, max_size=size)) for _ in range(3)))


def pair(keys: StaticKeys, size: int, level: SecurityLevel) -> tuple[SecureSession, SecureSession]:
    challenge = bytes(range(size))
    host, card = Scp03(Role.HOST, keys, challenge), Scp03(Role.CARD, keys, challenge)
    assert host.initialize_update().data == challenge
    answer = card.answer(
        diversification=bytes(10),
        key_version=1,
        option=Option.S16_FULL if size == 16 else Option.S8_FULL,
        sequence=7,
        aid=AID,
    )
    host.receive_challenge(ResponseApdu(answer, 0x9000), AID)
    command = CommandApdu.decode(host.external_authenticate(level).encode())
    assert card.authenticate(command) == level
    host.confirm(ResponseApdu(b"", 0x9000))
    return host, card


commands = st.builds(
    CommandApdu,
    st.sampled_from([0x00, 0x80, 0x01, 0x83, 0x40, 0xCF]),
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 255),
    st.binary(max_size=300),
    st.none() | st.integers(1, 65536),
    st.booleans(),
)
responses = st.builds(
    ResponseApdu,
    st.binary(max_size=300),
    st.sampled_from([0x9000, 0x6283, 0x6310, 0x63C1, 0x6985, 0x6A80]),
)


@settings(deadline=None)
@given(key_sets(), sizes, levels, st.lists(st.tuples(commands, responses), max_size=5))
def test_what_one_end_wraps_the_other_unwraps(
    keys: StaticKeys,
    size: int,
    level: SecurityLevel,
    exchanges: list[tuple[CommandApdu, ResponseApdu]],
) -> None:
    host, card = pair(keys, size, level)
    for command, response in exchanges:
        wire = CommandApdu.decode(host.wrap_command(command).encode())
        plain = card.unwrap_command(wire)
        assert (plain.ins, plain.p1, plain.p2) == (command.ins, command.p1, command.p2)
        assert (plain.data, plain.le) == (command.data, command.le)
        answer = ResponseApdu.decode(card.wrap_response(response).encode())
        expected = response if response.is_answer else ResponseApdu(b"", response.sw)
        assert host.unwrap_response(answer) == expected


@settings(deadline=None)
@given(key_sets(), levels, st.binary(min_size=1, max_size=40))
def test_what_is_encrypted_does_not_show(
    keys: StaticKeys, level: SecurityLevel, text: bytes
) -> None:
    host, card = pair(keys, 8, level)
    message = text * 20  # long enough not to appear by chance
    wire = host.wrap_command(CommandApdu(0x80, 0xE2, 0, 0, message))
    assert (message in wire.data) != bool(level & SecurityLevel.C_ENC)
    card.unwrap_command(wire)
    answer = card.wrap_response(ResponseApdu(message, 0x9000))
    assert (message in answer.data) != bool(level & SecurityLevel.R_ENC)


@settings(deadline=None)
@given(key_sets(), key_sets(), sizes)
def test_a_card_with_other_keys_is_found_out(
    keys: StaticKeys, others: StaticKeys, size: int
) -> None:
    assume(keys.enc != others.enc)
    host, card = (
        Scp03(role, which, bytes(size)) for role, which in ((Role.HOST, keys), (Role.CARD, others))
    )
    option = Option.S16_FULL if size == 16 else Option.S8_FULL
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=option, sequence=1, aid=AID
    )
    if keys.mac == others.mac:
        with pytest.raises(RemoteChannelError, match="sequence counter"):
            host.receive_challenge(ResponseApdu(answer, 0x9000), AID)
    else:
        with pytest.raises(RemoteChannelError, match="does not know the keys"):
            host.receive_challenge(ResponseApdu(answer, 0x9000))
    assert host.phase is Phase.BROKEN


def test_a_host_checks_that_the_challenge_follows_from_the_counter() -> None:
    keys = StaticKeys.same(bytes(16))
    host, card = Scp03(Role.HOST, keys, bytes(8)), Scp03(Role.CARD, keys, bytes(8))
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=Option.S8_FULL, sequence=9, aid=AID
    )
    with pytest.raises(RemoteChannelError, match="sequence counter"):
        host.receive_challenge(ResponseApdu(answer, 0x9000), AID + b"\x01")


@pytest.mark.parametrize("sw", [0x6982, 0x6A88, 0x6300])
def test_a_card_that_refuses_names_the_step(sw: int) -> None:
    host = Scp03(Role.HOST, StaticKeys.same(bytes(16)), bytes(8))
    with pytest.raises(CardRefused, match=f"INITIALIZE UPDATE.*{sw:04X}"):
        host.receive_challenge(ResponseApdu(b"", sw))


def test_steps_out_of_order_are_our_own_bug_and_end_the_session() -> None:
    keys = StaticKeys.same(bytes(16))
    host = Scp03(Role.HOST, keys, bytes(8))
    with pytest.raises(LocalChannelError, match="COMMAND is not allowed when FRESH"):
        host.wrap_command(CommandApdu(0x80, 0, 0, 0))
    assert host.phase is Phase.BROKEN
    open_host, card = pair(keys, 8, SecurityLevel.FULL)
    with pytest.raises(LocalChannelError, match="not for the card"):
        card.wrap_command(CommandApdu(0x80, 0, 0, 0))
    open_host.close()
    with pytest.raises(LocalChannelError):
        open_host.wrap_command(CommandApdu(0x80, 0, 0, 0))


def test_three_keys_of_different_sizes_are_no_key_set() -> None:
    with pytest.raises(LocalChannelError):
        StaticKeys(bytes(16), bytes(24), bytes(16))


def test_an_empty_field_may_come_encrypted_or_not() -> None:
    host, card = pair(StaticKeys.same(bytes(16)), 8, SecurityLevel.FULL)
    assert card.unwrap_command(host.wrap_command(CommandApdu(0x80, 1, 0, 0))).data == b""
    host._counter += 1  # yubikit pads an empty field to a block of its own
    body = host._encrypt(b"", response=False)
    mac = host._command_mac(CommandApdu(0x84, 2, 0, 0), body, long=False)
    assert card.unwrap_command(CommandApdu(0x84, 2, 0, 0, body + mac)).data == b""
