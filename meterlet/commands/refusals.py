# SPDX-License-Identifier: Apache-2.0
"""How the command refuses: one line, or one JSON object where `--json` was asked for.

Both go to stderr, where messages are; stdout has results only. The object has what the line says,
and for programs a kind, the exit code and what to do:

    {"schema": "meterlet.refusal/1", "kind": "...", "message": "...", "exit_code": 4,
     "what_to_do": "..."}
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from errno import ENOSPC
from typing import Final, NoReturn

import rich_click as click

from meterlet.commands.own_commands import with_said_folders

SCHEMA: Final = "meterlet.refusal/1"
INTERRUPTED: Final = 130
"""How a command ends that SIGINT (Ctrl-C) has cut off: 128 and the signal's number."""

_wants_json: ContextVar[bool] = ContextVar("wants_json", default=False)

KINDS: Final = {
    1: "failure",
    2: "usage",
    3: "verification-failed",
    4: "cannot-be-verified",
    5: "forbidden",
    INTERRUPTED: "interrupted",
}
"""The kind of what no error of its own stands for, by the exit code."""

_BY_CODE: Final = {
    1: "put right what the message names, then run the command again",
    3: "do not rely on it: ask whoever made it for one that is right",
    4: "bring what the message says is missing, then run the command again",
    5: "ask the resident to consent to it, or ask for what is allowed",
    INTERRUPTED: "run the command again: nothing of it is half written",
}

_BY_KIND: Final = {
    "already-billed": "`meterlet utility ledger` shows the invoices that there are",
    "applet-fault": "tell the applet's vendor; `meterlet applet list` shows its state",
    "configuration-refused": "put right what the message names; `meterlet hub run --check` looks"
    " again",
    "database-busy": "end the other meterlet command that holds it, then run this one again",
    "device-error": "say --hub FOLDER, or make a hub with `meterlet hub init`",
    "file-not-found": "check the name and the folder",
    "file-exists": "say another name, or move the file that is there away",
    "is-a-directory": "say a file, not a folder",
    "missing-extra": "install it, then run the command again",
    "no-space-left": "make room on the disk, then run the command again",
    "period-incomplete": "wait until the days are over, or ask for days that `meterlet hub status`"
    " counts as certified",
    "permission": "run the command as the user whose file it is",
    "question-closed": "ask for the bill again; `meterlet utility status` shows which questions are"
    " open",
    "reading-refused": "`meterlet hub status` shows the last reading: `meterlet hub ingest` takes"
    " later ones, `meterlet hub correct` corrects those that are stored",
    "service-running": "end the service, or use what it does; `meterlet hub status` shows it",
    "schema-too-new": "bring Meterlet up to date",
    "stack-refused": "end what the message names, or say another folder and other ports",
    "store-busy": "end the other meterlet command that holds it, then run this one again",
    "tariff-withdrawn": "give the tariff a new revision, and ask under that",
    "transaction-undone": "make room on the disk, then run the command again",
    "unknown-consent": "`meterlet inspect consents list` shows their numbers",
    "unknown-customer": "enrol the meter with `meterlet utility enrol`",
    "unknown-odd-telegram": "`meterlet hub readings quarantine list` shows their numbers",
}


@contextmanager
def in_the_form_of(arguments: Sequence[str]) -> Iterator[None]:
    """Refuse as JSON if a command line asks for it, whatever else is wrong with it."""
    before_files = arguments[: arguments.index("--")] if "--" in arguments else arguments
    token = _wants_json.set("--json" in before_files)
    try:
        yield
    finally:
        _wants_json.reset(token)


def kind_of(error: Exception) -> str:
    """Return the kind of an error: its class, in small letters with hyphens."""
    if isinstance(error, OSError) and error.errno == ENOSPC:
        return "no-space-left"
    if isinstance(error, OSError):
        name = type(error).__name__.removesuffix("Error")
        return "input-output" if name in ("OS", "IO") else _hyphened(name)
    return _hyphened(type(error).__name__)


def _hyphened(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def refuse(message: str, code: int, kind: str | None = None) -> NoReturn:
    """Say on stderr why a command ends, and end it with an exit code."""
    say_refusal(message, code, kind)
    raise SystemExit(int(code))


def say_refusal(message: str, code: int, kind: str | None = None) -> None:
    """Say on stderr why a command ends."""
    line = with_said_folders(" ".join(message.split()))
    if not _wants_json.get():
        click.echo(f"meterlet: {line}", err=True)
        return
    named = kind or KINDS[int(code)]
    facts = {
        "schema": SCHEMA,
        "kind": named,
        "message": line,
        "exit_code": int(code),
        "what_to_do": with_said_folders(_what_to_do(named, int(code))),
    }
    click.echo(json.dumps(facts, ensure_ascii=False), err=True)


def _what_to_do(kind: str, code: int) -> str:
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if code == 2:
        context = click.get_current_context(silent=True)
        return help_hint(None if context is None else context.command_path)
    return _BY_CODE[code]


def help_hint(command: str | None) -> str:
    """Return where to read how a command is used."""
    return f"see `{command or 'meterlet'} -h`"


def refuse_usage(error: click.ClickException) -> NoReturn:
    """Say in one line what was wrong with a command line; end with click's exit code for it."""
    context = getattr(error, "ctx", None)
    path = None if context is None else context.command_path
    message = error.format_message().rstrip(".")
    message = re.sub(r"is not a valid (?:integer|float)(?: range)?$", "is not a number", message)
    if not _wants_json.get() and isinstance(error, click.UsageError):
        message = f"{message}; {help_hint(path)}"
    if context is None:
        refuse(message, error.exit_code)
    with context.scope(cleanup=False):
        refuse(message, error.exit_code)


def refuse_abort(error: BaseException) -> NoReturn:
    """End a command that the user has stopped: by Ctrl-C, or by saying no."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        refuse("interrupted", INTERRUPTED)
    refuse("stopped: nothing was done", 1, "stopped")
