# SPDX-License-Identifier: Apache-2.0
"""Whoever sits on the wire between host and card, and what becomes of it: the session ends."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.secure_channel.errors import RemoteChannelError
from protocols.secure_channel.keys import StaticKeys
from protocols.secure_channel.scp03 import Option, Scp03
from protocols.secure_channel.session import Phase, Role, SecurityLevel

KEYS = StaticKeys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
COMMAND = CommandApdu(0x80, 0xE2, 0x90, 0x01, b"a command of twenty-nine bytes", le=256)
OTHER = CommandApdu(0x80, 0xE2, 0x90, 0x02, b"another command")
ANSWER = ResponseApdu(b"an answer", 0x9000)
PROTECTED = [SecurityLevel(level) for level in (0x01, 0x03, 0x11, 0x13, 0x33)]
ANSWERED = [SecurityLevel(level) for level in (0x11, 0x13, 0x33)]


def pair(level: SecurityLevel, size: int = 8) -> tuple[Scp03, Scp03]:
    host, card = Scp03(Role.HOST, KEYS, bytes(size)), Scp03(Role.CARD, KEYS, bytes(size))
    option = Option.S16_FULL if size == 16 else Option.S8_FULL
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=option, sequence=1, aid=b"12345"
    )
    host.receive_challenge(ResponseApdu(answer, 0x9000))
    card.authenticate(host.external_authenticate(level))
    return host, card


def refused(card: Scp03, command: CommandApdu) -> None:
    with pytest.raises(RemoteChannelError):
        card.unwrap_command(command)
    assert card.phase is Phase.BROKEN


def exchange(host: Scp03, card: Scp03, command: CommandApdu) -> CommandApdu:
    wire = host.wrap_command(command)
    card.unwrap_command(wire)
    host.unwrap_response(card.wrap_response(ANSWER))
    return wire


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("level", PROTECTED)
def test_a_bit_flipped_anywhere_in_a_command_ends_the_session(
    level: SecurityLevel, size: int
) -> None:
    wire = pair(level, size)[0].wrap_command(COMMAND)
    raw = wire.encode()
    length = 4 + 1 + len(wire.data)
    for place in range(1, length):
        if place == 4:
            continue  # Lc: the APDU no longer decodes
        for bit in (0x01, 0x80):
            card = pair(level, size)[1]
            bad = bytearray(raw)
            bad[place] ^= bit
            refused(card, CommandApdu.decode(bytes(bad)))


@pytest.mark.parametrize("level", ANSWERED)
def test_a_bit_flipped_anywhere_in_an_answer_ends_the_session(level: SecurityLevel) -> None:
    host, card = pair(level)
    card.unwrap_command(host.wrap_command(COMMAND))
    answer = card.wrap_response(ANSWER)
    for place in range(len(answer.data)):
        host, card = pair(level)
        card.unwrap_command(host.wrap_command(COMMAND))
        bad = bytearray(card.wrap_response(ANSWER).data)
        bad[place] ^= 0x10
        with pytest.raises(RemoteChannelError):
            host.unwrap_response(replace(answer, data=bytes(bad)))
        assert host.phase is Phase.BROKEN


@pytest.mark.parametrize("level", ANSWERED)
@pytest.mark.parametrize("sw", [0x6283, 0x6310])
def test_a_success_cannot_be_made_a_warning(level: SecurityLevel, sw: int) -> None:
    host, card = pair(level)
    card.unwrap_command(host.wrap_command(COMMAND))
    answer = card.wrap_response(ANSWER)
    with pytest.raises(RemoteChannelError):
        host.unwrap_response(replace(answer, sw=sw))


@pytest.mark.parametrize("level", PROTECTED)
def test_a_replayed_command_ends_the_session(level: SecurityLevel) -> None:
    host, card = pair(level)
    wire = exchange(host, card, COMMAND)
    refused(card, wire)


@pytest.mark.parametrize("level", PROTECTED)
def test_commands_in_another_order_end_the_session(level: SecurityLevel) -> None:
    host, card = pair(level)
    host.wrap_command(COMMAND)
    refused(card, host.wrap_command(OTHER))


@pytest.mark.parametrize("level", ANSWERED)
def test_an_answer_replayed_for_the_next_command_ends_the_session(level: SecurityLevel) -> None:
    host, card = pair(level)
    card.unwrap_command(host.wrap_command(COMMAND))
    old = card.wrap_response(ANSWER)
    host.unwrap_response(old)
    card.unwrap_command(host.wrap_command(COMMAND))
    with pytest.raises(RemoteChannelError):
        host.unwrap_response(old)


@pytest.mark.parametrize("level", ANSWERED)
def test_a_command_reflected_as_its_answer_ends_the_session(level: SecurityLevel) -> None:
    host, _ = pair(level)
    wire = host.wrap_command(COMMAND)
    with pytest.raises(RemoteChannelError):
        host.unwrap_response(ResponseApdu(wire.data, 0x9000))


@pytest.mark.parametrize("level", PROTECTED)
def test_a_command_cut_short_ends_the_session(level: SecurityLevel) -> None:
    whole = pair(level)[0].wrap_command(COMMAND)
    for size in range(len(whole.data)):
        card = pair(level)[1]
        refused(card, replace(whole, data=whole.data[:size]))


@pytest.mark.parametrize("level", ANSWERED)
def test_an_answer_cut_short_ends_the_session(level: SecurityLevel) -> None:
    host, card = pair(level)
    card.unwrap_command(host.wrap_command(COMMAND))
    size = len(card.wrap_response(ANSWER).data)
    for cut in range(size):
        host, card = pair(level)
        card.unwrap_command(host.wrap_command(COMMAND))
        answer = card.wrap_response(ANSWER)
        with pytest.raises(RemoteChannelError):
            host.unwrap_response(replace(answer, data=answer.data[:cut]))


def unprotected(command: CommandApdu) -> CommandApdu:
    return replace(command, cla=command.cla & ~0x04)


def without_mac(command: CommandApdu) -> CommandApdu:
    return replace(command, cla=command.cla & ~0x04, data=command.data[:-8])


@pytest.mark.parametrize("level", PROTECTED)
@pytest.mark.parametrize("strip", [unprotected, without_mac])
def test_taking_the_protection_off_ends_the_session(
    level: SecurityLevel, strip: Callable[[CommandApdu], CommandApdu]
) -> None:
    host, card = pair(level)
    refused(card, strip(host.wrap_command(COMMAND)))


@pytest.mark.parametrize("asked", [0x33, 0x13, 0x03])
@pytest.mark.parametrize("made", [0x00, 0x01, 0x03, 0x11, 0x13])
def test_asking_for_a_lower_level_on_the_way_is_noticed(asked: int, made: int) -> None:
    host, card = Scp03(Role.HOST, KEYS, bytes(8)), Scp03(Role.CARD, KEYS, bytes(8))
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=Option.S8_FULL, sequence=1, aid=b"12345"
    )
    host.receive_challenge(ResponseApdu(answer, 0x9000))
    command = host.external_authenticate(SecurityLevel(asked))
    if asked == made:
        return
    with pytest.raises(RemoteChannelError):
        card.authenticate(replace(command, p1=made))
    assert card.phase is Phase.BROKEN


@pytest.mark.parametrize("option", [Option.R_MAC, Option.S8_FULL & ~Option.R_ENC, Option(0)])
def test_a_card_that_is_made_to_offer_less_is_noticed(option: Option) -> None:
    host, card = Scp03(Role.HOST, KEYS, bytes(8)), Scp03(Role.CARD, KEYS, bytes(8))
    answer = card.answer(
        diversification=bytes(10), key_version=1, option=Option.S8_FULL, sequence=1, aid=b"12345"
    )
    # i itself is not authenticated, the lengths that follow from it are; the level is the host's.
    bad = answer[:12] + bytes((option,)) + answer[13:]
    with pytest.raises(RemoteChannelError):
        host.receive_challenge(ResponseApdu(bad, 0x9000))
        host.external_authenticate(SecurityLevel.FULL)


def test_a_broken_session_stays_broken() -> None:
    host, card = pair(SecurityLevel.FULL)
    good = host.wrap_command(COMMAND)
    refused(card, replace(good, p1=0))
    with pytest.raises(Exception, match="not allowed when BROKEN"):
        card.unwrap_command(good)


def test_an_error_with_data_is_no_error_of_the_card() -> None:
    host, card = pair(SecurityLevel.FULL)
    card.unwrap_command(host.wrap_command(COMMAND))
    with pytest.raises(RemoteChannelError, match="carries data"):
        host.unwrap_response(ResponseApdu(b"\x01", 0x6985))


def test_padding_of_zeros_alone_is_refused() -> None:
    host, card = pair(SecurityLevel.FULL)
    host._counter += 1
    iv_block = host._iv(response=False)
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    encryptor = Cipher(AES(host._keys.enc), CBC(iv_block)).encryptor()
    body = encryptor.update(bytes(16))
    mac = host._command_mac(CommandApdu(0x84, 2, 0, 0), body, long=False)
    with pytest.raises(RemoteChannelError, match="padding"):
        card.unwrap_command(CommandApdu(0x84, 2, 0, 0, body + mac))
