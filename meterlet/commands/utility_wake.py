# SPDX-License-Identifier: Apache-2.0
"""`--wake` of the doors for hubs, and `meterlet utility broker-files`, which sets up the broker."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import rich_click as click

from meterlet.commands.broker import BrokerOption
from meterlet.commands.common import (
    FOLDER,
    Shown,
    fail,
    json_or_text,
    one_line_errors,
    utility_option,
)
from protocols.remote_admin.wake import PORT, TOPICS, BrokerAddress
from utility_server.fleet.rollouts import Rollouts
from utility_server.gateway.certificates import WAKER, CertificateAuthority
from utility_server.gateway.errands import AllErrands
from utility_server.gateway.waking import NewlyWaiting, Waker, broker_context
from utility_server.retail.utility import Utility

CONFIGURATION: Final = """\
# Mosquitto, as the broker that wakes hubs. It speaks TLS alone, and asks for certificates of the
# utility's own authority.
per_listener_settings false
persistence false
allow_anonymous false
allow_zero_length_clientid true
max_packet_size 1024
max_queued_messages 10
acl_file {folder}/acl
listener {port}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
"""
RULES: Final = f"""\
# A hub hears the topic of the meter in its certificate, and publishes nothing.
pattern read {TOPICS}%u

# The gateway wakes hubs, and hears nothing.
user {WAKER}
topic write {TOPICS}+
"""

wake_option = click.option(
    "--wake", "broker", type=BrokerOption(), metavar="mqtts://HOST:PORT",
    help="A broker of MQTT, over which hubs are woken when something waits for them.",
)  # fmt: skip


def authority_of(utility: Utility) -> CertificateAuthority:
    """Return the authority for hubs' certificates in a utility's folder."""
    return CertificateAuthority(
        utility.folder, utility.engine, utility.customers, utility.now, utility.randomness
    )


def waker_of(
    utility: Utility,
    authority: CertificateAuthority,
    rollouts: Rollouts,
    errands: AllErrands,
    broker: BrokerAddress | None,
    tell: Callable[[str], object],
) -> Waker | None:
    """Return what wakes hubs at a broker; None without one.

    Raises `ModuleNotFoundError` where the library is missing that speaks to it.
    """
    if broker is None:
        return None
    import aiomqtt  # noqa: F401 - what is missing is said at once, and not when hubs are woken

    files = authority.waker_files()
    context = partial(broker_context, *files, authority.certificate_file)

    def due_meters() -> frozenset[bytes]:
        return rollouts.due_meters() | utility.claim_items.due_meters()

    waiting = NewlyWaiting(utility.questions, due_meters, errands.expect, utility.now)
    return Waker(broker, context, waiting.look, tell)


@click.command("broker-files")
@utility_option
@click.option(
    "--to", "target", type=FOLDER, required=True, help="A folder for the files, new or of before."
)
@click.option(
    "--name", "names", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
    help="A name or address under which hubs reach the broker. Repeatable.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(1, 65535), default=PORT, show_default=True,
    help="The port that the broker listens on.",
)  # fmt: skip
@json_or_text("meterlet.utility.broker-files/1")
def broker_files(folder: Path, target: Path, names: tuple[str, ...], port: int) -> Shown:
    """Write what Mosquitto needs to wake hubs: settings, rules of access, key and certificate.

    Hubs know the broker's certificate by the utility's own authority. By the rules each hub hears
    its own topic alone, and nobody but the gateway can wake it. In a folder that it has written
    before, it only renews a certificate that ends within a month, or is for other names.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        authority = authority_of(utility)
        authority.open()
        where = target.resolve()
        certificate, key = where / "broker.pem", where / "broker.key"
        is_there = key.exists()
        if not is_there:
            try:
                target.mkdir(parents=True, mode=0o755)
            except FileExistsError:
                fail(f"{target}: exists already, and is no broker's folder")
        authority.own_files(certificate, key, names[0][:64], names)
        (where / "ca.pem").write_bytes(authority.certificate_file.read_bytes())
        if not is_there:  # what somebody has changed in them stays
            (where / "acl").write_text(RULES)
            (where / "acl").chmod(0o600)  # Mosquitto wants its rules to be nobody else's
            (where / "mosquitto.conf").write_text(CONFIGURATION.format(folder=where, port=port))
    facts = {"folder": os.fspath(where), "port": port, "names": list(names), "new": not is_there}
    if is_there:
        return facts, f"the certificate in {where} is as it must be; settings and rules stay"
    return facts, f"wrote the files of a broker to {where}: `mosquitto -c {where}/mosquitto.conf`"
