# SPDX-License-Identifier: Apache-2.0
"""What the commands that serve share: where they listen, what they say, and how they end."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import rich_click as click

from meterlet.commands.common import print_json
from meterlet.commands.ending import Ending
from meterlet.commands.own_commands import advise

host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
)


def port_option(default: int) -> Callable[[Any], Any]:
    """Return the option that says which port to listen on; 0 for any that is free."""
    return click.option(
        "--port", type=click.IntRange(0, 65535), default=default, show_default=True,
        help="Port to listen on; 0: any that is free.",
    )  # fmt: skip


def announce(schema: str | None, *, is_line: bool = False) -> Callable[[str, int], None]:
    """Return what prints once where a server listens: as JSON by a schema, or as text.

    As one line of JSON, where more lines follow.
    """
    said: list[int] = []

    def ready(host: str, port: int) -> None:
        if said:
            return
        said.append(port)
        if schema is not None:
            print_json(schema, {"host": host, "port": port}, is_line=is_line)
        else:
            click.echo(f"listening on {host}:{port}; Ctrl-C ends it")
        sys.stdout.flush()

    return ready


def print_line(line: str) -> None:
    """Print one line of a log; whoever reads it may be gone, and the server goes on."""
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def complain(line: str) -> None:
    """Print one line about a peer to stderr."""
    advise(line)


def run_until_stopped(
    server: Callable[[asyncio.Event], Awaitable[None]], watched: Ending | None = None
) -> None:
    """Run a server until the event that it gets is set: interrupted or terminated.

    Who has begun to watch for that before says with what.
    """

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def stop_soon() -> None:
            with suppress(RuntimeError):  # it has ended by itself meanwhile
                loop.call_soon_threadsafe(stop.set)

        if watched is not None:
            watched.on_stop(stop_soon)
        else:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
        await server(stop)

    asyncio.run(main())
