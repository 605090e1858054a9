# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility stack`: the whole service on one machine, for trying out."""

import signal
import threading
from pathlib import Path

import rich_click as click

from meterlet.commands.common import FOLDER, default_folder, json_option, one_line_errors
from meterlet.commands.utility_worker import EventPrinter
from protocols.remote_admin.wake import PORT


@click.command("stack")
@click.argument(
    "folder", type=FOLDER, default=lambda: default_folder("stack"),
    help="Where the servers' data and the utility are to live.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="So many processes verify answers.",
)  # fmt: skip
@click.option(
    "--gateway-port", type=click.IntRange(1, 65535), default=8443, show_default=True,
    help="Port for hubs that dial out.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8420, show_default=True,
    help="Port of loopback for console and REST.",
)  # fmt: skip
@click.option(
    "--broker-port", type=click.IntRange(1, 65535), default=PORT, show_default=True,
    help="Port of loopback of the broker that wakes hubs, where Mosquitto is installed.",
)  # fmt: skip
@click.option(
    "--require-broker", is_flag=True, help="End where Mosquitto is not installed, and not without."
)
@click.option(
    "--name", "names", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
    help="A name or address under which hubs reach this machine. Repeatable.",
)  # fmt: skip
@json_option
def stack(
    folder: Path,
    workers: int,
    gateway_port: int,
    port: int,
    broker_port: int,
    require_broker: bool,
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run database, queue, workers, gateway, deliverer, console and REST in FOLDER.

    Until it is stopped. PostgreSQL's and NATS's servers must be installed; they listen on this
    machine alone. Where Mosquitto is, hubs are woken over it; a line says where it is not. What
    ends is started again, and a line says why it ended and where its log is.
    `ready` is printed once each part answers. The utility is made at the first start:
    FOLDER/utility works with all other commands.
    """
    from utility_server.stack.whole import Stack

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    told = EventPrinter("meterlet.utility.stack/1", as_json=as_json)
    running = Stack(
        folder.resolve(), workers, gateway_port, port, broker_port, require_broker, names, told
    )
    with one_line_errors(), running.running():
        running.run(stopping)
