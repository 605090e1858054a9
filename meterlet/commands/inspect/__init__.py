# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect`: what the resident can see and check."""

from typing import Final

import rich_click as click

from meterlet.commands.lazy import LazyGroup

__all__ = ["inspect"]

TARGETS: Final = {
    "attack": "meterlet.commands.inspect.attack:attack_command",
    "bill": "meterlet.commands.inspect.bill:inspect_bill",
    "consents": "meterlet.commands.inspect.consents:consents",
    "export": "meterlet.commands.inspect.export:export",
    "privacy": "meterlet.commands.inspect.privacy:privacy",
    "readers": "meterlet.commands.inspect.readers:readers",
    "readings": "meterlet.commands.inspect.readings:readings",
    "releases": "meterlet.commands.inspect.releases:releases",
    "serve": "meterlet.commands.inspect.pages:serve",
    "tariffs": "meterlet.commands.inspect.bill:tariffs",
    "tokens": "meterlet.commands.inspect.tokens:tokens",
    "tui": "meterlet.commands.inspect.tui:tui",
    "users": "meterlet.commands.inspect.pages:users",
}


@click.group(cls=LazyGroup, targets=TARGETS)
def inspect() -> None:
    """Your own data, what left the house, and your bill."""
