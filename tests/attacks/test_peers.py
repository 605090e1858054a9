# SPDX-License-Identifier: Apache-2.0
"""Applets that reach for others: without a grant, for what is no applet, with too much, for news.

A client that is refused must not learn why: not which applets there are, nor whether one is locked,
nor whom one shares with.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from hub.installer import Installer
from hub.machine.machine import AppletMachine
from protocols.secure_channel.errors import CardRefused
from tests.support.card_host import Manager
from tests.support.sharing import AIDS, Home, new_home

PROBE: Final = 6
SIZE: Final = 7
KEY: Final = b"\xc9\x20" + bytes(32)
REFUSED: Final = (0x9000, b"not-granted")


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        yield made


def named(*aids: bytes) -> str:
    return "".join(
        f'\n    [[peers]]\n    aid = "{aid.hex().upper()}"\n    services = [1]\n' for aid in aids
    )


def probe(home: Home, aid: bytes, service: int = 1) -> tuple[int, bytes]:
    answer = home.send("ask", PROBE, aid, service)
    return answer.sw, answer.data


def test_whatever_is_in_the_way_the_client_is_told_the_same(home: Home) -> None:
    domain, package = (AIDS["bee"][:4] + bytes([kind]) + AIDS["bee"][4:] for kind in (0xD0, 0xE0))
    issuer, nobody = home.card.profile.issuer_aid, bytes(16)
    targets = (AIDS["bee"], AIDS["cat"], AIDS["dog"], domain, package, issuer, nobody)
    home.install("ask", extra=named(*targets))
    home.install("bee", friend="ask")  # agrees
    home.install("cat", friend="elk")  # shares with another
    home.install("dog")  # shares nothing
    for entry in (domain, package):
        assert home.card.find(entry) is not None
    assert probe(home, AIDS["bee"]) == (0x9000, b"answered")
    for target in targets[1:]:
        assert probe(home, target) == REFUSED
    Installer(home.device, home.card).lock(AIDS["bee"])
    assert probe(home, AIDS["bee"]) == REFUSED


def test_who_names_nobody_reaches_nobody(home: Home) -> None:
    home.install("ask")
    home.install("bee", friend="ask")
    for target in (AIDS["bee"], AIDS["bee"][:-1], AIDS["bee"] + b"\0", AIDS["ask"], b""):
        assert probe(home, target) == REFUSED
    assert probe(home, bytes(60_000)) == REFUSED
    assert home.served("bee") == 0


def test_a_server_is_not_even_started_for_whom_it_does_not_name(home: Home) -> None:
    """Nobody can make it burn fuel, or see by the time that it takes whether it is there."""
    home.install("ask", extra=named(AIDS["bee"]))
    home.install("bee", friend="cat")
    running = home.card.runtime._running[AIDS["bee"]].instance  # type: ignore[attr-defined]
    running.discard()
    assert probe(home, AIDS["bee"]) == REFUSED
    assert not running.is_started


def test_a_request_that_is_too_long_does_not_arrive(home: Home) -> None:
    home.install("ask", following="bee")
    home.install("bee", friend="ask")
    assert home.send("ask", SIZE, b"65536").data == bytes(20)
    assert home.send("ask", SIZE, b"65537").sw == 0x6982
    assert home.served("bee") == 1
    assert len(home.send("ask", 1, b"longest").data) == 65_536
    assert home.send("ask", 1, b"long").sw == 0x6982


def test_calls_without_end_use_up_the_callers_fuel_or_the_servers_allowance(home: Home) -> None:
    home.install("ask", following="bee")
    home.install("bee", friend="ask")
    refused = 0
    for _ in range(3):
        refused += home.send("ask", 5, b"ask " * 250).sw == 0x6982
    assert refused  # 600 commands a minute, of which a call is two
    assert home.send("ask", 5, b"put").sw == 0x9000
    with pytest.raises(CardRefused, match="6400"):  # nor by its own recipient, this minute
        home.served("bee")


def instance_under(home: Home, aid: bytes, name: str) -> None:
    """Install the applet `name` once more, as `aid`, in its own recipient's domain."""
    package = AIDS[name][:4] + b"\xe0" + AIDS[name][4:]
    manager = Manager(home.card, keys=home.device.issuer_keys())
    assert manager.install(aid, package=package, module=AIDS[name], parameters=KEY) == "9000"


def test_an_applet_under_a_clients_name_is_not_that_client(home: Home) -> None:
    """Whoever manages the card gives an instance any AID; a server shares with what its vendor
    has named."""
    home.install("cat", following="bee")
    home.install("bee", friend="ask")  # which is not on the card
    instance_under(home, AIDS["ask"], "cat")
    home.enrolments["ask"] = replace(home.enrolments["cat"], applet=AIDS["ask"])
    assert probe(home, AIDS["bee"]) == REFUSED
    assert home.served("bee") == 0


def test_an_applet_under_a_servers_name_is_not_that_server(home: Home) -> None:
    home.install("ask", following="bee")  # bee is not on the card
    home.install("cat", friend="ask")
    instance_under(home, AIDS["bee"], "cat")
    assert probe(home, AIDS["bee"]) == REFUSED


def test_another_instance_gets_nothing_by_the_consents_of_the_first(home: Home) -> None:
    """A consent is for one AID: who manages the card does not multiply what may be told."""
    home.install("cat")
    other = AIDS["cat"] + b"\x99"
    instance_under(home, other, "cat")
    assert home.send("cat", 5, b"open").sw == 0x9000
    home.enrolments["other"] = replace(home.enrolments["cat"], applet=other)
    assert home.send("other", 5, b"open").sw == 0x6985
    assert len(home.device.disclosure.releases()) == 1
    installer = Installer(home.device, home.card)
    installer.consent(installer.bundle(other), other)
    assert home.send("other", 5, b"open").sw == 0x9000
