# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility serve`: the utility as a service, for people and systems."""

import asyncio
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import fastapi  # noqa: F401 - first, so that what is missing is said to be the extra `api`
import rich_click as click
import uvicorn
from starlette.types import ASGIApp

from applets.billing.messages import BillQuestion
from hub.page_address import EVERYWHERE, bracketed, is_loopback
from hub.web_listener import tls_context
from listeners.acceptor import listen
from listeners.pages import PagesServer
from meterlet.commands.common import (
    PRESENT_FILE,
    PRESENT_FOLDER,
    json_option,
    one_line_errors,
    show,
    utility_option,
)
from meterlet.commands.ending import Ending, ending
from meterlet.commands.serving import host_option, port_option
from meterlet.commands.utility_gateway import hub_errands
from meterlet.commands.utility_wake import authority_of, waker_of
from meterlet.commands.utility_worker import (
    nats_credentials_option,
    nats_option,
    nats_token_option,
    open_queue,
)
from meterlet.commands.wake_options import files_option, keeper_of, wake_option
from meterlet.secret_files import SECRET_FILE
from protocols.remote_admin.wake import BrokerAddress
from utility_server.fleet.planning import rollouts_of
from utility_server.gateway.broker_files import BrokerFiles
from utility_server.gateway.serving import gateway_app, serve_gateway, server_context
from utility_server.gateway.waking import waking
from utility_server.pipeline.in_process import verifying
from utility_server.pipeline.outages import Told
from utility_server.retail.utility import Utility
from utility_server.service.access.tls_clients import (
    CertificateProtocol,
    TrustedClients,
    ask_for_certificates,
)
from utility_server.service.application import create_service
from utility_server.service.log import JsonLog
from utility_server.service.parts import LOOPBACK_NAMES, ServiceParts, ServiceSettings

MOST_CONNECTIONS: Final = 256
PORT: Final = 8420
HUBS_PORT: Final = 8443
SHOWN: Final = frozenset({"answers", "entry", "times"})
"""What the log has of a worker's events: nothing that names a customer; reasons may."""


def _proxies(
    _: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise click.BadParameter("a proxy is named by its IP address, or a network") from None
    return values


@click.command()
@utility_option
@host_option
@port_option(PORT)
@click.option("--name", "names", multiple=True, help="A further name that clients use for it.")
@click.option(
    "--trusted-proxy", "proxies", multiple=True, metavar="ADDRESS", callback=_proxies,
    help="A proxy in front that ends TLS and says in X-Forwarded-For who has called it. Clients"
    " then use https and the names of --name. Repeatable.",
)  # fmt: skip
@click.option("--tls-cert", type=PRESENT_FILE, help="TLS: the certificate and its chain (PEM).")
@click.option("--tls-key", type=SECRET_FILE, help="TLS: its private key (PEM, mode 0600).")
@click.option(
    "--client-certificates", is_flag=True,
    help="Let systems show certificates, too: `meterlet utility client-certificate`.",
)  # fmt: skip
@click.option(
    "--hubs-host", default="127.0.0.1", show_default=True, help="Address to wait for hubs on."
)
@click.option(
    "--hubs-port", type=click.IntRange(0, 65535), default=HUBS_PORT, show_default=True,
    help="Port to wait for hubs on; 0: any that is free.",
)  # fmt: skip
@click.option(
    "--hubs-name", "hubs_names", multiple=True, default=("localhost", "127.0.0.1"),
    show_default=True, help="A name or address under which hubs reach it. Repeatable.",
)  # fmt: skip
@wake_option
@files_option
@click.option("--no-hubs", is_flag=True, help="Wait for no hubs; another process is their door.")
@click.option(
    "--no-worker", is_flag=True, help="Verify no answers; `meterlet utility worker` does elsewhere."
)
@nats_option
@nats_token_option
@nats_credentials_option
@click.option("--mdms", type=PRESENT_FOLDER, help="The folder of the MDMS whose sums are shown.")
@click.option("--dial", is_flag=True, help="Let runs ask hubs at addresses that operators name.")
@click.option("--no-console", is_flag=True, help="Serve the interface alone, without the console.")
@json_option
def serve(
    folder: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    client_certificates: bool,
    hubs_host: str,
    hubs_port: int,
    hubs_names: tuple[str, ...],
    broker: BrokerAddress | None,
    broker_files: BrokerFiles | None,
    no_hubs: bool,
    no_worker: bool,
    nats: str | None,
    token_file: Path | None,
    credentials: Path | None,
    mdms: Path | None,
    dial: bool,
    no_console: bool,
    as_json: bool,
) -> None:
    """Serve the utility: a door for hubs that dial, and one for people and systems.

    REST for systems, the console for operators, and the long runs: on loopback unless --host says
    otherwise, and then over TLS only. Hubs are waited for over TLS with certificates of the
    utility's own authority. It logs JSON to stderr.
    """
    if no_hubs and broker is not None:
        raise click.UsageError("--wake goes with the door for hubs, and not with --no-hubs")
    if broker_files is not None and broker is None:
        raise click.UsageError("--broker-files goes with --wake")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("TLS needs both --tls-cert and --tls-key")
    if tls_cert is None and not is_loopback(host):
        raise click.UsageError(f"{host} is not loopback: say --tls-cert and --tls-key")
    if proxies and not names:
        raise click.UsageError("--trusted-proxy: say what clients call the proxy, --name HOST")
    if client_certificates and tls_cert is None:
        raise click.UsageError("--client-certificates needs TLS: say --tls-cert and --tls-key")
    if host in EVERYWHERE and not names:
        raise click.UsageError(f"{host}: say what clients call the service, --name HOST")
    with one_line_errors(), ending() as watched:
        Utility.location(folder)  # the first thing to be wrong with, before any port
        tls = None if tls_cert is None or tls_key is None else tls_context(tls_cert, tls_key)
        listener = listen(host, port, MOST_CONNECTIONS)
        try:
            number = listener.getsockname()[1]
            own = LOOPBACK_NAMES if is_loopback(host) else (bracketed(host),)
            log = JsonLog(sys.stderr, lambda: int(time.time()))
            if proxies:  # browsers see the proxy alone, at the usual port
                origins = ServiceSettings.origins_of(names, 443, is_secure=True)
            else:
                served = (*own, *names)
                origins = ServiceSettings.origins_of(served, number, is_secure=tls is not None)
            settings = ServiceSettings(
                folder,
                origins,
                mdms=mdms,
                may_dial=dial,
                log=log,
            )
            parts = ServiceParts.open(settings)
            log.take_libraries()
            clients = None
            if tls is not None and client_certificates:
                ask_for_certificates(tls)
                clients = TrustedClients(tls, parts.client_certificates.all)
                clients.refresh()
            scheme = "http" if tls is None else "https"
            queue = open_queue(nats, token_file, credentials)
            address = f"{scheme}://{bracketed(host)}:{number}/"
            with (
                closing(queue),
                verifying(parts.utility, queue, _told(log), works=not no_worker) as answered,
            ):
                hubs = None
                if not no_hubs:
                    hubs = HubDoor(
                        parts, answered, hubs_host, hubs_port, hubs_names, broker, broker_files
                    )
                asyncio.run(
                    _serve(
                        parts, listener, service_config(
                            create_service(parts, has_console=not no_console), tls, proxies
                        ), clients, hubs,
                        lambda where: _announce(parts, address, where, as_json),
                        watched,
                    )
                )  # fmt: skip
        finally:
            listener.close()


def _told(log: JsonLog) -> Told:
    """Return what puts a worker's events into the log."""

    def told(event: str, facts: Mapping[str, object]) -> None:
        shown = {name: it for name, it in facts.items() if name in SHOWN or event == "waits"}
        log(f"worker-{event.replace(' ', '-')}", shown)

    return told


@dataclass(frozen=True, slots=True)
class HubDoor:
    """Where hubs that dial are waited for."""

    parts: ServiceParts
    answered: Callable[[BillQuestion], None]
    """Told of each answer that the database has now."""
    host: str
    port: int
    names: tuple[str, ...]
    broker: BrokerAddress | None
    """Where hubs are woken."""
    broker_files: BrokerFiles | None
    """Whose list of withdrawn certificates is kept."""

    async def serve(self, ready: Callable[[str, int], None], stop: asyncio.Event) -> None:
        """Ask hubs for the bills that wait, as they dial in, until told to stop."""
        utility = self.parts.utility
        authority = authority_of(utility)
        certificate, key = authority.server_files(self.names)
        authority.open()
        context = server_context(certificate, key, authority.certificate_file)
        log = self.parts.settings.log
        # Nothing that names a customer.
        errands = hub_errands(
            utility,
            self.answered,
            told=lambda event, _question: log(f"question-{event}", {}),
        )
        with ThreadPoolExecutor(thread_name_prefix="gateway") as workers:
            app = gateway_app(errands, authority, workers)

            def tell(why: str) -> None:
                log("broker", {"why": why})

            waker = waker_of(utility, authority, rollouts_of(utility), errands, self.broker, tell)
            keeper = keeper_of(self.broker_files, self.broker, authority, tell)
            async with waking(waker, keeper):
                await serve_gateway(app, context, self.host, self.port, ready, stop)


def service_config(
    app: ASGIApp, tls: ssl.SSLContext | None, proxies: tuple[str, ...] = ()
) -> uvicorn.Config:
    """Return how the door for people and systems is served."""
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        # Who has called is what the connection says, or what the last of these proxies says.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        ws="none",
        http="h11",
        loop="asyncio",
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )


async def _serve(
    parts: ServiceParts,
    listener: socket.socket,
    config: uvicorn.Config,
    clients: TrustedClients | None,
    hubs: HubDoor | None,
    announce: Callable[[str], None],
    watched: Ending,
) -> None:
    server, stop = PagesServer(config, MOST_CONNECTIONS, CertificateProtocol), asyncio.Event()

    def end() -> None:
        server.should_exit = True
        stop.set()

    loop = asyncio.get_running_loop()

    def end_soon() -> None:
        with suppress(RuntimeError):  # it has ended by itself meanwhile
            loop.call_soon_threadsafe(end)

    watched.on_stop(end_soon)

    async def people_and_systems() -> None:
        log = parts.settings.log

        def failed(error: Exception) -> None:
            log("certificates-not-read", {"why": type(error).__name__})

        trusting = None if clients is None else asyncio.create_task(clients.keep_up(failed))
        try:
            await server.serve(sockets=[listener])
        finally:
            if trusting is not None:
                trusting.cancel()

    if hubs is None:
        announce("")
        await people_and_systems()
        return

    async def both() -> None:
        """Serve people and systems; the doors close together."""
        try:
            await people_and_systems()
        finally:
            stop.set()

    try:
        async with asyncio.TaskGroup() as doors:
            opened = asyncio.Event()

            def ready(host: str, port: int) -> None:
                announce(f"{bracketed(host)}:{port}")
                opened.set()

            door = doors.create_task(hubs.serve(ready, stop))
            waiting = doors.create_task(opened.wait())
            await asyncio.wait((door, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if opened.is_set():
                doors.create_task(both())
    except* OSError as group:
        raise group.exceptions[0] from None


def _announce(parts: ServiceParts, address: str, hubs: str, as_json: bool) -> None:
    facts = {
        "address": address,
        "hubs": hubs or None,
        "openapi": f"{address}v1/openapi.json",
        "process": os.getpid(),
    }
    lines = [f"the service is at {address}; Ctrl-C ends it"]
    if hubs:
        lines.append(f"hubs that dial are waited for at {hubs}")
    if not parts.operators.all() and parts.sign_in is None:
        lines.append(
            "nobody can sign in yet: `meterlet utility operator add NAME --role billing` lets you"
        )
    show("meterlet.utility.serve/1", facts, lines, as_json=as_json)
    sys.stdout.flush()
