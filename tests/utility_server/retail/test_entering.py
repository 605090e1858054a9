# SPDX-License-Identifier: Apache-2.0
"""Many answers become bills at once, and each becomes what it would have become alone."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from protocols.metrology import Period
from tests.support.answered_crowd import WEEK, AnsweringHome, answered_crowd
from tests.support.answered_home import TARIFF
from utility_server.errors import StoreError, VerificationFailed
from utility_server.retail import entering
from utility_server.retail.audit import check_entry
from utility_server.retail.entering import Became, enter_answers
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

NEXT_WEEK = Period.parse("2025-03-10..2025-03-16")


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility", now=lambda: 1_750_000_000) as utility:
        yield utility


def test_each_answer_of_a_batch_becomes_what_it_is_by_itself(utility: Utility) -> None:
    crowd = answered_crowd(utility, 8, wrong=(3, 6))
    utility.questions.withdraw(crowd.asked[5][0])
    nonces = [*crowd.nonces, crowd.nonces[0], bytes(16)]
    came = enter_answers(utility, nonces)
    assert [one.nonce for one in came] == [
        nonce for place, nonce in enumerate(crowd.nonces) if place != 5
    ]
    assert [one.became for one in came] == [
        Became.REFUSED if place in (3, 6) else Became.ENTERED
        for place in range(8)
        if place != 5
    ]  # fmt: skip
    assert [one.entry for one in came] == list(range(1, 8))
    assert [one.nonce for one in came if one.why] == [crowd.nonces[3], crowd.nonces[6]]
    entries = list(utility.ledger.entries())
    for entry in entries:
        check_entry(utility, entry)
    assert [entry.kind for entry in entries].count("refused") == 2
    for question, answer in crowd.asked:
        kept = utility.questions.find(question)
        if kept.state is State.ENTERED:
            assert utility.verify(question, answer).entry.sequence == kept.entry
        elif kept.state is State.REFUSED:
            with pytest.raises(VerificationFailed, match="has refused this answer"):
                utility.verify(question, answer)
    assert enter_answers(utility, nonces) == []
    assert len(list(utility.ledger.entries())) == 7


def test_bills_of_one_meter_in_one_batch_follow_each_other(utility: Utility) -> None:
    both = Period(WEEK.first, NEXT_WEEK.last)
    home = AnsweringHome.make(1, both)
    utility.customers.enrol(home.enrolment.encode())
    signed, nonces = utility.sign(TARIFF), []
    for period in (WEEK, NEXT_WEEK):
        question = utility.question(home.meter, period, signed)
        utility.questions.answered(question, home.answer(question))
        nonces.append(question.about.nonce)
    question = utility.question(home.meter, both, signed)  # of days that the others bill
    utility.questions.answered(question, home.answer(question))
    came = enter_answers(utility, [*nonces, question.about.nonce])
    assert [one.became for one in came] == ["entered", "entered", "withdrawn"]
    assert utility.questions.find(question).state is State.WITHDRAWN
    assert [len(utility.ledger.bills(home.meter)), came[2].entry] == [2, 0]


def test_a_batch_that_fails_leaves_nothing_of_itself(utility: Utility) -> None:
    crowd = answered_crowd(utility, 4)
    real, calls = utility.questions.__class__.keep_invoice, []

    def failing(*arguments: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        real(*arguments)  # type: ignore[arg-type]

    with (
        patch.object(utility.questions.__class__, "keep_invoice", failing),
        pytest.raises(StoreError, match="the disk is full"),
    ):
        enter_answers(utility, crowd.nonces)
    assert list(utility.ledger.entries()) == []
    assert all(utility.questions.find(one).state is State.ANSWERED for one, _ in crowd.asked)
    assert [one.entry for one in enter_answers(utility, crowd.nonces)] == [1, 2, 3, 4]


def test_another_answer_that_came_while_one_was_verified_is_not_taken_for_it(
    utility: Utility,
) -> None:
    crowd = answered_crowd(utility, 2)
    question, answer = crowd.asked[0]
    home = crowd.homes[0]
    checked = entering.check_kept(utility, crowd.nonces)
    utility.questions.answered(question, home.answer(question))  # right, and other bytes
    assert utility.questions.answer(question) != answer
    with patch.object(entering, "check_kept", lambda *_: checked):
        assert [one.meter for one in enter_answers(utility, crowd.nonces)] == [
            crowd.homes[1].meter
        ]  # fmt: skip
    assert utility.questions.find(question).state is State.ANSWERED
    assert [one.meter for one in enter_answers(utility, crowd.nonces)] == [home.meter]


def test_wrong_answers_are_found_wherever_they_are(utility: Utility) -> None:
    dice = random.Random(5)
    for first in (0, 20):
        wrong = sorted(dice.sample(range(10), dice.choice((1, 3))))
        crowd = answered_crowd(utility, 10, wrong=wrong, first=first)
        came = enter_answers(utility, crowd.nonces)
        assert [p for p, one in enumerate(came) if one.became is Became.REFUSED] == wrong


def test_a_kept_answer_that_was_damaged_is_no_verdict_on_its_hub(utility: Utility) -> None:
    crowd = answered_crowd(utility, 1)
    kept = utility.questions.find(crowd.asked[0][0])
    with (
        patch.object(
            utility.questions.__class__, "kept_answers",
            lambda *_: [(replace(kept), crowd.asked[0][1] + b"\\0")],
        ),
        pytest.raises(StoreError, match="the kept answer is damaged"),
    ):  # fmt: skip
        enter_answers(utility, crowd.nonces)
    assert list(utility.ledger.entries()) == []
