# SPDX-License-Identifier: Apache-2.0
"""Installed applets that call each other in the machine, and their own transactions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hub.installer import Installer
from hub.machine.machine import AppletMachine
from meterlet.commands.applet import applet
from tests.support.sharing import AIDS, NAMES, REFUSED, VENDOR, Home, new_home


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[Home]:
    with new_home(tmp_path, machine) as made:
        yield made


@pytest.fixture
def pair(home: Home) -> Home:
    """A client, ask, and a server, bee."""
    home.install("ask", following="bee")
    home.install("bee", friend="ask")
    return home


def test_a_server_answers_the_client_that_it_grants(pair: Home) -> None:
    answer = pair.send("ask", 1, b"hello")
    assert (answer.sw, answer.data) == (0x9000, AIDS["ask"] + b"\x01hello")
    assert pair.kept("bee", b"served") == b"\x01"
    assert pair.served("bee") == 1


def test_services_are_granted_one_by_one(pair: Home) -> None:
    assert pair.send("ask", 1, b"", 2).sw == REFUSED  # not in the server's manifest
    assert pair.send("ask", 1, b"", 3).sw == REFUSED  # there, but `grants` says no
    assert pair.send("ask", 1, b"", 4).sw == REFUSED  # not in the client's manifest
    assert pair.kept("bee", b"served") is None


def test_another_client_is_refused(pair: Home) -> None:
    pair.install("cat", following="bee")
    assert pair.send("cat", 1, b"hello").sw == REFUSED
    assert pair.send("ask", 1, b"hello").sw == 0x9000


def test_a_client_whose_manifest_names_nobody_is_refused(home: Home) -> None:
    home.install("ask", following="bee", services="[2]")
    home.install("bee", friend="ask")
    assert home.send("ask", 1, b"hello").sw == REFUSED


def test_what_one_recipient_may_hear_is_not_passed_to_another_ones_applet(home: Home) -> None:
    home.install("ask", following="bee", recipient="somebody-else")
    home.install("bee", friend="ask")
    assert home.send("ask", 1, b"hello").sw == REFUSED


def test_a_locked_or_deleted_server_is_refused_alike(pair: Home) -> None:
    installer = Installer(pair.device, pair.card)
    installer.lock(AIDS["bee"])
    assert pair.send("ask", 1, b"hello").sw == REFUSED
    installer.unlock(AIDS["bee"])
    assert pair.send("ask", 1, b"hello").sw == 0x9000
    installer.remove(AIDS["bee"])
    assert pair.send("ask", 1, b"hello").sw == REFUSED


def test_no_applet_is_entered_twice(home: Home) -> None:
    home.install("ask", following="bee", friend="bee")
    home.install("bee", following="ask", friend="ask")
    assert home.send("ask", 1, b"pass").sw == REFUSED
    assert home.send("ask", 1, b"hello").sw == 0x9000
    assert home.send("bee", 1, b"hello").sw == 0x9000


def test_four_applets_at_most_are_at_work(home: Home) -> None:
    for before, name, after in zip(("", *NAMES), NAMES, (*NAMES[1:], ""), strict=False):
        home.install(name, following=after, friend=before)
    answer = home.send("bee", 1, b"pass")
    assert (answer.sw, answer.data) == (0x9000, AIDS["dog"] + b"\x01pass")
    assert home.send("ask", 1, b"pass").sw == REFUSED
    assert home.send("ask", 3, b"pass").data == b"not-granted"
    assert [home.kept(name, b"served") for name in ("cat", "dog", "elk")] == [b"\x01"] * 3
    assert home.kept("bee", b"served") is None


@pytest.mark.parametrize("how", [b"crash", b"loop", b"long", b"text", b"open"])
def test_a_server_that_breaks_is_a_refusal_and_forgets(pair: Home, how: bytes) -> None:
    assert pair.send("ask", 1, b"once").data[-5:-4] == b"\x01"
    answer = pair.send("ask", 3, how)
    assert (answer.sw, answer.data) == (0x9000, b"not-granted")
    assert pair.kept("bee", b"served") == b"\x01"
    assert pair.kept("ask", b"mine") == b"1"
    assert pair.served("bee") == 0
    assert pair.device.disclosure.releases() == []


def test_a_servers_traceback_is_in_its_log(pair: Home) -> None:
    pair.send("ask", 1, b"crash")
    database = pair.device.database
    rows = database.connection.execute("SELECT applet, text FROM applet_log").fetchall()
    lines = [database.sealer("applet log").open(text, applet) for applet, text in rows]
    assert any(b"ZeroDivisionError" in line for line in lines)
    assert not any(b"ZeroDivisionError" in bytes(text) for _, text in rows)


def test_what_is_below_a_server_that_breaks_is_taken_back(home: Home) -> None:
    home.install("ask", following="bee")
    home.install("bee", following="cat", friend="ask")
    home.install("cat", friend="bee")
    assert home.send("ask", 3, b"pass").sw == 0x9000
    assert (home.served("bee"), home.served("cat")) == (1, 1)
    assert home.send("ask", 3, b"pass a crash").data == b"not-granted"
    assert (home.served("bee"), home.served("cat")) == (0, 0)
    assert (home.kept("bee", b"served"), home.kept("cat", b"served")) == (b"\x01", b"\x01")


def test_a_server_forgets_with_a_client_that_fails(pair: Home) -> None:
    """Else a client could tell it what it learned by a release that is taken back."""
    assert pair.send("ask", 4, b"hello").sw == 0x6A80
    assert pair.kept("bee", b"served") is None
    assert pair.served("bee") == 0


def test_a_servers_open_transaction_is_taken_back_when_it_returns(pair: Home) -> None:
    assert pair.send("ask", 1, b"begin").sw == 0x9000
    assert pair.kept("bee", b"served") == b"\x01"
    assert pair.send("ask", 5, b"begin put commit").sw == 0x9000


STEPS: Final = {
    "put begin put commit": 2,
    "put begin put abort": 0,
    "put begin put": 0,
    "begin commit begin put commit": 3,
    "put with": 1,
    "put raise": 0,
    "begin put commit begin put": 1,
}


@pytest.mark.parametrize("steps", STEPS)
def test_a_transaction_keeps_what_is_committed(pair: Home, steps: str) -> None:
    assert pair.send("ask", 5, steps.encode()).sw == 0x9000
    assert pair.kept("ask", b"mine") == bytes([STEPS[steps]])


@pytest.mark.parametrize(
    ("steps", "sw"),
    [
        ("put commit", 0x6A80),
        ("put abort", 0x6A80),
        ("begin put begin", 0x6A80),
        ("begin put commit commit", 0x6A80),
        ("begin put commit crash", 0x6400),
        ("begin put crash", 0x6400),
    ],
)
def test_out_of_order_or_in_a_command_that_fails_nothing_is_kept(
    pair: Home, steps: str, sw: int
) -> None:
    assert pair.send("ask", 5, steps.encode()).sw == sw
    assert pair.kept("ask", b"mine") is None
    assert pair.send("ask", 5, b"begin put commit").sw == 0x9000


def test_an_abort_takes_back_what_servers_did_and_remember(pair: Home) -> None:
    assert pair.send("ask", 5, b"begin ask ask commit").sw == 0x9000
    assert (pair.kept("bee", b"served"), pair.served("bee")) == (b"\x02", 2)
    assert pair.send("ask", 5, b"begin ask abort").sw == 0x9000
    assert (pair.kept("bee", b"served"), pair.served("bee")) == (b"\x02", 0)


def test_a_release_cannot_be_taken_back_by_an_abort(pair: Home) -> None:
    """Else an applet would have learned without a record, and could tell in its answer."""
    assert pair.send("ask", 5, b"begin open").sw == 0x6A80
    assert pair.device.disclosure.releases() == []
    assert pair.send("ask", 5, b"open begin put abort").sw == 0x9000
    assert len(pair.device.disclosure.releases()) == 1


def test_the_resident_is_shown_with_whom_an_applet_has_dealings(home: Home, tmp_path: Path) -> None:
    home.install("bee", following="cat", friend="ask", services="[1, 7]")
    Installer(home.device, home.card).remove(AIDS["bee"])
    (tmp_path / "bee.cap").write_bytes(home.packages["bee"])
    raw = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "grid.pub").write_bytes(VENDOR.public_key().public_bytes(*raw))
    arguments = ["--hub", str(home.device.folder), "--recipient", str(tmp_path / "grid.pub")]
    arguments += ["--enrolment", str(tmp_path / "grid.enrolment"), str(tmp_path / "bee.cap")]
    shown = CliRunner().invoke(applet, ["install", *arguments, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert f"may ask the applet {AIDS['cat'].hex().upper()} (services 1, 7)" in shown.output
    assert f"may answer the applet {AIDS['ask'].hex().upper()} (service 1)" in shown.output
