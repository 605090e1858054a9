# SPDX-License-Identifier: Apache-2.0
"""Scripts at the card: one conversation for each target, and what a script may not do."""

import os
from typing import Any

import pytest

from hub.card.line import Line
from hub.dialling import sessions
from hub.dialling.sessions import CommandSessions
from protocols.iso7816.apdu import CommandApdu, ResponseApdu
from protocols.remote_admin.http import ScriptStatus, Target
from protocols.remote_admin.scripts import CommandScript, Fault, ResponseScript
from protocols.secure_channel.host import CardClient
from tests.support.dialled_home import DialledHome

GET_STATUS = CommandApdu(0x80, 0xF2, 0x40, 0x02, b"\x4f\x00", le=256)


class ScriptedCard:
    """A card that answers from a list, and keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.sent: list[bytes] = []
        self.has_authenticated, self.wrong = False, 0
        self.lines: list[Line] = []
        self.closed = 0

    def connect(self, line: Line) -> "ScriptedCard":
        self.lines.append(line)
        return self

    def transmit(self, raw: bytes) -> bytes:
        self.sent.append(raw)
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed += 1


TARGET, OTHER = Target(bytes.fromhex("F04D544C010101")), Target(bytes.fromhex("F04D544C010102"))
FINE = b"\x90\x00"


def run(card: Any, *apdus: bytes, target: Target | None = TARGET) -> ResponseScript | ScriptStatus:
    return CommandSessions(card).run(target, CommandScript(apdus))


def test_a_script_stops_after_the_first_answer_that_is_no_success() -> None:
    apdus = [bytes((0x80, number, 0, 0)) for number in range(40)]
    card = ScriptedCard(FINE, *[FINE] * 20, b"\x6a\x88", *[FINE] * 20)
    result = run(card, *apdus)
    assert isinstance(result, ResponseScript)
    assert result.answers == (*[FINE] * 20, b"\x6a\x88")
    assert card.lines == [Line.DIALLED]


@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [(b"\x62\x83", True), (b"\x63\x10", True), (b"\x63\x00", False), (b"\x62\xf1", False),
     (b"\x69\x82", False), (b"\x93\x00", False), (b"\x91\x00", False)],
)  # fmt: skip
def test_warnings_do_not_stop_a_script_but_those_that_are_more(
    answer: bytes, goes_on: bool
) -> None:
    result = run(ScriptedCard(FINE, answer, FINE), bytes(4), bytes(4))
    assert isinstance(result, ResponseScript)
    assert len(result.answers) == 1 + goes_on


def test_the_rest_of_a_long_answer_is_fetched_on_its_channel() -> None:
    card = ScriptedCard(FINE, b"ab\x61\x02", b"cd\x61\x01", b"e" + FINE, FINE)
    result = run(card, b"\x81\x10\x00\x00", bytes(4))
    assert isinstance(result, ResponseScript)
    assert result.answers == (b"abcde" + FINE, FINE)
    assert card.sent[2][:4] == bytes.fromhex("01C00000")  # logical channel 1


def test_an_answer_beyond_the_limit_is_cut_off_and_ends_the_script(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MOST_ANSWER_BYTES", 10)
    result = run(ScriptedCard(FINE, bytes(6) + FINE, bytes(6) + FINE), *[bytes(4)] * 3)
    assert isinstance(result, ResponseScript)
    assert result.answers == (bytes(6) + FINE, b"\x62\xf1")
    endless = ScriptedCard(FINE, *[bytes(4) + b"\x61\x04"] * 5)
    result = run(endless, bytes(4))
    assert isinstance(result, ResponseScript)
    assert result.answers == (b"\x62\xf1",)


def test_a_fault_is_told_after_the_sound_commands_and_not_where_one_of_them_failed() -> None:
    faulty = CommandScript((bytes(4),), fault=Fault.UNKNOWN_TAG)
    for answer, fault in ((FINE, Fault.UNKNOWN_TAG), (b"\x6a\x88", Fault.UNKNOWN_TAG)):
        result = CommandSessions(ScriptedCard(FINE, answer)).run(TARGET, faulty)
        assert result == ResponseScript((answer,), fault=fault)
    two = CommandScript((bytes(4), bytes(4)), fault=Fault.UNKNOWN_TAG)
    result = CommandSessions(ScriptedCard(FINE, b"\x6a\x88")).run(TARGET, two)
    assert result == ResponseScript((b"\x6a\x88",))


@pytest.mark.parametrize(
    "apdu",
    ["00A4040005A000000151", "84A4040005A000000151", "01A4040000", "0070000001", "0170800000",
     "0C70800000"],
)  # fmt: skip
def test_a_script_that_would_leave_its_target_is_not_run_at_all(apdu: str) -> None:
    card = ScriptedCard()
    assert run(card, bytes(4), bytes.fromhex(apdu)) is ScriptStatus.SCRIPT_FORMAT_ERROR
    assert card.sent == []


def test_without_a_target_or_with_one_that_is_not_there_nothing_is_run() -> None:
    card = ScriptedCard(b"\x6a\x82")
    assert run(card, bytes(4), target=None) is ScriptStatus.UNKNOWN_APPLICATION
    assert card.sent == []
    assert run(card, bytes(4)) is ScriptStatus.UNKNOWN_APPLICATION
    assert card.closed == 1


def test_each_change_of_target_is_another_conversation() -> None:
    card = ScriptedCard(*[FINE] * 20)
    commands = CommandSessions(card)
    for target in (TARGET, TARGET, OTHER, TARGET):
        commands.run(target, CommandScript((bytes(4),)))
    assert len(card.lines) == 3
    assert card.closed == 2
    commands.close()
    assert card.closed == 3


def test_a_secure_channel_lives_at_one_target_and_is_gone_after_another(
    home: DialledHome,
) -> None:
    """A, A with SCP03, B, A: the channel is alive in the second script, and not in the last."""
    enrolment = home.home.enrolment
    commands = CommandSessions(home.card)
    domain = Target(enrolment.security_domain)
    issuer = Target(bytes.fromhex("A000000151000000"))

    def transmit(apdu: bytes) -> bytes:
        if apdu[1] == 0xA4:  # the agent selects
            return FINE
        result = commands.run(domain, CommandScript((apdu,)))
        assert isinstance(result, ResponseScript)
        return result.answers[0]

    client = CardClient(transmit)
    client.open_scp03(enrolment.keys, os.urandom(8), key_version=enrolment.key_version)
    assert commands.has_authenticated
    assert client.send(GET_STATUS).is_success
    assert client.send(GET_STATUS).is_success  # alive: A, A
    assert home.card.begun == 1
    told = commands.run(issuer, CommandScript((b"\x80\xca\x9f\x7f\x00",)))
    assert isinstance(told, ResponseScript | ScriptStatus)
    assert client.session is not None
    wrapped = client.session.wrap_command(GET_STATUS)
    result = commands.run(domain, CommandScript((wrapped.encode(),)))
    assert isinstance(result, ResponseScript)
    assert ResponseApdu.decode(result.answers[0]).sw == 0x6982  # gone: A, B, A
    commands.close()
