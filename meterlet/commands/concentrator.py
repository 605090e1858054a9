# SPDX-License-Identifier: Apache-2.0
"""`meterlet concentrator`: between hubs and MDMS; it holds no key that opens anything."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import rich_click as click

from hub.text import utc_text
from meterlet.commands.common import (
    FILE,
    FOLDER,
    PRESENT_FILE,
    Hex,
    Shown,
    default_folder,
    folder_option,
    json_option,
    json_or_text,
    one_line_errors,
    output_option,
    print_json,
)
from meterlet.commands.serving import (
    announce,
    complain,
    host_option,
    port_option,
    run_until_stopped,
)
from meterlet.commands.tariff_files import require_place, write_new
from meterlet.commands.wake_options import (
    broker_port_option,
    files_option,
    keeper_of,
    names_option,
    target_option,
    wake_option,
    waker_at,
    write_broker_files,
)
from meterlet.key_files import public_key
from protocols.hub_certificates import LARGEST_REQUEST
from protocols.remote_admin.wake import BrokerAddress
from utility_server.concentrator_gateway import hub_authority, round_wakes
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.certificates import HUB_DAYS, CertificateAuthority
from utility_server.gateway.waking import Waker, waking
from utility_server.gateway.withdrawn_keys import WithdrawnKeys
from utility_server.grid.concentrator.dialled import PATIENCE_SECONDS, POLL_SECONDS, DialledHubs
from utility_server.grid.concentrator.hubs import Hubs, read_dialled_hubs, read_listening_hubs
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


hubs_option = click.option(
    "--hubs", type=PRESENT_FILE, required=True,
    help="JSON: the hubs, and where they listen or by which certifiers they are known.",
)  # fmt: skip


@concentrator.command("certify-hub")
@folder_option("concentrator", "The concentrator's folder.")
@hubs_option
@click.argument("request", type=PRESENT_FILE, help="What `meterlet hub dial-key` has written.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=HUB_DAYS, show_default=True,
    help="For how long the certificate counts.",
)  # fmt: skip
@output_option("A new file for the certificate, which goes to the hub.")
@json_or_text("meterlet.concentrator.certify-hub/1")
def certify_hub(folder: Path, hubs: Path, request: Path, days: int, output: Path) -> Shown:
    """Issue the certificate with which a listed hub dials the concentrator.

    The meter's certifier, whose key the list has, must have signed the REQUEST.
    """
    with one_line_errors(), hub_authority(folder, hubs) as authority:
        with request.open("rb") as file:
            document = file.read(LARGEST_REQUEST + 1)
        require_place(output)
        made = authority.certify(document, days)
        write_new(output, authority.bundle(made), 0o644)
    facts = {
        "meter": made.meter.hex(),
        "serial": made.serial.hex(),
        "ends": utc_text(made.ends),
        "file": str(output),
    }
    return facts, (
        f"certified the hub of meter {made.meter.hex()} until {utc_text(made.ends)}: {output}"
    )


@concentrator.command("withdraw-certificate")
@folder_option("concentrator", "The concentrator's folder.")
@hubs_option
@click.option("--meter", type=Hex(), required=True, help="The hub's meter.")
@click.option("--serial", type=Hex(), help="This certificate alone; by default all of the meter's.")
@json_or_text("meterlet.concentrator.withdraw-certificate/1")
def withdraw_certificate(folder: Path, hubs: Path, meter: bytes, serial: bytes | None) -> Shown:
    """Withdraw a hub's certificates: the concentrator's gateway refuses them within seconds."""
    with one_line_errors(), hub_authority(folder, hubs) as authority:
        count = authority.withdraw(meter, serial)
    noun = "certificate" if count == 1 else "certificates"
    return {"meter": meter.hex(), "withdrawn": count}, f"withdrew {count} {noun}"


@concentrator.command("broker-files")
@folder_option("concentrator", "The concentrator's folder.")
@hubs_option
@target_option
@names_option
@broker_port_option
@json_or_text("meterlet.concentrator.broker-files/1")
def broker_files(
    folder: Path, hubs: Path, target: Path, names: tuple[str, ...], port: int
) -> Shown:
    """Write what Mosquitto needs to wake hubs when a round begins.

    The broker is the concentrator's own: hubs know it by the authority of the certificates that
    `concentrator certify-hub` issues. A utility's broker knows other certificates. All else is as
    `meterlet utility broker-files` does it.
    """
    with one_line_errors(), hub_authority(folder, hubs) as authority:
        authority.open()
        return write_broker_files(authority, target, names, port)


@concentrator.command()
@folder_option("concentrator", "The concentrator's folder.")
@hubs_option
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
    help="Seconds that a hub may take for an answer: 60 by default; where hubs dial, how long a"
    f" step waits for them to come, {PATIENCE_SECONDS:.0f} by default.",
)
@click.option(
    "--gateway-port",
    type=click.IntRange(0, 65535),
    help="Let hubs dial in at this port (0: any that is free), instead of dialling them.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    default=("localhost", "127.0.0.1"),
    show_default=True,
    help="A name or address under which hubs reach that port. Repeatable.",
)
@click.option("--certificate", type=FILE, help="That port's certificate (PEM), with --key.")
@click.option("--key", type=FILE, help="Its private key (PEM).")
@click.option(
    "--poll",
    type=click.IntRange(1, 86_400),
    default=POLL_SECONDS,
    show_default=True,
    help="After how many seconds hubs that dial are to come again.",
)
@wake_option
@files_option
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
    patience: float | None,
    gateway_port: int | None,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    poll: int,
    broker: BrokerAddress | None,
    broker_files: BrokerFiles | None,
    memory: int,
    as_json: bool,
) -> None:
    """Serve the MDMS, and nobody else, until interrupted.

    With --gateway-port, hubs dial in over TLS with certificates (`concentrator certify-hub`), and
    a round's steps wait for them; without, the concentrator dials them. With --wake, hubs that
    listen at the broker dial as soon as a round begins.
    """
    if gateway_port is None and broker is not None:
        raise click.UsageError("--wake goes with the door for hubs: say --gateway-port")
    if broker_files is not None and broker is None:
        raise click.UsageError("--broker-files goes with --wake")
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate goes with --key")
    peer = public_key(operator).public_bytes_raw()
    keys = LineKeys(LineIdentity.open(folder).key, peer)
    schema = "meterlet.concentrator.serve/1" if as_json else None
    most = memory * MEGABYTE
    if gateway_port is None:
        read_listening_hubs(hubs)
        asking = Hubs(at_once, 60.0 if patience is None else patience)
        made = Concentrator(hubs, peer, asking, keys.own, most_bytes=most)
        try:
            run(made, keys, host, port, schema)
        finally:
            asking.close()
        return
    read_dialled_hubs(hubs)
    dialled = DialledHubs(PATIENCE_SECONDS if patience is None else patience, poll)
    made = Concentrator(hubs, peer, dialled, keys.own, most_bytes=most)
    files = None if certificate is None or key is None else (certificate, key)
    with one_line_errors(), hub_authority(folder, hubs) as authority:
        authority.open()
        wakes = round_wakes(dialled, authority)
        door = _Door(
            host,
            gateway_port,
            files or authority.server_files(names),
            authority,
            waker_at(broker, authority, wakes.look, complain),
            keeper_of(broker_files, broker, authority, complain),
        )
        _run_with_gateway(made, keys, host, port, schema, dialled, door)


@dataclass(frozen=True, slots=True)
class _Door:
    """Where hubs dial in."""

    host: str
    port: int
    files: tuple[Path, Path]
    """The server's certificate and key."""
    authority: CertificateAuthority
    waker: Waker | None
    keeper: WithdrawnKeys | None


def _run_with_gateway(
    made: Concentrator,
    keys: LineKeys,
    host: str,
    port: int,
    schema: str | None,
    dialled: DialledHubs,
    door: _Door,
) -> None:
    """Serve the MDMS and the hubs that dial, in one process; say both addresses at once."""
    from utility_server.gateway.serving import gateway_app, serve_gateway, server_context

    context = server_context(*door.files, door.authority.certificate_file)
    with ThreadPoolExecutor(thread_name_prefix="gateway") as workers:
        app = gateway_app(dialled, door.authority, workers)

        async def serve_both(stop: asyncio.Event) -> None:
            async with asyncio.TaskGroup() as group:

                def gateway_ready(_host: str, gateway_port: int) -> None:
                    def ready(host: str, port: int) -> None:
                        _announce_both(schema, host, port, gateway_port)

                    group.create_task(
                        serve_line(made, keys, host, port, ready, stop, complain=complain)
                    )

                async with waking(door.waker, door.keeper):
                    await serve_gateway(app, context, door.host, door.port, gateway_ready, stop)

        try:
            run_until_stopped(serve_both)
        except* OSError as group:
            raise group.exceptions[0] from None
        finally:
            dialled.close()


def _announce_both(schema: str | None, host: str, port: int, gateway_port: int) -> None:
    if schema is not None:
        print_json(schema, {"host": host, "port": port, "gateway_port": gateway_port})
    else:
        click.echo(f"hubs dial in at {host}:{gateway_port}")
        click.echo(f"listening on {host}:{port}; Ctrl-C ends it")
    sys.stdout.flush()


def run(answering: Answering, keys: LineKeys, host: str, port: int, schema: str | None) -> None:
    """Let a concentrator or trustee serve its peer until it is interrupted or terminated."""
    ready = announce(schema)
    run_until_stopped(
        lambda stop: serve_line(answering, keys, host, port, ready, stop, complain=complain)
    )
