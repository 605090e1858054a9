# SPDX-License-Identifier: Apache-2.0
"""The steps' SML files: strict, and each with one encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.aggregation.messages import (
    PARTS,
    Instruction,
    MessageRefused,
    StepAnswer,
    StepRequest,
)
from applets.aggregation.statement import AnswerRefused, content_of, member_of
from protocols.aggregation.errors import MalformedMessage
from protocols.aggregation.members import MeterCertificate
from tests.support.aggregation import NONCE, homes

METER = b"meter 00000"
NONCES = st.binary(min_size=16, max_size=16)
STEPS = st.sampled_from(list(Instruction))


@st.composite
def requests(draw: st.DrawFn) -> StepRequest:
    step = draw(STEPS)
    count = PARTS[step]
    parts = draw(st.lists(st.binary(min_size=1, max_size=300), min_size=count, max_size=count))
    return StepRequest(METER, draw(NONCES), step, tuple(parts))


@given(requests())
def test_requests_come_back(request: StepRequest) -> None:
    assert StepRequest.decode(request.encode()) == request


@given(NONCES, STEPS, st.binary(min_size=1, max_size=300))
def test_answers_come_back(nonce: bytes, step: Instruction, content: bytes) -> None:
    answer = StepAnswer(METER, nonce, step, content)
    assert StepAnswer.decode(answer.encode()) == answer


def test_large_parts_fit() -> None:
    request = StepRequest(METER, bytes(16), Instruction.CONTRIBUTE, (b"x" * 60_000,))
    assert StepRequest.decode(request.encode()) == request


@given(st.binary(max_size=80))
def test_other_bytes_are_refused(data: bytes) -> None:
    for kind in (StepRequest, StepAnswer):
        with pytest.raises(MessageRefused):
            kind.decode(data)


def test_requests_and_answers_are_not_taken_for_each_other() -> None:
    request = StepRequest(METER, bytes(16), Instruction.AGREE, (b"x",))
    answer = StepAnswer(METER, bytes(16), Instruction.AGREE, b"x")
    with pytest.raises(MessageRefused):
        StepAnswer.decode(request.encode())
    with pytest.raises(MessageRefused):
        StepRequest.decode(answer.encode())


@pytest.mark.parametrize(
    ("step", "parts"),
    [
        (Instruction.AGREE, ()),
        (Instruction.AGREE, (b"",)),
        (Instruction.AGREE, (b"a", b"b")),
        (Instruction.OPEN, (b"a",)),
    ],
)
def test_a_step_has_its_parts(step: Instruction, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(MessageRefused):
        StepRequest(METER, bytes(16), step, parts)


def test_every_changed_byte_is_refused_or_read_as_another_request() -> None:
    request = StepRequest(METER, bytes(16), Instruction.OPEN, (b"contributors", b"signatures"))
    data = request.encode()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            read = StepRequest.decode(changed)
        except MessageRefused:
            continue
        assert read != request
        assert read.encode() == changed


def test_an_answer_to_another_request_is_refused() -> None:
    request = StepRequest(METER, bytes(16), Instruction.AGREE, (b"x",))
    honest = StepAnswer(METER, bytes(16), Instruction.AGREE, b"said")
    assert content_of(request, honest.encode()) == b"said"
    for answer in (
        StepAnswer(b"another", bytes(16), Instruction.AGREE, b"said"),
        StepAnswer(METER, b"x" * 16, Instruction.AGREE, b"said"),
        StepAnswer(METER, bytes(16), Instruction.OPEN, b"said"),
    ):
        with pytest.raises(AnswerRefused):
            content_of(request, answer.encode())


def test_keys_make_a_member_of_the_meter_that_was_asked_and_no_other() -> None:
    home, other = homes(2, 24)
    request = StepRequest(home.meter, bytes(16), Instruction.TELL_KEYS, (NONCE + bytes(64),))

    def answer(content: bytes) -> bytes:
        return StepAnswer(home.meter, bytes(16), Instruction.TELL_KEYS, content).encode()

    honest = home.member()
    member = member_of(honest.certificate, request, answer(honest.keys.encode()))
    assert member == honest
    for content, refusal in (
        (other.member().keys.encode(), AnswerRefused),
        (home.member(bytes(32)).keys.encode(), AnswerRefused),
        (b"no keys", MalformedMessage),
    ):
        with pytest.raises(refusal):
            member_of(honest.certificate, request, answer(content))
    with pytest.raises(AnswerRefused, match="has not signed"):
        member_of(
            MeterCertificate(home.region, home.meter, bytes(32)).signed(bytes(32)),
            request,
            answer(honest.keys.encode()),
        )
