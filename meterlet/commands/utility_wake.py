# SPDX-License-Identifier: Apache-2.0
"""How a utility's doors wake hubs, and `meterlet utility broker-files`, for their broker."""

from collections.abc import Callable
from pathlib import Path

import rich_click as click

from meterlet.commands.common import Shown, json_or_text, one_line_errors, utility_option
from meterlet.commands.wake_options import (
    broker_port_option,
    names_option,
    target_option,
    waker_at,
    write_broker_files,
)
from protocols.remote_admin.wake import BrokerAddress
from utility_server.fleet.rollouts import Rollouts
from utility_server.gateway.certificates import CertificateAuthority
from utility_server.gateway.errands import AllErrands
from utility_server.gateway.waking import NewlyWaiting, Waker
from utility_server.retail.utility import Utility


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

    def due_meters() -> frozenset[bytes]:
        return rollouts.due_meters() | utility.claim_items.due_meters()

    waiting = NewlyWaiting(
        utility.questions, due_meters, errands.expect, utility.now, authority.who_may_dial
    )
    return waker_at(broker, authority, waiting.look, tell)


@click.command("broker-files")
@utility_option
@target_option
@names_option
@broker_port_option
@json_or_text("meterlet.utility.broker-files/1")
def broker_files(folder: Path, target: Path, names: tuple[str, ...], port: int) -> Shown:
    """Write what Mosquitto needs to wake hubs: settings, rules of access, key and certificate.

    Hubs know the broker's certificate by the utility's own authority. By the rules each hub hears
    its own topic alone, and nobody but the gateway can wake it. In a folder that it has written
    before, it renews a certificate that ends within a month, or is for other names, and the list of
    withdrawn certificates. A broker that runs here reads them at once.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        authority = authority_of(utility)
        authority.open()
        return write_broker_files(authority, target, names, port)
