# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect serve` and `users`: the resident's pages, and who may see them.

A module of its own, so that nothing else pays for the web server's imports.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TextIO

import rich_click as click

from hub.device import Device
from hub.inspection.web import DOOR, ResidentRole, Residents, Settings
from hub.inspection.web.server import PagesServer, origins_of
from hub.page_address import EVERYWHERE, PageAddress, is_loopback
from hub.text import utc_text
from meterlet.commands.beside_service import require_free_place
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
from meterlet.commands.serving import complain, host_option, port_option, run_until_stopped
from meterlet.secret_files import SECRET_FILE, SecretText

CHANGE: Final = "meterlet.inspect.users.change/1"


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
    if certificate is None and not is_loopback(host):
        raise click.UsageError(f"{host} is not loopback: say --certificate and --key")
    if host in EVERYWHERE and not names:
        raise click.UsageError(f"{host}: say what browsers call the hub, --name HOST")
    address = PageAddress(host, port, names, certificate, key)
    require_free_place(folder, "pages", host, port)
    with Device.open(folder):  # says what is wrong before anything listens
        pass
    server = PagesServer(address)
    settings = Settings(
        folder, origins_of(address, server.port), open_machine, BillingProofs(), complain=complain
    )
    try:
        run_until_stopped(partial(server.serve, settings, partial(_announce, as_json)))
    finally:
        server.close()


def _announce(as_json: bool, address: str, welcome: Callable[[], str | None]) -> None:
    code = welcome()
    facts = {"address": address, "code": code, "process": os.getpid()}
    lines = [f"the pages are at {address}; Ctrl-C ends them"]
    if code is not None:
        lines.append(f"nobody may see them yet: the first owner is made there with the code {code}")
    show("meterlet.inspect.serve/1", facts, lines, as_json=as_json)
    sys.stdout.flush()


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
