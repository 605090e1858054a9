# SPDX-License-Identifier: Apache-2.0
"""What every command shares: where things are, exit codes, one line for an error, JSON or text."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from enum import IntEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import rich_click as click
from click.exceptions import Exit as ClickExit

from hub.errors import HubError
from meterlet.commands.own_commands import remember_folder, with_said_folders
from meterlet.commands.refusals import kind_of, refuse
from meterlet.extras import missing_extra, needs_extra
from meterlet.hex_type import Hex as Hex
from meterlet.key_files import KeyFileProblem
from meterlet.own_words import error_in_own_words
from protocols.metrology import GridError, MetrologyError, Period

if TYPE_CHECKING:
    from hub.machine.machine import AppletMachine


class Exit(IntEnum):
    """What the exit code of every command means."""

    FINE = 0
    FAILURE = 1
    USAGE = 2
    REFUTED = 3
    """A verification failed."""
    UNVERIFIABLE = 4
    """What would show it right or wrong is missing."""
    FORBIDDEN = 5
    """Refused by consent or policy."""


def default_folder(name: str) -> Path:
    """Return where a hub or utility lives unless the user says otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "meterlet" / name


FOLDER: Final = click.Path(path_type=Path, file_okay=False)
PRESENT_FOLDER: Final = click.Path(path_type=Path, file_okay=False, exists=True)
FILE: Final = click.Path(path_type=Path, dir_okay=False)
PRESENT_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
DAY: Final = click.DateTime(["%Y-%m-%d"])
LAST_BILL: Final = "the last bill of the contract: it settles all, and leaves nothing"


def folder_option(noun: str, help_text: str, parameter: str = "folder") -> Callable[[Any], Any]:
    """Return the option that says where a hub, a utility or another party lives."""
    variable = f"METERLET_{noun.upper()}"
    return click.option(
        f"--{noun}",
        parameter,
        type=FOLDER,
        envvar=variable,
        callback=remember_folder,
        default=lambda: default_folder(noun),
        show_default=f"~/.local/share/meterlet/{noun}, or {variable}",
        help=help_text,
    )


hub_option = folder_option("hub", "The hub's folder.")
utility_option = folder_option("utility", "The utility's folder.")
unpublished_option = click.option(
    "--unpublished", is_flag=True, help="Leave what hubs are asked under off the public list."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def output_option(help_text: str) -> Callable[[Any], Any]:
    """Return the option that names the file to be made."""
    return click.option("--output", "-o", type=FILE, required=True, help=help_text)


class CalendarPeriod(click.ParamType[Period]):
    """A month, quarter or year, written as its example is."""

    def __init__(self, noun: str, name: str, example: str) -> None:
        """`name` stands for the value in the help."""
        self.noun, self.name, self.example = noun, name, example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Period:
        """Return the period."""
        if isinstance(value, Period):
            return value
        text = str(value)
        try:
            if (len(text), "Q" in text) != (len(self.example), "Q" in self.example):
                raise GridError(text)
            return Period.parse(text)
        except GridError:
            self.fail(f"{value!r} is not a {self.noun}; write it as {self.example}", param, ctx)


AID_IN_HEX: Final = Hex("an AID of 5 to 16 bytes in hex", range(5, 17), "AID")
"""An application identifier."""

aid_argument = click.argument(
    "aid",
    type=AID_IN_HEX,
    help="The applet's identifier (AID) in hex; `meterlet applet list` shows it.",
)

CALENDAR: Final = (
    CalendarPeriod("month", "YYYY-MM", "2025-03"),
    CalendarPeriod("quarter", "YYYY-QN", "2025-Q1"),
    CalendarPeriod("year", "YYYY", "2025"),
)
SAY_WHICH: Final = "--month, --quarter, --year, or --from and --until"


def _chosen(options: dict[str, Any]) -> tuple[date | None, date | None]:
    """Take the options of a period out of `options`; return the days said."""
    named = {f"--{one.noun}": options.pop(one.noun) for one in CALENDAR}
    first, last = options.pop("from_day"), options.pop("until_day")
    said = [name for name, period in named.items() if period is not None]
    said += ["--from"] if first is not None else []
    said += ["--until"] if last is not None and first is None else []
    if len(said) > 1:
        raise click.UsageError(f"{said[0]} and {said[1]}: say the period in one way")
    for period in named.values():
        if period is not None:
            return period.first, period.last
    begin, end = (None if day is None else day.date() for day in (first, last))
    try:  # a year that days cannot have, the last day before the first
        for day in (begin, end):
            if day is not None:
                Period(day, day)
        if begin is not None and end is not None:
            Period(begin, end)
    except GridError as error:
        fail(str(error), Exit.USAGE)
    return begin, end


def _period_params(about: str, days: str, alone: str) -> Callable[[Callable[..., None]], Any]:
    def decorate(command: Callable[..., None]) -> Any:
        until = f"{about}The last {days} day; it is included."
        command = click.option("--until", "until_day", type=DAY, help=until)(command)
        since = f"{about}The first {days} day, as 2025-03-10; {alone}"
        command = click.option("--from", "from_day", type=DAY, help=since)(command)
        for kind in reversed(CALENDAR):
            text = f"{about}A calendar {kind.noun}, as {kind.example}."
            command = click.option(f"--{kind.noun}", type=kind, help=text)(command)
        return command

    return decorate


def period_options(
    *, required: bool = True, about: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command be asked about a `period` of local days, in one of four ways.

    Where none is said it is None, or a usage error if it is `required`. `about` begins each line of
    the help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            first, last = _chosen(options)
            if first is None and last is not None:
                raise click.UsageError("--until goes with --from")
            if required and first is None:
                raise click.UsageError(f"say which period: {SAY_WHICH}")
            period = None if first is None else Period(first, last or first)
            command(*arguments, period=period, **options)

        wrapped: Callable[..., None] = _period_params(about, "local", "alone, that day.")(run)
        return wrapped

    return decorate


def days_options(
    days: str = "local",
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command be asked about days from `first` to `last`; None: no bound on that side.

    They are said like a period; `--from` or `--until` may stand alone.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, **options: Any) -> None:
            first, last = _chosen(options)
            command(*arguments, first=first, last=last, **options)

        wrapped: Callable[..., None] = _period_params("", days, "alone, all from then on.")(run)
        return wrapped

    return decorate


def fail(message: str, code: Exit = Exit.FAILURE) -> NoReturn:
    """Print one line, or with --json one object, to stderr and leave with an exit code."""
    refuse(message, int(code))


_NOT_OURS: Final = (
    BrokenPipeError,  # the reader of our output has had enough: no error of the user's
    SystemExit,  # an end that was meant, and must not cost the import of all errors there are
    ClickExit,
    click.ClickException,
    click.Abort,
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn every error that a user can cause into one line and the right exit code."""
    try:
        yield
    except _NOT_OURS:
        raise
    except _roots() as error:
        if isinstance(error, ModuleNotFoundError) and missing_extra(error) is None:
            raise
        is_extra = missing_extra(error) is not None
        kind = "missing-extra" if is_extra else kind_of(error)
        refuse(_text(error), int(_exit_code(error)), kind)


def _text(error: Exception) -> str:
    if (extra := missing_extra(error)) is not None:
        return needs_extra(extra)
    if isinstance(error, OSError):
        name = error.filename2 or error.filename  # of two, the one that was to be made
        place = f"{name}: " if name else ""
        return f"{place}{reason_of(error)}"
    return error_in_own_words(error)


def reason_of(error: OSError) -> str:
    """Return what the system says, in our words where we have some."""
    return "exists already" if isinstance(error, FileExistsError) else error.strerror or str(error)


def _roots() -> tuple[type[Exception], ...]:
    # Imported when an error is on its way: a command pays only for what it uses.
    from protocols.errors import MeterletError
    from tariffs import TariffError

    ours = (HubError, KeyFileProblem, MetrologyError, TariffError, MeterletError)
    return (*ours, OSError, ModuleNotFoundError)


def _exit_code(error: Exception) -> Exit:
    from tariffs import SignatureRefused

    if missing_extra(error) is not None:
        return Exit.USAGE
    default = Exit.REFUTED if isinstance(error, SignatureRefused) else Exit.FAILURE
    return Exit(getattr(error, "exit_code", default))


def print_json(schema: str, data: Mapping[str, Any], *, is_line: bool = False) -> None:
    """Print one JSON object, marked with the name and version of its schema.

    As one line, where a command prints many.
    """
    indent = None if is_line else 2
    click.echo(json.dumps({"schema": schema, **data}, ensure_ascii=False, indent=indent))


ForPeople = str | list[str] | Callable[[], None]
"""A text, lines, or what prints them."""
Shown = tuple[Mapping[str, Any], ForPeople]
"""What a command has to show: facts for programs, and the same for people."""


def show(schema: str, facts: Mapping[str, Any], text: ForPeople, *, as_json: bool) -> None:
    """Print what a command has to show: as one JSON object, or as text."""
    if as_json:
        print_json(schema, facts)
    elif callable(text):
        text()
    else:
        for line in [text] if isinstance(text, str) else text:
            click.echo(with_said_folders(line))


def json_or_text(schema: str) -> Callable[[Callable[..., Shown]], Callable[..., None]]:
    """Let a command print what it returns: as one JSON object with --json, else as text."""

    def decorate(command: Callable[..., Shown]) -> Callable[..., None]:
        @wraps(command)
        def run(*arguments: Any, as_json: bool, **options: Any) -> None:
            show(schema, *command(*arguments, **options), as_json=as_json)

        return json_option(run)

    return decorate


def open_machine() -> "AppletMachine":
    """Return the applet machine, built and cached on first use with its progress on stderr."""
    from hub.machine.machine import AppletMachine
    from hub.machine.python_runtime import Progress

    def show(progress: Progress) -> None:
        line = f"applet machine, step {progress.index + 1} of {progress.steps}: {progress.step}"
        if progress.done:
            click.echo(f"{line}, {progress.seconds:.1f} s", err=True)
        elif sys.stderr.isatty():
            click.echo(f"{line} ... {progress.seconds:.0f} s\r", err=True, nl=False)

    return AppletMachine.open(progress=show)
