# SPDX-License-Identifier: Apache-2.0
"""`meterlet mdms serve|admit`: the MDMS's process, and the meters that it may aggregate."""

import sys
from functools import partial
from pathlib import Path

import rich_click as click

from meterlet.commands.common import PRESENT_FILE, Shown, fail, json_option, json_or_text, show
from meterlet.commands.fan_out_options import fan_out, fan_out_options
from meterlet.commands.mdms.options import mdms_option
from meterlet.key_files import public_key
from protocols.aggregation.decryption import RegionSum
from protocols.aggregation.round import Round
from utility_server.errors import EnrolmentRefused
from utility_server.fan_out import InThisProcess
from utility_server.grid.concentrator.service import MOST_ROUNDS
from utility_server.grid.mdms.control_socket import MdmsServer, PinnedPeer
from utility_server.grid.mdms.opening import open_batch
from utility_server.grid.mdms.workspace import Mdms
from utility_server.head_end import Address
from utility_server.revocations import take_revocations


@click.command()
@mdms_option
@click.argument(
    "revocations",
    type=PRESENT_FILE,
    help="The authority's list, as `meterlet authority revoke` writes it.",
)
@json_or_text("meterlet.mdms.revoke/1")
def revoke(folder: Path, revocations: Path) -> Shown:
    """Go by an authority's list of REVOCATIONS: its meters are in no sum about the time after."""
    with Mdms.open(folder) as workspace:
        try:
            listed = take_revocations(folder, workspace.authorities, revocations.read_bytes())
        except EnrolmentRefused as refused:
            fail(f"{revocations}: {refused}")
    facts = {"number": listed.number, "entries": len(listed.entries)}
    return facts, f"list {listed.number}, {len(listed.entries)} revocations"


@click.command()
@mdms_option
@click.argument(
    "certificates",
    nargs=-1,
    required=True,
    type=PRESENT_FILE,
    help="Meters' certificates, as `meterlet authority certify` writes them.",
)
@json_or_text("meterlet.mdms.admit/1")
def admit(folder: Path, certificates: tuple[Path, ...]) -> Shown:
    """Admit meters to sums, by the CERTIFICATES of a trusted authority."""
    admitted = []
    with Mdms.open(folder) as workspace:
        for path in certificates:
            try:
                certificate = workspace.members.admit(path.read_bytes())
            except EnrolmentRefused as refused:
                fail(f"{path}: {refused}")
            admitted.append({"meter": certificate.meter.hex(), "region": certificate.region})
    return {"admitted": admitted}, f"{len(admitted)} meters may be members of sums"


@click.command()
@mdms_option
@click.option(
    "--concentrator",
    "address",
    default="127.0.0.1:7817",
    show_default=True,
    help="HOST:PORT of it.",
)
@click.option(
    "--concentrator-key",
    "key",
    type=PRESENT_FILE,
    required=True,
    help="The concentrator's public key (PEM).",
)
@click.option("--trustee", help="HOST:PORT of the holder of the key's other share.")
@click.option("--trustee-key", type=PRESENT_FILE, help="Its public key (`meterlet trustee key`).")
@click.option(
    "--rounds-at-once", type=click.IntRange(1, MOST_ROUNDS), default=1, show_default=True,
    help="So many rounds run at a time, of different regions.",
)  # fmt: skip
@fan_out_options("sums are opened")
@json_option
def serve(
    folder: Path,
    address: str,
    key: Path,
    trustee: str | None,
    trustee_key: Path | None,
    rounds_at_once: int,
    processes: int,
    is_on_ray: bool,
    as_json: bool,
) -> None:
    """Run rounds for `meterlet utility aggregate`, until interrupted."""

    def ready(path: Path) -> None:
        text = f"listening on {path}; Ctrl-C ends it"
        show("meterlet.mdms.serve/1", {"socket": str(path)}, text, as_json=as_json)
        sys.stdout.flush()

    if (trustee is None) != (trustee_key is None):
        raise click.UsageError("--trustee and --trustee-key go together")
    second = None
    if trustee is not None and trustee_key is not None:
        second = _pinned(trustee, trustee_key)
    first, folder = _pinned(address, key), folder.absolute()
    how = fan_out(processes, is_on_ray=is_on_ray)
    if isinstance(how, InThisProcess):
        MdmsServer(folder, first, second, rounds_at_once).serve(ready)
        return
    with how.staying() as do:

        def opener(announced: Round, batch: bytes) -> RegionSum:
            return do(partial(open_batch, folder), (announced.encode(), batch))

        MdmsServer(folder, first, second, rounds_at_once, opener).serve(ready)


def _pinned(address: str, key: Path) -> PinnedPeer:
    return PinnedPeer(Address.parse(address), public_key(key).public_bytes_raw())
