# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect`: what the resident can see and check."""

from typing import Final

import rich_click as click

from cli.lazy import LazyGroup

__all__ = ["inspect"]

TARGETS: Final = {
    "attack": "cli.inspect.attack:attack_command",
    "bill": "cli.inspect.bill:inspect_bill",
    "consents": "cli.inspect.consents:consents",
    "export": "cli.inspect.export:export",
    "privacy": "cli.inspect.privacy:privacy",
    "readings": "cli.inspect.readings:readings",
    "releases": "cli.inspect.releases:releases",
    "serve": "cli.inspect.pages:serve",
    "tariffs": "cli.inspect.bill:tariffs",
    "tokens": "cli.inspect.tokens:tokens",
    "tui": "cli.inspect.tui:tui",
    "users": "cli.inspect.pages:users",
}


@click.group(
    cls=LazyGroup, targets=TARGETS, context_settings={"help_option_names": ["-h", "--help"]}
)
def inspect() -> None:
    """Your own data, what left the house, and your bill."""
