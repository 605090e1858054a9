# SPDX-License-Identifier: Apache-2.0
"""Answers entered together leave the very rows that they leave one by one, by fewer statements."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import event, select

from protocols.metrology import Period
from tests.support.answered_crowd import WEEK, AnsweringHome, answered_crowd, tampered
from tests.support.answered_home import TARIFF
from utility_server.copying import back_up
from utility_server.database import UTILITY, reading
from utility_server.errors import AlreadyBilled, CannotVerify, StoreError, VerificationFailed
from utility_server.retail.entering import Became, enter_answers
from utility_server.retail.ledger import Appending
from utility_server.retail.utility import Utility

pytestmark = pytest.mark.one_database

NOW = 1_750_000_000
NEXT_WEEK = Period.parse("2025-03-10..2025-03-16")
TWO_WEEKS = Period(WEEK.first, NEXT_WEEK.last)


def opened(folder: Path) -> Utility:
    return Utility.open(folder, now=lambda: NOW)


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility", now=lambda: NOW) as utility:
        yield utility


def everything(utility: Utility) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables."""
    with reading(utility.engine) as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in UTILITY.metadata.sorted_tables
        }


def ask(utility: Utility, home: AnsweringHome, period: Period, *, is_wrong: bool = False) -> bytes:
    """Ask a home, keep its answer, and return the question's nonce."""
    question = utility.question(home.meter, period, utility.sign(TARIFF))
    answer = home.answer(question)
    utility.questions.answered(question, tampered(answer) if is_wrong else answer)
    return question.about.nonce


def test_a_batch_leaves_what_its_answers_leave_one_by_one(utility: Utility, tmp_path: Path) -> None:
    homes = [AnsweringHome.make(number, TWO_WEEKS) for number in range(3)]
    for home in homes:
        utility.customers.enrol(home.enrolment.encode())
    first, second, third = homes
    nonces = [
        ask(utility, second, NEXT_WEEK),  # the later one first: its days touch the earlier one's
        ask(utility, first, WEEK),
        ask(utility, second, WEEK),
        ask(utility, third, WEEK, is_wrong=True),
        ask(utility, first, NEXT_WEEK),
        ask(utility, first, TWO_WEEKS),  # of days that are billed by then
        ask(utility, third, TWO_WEEKS),
    ]
    for copy in ("alone", "once"):
        back_up(tmp_path / "utility", tmp_path / copy)
    with opened(tmp_path / "alone") as alone, opened(tmp_path / "once") as once:
        kept = alone.questions.kept_answers(nonces)
        for question, answer in kept:
            try:
                alone.verify(question.question, answer)
            except (VerificationFailed, CannotVerify, AlreadyBilled):
                continue
        came = enter_answers(once, nonces)
        assert [one.became for one in came] == [
            Became.ENTERED, Became.ENTERED, Became.ENTERED, Became.REFUSED, Became.ENTERED,
            Became.WITHDRAWN, Became.ENTERED,
        ]  # fmt: skip
        assert everything(once) == everything(alone)
        assert [row[0] for row in everything(once)["certified_span"]] == sorted(
            [first.meter, first.meter, second.meter, second.meter, third.meter]
        )


def test_more_answers_take_no_more_statements(utility: Utility) -> None:
    counts = []
    for answers, number in ((2, 0), (5, 10)):
        crowd = answered_crowd(utility, answers, first=number)
        statements = list[str]()

        def count(*said: Any, statements: list[str] = statements) -> None:
            statements.append(said[2])

        event.listen(utility.engine, "before_cursor_execute", count)
        assert len(enter_answers(utility, crowd.nonces)) == answers
        event.remove(utility.engine, "before_cursor_execute", count)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_what_fails_after_an_entry_takes_the_entry_back_and_no_other(utility: Utility) -> None:
    """No savepoint is needed: nothing of an entry is in the database before all of them are."""
    crowd = answered_crowd(utility, 3)
    real, meters = Appending.append, list[bytes]()

    def failing(self: Appending, time: int, kind: str, meter: bytes, *more: Any) -> Any:
        entry = real(self, time, kind, meter, *more)
        meters.append(meter)
        if meters == [one.meter for one in crowd.homes[:2]]:
            raise VerificationFailed("chain", "made up")
        return entry

    with patch.object(Appending, "append", failing):
        came = enter_answers(utility, crowd.nonces)
    assert [(one.became, one.entry) for one in came] == [
        (Became.ENTERED, 1), (Became.REFUSED, 2), (Became.ENTERED, 3)
    ]  # fmt: skip
    assert [one.kind for one in utility.ledger.entries()] == ["bill", "refused", "bill"]
    rows = everything(utility)
    assert [row[0] for row in rows["certified_span"]] == [
        crowd.homes[0].meter, crowd.homes[2].meter
    ]  # fmt: skip
    assert [row[0] for row in rows["invoice"]] == [1, 3]


def test_a_question_that_changed_under_the_lock_undoes_all(utility: Utility) -> None:
    """Which takes a writer without locks; nothing is entered over what it has written."""
    crowd = answered_crowd(utility, 2)
    real = Appending.write

    def late(self: Appending, connection: Any) -> None:
        table = UTILITY.metadata.tables["bill_question"]
        late_one = table.c.nonce == crowd.nonces[1]
        connection.execute(table.update().where(late_one).values(state="withdrawn"))
        real(self, connection)

    with (
        patch.object(Appending, "write", late),
        pytest.raises(StoreError, match="bill_question: a row was changed by another process"),
    ):
        enter_answers(utility, crowd.nonces)
    assert list(utility.ledger.entries()) == []
    assert len(enter_answers(utility, crowd.nonces)) == 2
