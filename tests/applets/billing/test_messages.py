# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from applets.billing.messages import BillAnswer, BillQuestion, Proved
from applets.common.questions import About, MessageRefused
from sml_codec import CloseRes, Message, OpenRes, decode_file, encode_file

METER = b"\x0a\x01MTL\0\0\0\0\1"
QUESTION = BillQuestion(
    About(METER, 1_740_783_600, 1_743_458_400, bytes(range(16))), b"signed tariff" * 60
)
ANSWER = BillAnswer(
    meter=METER,
    begin=QUESTION.about.begin,
    end=QUESTION.about.end,
    nonce=QUESTION.about.nonce,
    total=Decimal("127.46"),
    tariff=b"\x07" * 32,
    drawn=Proved(b"\x05" * 96, (b"first day" * 300, b"second day" * 300)),
)


def test_question_and_answer_come_back_as_they_went_out() -> None:
    assert BillQuestion.decode(QUESTION.encode()) == QUESTION
    assert BillAnswer.decode(ANSWER.encode()) == ANSWER


@given(
    st.binary(min_size=1, max_size=200),
    st.decimals(-(10**9), 10**9, places=2),
    st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5),
)
def test_any_answer_comes_back(proof: bytes, total: Decimal, days: list[bytes]) -> None:
    answer = replace(ANSWER, total=total, drawn=Proved(proof, tuple(days)))
    assert BillAnswer.decode(answer.encode()) == answer


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([QUESTION, ANSWER]), st.integers(0, 1 << 16), st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_changes_what_is_said(
    message: BillQuestion | BillAnswer, place: int, bit: int
) -> None:
    data = bytearray(message.encode())
    data[place % len(data)] ^= 1 << bit
    try:
        other = type(message).decode(bytes(data))
    except MessageRefused:
        return
    assert other != message
    assert other.encode() == bytes(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for kind in (BillQuestion, BillAnswer):
        with pytest.raises(MessageRefused):
            kind.decode(data)


@pytest.mark.parametrize("cut", [1, 2, 50, 5000])
def test_what_is_cut_short_or_goes_on_is_refused(cut: int) -> None:
    data = ANSWER.encode()
    for wrong in (data[:-cut], data[cut:], data + data[-cut:]):
        with pytest.raises(MessageRefused):
            BillAnswer.decode(wrong)


def test_other_messages_and_missing_ones_are_refused() -> None:
    messages = decode_file(ANSWER.encode())
    for wrong in ([], messages[:1], messages[1:], [messages[0], messages[2]], messages[::-1]):
        with pytest.raises(MessageRefused):
            BillAnswer.decode(encode_file(wrong))
    plain = OpenRes(request_file_id=bytes(16), server_id=METER), CloseRes()
    with pytest.raises(MessageRefused):
        BillAnswer.decode(encode_file([Message(transaction_id=b"t", body=body) for body in plain]))


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": bytes(15)},
        {"tariff": b""},
        {"drawn": None},
    ],
)
def test_an_answer_is_complete_from_birth(change: dict[str, object]) -> None:
    with pytest.raises(MessageRefused):
        replace(ANSWER, **change)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("proof", "days"),
    [(b"", 1), (bytes((1 << 17) + 1), 1), (b"proof", 0), (b"proof", 401)],
)
def test_what_is_proved_is_complete_from_birth(proof: bytes, days: int) -> None:
    with pytest.raises(MessageRefused):
        Proved(proof, (b"day",) * days)


@pytest.mark.parametrize(
    "change", [{"nonce": b""}, {"begin": 5, "end": 5}, {"begin": -1}, {"end": 1 << 32}]
)
def test_a_question_is_complete_from_birth(change: dict[str, object]) -> None:
    with pytest.raises(MessageRefused):
        replace(QUESTION.about, **change)  # type: ignore[arg-type]  # wrong on purpose
