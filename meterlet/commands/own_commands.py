# SPDX-License-Identifier: Apache-2.0
"""Commands that a message names can be run as they stand: with the folder that the user has said.

Whoever has said `--hub FOLDER` is shown `meterlet hub status --hub FOLDER`, not a command about
another hub. Which commands take which folder is asked of the commands themselves.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import rich_click as click
from click.core import ParameterSource

_COMMAND: Final = re.compile(
    r"meterlet((?: [a-z][a-z-]*)+)(?![\w-])(?! [a-z])(?! (?:--(?:hub|utility) |-h\b))"
)

_said: ContextVar[dict[str, str] | None] = ContextVar("said_folders", default=None)
_root: ContextVar[click.Command | None] = ContextVar("root_command", default=None)


@contextmanager
def remembering_folders(root: click.Command) -> Iterator[None]:
    """Remember the folders that a command line of `root` says, while it is worked on."""
    said, roots = _said.set({}), _root.set(root)
    try:
        yield
    finally:
        _said.reset(said)
        _root.reset(roots)


def remember_folder(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Remember a folder that was said; a callback of its option."""
    said, name = _said.get(), option.name or ""
    if said is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
        said[option.opts[0]] = str(value)
    return value


def advise(message: str) -> None:
    """Say on stderr what the user may want to know or do."""
    click.echo(f"meterlet: {with_said_folders(message)}", err=True)


def with_said_folders(text: str) -> str:
    """Return a message whose commands name the folders that the user has said."""
    said, root = _said.get(), _root.get()
    if not said or root is None or "meterlet " not in text:
        return text
    return _COMMAND.sub(lambda found: _completed(root, found[1].split(), said), text)


def _completed(root: click.Command, words: list[str], said: dict[str, str]) -> str:
    """Return a command with the folders; `words` may go on with some that are none of it."""
    command, used = root, 0
    for word in words:
        if not isinstance(command, click.Group):
            break
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            break
        command, used = inner, used + 1
    folders = [
        f"{name} {shlex.quote(folder)}"
        for name, folder in said.items()
        if any(name in option.opts for option in command.params)
    ]
    return " ".join(["meterlet", *words[:used], *folders, *words[used:]])
