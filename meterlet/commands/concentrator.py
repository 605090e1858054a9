# SPDX-License-Identifier: Apache-2.0
"""`meterlet concentrator`: between hubs and MDMS; it holds no key that opens anything."""

from pathlib import Path

import rich_click as click

from meterlet.commands.common import (
    FOLDER,
    PRESENT_FILE,
    Shown,
    default_folder,
    folder_option,
    json_option,
    json_or_text,
)
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
from utility_server.grid.line_identity import LineIdentity
from utility_server.grid.pinned_line import LineKeys

MEGABYTE = 1 << 20


@click.group()
def concentrator() -> None:
    """The concentrator: it collects contributions and multiplies ciphertexts.

    It has a key to prove who it is, and none that opens anything.
    """


@concentrator.command()
@click.argument(
    "folder",
    type=FOLDER,
    default=lambda: default_folder("concentrator"),
    help="Where the concentrator is to live: a new or empty folder.",
)
@json_or_text("meterlet.concentrator.init/1")
def init(folder: Path) -> Shown:
    """Make the key in FOLDER by which an MDMS knows its concentrator."""
    public = LineIdentity.create(folder, "a concentrator").public_key.public_bytes_raw().hex()
    facts = {"concentrator": str(folder), "public_key": public}
    return facts, f"made a concentrator in {folder}; its public key is {folder / 'public.pem'}"


@concentrator.command()
@folder_option("concentrator", "The concentrator's folder.")
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
    folder: Path,
    hubs: Path,
    operator: Path,
    host: str,
    port: int,
    at_once: int,
    patience: float,
    memory: int,
    as_json: bool,
) -> None:
    """Serve the MDMS, and nobody else, until interrupted."""
    read_hubs(hubs)
    peer = public_key(operator).public_bytes_raw()
    keys = LineKeys(LineIdentity.open(folder).key, peer)
    made = Concentrator(hubs, peer, Hubs(at_once, patience), keys.own, most_bytes=memory * MEGABYTE)
    try:
        run(made, keys, host, port, "meterlet.concentrator.serve/1" if as_json else None)
    finally:
        made.hubs.close()


def run(answering: Answering, keys: LineKeys, host: str, port: int, schema: str | None) -> None:
    """Let a concentrator or trustee serve its peer until it is interrupted or terminated."""
    ready = announce(schema)
    run_until_stopped(
        lambda stop: serve_line(answering, keys, host, port, ready, stop, complain=complain)
    )
