# SPDX-License-Identifier: Apache-2.0
"""The `meterlet` command: nouns, then verbs; a module for each noun, loaded when it is used."""

from importlib.metadata import version
from typing import Any, Final

import rich_click as click

from cli.lazy import LazyGroup

__all__ = ["main"]

NOUNS: Final = {
    "applet": "cli.applet:applet",
    "authority": "cli.authority:authority",
    "bill": "cli.bill:bill",
    "concentrator": "cli.concentrator:concentrator",
    "demo": "cli.demo:demo",
    "hub": "cli.hub:hub",
    "index": "cli.index:index",
    "inspect": "cli.inspect:inspect",
    "mdms": "cli.mdms:mdms",
    "profile": "cli.profile:profile",
    "sml": "cli.sml:sml",
    "tariff": "cli.tariff:tariff",
    "trustee": "cli.trustee:trustee",
    "utility": "cli.utility:utility",
}


class Main(LazyGroup):
    """The command itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong outside its own care is one line, too."""
        from cli.common import one_line_errors

        with one_line_errors():
            return super().invoke(ctx)


@click.group(cls=Main, targets=NOUNS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("meterlet"), prog_name="meterlet")
def main() -> None:
    """Meterlet: an in-home metering hub that proves bills and sums instead of sending readings.

    Exit codes: 0 fine, 1 failure, 2 usage, 3 verification failed, 4 cannot be verified,
    5 refused by consent or policy.
    """


if __name__ == "__main__":
    main()
