# SPDX-License-Identifier: Apache-2.0
"""`meterlet trustee`: the holder of the other share of an MDMS's key."""

from pathlib import Path

import rich_click as click

from meterlet.commands.common import (
    PRESENT_FILE,
    Shown,
    json_option,
    json_or_text,
    output_option,
)
from meterlet.commands.concentrator import run
from meterlet.commands.serving import host_option, port_option
from meterlet.commands.tariff_files import write_new
from meterlet.key_files import public_key, public_pem
from protocols.aggregation.rules import SMALLEST_GROUP
from utility_server.grid.pinned_line import LineKeys
from utility_server.grid.trustee import Trustee


@click.group()
def trustee() -> None:
    """The trustee: it has one share of a split key. Without it the MDMS decrypts nothing."""


@trustee.command()
@click.option("--share", type=PRESENT_FILE, required=True, help="The share that `mdms init` wrote.")
@output_option("A new file.")
@json_or_text("meterlet.trustee.key/1")
def key(share: Path, output: Path) -> Shown:
    """Write the public key by which an MDMS knows who holds the share (`mdms serve`)."""
    made = Trustee.open(share, b"", (), SMALLEST_GROUP)
    public = made.line_key.public_key()
    write_new(output, public_pem(public), 0o644)
    facts = {"public_key": public.public_bytes_raw().hex(), "file": str(output)}
    return facts, f"wrote {output}"


@trustee.command()
@click.option("--share", type=PRESENT_FILE, required=True, help="The share that `mdms init` wrote.")
@click.option("--operator", type=PRESENT_FILE, required=True, help="The MDMS's public key (PEM).")
@click.option(
    "--authority",
    "authorities",
    type=PRESENT_FILE,
    multiple=True,
    required=True,
    help="Public key (PEM) of an authority whose meters count.",
)
@click.option(
    "--smallest-group",
    type=click.IntRange(3),
    default=SMALLEST_GROUP,
    show_default=True,
    help="Homes that a sum is over at least; less is not opened.",
)
@host_option
@port_option(7818)
@json_option
def serve(
    share: Path,
    operator: Path,
    authorities: tuple[Path, ...],
    smallest_group: int,
    host: str,
    port: int,
    as_json: bool,
) -> None:
    """Help the MDMS to decrypt sums over groups that are large enough, until interrupted."""
    trusted = tuple(public_key(path).public_bytes_raw() for path in authorities)
    peer = public_key(operator).public_bytes_raw()
    made = Trustee.open(share, peer, trusted, smallest_group)
    keys = LineKeys(made.line_key, peer)
    run(made, keys, host, port, "meterlet.trustee.serve/1" if as_json else None)
