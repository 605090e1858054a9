# SPDX-License-Identifier: Apache-2.0
"""A bill exists exactly once, whoever asks, verifies or dies, in processes of their own."""

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from applets.billing.messages import BillQuestion
from hub.inspection.views.documents import INVOICE, supplier_documents
from hub.machine.machine import AppletMachine
from tariffs.invoice import Invoice
from tests.support import crowd
from tests.support.answered_home import MONTHS, TARIFF, AnsweredHome, make_answered_home
from tests.support.postgresql import as_files, new_schema
from tests.support.soak import IS_SOAKING
from tests.support.year_home import NOW, YearHome, opened
from utility_server.copying import move_database
from utility_server.database import open_database, writing
from utility_server.errors import QuestionClosed, StoreError, VerificationFailed
from utility_server.retail.audit import check_entry
from utility_server.retail.ledger import Ledger
from utility_server.retail.questions import NEXT, OPEN, State
from utility_server.retail.utility import Utility

_OPEN_TOO = (
    'INSERT INTO bill_question SELECT :nonce, meter, begin, "end", state, changed, address,'
    " :question, answer, entry FROM bill_question ORDER BY begin LIMIT 1"
)
KILLS = 20 if IS_SOAKING else 4
ENTRIES = 500 if IS_SOAKING else 20


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> AnsweredHome:
    return make_answered_home(tmp_path_factory.mktemp("home"), machine)


@pytest.fixture
def office(tmp_path: Path, answered: AnsweredHome, database_kind: str) -> Path:
    """A copy of the utility alone: its questions are asked, and no answer has come."""
    shutil.copytree(answered.folder / "utility", tmp_path / "utility")
    if database_kind == "postgresql":  # other processes shall find it there, too
        with as_files():
            move_database(tmp_path / "utility", new_schema())
    return tmp_path / "utility"


@pytest.fixture
def utility(office: Path) -> Iterator[Utility]:
    with Utility.open(office, now=lambda: NOW) as utility:
        yield utility


@pytest.fixture
def home(
    tmp_path: Path, answered: AnsweredHome, machine: AppletMachine, database_kind: str
) -> Iterator[YearHome]:
    shutil.copytree(answered.folder, tmp_path / "home")
    if database_kind == "postgresql":
        with as_files():
            move_database(tmp_path / "home" / "utility", new_schema())
    with opened(tmp_path / "home", machine, answered.enrolment) as home:
        yield home


def kinds(utility: Utility) -> list[str]:
    """Return what the ledger has, each entry verified again."""
    entries = list(utility.ledger.entries())
    for entry in entries:
        check_entry(utility, entry)
    return [entry.kind for entry in entries]


def test_the_same_answer_ten_times_from_four_processes_is_one_entry_and_one_invoice(
    office: Path, utility: Utility, answered: AnsweredHome
) -> None:
    told = [
        one
        for count in (4, 4, 2)
        for one in crowd.at_once(crowd.verify, [(office, *answered.asked[0])] * count)
    ]
    assert [one[:2] for one in told] == [(1, 0)] * 10
    assert len({document for _, _, document in told}) == 1
    assert kinds(utility) == ["bill"]
    question = BillQuestion.decode(answered.asked[0][0])
    first = utility.verify(question, answered.asked[0][1])
    assert first.document == told[0][2]
    assert utility.questions.find(question).state is State.ENTERED


def test_two_bills_of_one_period_at_once_leave_one_that_stands(
    home: YearHome, answered: AnsweredHome
) -> None:
    """Even where two questions for it are open, which the database refuses."""
    first, answer = answered.asked[0]
    about = replace(BillQuestion.decode(first).about, nonce=bytes(16))
    second = replace(BillQuestion.decode(first), about=about)
    row = {"nonce": about.nonce, "question": second.encode()}
    with pytest.raises(StoreError, match="UNIQUE|unique"), writing(home.utility.engine) as writer:
        writer.execute(text(_OPEN_TOO), row)
    with writing(home.utility.engine) as connection:
        connection.exec_driver_sql("DROP INDEX ix_bill_question_open")
        connection.execute(text(_OPEN_TOO), row)
    asked = [(first, answer), (second.encode(), home.ask(second))]
    told = crowd.at_once(crowd.verify, [(home.utility.folder, *one) for one in asked])
    assert sorted(one[:2] for one in told) == [(1, 0), (2, 1)]
    assert kinds(home.utility) == ["bill", "bill"]


def test_who_asks_again_gets_the_same_question_until_it_has_its_bill(
    utility: Utility, answered: AnsweredHome
) -> None:
    meter, signed = answered.enrolment.meter, utility.sign(TARIFF)
    first = BillQuestion.decode(answered.asked[0][0])
    assert utility.question(meter, MONTHS[0], signed) == first
    assert utility.verify(first, answered.asked[0][1]).invoice.replaces == 0
    second = utility.question(meter, MONTHS[0], signed)
    assert second.about.nonce != first.about.nonce
    assert utility.question(meter, MONTHS[0], signed) == second
    dearer = utility.sign(replace(TARIFF, revision=2))
    third = utility.question(meter, MONTHS[0], dearer)
    assert utility.questions.find(second).state is State.WITHDRAWN
    open_ones = [one.question for one in utility.questions.waiting() if one.is_open]
    assert [one for one in open_ones if one.about.begin == first.about.begin] == [third]


def test_an_answer_that_is_lost_six_times_is_told_again_and_counts_once(home: YearHome) -> None:
    question = home.utility.question(home.meter, MONTHS[0], home.utility.sign(TARIFF))
    told = len(home.device.disclosure.releases())
    answers = {home.ask(question) for _ in range(8)}
    assert len(answers) == 1
    assert len(home.device.disclosure.releases()) == told
    assert home.utility.verify(question, answers.pop()).invoice.number == 1


def test_a_wrong_answer_is_entered_once_and_closes_its_question(
    office: Path, utility: Utility, answered: AnsweredHome
) -> None:
    question, answer = BillQuestion.decode(answered.asked[0][0]), answered.asked[1][1]
    with pytest.raises(VerificationFailed):
        utility.verify(question, answer)
    for told in crowd.at_once(crowd.verify, [(office, question.encode(), answer)] * 3):
        assert "entry 1 has refused this answer" in told
    with pytest.raises(QuestionClosed, match="entry 1 has another answer"):
        utility.verify(question, answered.asked[0][1])
    assert kinds(utility) == ["refused"]


def test_killed_at_any_moment_each_question_has_one_entry_and_one_invoice(
    office: Path, answered: AnsweredHome
) -> None:
    dice = random.Random(18)
    for _ in range(KILLS):
        worker = crowd.started(crowd.verify_all, office, answered.asked)
        time.sleep(dice.uniform(0, 0.8))
        worker.kill()
        worker.join()
    crowd.verify_all(office, answered.asked)
    require_all_billed(office, answered)


@pytest.mark.parametrize(
    "point",
    ["Questions.answered", "Appending.append", "Questions.close", "Questions.keep_invoice",
     "Utility.verify"],
)  # fmt: skip
def test_killed_at_each_point_the_next_one_goes_on(
    office: Path, answered: AnsweredHome, point: str
) -> None:
    worker = crowd.started(crowd.verify_and_die, office, answered.asked, point)
    worker.join()
    assert worker.exitcode == -9
    with Utility.open(office, now=lambda: NOW) as utility:
        question = BillQuestion.decode(answered.asked[0][0])
        state = State.ENTERED if point == "Utility.verify" else State.ANSWERED
        assert utility.questions.find(question).state is state
        if state is State.ANSWERED:
            assert utility.questions.answer(question) == answered.asked[0][1]
    crowd.verify_all(office, answered.asked)
    require_all_billed(office, answered)


def require_all_billed(office: Path, answered: AnsweredHome) -> None:
    with Utility.open(office, now=lambda: NOW) as utility:
        assert kinds(utility) == ["bill"] * len(answered.asked)
        waiting = utility.questions.waiting()
        assert [one.state for one in waiting] == [State.ENTERED] * len(answered.asked)
        invoices = [
            Invoice.verify(utility.questions.invoice(one.question).document, utility.keys.public)
            for one in waiting
        ]
        assert [one.number for one in invoices] == [1, 2, 3]
        assert [one.replaces for one in invoices] == [0, 0, 0]
        assert all(utility.questions.answer(one.question) is None for one in waiting)


def test_an_invoice_waits_until_it_is_delivered_and_the_resident_sees_it_once(
    home: YearHome, answered: AnsweredHome
) -> None:
    question = BillQuestion.decode(answered.asked[0][0])
    billed = home.utility.verify(question, answered.asked[0][1])
    assert home.utility.questions.find(question).state is State.ENTERED
    home.deliver(billed)
    home.deliver(billed)  # as after a crash between delivery and its note
    assert home.utility.questions.find(question).state is State.DELIVERED
    assert len(home.utility.questions.waiting()) == 2
    documents = home.device.documents(home.enrolment.applet)
    kept = [one for name, one in documents.items() if name.startswith(INVOICE)]
    assert set(kept) == {billed.document}
    [invoice] = supplier_documents(home.device, home.enrolment.applet).invoices
    assert invoice == billed.invoice


def test_eight_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    for attempt in range(3):
        calls = [(tmp_path / f"{attempt}.db",)] * 8
        assert crowd.at_once(crowd.open_new, calls) == [[]] * 8


def test_eight_writers_make_one_chain_without_an_error(tmp_path: Path) -> None:
    database = tmp_path / "utility.db"
    calls = [(database, writer, ENTRIES) for writer in range(8)]
    assert crowd.at_once(crowd.append, calls) == [ENTRIES] * 8
    engine = open_database(database)
    entries = list(Ledger(engine).entries())
    engine.dispose()
    assert [one.sequence for one in entries] == list(range(1, 8 * ENTRIES + 1))


@given(st.lists(st.sampled_from(State), max_size=6))
def test_a_question_moves_along_its_table_and_no_other_way(path: list[State]) -> None:
    """What is closed stays closed, and what has its bill was answered before."""
    state = State.ASKED
    for following in path:
        if following in NEXT[state]:
            assert state in OPEN or (state, following) == (State.ENTERED, State.DELIVERED)
            assert following is not State.ENTERED or state is State.ANSWERED
            state = following


def test_a_step_that_does_not_follow_is_refused(utility: Utility, answered: AnsweredHome) -> None:
    question = BillQuestion.decode(answered.asked[0][0])
    with (
        pytest.raises(StoreError, match="a question that is asked cannot become delivered"),
        writing(utility.engine) as connection,
    ):
        utility.questions.move(connection, question, State.DELIVERED)
    assert utility.questions.find(question).state is State.ASKED
