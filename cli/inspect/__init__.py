# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect`: what the resident can see and check."""

import rich_click as click

from cli.inspect.attack import attack_command
from cli.inspect.bill import inspect_bill, show_bill, tariffs
from cli.inspect.consents import consents
from cli.inspect.export import export
from cli.inspect.pages import serve, users
from cli.inspect.privacy import privacy
from cli.inspect.readings import readings
from cli.inspect.releases import releases, show_released
from cli.inspect.tokens import tokens
from cli.inspect.tui import tui

__all__ = ["inspect", "show_bill", "show_released"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def inspect() -> None:
    """Your own data, what left the house, and your bill."""


COMMANDS = (
    attack_command,
    inspect_bill,
    consents,
    export,
    privacy,
    readings,
    releases,
    serve,
    tariffs,
    tokens,
    tui,
    users,
)
for command in COMMANDS:
    inspect.add_command(command)
