# SPDX-License-Identifier: Apache-2.0
"""Answers that nobody waits for: to questions that were never asked, or not any more."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from applets.billing.messages import BillQuestion
from hub.machine.machine import AppletMachine
from tests.support.answered_home import MONTHS, TARIFF, AnsweredHome, make_answered_home
from tests.support.year_home import NOW, YearHome, opened
from utility_server.database import (
    answer_table,
    evidence_table,
    invoice_table,
    ledger_table,
    reading,
    writing,
)
from utility_server.errors import QuestionClosed, StoreError, VerificationFailed
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> AnsweredHome:
    return make_answered_home(tmp_path_factory.mktemp("home"), machine)


@pytest.fixture
def home(tmp_path: Path, answered: AnsweredHome, machine: AppletMachine) -> Iterator[YearHome]:
    shutil.copytree(answered.folder, tmp_path / "home")
    with opened(tmp_path / "home", machine, answered.enrolment) as home:
        yield home


def rows(utility: Utility) -> list[int]:
    """Return how many entries, evidence, kept answers and invoices there are."""
    tables = ledger_table, evidence_table, answer_table, invoice_table
    with reading(utility.engine) as connection:
        return [connection.execute(select(func.count()).select_from(one)).scalar_one()
                for one in tables]  # fmt: skip


def nothing_comes_of(utility: Utility, question: BillQuestion, answer: bytes, why: str) -> None:
    """Bring an answer: it is refused as closed, and nothing at all is written."""
    before = rows(utility)
    with pytest.raises(QuestionClosed, match=why) as refused:
        utility.verify(question, answer)
    assert refused.value.exit_code == 4
    assert rows(utility) == before


def test_an_answer_to_a_question_that_was_never_asked_makes_no_bill(home: YearHome) -> None:
    asked = home.utility.question(home.meter, MONTHS[0], home.utility.sign(TARIFF))
    own = replace(asked, about=replace(asked.about, nonce=bytes(16)))
    answer = home.ask(own)  # a right one: the hub cannot know who has made the question
    nothing_comes_of(home.utility, own, answer, "has asked no such question")


def test_an_answer_to_another_utilitys_question_makes_no_bill(
    home: YearHome, answered: AnsweredHome, tmp_path: Path
) -> None:
    """Even one with the same keys and customers, as from a copy of the folder."""
    shutil.copytree(answered.folder / "utility", tmp_path / "other")
    with Utility.open(tmp_path / "other", now=lambda: NOW) as other:
        asked = other.question(home.meter, MONTHS[0], other.sign(TARIFF))
        other.questions.withdraw(asked)
        question = other.question(home.meter, MONTHS[0], other.sign(TARIFF))
        answer = home.ask(question)
        nothing_comes_of(home.utility, question, answer, "has asked no such question")
        assert other.verify(question, answer).invoice.number == 1


def test_a_question_that_was_changed_since_is_none_that_was_asked(
    home: YearHome, answered: AnsweredHome
) -> None:
    question = BillQuestion.decode(answered.asked[0][0])
    cheaper = home.utility.sign(replace(TARIFF, revision=2))
    changed = replace(question, document=cheaper)
    nothing_comes_of(home.utility, changed, home.ask(changed), "has asked no such question")


def test_an_answer_after_its_question_was_withdrawn_makes_no_bill(
    home: YearHome, answered: AnsweredHome
) -> None:
    question, answer = BillQuestion.decode(answered.asked[0][0]), answered.asked[0][1]
    home.utility.questions.withdraw(question)
    nothing_comes_of(home.utility, question, answer, "the question was withdrawn")
    kept, answer = BillQuestion.decode(answered.asked[1][0]), answered.asked[1][1]
    home.utility.questions.answered(kept, answer)  # here the answer was faster
    home.utility.questions.withdraw(kept)
    nothing_comes_of(home.utility, kept, answer, "the question was withdrawn")
    assert home.utility.questions.answer(kept) is None


def test_an_answer_to_one_question_is_none_to_another(
    home: YearHome, answered: AnsweredHome
) -> None:
    question = BillQuestion.decode(answered.asked[0][0])
    with pytest.raises(VerificationFailed, match="message"):
        home.utility.verify(question, answered.asked[1][1])
    nothing_comes_of(home.utility, question, answered.asked[0][1], "entry 1 has another answer")
    assert home.utility.questions.find(question).state is State.REFUSED


def test_a_question_that_is_put_back_is_not_billed_twice(
    home: YearHome, answered: AnsweredHome
) -> None:
    """Whoever rewrites how far it has come finds that its invoice is there."""
    question, answer = BillQuestion.decode(answered.asked[0][0]), answered.asked[0][1]
    home.utility.verify(question, answer)
    with writing(home.utility.engine) as connection:
        connection.exec_driver_sql("UPDATE bill_question SET state = 'answered', entry = 0")
    before = rows(home.utility)
    with pytest.raises(StoreError, match="UNIQUE"):
        home.utility.verify(question, answer)
    assert rows(home.utility) == before
