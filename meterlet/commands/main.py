# SPDX-License-Identifier: Apache-2.0
"""The `meterlet` command: nouns, then verbs; a module for each noun, loaded when it is used."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import rich_click as click

from meterlet.commands.lazy import LazyGroup

NOUNS: Final = {
    "applet": "meterlet.commands.applet:applet",
    "authority": "meterlet.commands.authority:authority",
    "bill": "meterlet.commands.bill:bill",
    "concentrator": "meterlet.commands.concentrator:concentrator",
    "demo": "meterlet.commands.demo:demo",
    "examples": "meterlet.commands.examples:examples",
    "fleet": "meterlet.commands.fleet:fleet",
    "hub": "meterlet.commands.hub:hub",
    "index": "meterlet.commands.index:index",
    "inspect": "meterlet.commands.inspect:inspect",
    "mdms": "meterlet.commands.mdms:mdms",
    "meter": "meterlet.commands.meter:meter",
    "profile": "meterlet.commands.profile:profile",
    "sml": "meterlet.commands.sml:sml",
    "tariff": "meterlet.commands.tariff:tariff",
    "trustee": "meterlet.commands.trustee:trustee",
    "utility": "meterlet.commands.utility:utility",
}


class Main(LazyGroup):
    """The command itself."""

    def main(  # type: ignore[override]  # as click calls it
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **options: Any
    ) -> Any:
        """Run the command line; what is wrong with it is one line, or JSON with --json."""
        from meterlet.commands.own_commands import remembering_folders
        from meterlet.commands.refusals import in_the_form_of, refuse_abort, refuse_usage

        arguments = list(sys.argv[1:] if args is None else args)
        with in_the_form_of(arguments), remembering_folders(self):
            try:
                ended = super().main(arguments, standalone_mode=False, **options)
            except click.ClickException as error:
                refuse_usage(error)
            except (KeyboardInterrupt, click.Abort) as error:
                refuse_abort(error)
        if standalone_mode:
            raise SystemExit(ended if isinstance(ended, int) else 0)
        return ended

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what goes wrong outside its own care is one line, too."""
        from meterlet.commands.common import one_line_errors
        from meterlet.commands.refusals import refuse_abort

        try:
            with one_line_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would print an empty line
            refuse_abort(error)


@click.group(cls=Main, targets=NOUNS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("meterlet"), prog_name="meterlet")
def main() -> None:
    """Meterlet: an in-home metering hub that proves bills and sums instead of sending readings.

    Exit codes: 0 fine, 1 failure, 2 usage, 3 verification failed, 4 cannot be verified,
    5 refused by consent or policy, 130 interrupted.
    """


if __name__ == "__main__":
    main()
