# SPDX-License-Identifier: Apache-2.0
"""What is kept of a refusal is bounded and harmless to show, and not shown when it is old."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from meterlet.commands.main import main
from tests.support.answered_crowd import answered_crowd
from utility_server.errors import HeadEndError, HubRefused
from utility_server.retail.failures import MOST_WHY, printed
from utility_server.retail.questions import State
from utility_server.retail.utility import Utility

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\nnothing waits: every bill\u202e\x00" + "A" * 100_000


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "utility", now=lambda: 1_750_000_000) as utility:
        yield utility


@given(st.text(max_size=600))
def test_whatever_a_reason_says_what_is_kept_is_print_and_bounded(text: str) -> None:
    kept = printed(text)
    assert len(kept) == min(len(text), MOST_WHY)
    assert not kept or kept.isprintable()
    assert printed(kept) == kept


def test_a_reason_moves_no_cursor_and_fakes_no_line(utility: Utility) -> None:
    crowd = answered_crowd(utility, 1)
    question = crowd.asked[0][0]
    assert utility.failures.note(question.about.nonce, State.ANSWERED, HeadEndError(HOSTILE))
    assert not utility.failures.note(question.about.nonce, State.ANSWERED, HeadEndError(HOSTILE))
    told = CliRunner().invoke(main, ["utility", "status", "--utility", str(utility.folder)])
    assert told.exit_code == 0
    assert len(told.stdout.splitlines()) == 1
    assert not {"\x1b", "\x07", "\r", "\x00", "\u202e"} & set(told.stdout)
    assert len(told.stdout) < MOST_WHY + 400


def test_a_reason_of_a_state_that_is_over_is_shown_no_more(utility: Utility) -> None:
    crowd = answered_crowd(utility, 2)
    (first, answer), (second, _) = crowd.asked
    for question in (first, second):
        utility.failures.note(question.about.nonce, State.ASKED, HubRefused(0x6985, "old"))
    assert utility.failures.of(crowd.nonces) == {}, "they are answered by now"
    utility.failures.note(first.about.nonce, State.ANSWERED, HubRefused(0x6985, "no"))
    assert utility.failures.of(crowd.nonces)[first.about.nonce].kind == "hub-6985"
    utility.verify(first, answer)
    assert utility.failures.of(crowd.nonces) == {}
