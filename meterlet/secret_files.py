# SPDX-License-Identifier: Apache-2.0
"""Options that name files with secrets: what is no such file is never printed.

Whoever says a key or a password in the place of its file has it in no terminal's record, and in no
log of what a service printed.
"""

import os
from pathlib import Path
from typing import IO, Any, Final

import rich_click as click

NOT_SHOWN: Final = "what is said (it is not shown, as it may be a secret) is no file"


class _SecretPath(click.Path):
    """The path of a file that is there."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Return the path."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise click.BadParameter(NOT_SHOWN, ctx, param) from None


class SecretText(click.File):
    """A text file, opened."""

    def convert(
        self,
        value: str | os.PathLike[str] | IO[Any],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> IO[Any]:
        """Return the file."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            raise click.BadParameter(NOT_SHOWN, ctx, param) from None


SECRET_FILE: Final = _SecretPath(path_type=Path, dir_okay=False, exists=True)
