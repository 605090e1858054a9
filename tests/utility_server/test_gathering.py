# SPDX-License-Identifier: Apache-2.0
"""Answers that come at the same time are kept together, each with its own outcome."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from applets.billing.messages import BillQuestion
from applets.common.questions import About
from tests.support.waiting import PATIENCE
from utility_server.errors import AnswerTooLong, QuestionClosed, StoreBusy, UtilityError
from utility_server.gateway.gathering import MOST_TOGETHER, Gathering
from utility_server.retail.questions import MOST_ANSWER_BYTES, KeptQuestion, State
from utility_server.retail.utility import Utility


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility") as made:
        yield made


def question(number: int) -> BillQuestion:
    meter = b"\x0a\x01MTL" + number.to_bytes(5, "big")
    return BillQuestion(About(meter, 0, 3600, number.to_bytes(16, "big")), b"tariff")


def test_each_answer_has_the_outcome_that_it_has_alone(utility: Utility) -> None:
    questions = utility.questions
    asked = [question(number) for number in range(1, 6)]
    for one in asked:
        questions.ask(one)
    questions.answered(asked[1], b"before")
    questions.withdraw(asked[3])
    strange = BillQuestion(asked[2].about, b"another tariff")
    told = questions.answered_together(
        [
            (asked[0], b"first"), (asked[1], b"after"), (strange, b"?"), (asked[3], b"late"),
            (asked[4], bytes(MOST_ANSWER_BYTES + 1)), (asked[2], b"one"), (asked[2], b"two"),
            (asked[0], b"first"), (question(9), b"never asked"),
        ]
    )  # fmt: skip
    kinds = [QuestionClosed if isinstance(one, QuestionClosed) else type(one) for one in told]
    assert kinds == [
        KeptQuestion, KeptQuestion, QuestionClosed, QuestionClosed, AnswerTooLong, KeptQuestion,
        KeptQuestion, KeptQuestion, QuestionClosed,
    ]  # fmt: skip
    assert [questions.answer(one) for one in asked] == [b"first", b"after", b"two", None, None]
    assert [questions.find(one).state for one in asked] == [
        State.ANSWERED, State.ANSWERED, State.ANSWERED, State.WITHDRAWN, State.ASKED,
    ]  # fmt: skip


def test_what_comes_while_one_is_written_is_written_together(utility: Utility) -> None:
    asked = [question(number) for number in range(1, MOST_TOGETHER + 10)]
    for one in asked:
        utility.questions.ask(one)
    sizes: list[int] = []
    goes_on = threading.Event()

    def keep_all(
        answers: Sequence[tuple[BillQuestion, bytes]],
    ) -> Sequence[KeptQuestion | UtilityError]:
        sizes.append(len(answers))
        assert goes_on.wait(PATIENCE)
        return utility.questions.answered_together(answers)

    gathering = Gathering(keep_all)
    with ThreadPoolExecutor(len(asked)) as threads:
        came = [threads.submit(gathering.keep, one, one.about.nonce) for one in asked]
        while len(gathering._waiting) < len(asked) - 1:
            threading.Event().wait(0.005)
        goes_on.set()
        assert {one.result(PATIENCE).state for one in came} == {State.ANSWERED}
    assert sizes == [1, MOST_TOGETHER, len(asked) - 1 - MOST_TOGETHER]
    assert all(utility.questions.answer(one) == one.about.nonce for one in asked)


def test_an_error_is_told_to_each_and_the_next_write_goes_on(utility: Utility) -> None:
    asked = question(1)
    utility.questions.ask(asked)
    faults: list[Any] = [StoreBusy("held"), ZeroDivisionError()]

    def keep_all(
        answers: Sequence[tuple[BillQuestion, bytes]],
    ) -> Sequence[KeptQuestion | UtilityError]:
        if faults:
            raise faults.pop(0)
        return utility.questions.answered_together(answers)

    gathering = Gathering(keep_all)
    with pytest.raises(StoreBusy):
        gathering.keep(asked, b"answer")
    with pytest.raises(ZeroDivisionError):
        gathering.keep(asked, b"answer")
    assert gathering.keep(asked, b"answer").state is State.ANSWERED
    with pytest.raises(QuestionClosed):
        gathering.keep(question(2), b"answer")
