# SPDX-License-Identifier: Apache-2.0
"""Answers that are kept, questions that are told apart, and proofs made elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.applet_host import jobs as proof_jobs
from hub.applet_host.answers import (
    ANSWERS_COMPONENT,
    MOST_BYTES,
    ToldAnswers,
    forget_answers,
    question_of,
)
from hub.applet_host.jobs import KEPT_SECONDS, ProofJobs, WorkInProgress
from hub.vault.database import Database
from hub.vault.sealing import SealBroken
from tests.support.waiting import wait_until

KEY = bytes(range(32))
ONE, TWO = b"\xf0one", b"\xf0two"
FUEL = 10**10


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "hub.db", [ANSWERS_COMPONENT], key=KEY) as opened:
        yield opened


def answers(database: Database, applet: bytes = ONE) -> ToldAnswers:
    return ToldAnswers(database, applet)


def test_an_answer_is_found_by_its_applet_and_question_alone(database: Database) -> None:
    answers(database).keep(b"question", b"the answer")
    assert answers(database).find(b"question") == b"the answer"
    assert answers(database).find(b"another") is None
    assert answers(database, TWO).find(b"question") is None
    forget_answers(database, TWO)
    assert answers(database).find(b"question") == b"the answer"
    forget_answers(database, ONE)
    assert answers(database).find(b"question") is None


def test_an_answer_lies_sealed_and_is_not_taken_for_another(database: Database) -> None:
    answers(database).keep(b"one question", b"the answer")
    answers(database, TWO).keep(b"its question", b"its answer")
    assert b"the answer" not in database.path.read_bytes()
    with database.transaction() as connection:
        connection.execute("UPDATE told_answer SET applet = ? WHERE applet = ?", (b"\xf0x", ONE))
        connection.execute("UPDATE told_answer SET question = ?", (b"its question",))
    for applet in (b"\xf0x", TWO):
        kept = answers(database, applet)
        if applet == TWO:
            assert kept.find(b"its question") == b"its answer"
        else:
            with pytest.raises(SealBroken):
                kept.find(b"its question")


def test_the_newest_answers_are_kept_up_to_a_size(database: Database) -> None:
    kept, size = answers(database), MOST_BYTES // 5
    answers(database, TWO).keep(b"other", bytes(size))
    for number in range(20):
        kept.keep(bytes([number]), bytes(size))
    found = [number for number in range(20) if kept.find(bytes([number])) is not None]
    assert found == [16, 17, 18, 19]
    assert answers(database, TWO).find(b"other") is not None


def test_questions_are_told_apart_however_their_parts_are_cut() -> None:
    asked = [
        (b"ab", b"c"),
        (b"a", b"bc"),
        (b"abc",),
        ("ab", b"c"),
        (b"ab", b"c", 0),
        (12, 3),
        (1, 23),
    ]
    assert len({question_of(b"package", *parts) for parts in asked}) == len(asked)
    assert question_of(b"package", b"a") != question_of(b"packag", b"ea")


class Time:
    def __init__(self) -> None:
        self.now = 1_000


def outcome(jobs: ProofJobs, applet: bytes = ONE, question: bytes = b"q") -> bytes:
    return jobs.outcome(applet, question, FUEL, 12 * FUEL, lambda: b"not a task")


def finished(jobs: ProofJobs, applet: bytes = ONE, question: bytes = b"q") -> bytes:
    found: list[bytes] = []

    def is_over() -> bool:
        try:
            found.append(outcome(jobs, applet, question))
        except WorkInProgress:
            return False
        return True

    wait_until(is_over)
    return found[0]


def test_a_process_that_fails_is_an_empty_outcome_and_the_next_one_begins() -> None:
    jobs = ProofJobs(lambda: 1_000)
    for question in (b"q", b"r"):
        with pytest.raises(WorkInProgress):
            outcome(jobs, question=question)
    assert finished(jobs) == finished(jobs, question=b"r") == b""
    jobs.close()


def test_an_outcome_is_forgotten_when_it_was_told_or_waits_too_long() -> None:
    time = Time()
    jobs = ProofJobs(lambda: time.now)
    assert finished(jobs) == b""
    time.now += KEPT_SECONDS - 1
    assert outcome(jobs) == b""
    assert not jobs.is_under_way(b"q")
    time.now += 1
    with pytest.raises(WorkInProgress):
        outcome(jobs)
    assert finished(jobs) == b""
    jobs.forget(b"q")
    assert not jobs.has(b"q")
    jobs.close()
    with pytest.raises(WorkInProgress):
        outcome(jobs)
    assert not jobs.has(b"q")  # a hub that stops begins nothing


def test_another_applet_is_not_told_of_an_outcome() -> None:
    jobs = ProofJobs(lambda: 1_000)
    assert finished(jobs) == b""
    with pytest.raises(WorkInProgress):
        outcome(jobs, TWO)
    jobs.close()


def test_jobs_are_paid_for_out_of_a_minute_that_fills_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof_jobs, "MOST_OF_APPLET", 100)
    monkeypatch.setattr(proof_jobs, "MOST_JOBS", 100)
    time = Time()
    jobs = ProofJobs(lambda: time.now)

    def begun() -> int:
        for number in range(30):
            with pytest.raises(WorkInProgress):
                jobs.outcome(ONE, bytes([number]), 5 * FUEL, 12 * FUEL, lambda: b"")
        return sum(jobs.has(bytes([number])) for number in range(30))

    assert begun() == 3  # the third one owes
    time.now += 60
    assert begun() == 5
    jobs.close()
