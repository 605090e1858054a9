# SPDX-License-Identifier: Apache-2.0
"""Which hubs the gateway wakes: those that something has come to wait for, once."""

from collections.abc import Collection, Iterable
from pathlib import Path

from applets.billing.messages import BillQuestion
from applets.common.questions import About
from tests.support.service import new_utility
from utility_server.gateway.errands import AllErrands, BillErrands
from utility_server.gateway.waking import (
    AGAIN_SECONDS,
    AT_START_SECONDS,
    OVERLAP_SECONDS,
    NewlyWaiting,
)
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

ONE, TWO = b"\x01", b"\x02"


def everybody(meters: Collection[bytes]) -> Collection[bytes]:
    return meters


class Questions:
    def __init__(self) -> None:
        self.rows: list[tuple[int, bytes, bytes, State]] = []
        self.since: list[int] = []

    def for_hubs(self, since: int) -> list[tuple[bytes, bytes, State]]:
        self.since.append(since)
        return [row[1:] for row in self.rows if row[0] >= since]


def test_a_hub_is_woken_for_each_thing_that_comes_to_wait() -> None:
    now, due, questions = 1_000_000, frozenset({TWO}), Questions()
    expected: list[Iterable[bytes]] = []
    waiting = NewlyWaiting(questions, lambda: due, expected.append, lambda: now, everybody)
    questions.rows = [
        (now - AT_START_SECONDS - 1, b"\x09", b"old", State.ASKED),
        (now - 3600, ONE, b"n", State.ASKED),
    ]
    assert waiting.look() == [ONE, TWO]
    assert list(expected[-1]) == [ONE, TWO]
    assert waiting.look() == []
    now += 1
    questions.rows.append((now, ONE, b"n", State.ENTERED))
    assert waiting.look() == [ONE]
    now += 1
    # Another process, whose clock is late: not missed, and nobody else is woken for it again.
    questions.rows.append((now - OVERLAP_SECONDS + 5, TWO, b"m", State.ASKED))
    assert waiting.look() == [TWO]
    assert waiting.look() == []
    due = frozenset()
    assert waiting.look() == []
    due = frozenset({TWO})
    assert waiting.look() == [TWO]
    assert questions.since[0] == 1_000_000 - AT_START_SECONDS
    assert questions.since[-1] == now - OVERLAP_SECONDS


def test_what_still_waits_is_called_for_once_more_and_that_is_all() -> None:
    now, questions = 1_000_000, Questions()
    waiting = NewlyWaiting(questions, frozenset, lambda _: None, lambda: now, everybody)
    assert waiting.look() == []
    questions.rows = [(now, ONE, b"n", State.ASKED), (now, TWO, b"m", State.ASKED)]
    begin, told = now, []
    for now in range(begin, begin + 3 * OVERLAP_SECONDS):
        if now == begin + AGAIN_SECONDS - 1:
            questions.rows.pop()  # answered
        told += [(now - begin, meter) for meter in waiting.look()]
    # A hub that has refused is not woken again and again.
    assert told == [(0, ONE), (0, TWO), (AGAIN_SECONDS, ONE)]


def test_a_woken_hub_is_looked_up_though_all_that_is_known_is_older(tmp_path: Path) -> None:
    """The gateway reads what waits once a second at most; the hub comes sooner."""
    with Utility.open(new_utility(tmp_path / "utility")) as utility:
        bills = BillErrands(utility, monotonic=lambda: 0.0)
        errands = AllErrands([bills])
        errands.refresh()
        now = utility.now()
        waiting = NewlyWaiting(utility.questions, frozenset, errands.expect, lambda: now, everybody)
        assert waiting.look() == []
        question = BillQuestion(About(ONE, 0, 3600, bytes(16)), b"tariff")
        utility.questions.ask(question)
        assert (errands.is_fresh(), errands.is_waiting(ONE)) == (True, False)
        assert waiting.look() == [ONE]
        assert errands.is_waiting(ONE)
        assert not errands.is_waiting(TWO)
        assert errands.next(ONE) is not None
        assert errands.next(TWO) is None
        utility.questions.withdraw(question)
        assert errands.next(ONE) is None
        assert not errands.is_waiting(ONE)
