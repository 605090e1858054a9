# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms`: sums of regions, what they come to, and what is published of them."""

import rich_click as click

from meterlet.commands.mdms.phe import check, phe
from meterlet.commands.mdms.query import balance, forecast, plot, query
from meterlet.commands.mdms.serve import admit, revoke, serve
from meterlet.commands.mdms.store import budget, init, notice, rotate

__all__ = ["mdms"]


@click.group()
def mdms() -> None:
    """The grid operator's server: it decrypts and stores sums, never the use of one home."""


COMMANDS = (
    init, admit, revoke, serve, rotate, check, phe, budget, notice, query, forecast, plot, balance
)  # fmt: skip
for command in COMMANDS:
    mdms.add_command(command)
