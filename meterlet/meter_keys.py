# SPDX-License-Identifier: Apache-2.0
"""The keys of meters, as commands are told them: in files that their owner alone may read.

A key in the arguments of a command is seen by everybody on the computer, and stays in the history
of the shell. `KeyOrFile` takes one all the same, for keys that are public, and says so.
"""

import os.path
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import rich_click as click

from meterlet.hex_type import Hex
from meterlet.meter_views.capture import MeterSecrets
from meterlet.secret_files import NOT_SHOWN

SYSTEM_TITLE: Final = Hex("a system title of 16 hexadecimal digits", (8,))
"""By which a meter of DLMS is known."""
_KEY: Final = re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{64})", re.ASCII)
IN_ARGUMENTS: Final = (
    "a key among the arguments is seen by all who use this computer: keep it in a file of mode"
    " 0600, and say the file"
)


def read_meter_key(path: Path) -> bytes:
    """Return the key in a file of 32 or 64 hexadecimal digits that only its owner may read."""
    if path.stat().st_mode & 0o077:
        raise click.UsageError(f"{path}: others may read it; its mode must be 0600")
    text = path.read_bytes()[:128].decode("ascii", "replace").strip()
    if not _KEY.fullmatch(text):
        raise click.UsageError(f"{path}: a key is 32 hexadecimal digits, or 64")
    return bytes.fromhex(text)


class KeyOrFile(click.ParamType[bytes]):
    """A key: a file that has it in hex, or the hex itself."""

    name = "FILE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return the key; one that is said itself is warned of."""
        if isinstance(value, bytes):
            return value
        text = str(value)
        if _KEY.fullmatch(text):
            click.echo(f"meterlet: {IN_ARGUMENTS}", err=True)
            return bytes.fromhex(text)
        if not os.path.isfile(text):  # noqa: PTH113  # a Path's raises for names that are too long
            self.fail(f"{NOT_SHOWN}, and no key of 32 or 64 hexadecimal digits", param, ctx)
        return read_meter_key(Path(text))


def secrets_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be told what enciphered telegrams need: it gets `secrets`, `MeterSecrets`."""

    @wraps(command)
    def run(
        *arguments: Any,
        key: bytes | None,
        auth_key: bytes | None,
        system_title: bytes | None,
        **options: Any,
    ) -> None:
        if auth_key is not None and key is None:
            raise click.UsageError("--auth-key goes with --key")
        command(*arguments, secrets=MeterSecrets(key, auth_key, system_title), **options)

    wrapped: Callable[..., None] = run
    wrapped = click.option(
        "--system-title",
        type=SYSTEM_TITLE,
        help="Who sends, for messages of DLMS that do not say it.",
    )(wrapped)
    for name, what in (("--auth-key", "authentication key"), ("--key", "encryption key")):
        wrapped = click.option(
            name,
            type=KeyOrFile(),
            help=f"File with the meter's {what} in hex, for its owner alone.",
        )(wrapped)
    return wrapped
