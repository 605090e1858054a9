# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet ask`: questions by name, to a real applet over its own channel."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from applets.sdk.asking import AskedHub, NoQuestions, questions_of
from hub.card.open import Card
from hub.device import Device
from hub.machine.machine import AppletMachine
from meterlet.commands.main import main
from protocols.metrology import Period
from utility_server.head_end import Address, HeadEnd

HERE = "127.0.0.1:7816"


def applet(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["applet", *map(str, arguments)])


def done(*arguments: object) -> str:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> Iterator[Path]:
    """A folder with an applet, a raw one, a hub that has both, and their enrolments."""
    folder = tmp_path_factory.mktemp("home")
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    try:
        done("applet", "new", "late-use", "--vendor", "Late Ltd")
        done("applet", "new", "peak-hour", "--raw")
        done("applet", "key", "vendor.pem")
        done("hub", "init", "hub", "--serial", "1", "--vendor", "vendor.pem.pub")
        days = ("--from", "2026-03-01", "--until", "2026-03-31")
        done("hub", "ingest", "--hub", "hub", "synthetic", *days)
        for name in ("late_use", "peak_hour"):
            done("applet", "build", name, "--key", "vendor.pem", "-o", f"{name}.cap")
            done(
                "applet", "install", "--hub", "hub", f"{name}.cap", "--yes",
                "--recipient", "vendor.pem.pub", "--enrolment", f"{name}.enrolment",
            )  # fmt: skip
        yield folder
    finally:
        os.chdir(before)
        sys.path[:] = path
        for module in [name for name in sys.modules if name.startswith(("late_use", "peak_hour"))]:
            del sys.modules[module]


@pytest.fixture
def served(
    home: Path, machine: AppletMachine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Device, Card]]:
    """The hub at the other end of every line; the channel, its keys and the proof are real."""
    with Device.open(home / "hub") as device:
        card = device.card(machine)

        @contextmanager
        def connection(_: HeadEnd, address: Address) -> Iterator[Callable[[bytes], bytes]]:
            assert str(address) == HERE
            yield card.connect().transmit

        monkeypatch.setattr(HeadEnd, "_connection", connection)
        yield device, card


def ask(home: Path, *arguments: str) -> Result:
    return applet("ask", home / "late_use", HERE, *arguments)


def test_the_list_names_each_applet_and_its_state_in_words(home: Path) -> None:
    lines = done("applet", "list", "--hub", str(home / "hub")).splitlines()
    assert lines[0].startswith(
        "late-use 0.1.0 by Late Ltd, for supplier (late-use): answers its recipient; F0"
    )
    listed = json.loads(done("applet", "list", "--hub", str(home / "hub"), "--json"))["entries"]
    [raw] = [one for one in listed if one.get("name") == "peak-hour" and "confinement" in one]
    assert (raw["confinement"], raw["recipient"], raw["state"]) == ("raw", "resident", "07")
    words = {one["kind"]: one["state_in_words"] for one in listed}
    assert (words["package"], words["domain"]) == ("loaded", "has its keys")


def test_questions_are_listed_with_their_arguments(home: Path) -> None:
    listed = applet("ask", home / "late_use", "--json")
    [question] = json.loads(listed.stdout)["questions"]
    assert (question["question"], question["arguments"]) == ("use", {"period": "Period"})
    assert applet("ask", home / "peak_hour").stdout.startswith("busiest-hour: an output")


def test_an_answer_is_proved_and_printed(home: Path, served: tuple[Device, Card]) -> None:
    enrolment = ("--enrolment", str(home / "late_use.enrolment"))
    result = ask(home, "use", *enrolment, "--month", "2026-03", "--json")
    assert result.exit_code == 0, result.output
    march = Period.month(2026, 3)
    used = sum(wh for use in served[0].main.uses(march) for wh in use.uses)
    assert json.loads(result.stdout)["answer"] == {
        "first_day": "2026-03-01", "last_day": "2026-03-31", "watt_hours": used,
    }  # fmt: skip
    assert "watt_hours: " in ask(home, "use", *enrolment, "-a", "period=2026-03").stdout


def test_days_that_are_not_there_are_named(home: Path, served: tuple[Device, Card]) -> None:
    enrolment = ("--enrolment", str(home / "late_use.enrolment"))
    result = ask(home, "use", *enrolment, "--month", "2026-04")
    assert result.exit_code == 4
    assert "certified are 2026-03-01 to 2026-03-31, no other days" in result.output


def test_an_answer_that_is_not_proved_is_refused(
    home: Path, served: tuple[Device, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = HeadEnd.ask

    def tampered(head_end: HeadEnd, *about: Any) -> bytes:
        answer = bytearray(honest(head_end, *about))
        answer[7] ^= 1
        return bytes(answer)

    monkeypatch.setattr(HeadEnd, "ask", tampered)
    enrolment = ("--enrolment", str(home / "late_use.enrolment"))
    result = ask(home, "use", *enrolment, "--month", "2026-03")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "the answer is not proved" in result.output


def test_an_output_is_asked_for_by_its_name(home: Path, served: tuple[Device, Card]) -> None:
    device, card = served
    asked = ("ask", home / "peak_hour", HERE, "busiest-hour")
    enrolment = ("--enrolment", home / "peak_hour.enrolment", "--json")
    early = applet(*asked, *enrolment)
    assert early.exit_code == 4
    assert "nothing was released yet" in early.output
    object.__setattr__(device, "now", lambda: 2_000_000_000)
    device.tick(card)
    told = json.loads(applet(*asked, *enrolment).stdout)["answer"]
    assert (told["is_set"], told["value"]) == (False, None)
    assert applet(*asked, *enrolment, "-a", "x=1").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("peak",), "say which question: use"),
        (("use",), "say --enrolment"),
        (("use", "--enrolment", "E"), "period is missing"),
        (("use", "--enrolment", "E", "-a", "x=1"), "use takes, once each: period"),
        (("use", "--enrolment", "E", "-a", "period=May"), "not a value of kind Period"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    home: Path, arguments: tuple[str, ...], why: str
) -> None:
    file = str(home / "late_use.enrolment")
    result = ask(home, *(file if one == "E" else one for one in arguments))
    assert result.exit_code == 2
    assert why in " ".join(result.output.replace("│", " ").split())


def test_arguments_are_typed_and_those_with_a_default_may_be_left_out() -> None:
    def count(hub: AskedHub, period: Period, limit: int = 5, since: date | None = None) -> Any:
        """Ask for a count.

        And more.
        """
        return {"limit": limit}

    module = ModuleType("module")
    with pytest.raises(NoQuestions, match="has no QUESTIONS"):
        questions_of(module)
    module.__dict__["QUESTIONS"] = {"count": count}
    with pytest.raises(NoQuestions, match="argument since is none of Period, date, int, str"):
        questions_of(module)
    del count.__annotations__["since"]
    count.__annotations__["since"] = date
    question = questions_of(module)["count"]
    assert question.text == "Ask for a count."
    assert question.arguments == {"period": Period, "limit": int, "since": date}
    assert question.optional == {"limit", "since"}
