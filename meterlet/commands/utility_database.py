# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility move`, `backup`: where the utility's tables are, and copies of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import rich_click as click
from click.core import ParameterSource
from rich.console import Console
from rich.status import Status
from sqlalchemy import URL

from meterlet.commands.common import FOLDER, Shown, json_or_text, one_line_errors, utility_option
from utility_server.copying import back_up, move_database
from utility_server.locations import database_url, may_be_seen

DATABASE_VARIABLE: Final = "METERLET_DATABASE"


def _url(context: click.Context, parameter: click.Parameter, value: str | None) -> URL | None:
    if value is None:
        return None
    with one_line_errors():
        url = database_url(value)
    said = context.get_parameter_source(str(parameter.name))
    if said is ParameterSource.COMMANDLINE and not may_be_seen(url):
        raise click.BadParameter(
            "others can read arguments: they say user, host, port, name and search_path alone."
            f" Put a password in ~/.pgpass, or the whole URL in {DATABASE_VARIABLE}"
        )
    return url


def database_option(help_text: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Return the option that names a PostgreSQL database; it is never shown with its password."""
    return click.option(
        "--database", "database", envvar=DATABASE_VARIABLE, callback=_url, required=required,
        metavar="URL", help=f"{help_text} postgresql://USER@HOST/NAME; or {DATABASE_VARIABLE}.",
    )  # fmt: skip


@click.command("move")
@utility_option
@database_option("An empty PostgreSQL database:", required=True)
@json_or_text("meterlet.utility.move/1")
def move(folder: Path, database: URL) -> Shown:
    """Move the utility's tables from the file in its folder to PostgreSQL.

    The file stays, as `utility.db.moved`, and nobody can write to it any more. Keys stay in the
    folder.
    """
    with one_line_errors(), _Progress() as progress:
        move_database(folder, database, progress.told)
    place = database.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
    facts = {"utility": str(folder), "database": place, "rows": progress.rows}
    return facts, f"moved {sum(progress.rows.values()):,} rows to {place}"


@click.command("backup")
@utility_option
@click.argument("target", type=FOLDER, help="A new or empty folder for the copy.")
@json_or_text("meterlet.utility.backup/1")
def backup(folder: Path, target: Path) -> Shown:
    """Copy the whole utility, of one moment, into the folder TARGET: tables, keys, lists, limits.

    Others may work meanwhile. The copy is a utility like any other, with its tables in a file: to
    restore it, put it in the other's place, and `meterlet utility move` it if it was in PostgreSQL.
    It holds all keys: keep it as safely.
    """
    with one_line_errors(), _Progress() as progress:
        back_up(folder, target, progress.told)
    facts = {"backup": str(target), "rows": progress.rows}
    return facts, f"copied {sum(progress.rows.values()):,} rows, and all keys, to {target}"


class _Progress:
    """Shows which table is copied, on a terminal."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        console = Console(stderr=True)
        self._status = Status("copying", console=console) if sys.stderr.isatty() else None

    def __enter__(self) -> "_Progress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def told(self, table: str, rows: int) -> None:
        """Note how many rows of a table are copied."""
        self.rows[table] = rows
        if self._status is not None:
            self._status.update(f"copying {table}: {rows:,} rows")
