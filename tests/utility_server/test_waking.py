# SPDX-License-Identifier: Apache-2.0
"""Which hubs the gateway wakes: those that something has come to wait for, once."""

from collections.abc import Iterable

from utility_server.gateway.waking import AT_START_SECONDS, OVERLAP_SECONDS, NewlyWaiting
from utility_server.retail.questions import State

ONE, TWO = b"\x01", b"\x02"


class Questions:
    def __init__(self) -> None:
        self.rows: list[tuple[int, bytes, bytes, State]] = []
        self.since: list[int] = []

    def for_hubs(self, since: int) -> list[tuple[bytes, bytes, State]]:
        self.since.append(since)
        return [row[1:] for row in self.rows if row[0] >= since]


def test_a_hub_is_woken_once_for_each_thing_that_comes_to_wait() -> None:
    now, due, questions = 1_000_000, frozenset({TWO}), Questions()
    expected: list[Iterable[bytes]] = []
    waiting = NewlyWaiting(questions, lambda: due, expected.append, lambda: now)
    questions.rows = [
        (now - AT_START_SECONDS - 1, b"\x09", b"old", State.ASKED),
        (now - 3600, ONE, b"n", State.ASKED),
    ]
    assert waiting.look() == [ONE, TWO]
    assert list(expected[-1]) == [ONE, TWO]
    assert waiting.look() == []  # a hub that has refused is not woken again and again
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
