# SPDX-License-Identifier: Apache-2.0
"""`meterlet concentrator`: between hubs and MDMS; it holds no key."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import rich_click as click

from meterlet.commands.common import PRESENT_FILE, json_option, print_json
from meterlet.key_files import public_key
from utility_server.grid.concentrator.hubs import Hubs, read_hubs
from utility_server.grid.concentrator.server import Answering
from utility_server.grid.concentrator.server import serve as serve_line
from utility_server.grid.concentrator.service import Concentrator

MEGABYTE = 1 << 20


@click.group()
def concentrator() -> None:
    """The concentrator: it collects contributions and multiplies ciphertexts. It has no key."""


@concentrator.command()
@click.option(
    "--hubs", type=PRESENT_FILE, required=True, help="JSON: the hubs and where they listen."
)
@click.option("--operator", type=PRESENT_FILE, required=True, help="The MDMS's public key (PEM).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=7817, show_default=True)
@click.option(
    "--at-once",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="Hubs asked at a time.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0.1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds that a hub may take for an answer.",
)
@click.option(
    "--memory",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Megabytes of contributions kept at most, in all rounds that are open.",
)
@json_option
def serve(
    hubs: Path,
    operator: Path,
    host: str,
    port: int,
    at_once: int,
    patience: float,
    memory: int,
    as_json: bool,
) -> None:
    """Serve the MDMS until interrupted."""
    read_hubs(hubs)
    made = Concentrator(
        hubs,
        public_key(operator).public_bytes_raw(),
        Hubs(at_once, patience),
        most_bytes=memory * MEGABYTE,
    )
    try:
        run(made, host, port, "meterlet.concentrator.serve/1" if as_json else None)
    finally:
        made.hubs.close()


def run(answering: Answering, host: str, port: int, schema: str | None) -> None:
    """Let a concentrator or trustee serve until it is interrupted or terminated."""

    def ready(address: str, chosen: int) -> None:
        if schema is not None:
            print_json(schema, {"host": address, "port": chosen})
        else:
            click.echo(f"listening on {address}:{chosen}; Ctrl-C ends it")
        sys.stdout.flush()

    async def main(stop: asyncio.Event) -> None:
        await serve_line(
            answering,
            host,
            port,
            ready,
            stop,
            complain=lambda line: click.echo(f"meterlet: {line}", err=True),
        )

    run_until_stopped(main)


def run_until_stopped(server: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a server until the event that it gets is set: interrupted or terminated."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await server(stop)

    asyncio.run(main())
