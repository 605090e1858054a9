# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet ask`: a question to an applet in a home, by its name, over its own channel."""

import importlib
import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.text import utc_text
from meterlet.commands.common import (
    PRESENT_FILE,
    PRESENT_FOLDER,
    Exit,
    fail,
    json_option,
    period_options,
    print_json,
)
from protocols.metrology import MetrologyError, Period, Series

if TYPE_CHECKING:
    from applets.sdk.asking import AskableQuestion
    from hub.machine.manifest import Manifest
    from protocols.enrolment import Enrolment
    from protocols.iso7816.apdu import CommandApdu

SCHEMA: Final = "meterlet.applet.ask/1"
MOST_ANSWER: Final = 65_536


@click.command()
@click.argument("folder", type=PRESENT_FOLDER, help="The applet as its vendor wrote it.")
@click.argument("address", required=False, help="Where the hub listens, as HOST:PORT.")
@click.argument("question", required=False, help="The question's name; without it, all are listed.")
@click.option("--enrolment", type=PRESENT_FILE, help="What the resident's hub made for you.")
@click.option(
    "--argument", "-a", "arguments", multiple=True, metavar="NAME=VALUE",
    help="An argument of the question; a period is said by --month and so on.",
)  # fmt: skip
@period_options(required=False)
@json_option
def ask(
    folder: Path,
    address: str | None,
    question: str | None,
    enrolment: Path | None,
    arguments: tuple[str, ...],
    period: Period | None,
    as_json: bool,
) -> None:
    """Ask the applet of FOLDER that is in the hub at ADDRESS (HOST:PORT) a QUESTION, by its name.

    You are the applet's recipient: FOLDER is the applet as its vendor wrote it, whose `statement`
    module lists its questions and checks the answers. Of a raw applet the questions are its
    outputs. Without ADDRESS and QUESTION the questions are listed.
    """
    manifest = _manifest(folder)
    outputs = [output.name for output in manifest.outputs]
    questions = {} if outputs else _questions(folder, manifest)
    if address is None:
        _show_questions(outputs, questions, as_json=as_json)
        return
    known = ", ".join(outputs or questions)
    if question is None or question not in (outputs or questions):
        raise click.UsageError(f"say which question: {known}")
    if enrolment is None:
        raise click.UsageError("say --enrolment: the file that the resident's hub made for you")
    hub = _enrolment(enrolment)
    if outputs:
        if arguments or period is not None:
            raise click.UsageError("an output is asked for without arguments")
        facts = _output(address, hub, question, outputs.index(question))
    else:
        values = _values(questions[question], arguments, period)
        facts = _answer(address, hub, questions[question], values)
    if as_json:
        print_json(SCHEMA, {"question": question, "answer": facts})
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")


def _manifest(folder: Path) -> "Manifest":
    from hub.machine.manifest import Manifest

    return Manifest.from_toml((folder / "manifest.toml").read_text(encoding="utf-8"))


def _questions(folder: Path, manifest: "Manifest") -> "dict[str, AskableQuestion]":
    """Import the applet's `statement`: it is the caller's own program, and runs as such."""
    from applets.sdk.asking import NoQuestions, questions_of

    sys.path.insert(0, str(folder.resolve().parent))
    name = f"{manifest.code.package}.statement"
    try:
        return questions_of(importlib.import_module(name))
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        fail(f"{folder}: there is no module {name}, which lists the questions", Exit.USAGE)
    except NoQuestions as error:
        fail(f"{folder}: {error} (docs/applets.md)", Exit.USAGE)


def _show_questions(
    outputs: list[str], questions: "Mapping[str, AskableQuestion]", *, as_json: bool
) -> None:
    listed: list[dict[str, Any]] = [
        {"question": name, "about": "an output of the applet", "arguments": {}} for name in outputs
    ] + [
        {
            "question": one.name,
            "about": one.text,
            "arguments": {name: kind.__name__ for name, kind in one.arguments.items()},
        }
        for one in questions.values()
    ]
    if as_json:
        print_json("meterlet.applet.questions/1", {"questions": listed})
        return
    for each in listed:
        words = " ".join(f"{name}={kind}" for name, kind in each["arguments"].items())
        click.echo(f"{' '.join(filter(None, [each['question'], words]))}: {each['about']}")


def _values(
    question: "AskableQuestion", arguments: tuple[str, ...], period: Period | None
) -> dict[str, object]:
    """Return the arguments as the question takes them; `UsageError` names what is wrong."""
    values: dict[str, object] = {}
    for text in arguments:
        name, equals, value = text.partition("=")
        if not equals or name not in question.arguments or name in values:
            known = ", ".join(question.arguments) or "none"
            raise click.UsageError(f"--argument {text}: {question.name} takes, once each: {known}")
        values[name] = _value(text, question.arguments[name], value)
    periods = [n for n, kind in question.arguments.items() if kind is Period and n not in values]
    if period is not None:
        if not periods:
            raise click.UsageError(f"{question.name} takes no period")
        values[periods[0]] = period
    for name in question.arguments:
        if name not in values and name not in question.optional:
            how = "--month and so on" if name in periods else f"--argument {name}=..."
            raise click.UsageError(f"{question.name}: {name} is missing; say {how}")
    return values


def _value(text: str, kind: type, value: str) -> object:
    try:
        if kind is Period:
            return Period.parse(value)
        if kind is date:
            return date.fromisoformat(value)
        if kind is bytes:
            return bytes.fromhex(value)
        return kind(value)
    except (ValueError, MetrologyError):
        raise click.UsageError(f"--argument {text}: not a value of kind {kind.__name__}") from None


def _enrolment(path: Path) -> "Enrolment":
    from protocols.enrolment import Enrolment, EnrolmentError

    try:
        return Enrolment.decode(path.read_bytes())
    except EnrolmentError as error:
        fail(f"{path}: {error}")


def _send(address: str, hub: "Enrolment", command: "CommandApdu") -> bytes:
    from utility_server.head_end import Address, HeadEnd

    return HeadEnd(os.urandom).ask(Address.parse(address), hub, command)


def _answer(
    address: str, hub: "Enrolment", question: "AskableQuestion", values: Mapping[str, object]
) -> Mapping[str, object]:
    from applets.sdk import Command
    from applets.sdk.asking import AskedHub
    from protocols.iso7816.apdu import CommandApdu
    from protocols.iso7816.errors import MalformedApdu
    from protocols.proofs import Malformed, ProofRefused

    def send(command: Command) -> bytes:
        apdu = CommandApdu(
            command.cla, command.ins, command.p1, command.p2, command.data,
            command.expected or MOST_ANSWER,
        )  # fmt: skip
        return _send(address, hub, apdu)

    asked = AskedHub(
        Series(hub.meter, hub.register, hub.zone, hub.slot_minutes),
        Ed25519PublicKey.from_public_bytes(hub.certifier),
        send,
        os.urandom,
    )
    try:
        return question.ask(asked, values)
    except MalformedApdu as error:
        fail(f"{question.name}: {error}", Exit.USAGE)
    except (ProofRefused, Malformed, MetrologyError, ValueError) as error:
        fail(f"the answer is not proved: {error}", Exit.REFUTED)


def _output(address: str, hub: "Enrolment", name: str, number: int) -> Mapping[str, object]:
    from protocols.iso7816.apdu import CommandApdu
    from protocols.told_outputs import CLA, GET_DATA, NOT_SET, NOT_YET, ToldOutput
    from utility_server.errors import HubRefused

    command = CommandApdu(CLA, GET_DATA, number >> 8, number & 0xFF, le=MOST_ANSWER)
    try:
        data, status = _send(address, hub, command), 0x9000
    except HubRefused as refused:
        if refused.status_word == NOT_YET:
            fail(f"{name}: nothing was released yet; ask when it has been due", Exit.UNVERIFIABLE)
        if refused.status_word != NOT_SET:
            raise
        return {"output": name, "is_set": False, "value": None}
    try:
        told = ToldOutput.of(data, status)
    except ValueError as error:
        fail(f"{name}: {error}", Exit.REFUTED)
    assert told.value is not None
    return {
        "output": name,
        "is_set": True,
        "value": told.value.hex(),
        "released": utc_text(told.released),
    }
