# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applets.billing.messages import (
    BILL,
    CERTIFIED_DAY,
    FORMAT,
    LAST,
    MOST_PAID,
    PAID,
    PROOF,
    REGISTER,
    STATE,
    TARIFF,
    BillAnswer,
    BillQuestion,
    encode_total,
)
from applets.common.questions import About, MessageRefused, encode_answer, entry
from applets.common.unattributed import UnattributedQuestion
from protocols.amounts import Carried
from protocols.carried import CarriedState, CarriedValue
from sml_codec import (
    CloseRes,
    GetProfileListReq,
    Message,
    OpenRes,
    PeriodEntry,
    PlainValue,
    Tree,
    decode_file,
    encode_file,
)
from tests.support.soak import examples

IMPORT = bytes.fromhex("0100010800ff")

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
    proof=b"\x05" * 700,
    registers={IMPORT: (b"first day" * 300, b"second day" * 300)},
)


def test_question_and_answer_come_back_as_they_went_out() -> None:
    assert BillQuestion.decode(QUESTION.encode()) == QUESTION
    assert BillAnswer.decode(ANSWER.encode()) == ANSWER


@given(
    st.binary(min_size=1, max_size=200),
    st.decimals(-(10**9), 10**9, places=2),
    st.dictionaries(
        st.binary(min_size=6, max_size=6),
        st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5).map(tuple),
        min_size=1,
        max_size=4,
    ),
)
def test_any_answer_comes_back(
    proof: bytes, total: Decimal, registers: dict[bytes, tuple[bytes, ...]]
) -> None:
    answer = replace(ANSWER, total=total, proof=proof, registers=registers)
    again = BillAnswer.decode(answer.encode())
    assert again == answer
    assert list(again.registers) == list(registers)  # in order


METER_STATE = CarriedState.opening(METER, bytes(16), QUESTION.about.begin)
LATER = METER_STATE.following(
    QUESTION.about.end,
    [CarriedValue(Carried("energy/0/2025-01-01", 0, 44), b"\x02" + bytes(32))],
)


@given(st.sampled_from([METER_STATE, LATER]), st.integers(0, MOST_PAID), st.booleans())
def test_a_question_with_a_state_comes_back(state: CarriedState, paid: int, last: bool) -> None:
    question = replace(QUESTION, state=state.encode(), paid=paid, is_last=last)
    again = BillQuestion.decode(question.encode())
    assert again == question
    assert again.carried == state
    assert QUESTION.carried is None


def test_a_question_says_a_state_and_what_was_paid_in_one_way() -> None:
    state = LATER.encode()
    said, paid = Tree(STATE.code, PlainValue(state)), Tree(PAID.code, PlainValue(5))
    about, document = QUESTION.about, QUESTION.document
    assert BillQuestion.of_nodes(about, document, [said, paid]).paid == 5
    for wrong in (
        [paid], [paid, said], [said, said], [said, paid, paid],
        [said, Tree(PAID.code, PlainValue(0))], [said, Tree(PAID.code, PlainValue(-1))],
        [said, Tree(PAID.code, PlainValue(MOST_PAID + 1))],
        [Tree(STATE.code, PlainValue(b""))], [Tree(STATE.code, PlainValue(state[:-1]))],
        [Tree(STATE.code, PlainValue(state + b"\0"))], [Tree(STATE.code)],
        [Tree(TARIFF.code, PlainValue(state))],
    ):  # fmt: skip
        with pytest.raises(MessageRefused):
            BillQuestion.of_nodes(about, document, wrong)
    with pytest.raises(MessageRefused, match="belongs to no state"):
        replace(QUESTION, paid=5)
    with pytest.raises(MessageRefused, match="more than its kind"):
        UnattributedQuestion.of_nodes(about, document, [said])


def with_nodes(*nodes: Tree) -> bytes:
    """Return a question's message with these nodes below the document."""
    messages = decode_file(QUESTION.encode())
    body = messages[1].body
    assert isinstance(body, GetProfileListReq)
    assert isinstance(body.details, Tree)
    changed = replace(body, details=replace(body.details, children=nodes))
    messages[1] = replace(messages[1], body=changed)
    return encode_file(messages)


def test_a_question_says_that_it_is_a_contract_s_last_in_one_way() -> None:
    said, paid, last = (
        Tree(STATE.code, PlainValue(LATER.encode())), Tree(PAID.code, PlainValue(5)),
        Tree(LAST.code, PlainValue(1)),
    )  # fmt: skip
    assert BillQuestion.decode(with_nodes(said, last)).is_last
    both = BillQuestion.decode(with_nodes(said, paid, last))
    assert (both.paid, both.is_last) == (5, True)
    for wrong in (
        [last], [last, said], [said, last, paid], [said, last, last], [paid, last],
        *([said, Tree(LAST.code, PlainValue(value))] for value in (0, 2, -1, True, b"\1")),
        [said, Tree(LAST.code)], [said, replace(last, children=(last,))],
        [said, Tree(TARIFF.code, PlainValue(1))],
    ):  # fmt: skip
        with pytest.raises(MessageRefused):
            BillQuestion.decode(with_nodes(*wrong))
    with pytest.raises(MessageRefused, match="goes on from a state"):
        replace(QUESTION, is_last=True)


def test_children_of_the_state_are_refused() -> None:
    question = replace(QUESTION, state=LATER.encode())
    messages = decode_file(question.encode())
    body = messages[1].body
    assert isinstance(body, GetProfileListReq)
    assert isinstance(body.details, Tree)
    [said] = body.details.children or ()
    inner = replace(said, children=(said,))
    changed = replace(body, details=replace(body.details, children=(inner,)))
    messages[1] = replace(messages[1], body=changed)
    with pytest.raises(MessageRefused):
        BillQuestion.decode(encode_file(messages))


def test_an_answer_to_a_question_with_a_state_says_which_one_it_leaves() -> None:
    answer = replace(ANSWER, state=LATER.digest)
    assert BillAnswer.decode(answer.encode()) == answer
    register = entry(REGISTER, IMPORT)
    tail = (entry(STATE, LATER.digest), register, DAY)
    assert BillAnswer.decode(entries(entry(FORMAT, 3), *HEAD[1:], *tail)).state == LATER.digest
    for wrong in (
        (*HEAD, *tail),
        (entry(FORMAT, 3), *HEAD[1:], register, DAY),
        (entry(FORMAT, 3), *HEAD[1:], entry(STATE, b""), register, DAY),
        (entry(FORMAT, 3), *HEAD[1:], entry(STATE, bytes(31)), register, DAY),
        (entry(FORMAT, 3), *HEAD[1:], register, entry(STATE, LATER.digest), DAY),
    ):
        with pytest.raises(MessageRefused):
            BillAnswer.decode(entries(*wrong))


def entries(*changed: PeriodEntry) -> bytes:
    return encode_answer(ANSWER.about, BILL, changed)


HEAD = (
    entry(FORMAT, 2), encode_total(ANSWER.total), entry(TARIFF, ANSWER.tariff),
    entry(PROOF, ANSWER.proof),
)  # fmt: skip
DAY = entry(CERTIFIED_DAY, b"day")


def test_an_answer_says_its_format_and_each_register_before_its_days() -> None:
    register, other = entry(REGISTER, IMPORT), entry(REGISTER, bytes(6))
    good = BillAnswer.decode(entries(*HEAD, register, DAY, other, DAY))
    assert good.registers == {IMPORT: (b"day",), bytes(6): (b"day",)}
    for wrong in (
        (*HEAD[1:], register, DAY),  # no format
        (entry(FORMAT, 1), *HEAD[1:], register, DAY),
        (entry(FORMAT, 3), *HEAD[1:], register, DAY),
        (*HEAD, DAY, register, DAY),  # of no register
        (*HEAD, register),  # no day
        (*HEAD, register, other, DAY),
        (*HEAD, register, DAY, register, DAY),  # twice
        (*HEAD, entry(REGISTER, bytes(5)), DAY),
        (*HEAD, register, DAY, entry(PROOF, b"proof")),  # one proof
        HEAD,
    ):
        with pytest.raises(MessageRefused):
            BillAnswer.decode(entries(*wrong))


@examples(75, soak=300)
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
        {"registers": {}},
        {"registers": {IMPORT: ()}},
        {"registers": {IMPORT: (b"day",) * 401}},
        {"registers": {IMPORT[:5]: (b"day",)}},
        {"registers": {bytes([n] * 6): (b"day",) for n in range(9)}},
        {"proof": b""},
        {"proof": bytes((1 << 17) + 1)},
    ],
)
def test_an_answer_is_complete_from_birth(change: dict[str, object]) -> None:
    with pytest.raises(MessageRefused):
        replace(ANSWER, **change)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "change", [{"nonce": b""}, {"begin": 5, "end": 5}, {"begin": -1}, {"end": 1 << 32}]
)
def test_a_question_is_complete_from_birth(change: dict[str, object]) -> None:
    with pytest.raises(MessageRefused):
        replace(QUESTION.about, **change)  # type: ignore[arg-type]  # wrong on purpose
