# SPDX-License-Identifier: Apache-2.0
"""Applets that open a statement and then say by an error what they learnt: 16 bits, off the record.

What was opened stays on record however the command ends, and every error is the same one.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.machine.machine import AppletMachine
from protocols.secure_channel.errors import CardRefused
from tests.support.sharing import Home, new_home


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        made.install("ask")
        yield made


def test_an_error_after_a_statement_is_always_the_same_and_on_record(home: Home) -> None:
    assert home.send("ask", 5, b"sw6A81").sw == 0x6A81
    for count, end in enumerate(("sw6A81", "sw6A82", "sw6999", "crash"), 1):
        assert home.send("ask", 5, f"put open {end}".encode()).sw == 0x6400
        assert len(home.device.disclosure.releases()) == count
        assert home.kept("ask", b"mine") is None
    assert home.device.disclosure.log.verify()


def test_errors_use_up_the_answers_that_the_consent_allows(home: Home) -> None:
    for times in (1, -1):
        assert home.send("ask", 5, b"times%d open sw6A81" % times).sw == 0x6400
    assert home.send("ask", 5, b"times1 day1").sw == 0x6983
    assert len(home.device.disclosure.releases()) == 2


def test_nothing_is_opened_for_a_stranger_who_only_selects(home: Home) -> None:
    assert home.send("ask", 5, b"eager").sw == 0x9000
    with pytest.raises(CardRefused, match="6"):
        home.send("ask", 5, b"put")
    assert home.device.disclosure.releases() == []
