# SPDX-License-Identifier: Apache-2.0
"""The applet, natively: it relays steps to the platform and adds nothing."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from applets.aggregation.applet import AggregationApplet
from applets.aggregation.messages import (
    CLA,
    PARTS,
    Instruction,
    StepAnswer,
    StepRequest,
    called_for,
)
from applets.sdk import Command, Refusal, Response
from applets.sdk.testing import FakePlatform, Household, NativeCard

SIGNING = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
OPERATOR = SIGNING.public_key().public_bytes_raw()
NONCE = b"n" * 32
METER = b"meter"


class Rounds:
    """What the platform was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[bytes, ...]]] = []

    def __call__(self, step: str, *messages: bytes) -> bytes:
        self.asked.append((step, messages))
        return b"answer to " + step.encode()


@pytest.fixture
def rounds() -> Rounds:
    return Rounds()


@pytest.fixture
def card(rounds: Rounds) -> NativeCard:
    platform = FakePlatform(Household.constant(100, 1), aggregation=rounds)
    card = NativeCard(AggregationApplet, platform)
    assert card.install(OPERATOR).status == 0x9000
    return card


def send(card: NativeCard, step: Instruction, *parts: bytes) -> Response:
    request = StepRequest(METER, bytes(16), step, parts)
    return card.send(Command(CLA, step, data=request.encode()))


@pytest.mark.parametrize("step", list(Instruction))
def test_each_step_is_handed_to_the_platform_and_its_answer_back(
    card: NativeCard, rounds: Rounds, step: Instruction
) -> None:
    parts = tuple(b"part %d" % number for number in range(PARTS[step]))
    given = (OPERATOR, *parts) if step is Instruction.CONTRIBUTE else parts
    if step is Instruction.TELL_KEYS:
        parts, given = (NONCE + SIGNING.sign(called_for(NONCE)),), (NONCE,)
    response = send(card, step, *parts)
    assert response.status == 0x9000
    [(name, messages)] = rounds.asked
    assert messages == given
    content = b"answer to " + name.encode()
    assert StepAnswer.decode(response.data) == StepAnswer(METER, bytes(16), step, content)


def test_keys_are_told_to_nobody_but_whom_the_operator_has_call(
    card: NativeCard, rounds: Rounds
) -> None:
    genuine = SIGNING.sign(called_for(NONCE))
    for call, status in (
        (NONCE, 0x6A80),
        (NONCE + genuine + b"x", 0x6A80),
        (NONCE + bytes(64), 0x6985),
        (NONCE + SIGNING.sign(NONCE), 0x6985),
        (bytes(32) + genuine, 0x6985),
        (NONCE + Ed25519PrivateKey.generate().sign(called_for(NONCE)), 0x6985),
    ):
        assert send(card, Instruction.TELL_KEYS, call).status == status
    assert rounds.asked == []


def test_a_request_for_another_step_than_the_command_is_refused(card: NativeCard) -> None:
    request = StepRequest(METER, bytes(16), Instruction.AGREE, (b"x",))
    assert card.send(Command(CLA, Instruction.OPEN, data=request.encode())).status == 0x6A80
    assert card.send(Command(CLA, 0x10, data=request.encode())).status == 0x6D00
    assert card.send(Command(0, Instruction.AGREE, data=request.encode())).status == 0x6E00
    assert card.send(Command(CLA, Instruction.AGREE, data=b"garbage")).status == 0x6A80


def test_what_the_platform_refuses_is_refused(card: NativeCard, rounds: Rounds) -> None:
    platform = FakePlatform(Household.constant(100, 1), refuse=Refusal.NO_CONSENT)
    refusing = NativeCard(AggregationApplet, platform)
    refusing.install(OPERATOR)
    assert send(refusing, Instruction.AGREE, b"x").status == 0x6985
    ungranted = NativeCard(AggregationApplet, FakePlatform(Household.constant(100, 1)))
    ungranted.install(OPERATOR)
    assert send(ungranted, Instruction.AGREE, b"x").status == 0x6982
    assert rounds.asked == []


def test_it_is_not_installed_without_the_operators_key() -> None:
    card = NativeCard(AggregationApplet, FakePlatform(Household.constant(100, 1)))
    assert card.install(b"short").status == 0x6A80
