# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect serve` and `users`: the resident's pages, and who may see them.

A module of its own, so that nothing else pays for the web server's imports.
"""

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EINVAL
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TextIO

import rich_click as click
import uvicorn

from hub.device import Device
from hub.inspection.web import (
    DOOR,
    LOOPBACK_NAMES,
    ResidentRole,
    Residents,
    Settings,
    create_application,
    make_parts,
)
from hub.text import utc_text
from meterlet.commands.common import (
    PRESENT_FILE,
    Shown,
    hub_option,
    json_option,
    json_or_text,
    open_machine,
    show,
)
from meterlet.commands.inspect.proofs import BillingProofs
from meterlet.commands.serving import complain, host_option, port_option
from meterlet.key_files import KeyFileProblem
from meterlet.secret_files import SECRET_FILE, SecretText

CHANGE: Final = "meterlet.inspect.users.change/1"
MOST_CONNECTIONS: Final = 64
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - refused, or with TLS and a name


@click.command()
@hub_option
@host_option
@port_option(8321)
@click.option("--name", "names", multiple=True, help="A further name browsers may use for it.")
@click.option("--certificate", type=PRESENT_FILE, help="TLS: the certificate and its chain (PEM).")
@click.option("--key", type=SECRET_FILE, help="TLS: its private key (PEM, mode 0600).")
@json_option
def serve(
    folder: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    certificate: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Show the household's data, consents and bills as web pages, until interrupted.

    On loopback unless --host says otherwise, and then over TLS only. At the first start it prints
    the code with which the first owner is made.
    """
    if (certificate is None) != (key is None):
        raise click.UsageError("TLS needs both --certificate and --key")
    if certificate is None and not _is_loopback(host):
        raise click.UsageError(f"{host} is not loopback: say --certificate and --key")
    if host in EVERYWHERE and not names:
        raise click.UsageError(f"{host}: say what browsers call the hub, --name HOST")
    tls = None if certificate is None or key is None else _tls(certificate, key)
    with Device.open(folder):  # says what is wrong before anything listens
        pass
    listener = _listen(host, port)
    try:
        asyncio.run(_serve(folder, listener, host, names, tls, as_json))
    finally:
        listener.close()


async def _serve(
    folder: Path,
    listener: socket.socket,
    host: str,
    names: tuple[str, ...],
    tls: ssl.SSLContext | None,
    as_json: bool,
) -> None:
    port = listener.getsockname()[1]
    own = LOOPBACK_NAMES if _is_loopback(host) else (_bracketed(host),)
    settings = Settings(
        folder,
        Settings.origins_of((*own, *names), port, is_secure=tls is not None),
        open_machine,
        BillingProofs(),
        complain=complain,
    )
    parts = make_parts(settings)
    config = uvicorn.Config(
        create_application(parts),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        loop="asyncio",
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16 * 1024,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=10,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )

    class Server(uvicorn.Server):
        """Ended by a signal, it ends well: uvicorn's own would raise the signal again."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals to us."""
            yield

    server = Server(config)

    def end() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    address = f"{'http' if tls is None else 'https'}://{_bracketed(host)}:{port}/"
    code = None if parts.residents.all() else parts.welcome_code
    _announce(address, code, as_json)
    await server.serve(sockets=[listener])


def _announce(address: str, code: str | None, as_json: bool) -> None:
    facts = {"address": address, "code": code, "process": os.getpid()}
    lines = [f"the pages are at {address}; Ctrl-C ends them"]
    if code is not None:
        lines.append(f"nobody may see them yet: the first owner is made there with the code {code}")
    show("meterlet.inspect.serve/1", facts, lines, as_json=as_json)
    sys.stdout.flush()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `OSError`, naming the address, if it is not free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        number = error.errno if isinstance(error, OSError) else None
        is_name = isinstance(error, socket.gaierror) or number is None
        reason = "no host can have that name" if is_name else os.strerror(number or EINVAL)
        raise OSError(number or EINVAL, reason, f"{host}:{port}") from None
    listener.listen(MOST_CONNECTIONS)
    return listener


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    if key.stat().st_mode & 0o077:
        raise KeyFileProblem(f"{key}: others may read it; its mode must be 0600")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError):
        raise KeyFileProblem(f"{certificate}, {key}: not a certificate and its key") from None
    return context


@click.group()
def users() -> None:
    """The residents who may sign in to the pages."""


@contextmanager
def _residents(folder: Path) -> Iterator[Residents]:
    with Device.open(folder) as device, Residents.open(folder, device.now, os.urandom) as residents:
        yield residents


passphrase_option = click.option(
    "--passphrase-file",
    type=SecretText("r", encoding="utf-8"),
    help="Where the passphrase is (its first line; - is standard input); asked for otherwise.",
)


def _passphrase(file: TextIO | None) -> str:
    if file is not None:
        return file.readline().rstrip("\r\n")
    asked: str = click.prompt(
        "PIN or passphrase", hide_input=True, confirmation_prompt=True, err=True
    )
    return asked


@users.command()
@hub_option
@click.argument("name", help="The resident's name.")
@click.option(
    "--role",
    type=click.Choice(["owner", "reader"]),
    default="reader",
    show_default=True,
    help="What they may: an owner all, a reader only look.",
)
@passphrase_option
@json_or_text(CHANGE)
def add(folder: Path, name: str, role: str, passphrase_file: TextIO | None) -> Shown:
    """Add the resident NAME. An owner may do everything; a reader looks and checks."""
    passphrase = _passphrase(passphrase_file)
    with _residents(folder) as residents:
        residents.add(name, ResidentRole(role), passphrase)
        _record(folder, "resident added", name)
    return {"name": name, "done": "added"}, f"added {name}"


@users.command()
@hub_option
@click.argument("name", help="The resident's name.")
@passphrase_option
@json_or_text(CHANGE)
def passphrase(folder: Path, name: str, passphrase_file: TextIO | None) -> Shown:
    """Give the resident NAME another PIN or passphrase."""
    new = _passphrase(passphrase_file)
    with _residents(folder) as residents:
        residents.change(name, new)
        _record(folder, "passphrase changed", name)
    return {"name": name, "done": "changed"}, f"changed {name}"


@users.command()
@hub_option
@click.argument("name", help="The resident's name.")
@json_or_text(CHANGE)
def remove(folder: Path, name: str) -> Shown:
    """Remove the resident NAME, and sign NAME out everywhere."""
    with _residents(folder) as residents:
        residents.remove(name)
        _record(folder, "resident removed", name)
    return {"name": name, "done": "removed"}, f"removed {name}"


@users.command("list")
@hub_option
@json_or_text("meterlet.inspect.users/1")
def list_users(folder: Path) -> Shown:
    """List the residents."""
    with _residents(folder) as residents:
        found = [
            {"name": one.name, "role": str(one.role), "added": utc_text(one.added)}
            for one in residents.all()
        ]
    lines = [f"{one['name']:20} {one['role']:8} since {one['added']}" for one in found]
    return {"users": found}, lines


def _record(folder: Path, event: str, name: str) -> None:
    with Device.open(folder) as device:
        facts = {"event": event, "resident": name, "address": "console"}
        device.disclosure.log.append(device.now(), DOOR, facts)
