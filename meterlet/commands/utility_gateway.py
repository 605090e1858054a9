# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility gateway` and the certificates of hubs: the door for hubs that dial out."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import rich_click as click

from applets.billing.messages import BillQuestion
from hub.text import utc_text
from meterlet.commands.common import (
    PRESENT_FILE,
    Hex,
    Shown,
    json_option,
    json_or_text,
    one_line_errors,
    output_option,
    utility_option,
)
from meterlet.commands.ending import ending
from meterlet.commands.gateway_log import GatewayLog
from meterlet.commands.serving import (
    announce,
    complain,
    host_option,
    port_option,
    print_line,
    run_until_stopped,
)
from meterlet.commands.tariff_files import require_place, write_new
from meterlet.commands.utility_wake import authority_of, waker_of
from meterlet.commands.utility_worker import (
    nats_credentials_option,
    nats_option,
    nats_token_option,
    open_queue,
)
from meterlet.commands.wake_options import files_option, keeper_of, wake_option
from meterlet.secret_files import SECRET_FILE
from protocols.hub_certificates import LARGEST_REQUEST
from protocols.remote_admin.wake import BrokerAddress
from utility_server.errors import UtilityError
from utility_server.fleet.errands import FleetErrands
from utility_server.fleet.planning import rollouts_of
from utility_server.fleet.plans import HubState
from utility_server.fleet.rollouts import Due, Outcome
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.certificates import HUB_DAYS, HubCertificate
from utility_server.gateway.claim_errands import ClaimErrands
from utility_server.gateway.errands import POLL_SECONDS, AllErrands, BillErrands
from utility_server.gateway.waking import waking
from utility_server.pipeline.in_process import verifying
from utility_server.retail.utility import Utility


def _tell_nobody(_event: str, _question: BillQuestion) -> None:
    """Nobody is told."""


def hub_errands(
    utility: Utility,
    answered: Callable[[BillQuestion], object],
    failed: Callable[[BillQuestion, UtilityError], object] | None = None,
    told: Callable[[str, BillQuestion], object] = _tell_nobody,
    poll_seconds: int = POLL_SECONDS,
) -> AllErrands:
    """Return all that hubs are asked when they dial: roll-outs, bills, settlements and profiles.

    `told` gets each question that was asked, answered or delivered, with that word.
    """
    return AllErrands([
        # First, since a hub may have new keys by now that only a roll-out knows of.
        FleetErrands(
            rollouts_of(utility), utility.customers, utility.randomness, poll_seconds, _tell_settled
        ),
        BillErrands(utility, answered, failed, told, poll_seconds),
        ClaimErrands(utility, utility.claim_items, poll_seconds),
    ])  # fmt: skip


@click.command("certify-hub")
@utility_option
@click.argument("request", type=PRESENT_FILE, help="What `meterlet hub dial-key` has written.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=HUB_DAYS, show_default=True,
    help="For how long the certificate counts.",
)  # fmt: skip
@output_option("A new file for the certificate, which goes to the hub.")
@json_or_text("meterlet.utility.certify-hub/1")
def certify_hub(folder: Path, request: Path, days: int, output: Path) -> Shown:
    """Issue the certificate with which a customer's hub dials.

    The meter must be enrolled, and its certifier must have signed the REQUEST.
    """
    with one_line_errors(), Utility.open(folder) as utility:
        authority = authority_of(utility)
        with request.open("rb") as file:
            document = file.read(LARGEST_REQUEST + 1)
        require_place(output)
        made = authority.certify(document, days)
        write_new(output, authority.bundle(made), 0o644)
    facts = {**_facts(made), "file": str(output)}
    return facts, (
        f"certified the hub of meter {made.meter.hex()} until {utc_text(made.ends)}: {output}"
    )


@click.command("hub-certificates")
@utility_option
@click.option("--meter", type=Hex(), help="Of this customer's meter alone.")
@json_or_text("meterlet.utility.hub-certificates/1")
def hub_certificates(folder: Path, meter: bytes | None) -> Shown:
    """List the certificates of hubs: until when they count, and which were withdrawn."""
    with one_line_errors(), Utility.open(folder) as utility:
        known = authority_of(utility).of(meter)
    lines = [
        f"{one.meter.hex()} {one.serial.hex()}: until {utc_text(one.ends)}"
        + (f", withdrawn {utc_text(one.withdrawn)}" if one.withdrawn else "")
        for one in known
    ]
    return {"certificates": [_facts(one) for one in known]}, lines or "no hub has a certificate"


@click.command("withdraw-certificate")
@utility_option
@click.option("--meter", type=Hex(), required=True, help="The customer's meter.")
@click.option("--serial", type=Hex(), help="This certificate alone; by default all of the meter's.")
@json_or_text("meterlet.utility.withdraw-certificate/1")
def withdraw_certificate(folder: Path, meter: bytes, serial: bytes | None) -> Shown:
    """Withdraw a hub's certificates: the gateway refuses them within seconds."""
    with one_line_errors(), Utility.open(folder) as utility:
        count = authority_of(utility).withdraw(meter, serial)
    noun = "certificate" if count == 1 else "certificates"
    return {"meter": meter.hex(), "withdrawn": count}, f"withdrew {count} {noun}"


@click.command("gateway")
@utility_option
@host_option
@port_option(8443)
@click.option(
    "--name", "names", multiple=True, default=("localhost", "127.0.0.1"), show_default=True,
    help="A name or address under which hubs reach the server. Repeatable.",
)  # fmt: skip
@click.option(
    "--certificate", type=PRESENT_FILE, help="The server's certificate and its chain (PEM)."
)
@click.option("--key", type=SECRET_FILE, help="Its private key (PEM, without a password).")
@click.option(
    "--poll", type=click.IntRange(1, 86_400), default=POLL_SECONDS, show_default=True,
    help="After how many seconds hubs are to come again.",
)  # fmt: skip
@click.option(
    "--no-worker", is_flag=True,
    help="Verify no answers; `meterlet utility worker` does elsewhere. With --nats that is so.",
)  # fmt: skip
@wake_option
@files_option
@nats_option
@nats_token_option
@nats_credentials_option
@json_option
def gateway(
    folder: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    poll: int,
    no_worker: bool,
    broker: BrokerAddress | None,
    broker_files: BrokerFiles | None,
    nats: str | None,
    token_file: Path | None,
    credentials: Path | None,
    as_json: bool,
) -> None:
    """Wait for hubs that dial out: ask what is kept for them, deliver invoices, carry on roll-outs.

    Without --certificate and --key the server has a certificate of the utility's own authority,
    which hubs know. A bill is asked for with `meterlet utility request bill --dialled`. Answers are
    verified here, many at once; with --nats they wait for `meterlet utility worker`. With --wake
    hubs that listen at the broker dial as soon as something waits for them; with --broker-files
    withdrawn certificates are shut out there, too. A line is printed for each state that a question
    comes to, with --json as one JSON object a line.
    """
    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate goes with --key")
    if broker_files is not None and broker is None:
        raise click.UsageError("--broker-files goes with --wake")
    from utility_server.gateway.serving import gateway_app, serve_gateway, server_context

    with (
        one_line_errors(),
        ending() as watched,
        Utility.open(folder) as utility,
        ThreadPoolExecutor(thread_name_prefix="gateway") as workers,
        closing(open_queue(nats, token_file, credentials)) as queue,
        ExitStack() as opened,
    ):
        log = GatewayLog(print_line, utility.now, as_json)
        authority = authority_of(utility)
        if certificate is None or key is None:
            certificate, key = authority.server_files(names)
        authority.open()
        context = server_context(certificate, key, authority.certificate_file)
        answered: Callable[[BillQuestion], object] = _left_to_workers
        if nats is not None or not no_worker:
            answered = opened.enter_context(verifying(utility, queue, log, works=nats is None))
        errands = hub_errands(utility, answered, log.failed, log.question, poll)
        app = gateway_app(errands, authority, workers)
        ready = announce("meterlet.utility.gateway/1" if as_json else None, is_line=True)

        waker = waker_of(utility, authority, rollouts_of(utility), errands, broker, complain)
        keeper = keeper_of(broker_files, broker, authority, complain)

        async def serve(stop: asyncio.Event) -> None:
            async with waking(waker, keeper):
                await serve_gateway(app, context, host, port, ready, stop)

        run_until_stopped(serve, watched)


def _tell_settled(due: Due, outcome: Outcome) -> None:
    if outcome.state is HubState.FAILED:
        meter = due.hub.meter.hex()
        complain(f"meter {meter}, roll-out {due.rollout.number}: {outcome.detail}")


def _left_to_workers(_question: BillQuestion) -> None:
    """Do nothing: a worker finds in the database what waits."""


def _facts(one: HubCertificate) -> dict[str, Any]:
    return {
        "meter": one.meter.hex(),
        "serial": one.serial.hex(),
        "issued": utc_text(one.issued),
        "ends": utc_text(one.ends),
        "withdrawn": utc_text(one.withdrawn) if one.withdrawn else None,
    }
