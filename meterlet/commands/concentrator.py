# SPDX-License-Identifier: Apache-2.0
"""`meterlet concentrator`: between hubs and MDMS; it holds no key."""

from pathlib import Path

import rich_click as click

from meterlet.commands.common import PRESENT_FILE, json_option
from meterlet.commands.serving import (
    announce,
    complain,
    host_option,
    port_option,
    run_until_stopped,
)
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
@host_option
@port_option(7817)
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
    ready = announce(schema)
    run_until_stopped(
        lambda stop: serve_line(answering, host, port, ready, stop, complain=complain)
    )
