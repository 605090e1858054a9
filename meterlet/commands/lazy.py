# SPDX-License-Identifier: Apache-2.0
"""Groups whose commands are imported when they are used: each pays only for what it needs."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import rich_click as click

__all__ = ["LazyGroup"]


class LazyGroup(click.RichGroup):
    """A group that imports a command's module only when that command is asked for."""

    def __init__(self, *arguments: Any, targets: Mapping[str, str], **options: Any) -> None:
        """`targets` says for each command's name where it is, as module:attribute."""
        super().__init__(*arguments, **options)
        self._targets = targets

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names."""
        return sorted(self._targets)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None."""
        target = self._targets.get(cmd_name)
        if target is None:
            return None
        module, name = target.split(":")
        command: click.Command = getattr(import_module(module), name)
        return command
