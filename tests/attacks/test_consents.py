# SPDX-License-Identifier: Apache-2.0
"""Applets that lean on a consent that was given to something else, or is no longer given.

A card manager may load what it likes; what tells anyone anything is the resident's consent to
just that package.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hub.device import static_keys
from hub.installer import Installer
from hub.machine.machine import AppletMachine
from protocols.enrolment import Enrolment
from tests.support.sharing import AIDS, APRIL, Home, new_home

ASK: Final = AIDS["ask"]
YEAR: Final = 365 * 86_400
CONDITIONS: Final = 0x6985
"""What the applet answers where there is no consent."""
WIDER: Final = """
    [[statements]]
    kind = "blocks"
    registers = ["1-0:1.8.0*255"]
    minimum_days = 1
    at_most = 99
    within_days = 1
"""


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        made.install("ask")
        yield made


def put_by_a_tool(home: Home, content: bytes) -> None:
    """Put a package in the place of the applet as a card tool does: nobody is asked."""
    installer = Installer(home.device, home.card)
    package, keys = installer.read(content), static_keys(bytes(range(48)))
    installer._clear(ASK, package.cap.file.aid)
    installer._load(package, keys, bytes(32), None)
    old = home.enrolments["ask"]
    members = {name: getattr(old, name) for name in Enrolment.__slots__}
    home.enrolments["ask"] = Enrolment(**{**members, "keys": keys})


def told(home: Home) -> int:
    return len(home.device.disclosure.releases())


def numbers_told(home: Home) -> int:
    """How many different ones."""
    return home.device.disclosure.knowledge().numbers


def test_an_upgrade_to_a_wider_manifest_has_no_consent(home: Home) -> None:
    assert home.send("ask", 5, b"open").sw == 0x9000
    before = home.packages["ask"]
    put_by_a_tool(home, home.build("ask", extra=WIDER))
    assert home.packages["ask"] != before
    assert home.send("ask", 5, b"open").sw == CONDITIONS  # not even for what was allowed before
    assert told(home) == 1
    [refusal] = home.device.disclosure.log.entries("refusal")
    assert "none to tell grid this" in refusal.facts["why"]


def test_the_same_package_put_there_again_does_not_bring_a_revoked_consent_back(
    home: Home,
) -> None:
    for consent in home.device.disclosure.consents():
        home.device.disclosure.revoke(consent.number)
    for _ in range(2):
        assert home.send("ask", 5, b"open").sw == CONDITIONS
        put_by_a_tool(home, home.packages["ask"])
    assert home.send("ask", 5, b"open").sw == CONDITIONS
    assert told(home) == 0


def test_removing_an_applet_ends_its_consents_for_good(home: Home) -> None:
    Installer(home.device, home.card).remove(ASK)
    put_by_a_tool(home, home.packages["ask"])
    assert home.send("ask", 5, b"open").sw == CONDITIONS
    assert told(home) == 0


def test_answers_are_counted_over_reinstallations(home: Home) -> None:
    """Two numbers about any one moment: the same one counts once, a third is refused."""
    for count, times in enumerate((1, -1), start=1):
        for _ in range(2):
            assert home.send("ask", 5, b"times%d open" % times).sw == 0x9000
            put_by_a_tool(home, home.packages["ask"])
        assert numbers_told(home) == count
    assert home.send("ask", 5, b"times1 day1").sw == 0x6983
    assert home.send("ask", 5, b"times1 open").sw == 0x9000
    assert numbers_told(home) == 2


def test_a_period_moved_by_a_day_is_no_way_to_more_answers(home: Home) -> None:
    """Two numbers about any one moment: a neighbour of the period has no third."""
    for times in (1, -1):
        assert home.send("ask", 5, b"times%d day0" % times).sw == 0x9000
    for question in (b"times1 day1", b"times-1 day1"):
        assert home.send("ask", 5, question).sw == 0x6983
    refusals = [entry.facts["why"] for entry in home.device.disclosure.log.entries("refusal")]
    assert len(refusals) == 2
    assert all(why.startswith("count: 2 numbers about the same time") for why in refusals)
    assert numbers_told(home) == 2


def test_a_clock_that_is_set_back_or_forward_makes_room_for_nothing(
    tmp_path: Path, machine: AppletMachine
) -> None:
    clock = [APRIL]
    with new_home(tmp_path, machine, lambda: clock[0]) as home:
        home.install("ask")
        for times, years in ((1, 0), (-1, 1)):
            clock[0] = APRIL + years * YEAR
            assert home.send("ask", 5, b"times%d day0" % times).sw == 0x9000
        for years in (-5, 0, 5):
            clock[0] = APRIL + years * YEAR
            assert home.send("ask", 5, b"times1 day1").sw == 0x6983
        assert len({release.time for release in home.device.disclosure.releases()}) == 2
