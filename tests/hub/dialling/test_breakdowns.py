# SPDX-License-Identifier: Apache-2.0
"""A hub is billed once, wherever the connection to its supplier's gateway breaks."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from applets.billing.messages import AID
from applets.common.questions import Instruction
from hub.card.line import Line
from hub.dialling.events import Kind
from hub.dialling.sessions import CardEnd
from hub.inspection.views.documents import supplier_documents
from hub.machine.machine import AppletMachine
from protocols.remote_admin.http import ScriptStatus
from tests.support.answered_home import MONTHS
from tests.support.dialled_home import CountingCard, DialledHome, dialled
from tests.support.soak import IS_SOAKING, sampled
from utility_server.retail.audit import check_entry
from utility_server.retail.questions import State

POSTS_OF_A_BILL = 9
"""The first, four steps of the question, three of the delivery, and their last answers."""


@contextmanager
def another(
    folder: Path, dialling_home: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(dialling_home[0], folder, machine, dialling_home[1]) as home:
        yield home


def billed_once(home: DialledHome, *numbers: int) -> None:
    """Return if each question has one entry, one invoice, and one release on record."""
    utility = home.home.utility
    entries = list(utility.ledger.entries())
    for entry in entries:
        check_entry(utility, entry)
    assert [(entry.kind, entry.sequence) for entry in entries] == [("bill", n) for n in numbers]
    assert utility.questions.waiting() == []
    shown = supplier_documents(home.home.device, AID).invoices
    assert [one.number for one in shown] == list(numbers)
    assert len(home.home.device.disclosure.releases()) == len(numbers)


def test_a_bill_takes_nine_posts_and_one_conversation_with_the_card(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    wire = home.dial()
    billed_once(home, 1)
    assert len(wire.posts) == POSTS_OF_A_BILL
    assert home.card.begun == 1  # question and delivery are for the same applet
    assert [post.status for post in wire.posts] == [None] + [ScriptStatus.OK] * 8
    assert all(not post.is_resumed for post in wire.posts)
    assert len(home.dial().posts) == 1  # nothing is left
    assert home.events[-1].facts["next_seconds"] == pytest.approx(945)  # 900 s and jitter


@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("number", sampled(range(POSTS_OF_A_BILL), [0, 3, 7]))
def test_whatever_is_lost_is_asked_again_and_counts_once(
    home: DialledHome, number: int, lost: str
) -> None:
    home.ask(MONTHS[0])
    wire = home.dial(lambda n: lost if n == number else "")
    billed_once(home, 1)
    after = wire.posts[number + 1]
    assert after.is_resumed
    assert after.body == b""  # no answers of the interrupted script
    assert after.uri == (wire.posts[number].uri)
    assert sum(post.is_resumed for post in wire.posts) == 1
    assert len(wire.posts) <= 2 * POSTS_OF_A_BILL + 1
    assert [event.kind for event in home.events].count(Kind.RETRYING) == 1


@pytest.mark.parametrize("number", sampled(range(POSTS_OF_A_BILL), [0, 3]))
def test_what_comes_twice_counts_once(home: DialledHome, number: int) -> None:
    home.ask(MONTHS[0])
    home.dial(lambda n: "twice" if n == number else "")
    billed_once(home, 1)


def test_a_connection_that_is_not_made_is_tried_again(home: DialledHome) -> None:
    home.ask(MONTHS[0])
    wire = home.dial(lambda n: "unconnected" if n < 3 else "")
    billed_once(home, 1)
    assert not any(post.is_resumed for post in wire.posts)


def test_one_in_ten_connections_breaks_and_each_month_is_billed_once(
    tmp_path: Path, dialling_home: tuple[Path, Any], machine: AppletMachine
) -> None:
    for seed in range(20 if IS_SOAKING else 1):
        dice = random.Random(seed)

        def fate(_number: int, dice: random.Random = dice) -> str:
            number = dice.random()
            return "request" if number < 0.06 else "reply" if number < 0.12 else ""

        with another(tmp_path / str(seed), dialling_home, machine) as home:
            for month in MONTHS:
                home.ask(month)
            sessions = 0
            while home.home.utility.questions.waiting():
                home.dial(fate)
                sessions += 1
                assert sessions < 50
            billed_once(home, 1, 2, 3)


def test_a_gateway_that_dies_loses_nothing_but_the_step_of_the_moment(home: DialledHome) -> None:
    """Its dialogues are in memory alone; the hub POSTs into one that the next gateway lacks."""
    home.ask(MONTHS[0])
    wire = home.wire()

    def dies(number: int) -> str:
        if number == 3:
            home.gateway._open.clear()
        return ""

    wire.fate = dies
    home.dialler(wire).session()
    billed_once(home, 1)


def test_the_answer_is_kept_before_the_hub_is_sent_its_next_command(home: DialledHome) -> None:
    question = home.ask(MONTHS[0])
    kept: list[State] = []
    home.errands.answered = lambda asked: kept.append(home.home.utility.questions.find(asked).state)
    wire = home.dial()
    assert kept == [State.ANSWERED]
    assert home.home.utility.questions.find(question).state is State.ANSWERED
    # Nothing is delivered before somebody has verified it; the hub is told to come soon.
    assert len(wire.posts) == 5
    assert 5 <= float(home.events[-1].facts["next_seconds"]) <= 6
    home.clock.now += 601  # whatever keeps it from its bill, the hub is not kept dialling
    home.dial()
    assert float(home.events[-1].facts["next_seconds"]) > 900
    answer = home.home.utility.questions.answer(question)
    assert answer is not None
    home.home.utility.verify(question, answer)
    assert len(home.dial().posts) == 5
    billed_once(home, 1)


def test_an_invoice_that_is_entered_just_before_the_hub_comes_again_goes_with_that_poll(
    home: DialledHome,
) -> None:
    question = home.ask(MONTHS[0])
    moments = [0.0]
    home.errands.monotonic = lambda: moments[-1]
    home.errands.answered = lambda _asked: None
    home.dial()
    answer = home.home.utility.questions.answer(question)
    assert answer is not None
    home.home.utility.verify(question, answer)
    moments.append(0.5)
    assert home.errands.is_fresh()  # the list of all meters is not read again
    home.dial()
    billed_once(home, 1)


class Working:
    """The card, while it works on a proof: the question is answered with 9300 so many times."""

    end: CardEnd

    def __init__(self, card: CountingCard, times: int) -> None:
        self.card, self.left = card, times

    def connect(self, line: Line) -> "Working":
        self.end = self.card.connect(line)
        return self

    has_authenticated = property(lambda self: self.end.has_authenticated)
    wrong = property(lambda self: self.end.wrong)

    def transmit(self, raw: bytes) -> bytes:
        answer = self.end.transmit(raw)
        if raw[1] == Instruction.ASK and self.left:
            self.left -= 1
            return b"\x93\x00"
        return answer

    def close(self) -> None:
        self.end.close()


def test_a_card_that_works_on_a_proof_is_asked_again_in_the_same_channel(
    home: DialledHome,
) -> None:
    home.ask(MONTHS[0])
    home.card = cast("CountingCard", Working(home.card, 1))
    assert len(home.dial().posts) == POSTS_OF_A_BILL + 3 <= 12
    billed_once(home, 1)


def test_a_refusal_is_told_and_not_asked_again_at_once(home: DialledHome) -> None:
    told = []
    home.errands.failed = lambda question, error: told.append(str(error))
    for consent in home.home.device.disclosure.consents():
        home.home.device.disclosure.revoke(consent.number)
    home.ask(MONTHS[0])
    assert len(home.dial().posts) > 1
    [line] = told
    assert "it may not tell" in line
    assert len(home.dial().posts) == 1
    assert len(told) == 1
