# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility serve`: the utility as a service, for people and systems."""

import asyncio
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Final

import fastapi  # noqa: F401 - first, so that what is missing is said to be the extra `api`
import rich_click as click
import uvicorn

from meterlet.commands.common import (
    PRESENT_FILE,
    PRESENT_FOLDER,
    json_option,
    one_line_errors,
    show,
    utility_option,
)
from meterlet.commands.serving import host_option, port_option
from meterlet.commands.web_server import (
    EVERYWHERE,
    QuietServer,
    bracketed,
    is_loopback,
    listen,
    tls_context,
)
from meterlet.secret_files import SECRET_FILE
from utility_server.service.application import create_service
from utility_server.service.log import JsonLog
from utility_server.service.parts import LOOPBACK_NAMES, ServiceParts, ServiceSettings

MOST_CONNECTIONS: Final = 256
PORT: Final = 8420


@click.command()
@utility_option
@host_option
@port_option(PORT)
@click.option("--name", "names", multiple=True, help="A further name that clients use for it.")
@click.option("--tls-cert", type=PRESENT_FILE, help="TLS: the certificate and its chain (PEM).")
@click.option("--tls-key", type=SECRET_FILE, help="TLS: its private key (PEM, mode 0600).")
@click.option("--mdms", type=PRESENT_FOLDER, help="The folder of the MDMS whose sums are shown.")
@click.option(
    "--dial", is_flag=True, help="Let bill runs ask hubs at addresses that operators name."
)
@click.option("--no-console", is_flag=True, help="Serve the interface alone, without the console.")
@json_option
def serve(
    folder: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    mdms: Path | None,
    dial: bool,
    no_console: bool,
    as_json: bool,
) -> None:
    """Serve the utility: REST for systems, the console for operators, and the long runs.

    On loopback unless --host says otherwise, and then over TLS only. It logs JSON to stderr.
    """
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("TLS needs both --tls-cert and --tls-key")
    if tls_cert is None and not is_loopback(host):
        raise click.UsageError(f"{host} is not loopback: say --tls-cert and --tls-key")
    if host in EVERYWHERE and not names:
        raise click.UsageError(f"{host}: say what clients call the service, --name HOST")
    with one_line_errors():
        tls = None if tls_cert is None or tls_key is None else tls_context(tls_cert, tls_key)
        listener = listen(host, port, MOST_CONNECTIONS)
        try:
            number = listener.getsockname()[1]
            own = LOOPBACK_NAMES if is_loopback(host) else (bracketed(host),)
            log = JsonLog(sys.stderr, lambda: int(time.time()))
            settings = ServiceSettings(
                folder,
                ServiceSettings.origins_of((*own, *names), number, is_secure=tls is not None),
                mdms=mdms,
                may_dial=dial,
                log=log,
            )
            parts = ServiceParts.open(settings)
            log.take_libraries()
            scheme = "http" if tls is None else "https"
            _announce(parts, f"{scheme}://{bracketed(host)}:{number}/", as_json)
            asyncio.run(_serve(parts, listener, tls, has_console=not no_console))
        finally:
            listener.close()


async def _serve(
    parts: ServiceParts, listener: socket.socket, tls: ssl.SSLContext | None, *, has_console: bool
) -> None:
    config = uvicorn.Config(
        create_service(parts, has_console=has_console),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        loop="asyncio",
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    server = QuietServer(config)

    def end() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    await server.serve(sockets=[listener])


def _announce(parts: ServiceParts, address: str, as_json: bool) -> None:
    facts = {
        "address": address,
        "openapi": f"{address}v1/openapi.json",
        "process": os.getpid(),
    }
    lines = [f"the service is at {address}; Ctrl-C ends it"]
    if not parts.operators.all() and parts.sign_in is None:
        lines.append(
            "nobody can sign in yet: `meterlet utility operator add NAME --role billing` lets you"
        )
    show("meterlet.utility.serve/1", facts, lines, as_json=as_json)
    sys.stdout.flush()
