# SPDX-License-Identifier: Apache-2.0
"""Groups whose commands are imported when they are used: each pays only for what it needs."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import rich_click as click

from meterlet.commands.refusals import refuse
from meterlet.extras import ROLES, missing_extra, needs_extra


class LazyGroup(click.RichGroup):
    """A group that imports a command's module only when that command is asked for."""

    group_class = click.RichGroup
    """Groups within it are plain ones."""

    def __init__(
        self, *arguments: Any, targets: Mapping[str, str], extra: str = "", **options: Any
    ) -> None:
        """`targets` says for each command's name where it is, as module:attribute.

        `extra` is what all of them need; else it follows from what is missing.
        """
        super().__init__(*arguments, **options)
        self._targets, self._extra = targets, extra

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        return sorted({*self._targets, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None.

        Without the extra that it needs, it is one that says so and does nothing.
        """
        target = self._targets.get(cmd_name)
        if target is None:
            return super().get_command(ctx, cmd_name)
        module, name = target.split(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            extra = missing_extra(error)
            if extra is None:
                raise
            # A command of a role needs all of the role, whichever library was missed first.
            return _absent(cmd_name, self._extra or ROLES.get(cmd_name, extra))
        return command


def _absent(name: str, extra: str) -> click.Command:
    hint = needs_extra(extra)

    def say(arguments: tuple[str, ...]) -> None:
        refuse(hint, 2, "missing-extra")

    rest = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    return click.RichCommand(
        name=name,
        callback=say,
        params=[rest],
        help=f"Not installed: {hint}",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True},
    )
