# SPDX-License-Identifier: Apache-2.0
"""The option that names a chain's end, as it was noted elsewhere."""

import rich_click as click

from utility_server.chain_head import ChainHead


def _head(_: click.Context, parameter: click.Parameter, value: str | None) -> ChainHead | None:
    try:
        return None if value is None else ChainHead.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


noted_option = click.option(
    "--noted", metavar="NUMBER:DIGEST", callback=_head,
    help="An end that the chain had before, as noted elsewhere: it must go through it.",
)  # fmt: skip
