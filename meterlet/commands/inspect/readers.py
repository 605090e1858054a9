# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect readers`: which programs of others may read, and how they log in."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TextIO

import rich_click as click

from hub.device import Device
from hub.disclosure.wording import consent_in_words
from hub.inspection.readers.dlms_table import ReaderTable
from hub.inspection.readers.readers import Reader, Readers
from hub.inspection.readers.terms import ReaderScope
from hub.inspection.store import open_inspection
from hub.meters.kinds import MeterKeys
from hub.text import printable
from meterlet.commands.common import (
    DAY,
    Exit,
    Shown,
    fail,
    hub_option,
    json_option,
    json_or_text,
    period_options,
    print_json,
)
from meterlet.commands.hub_meters import key_options
from meterlet.commands.serving import announce, host_option, port_option, run_until_stopped
from meterlet.secret_files import SecretText
from protocols.metrology import Period
from sml_codec import Obis

SUITE_0: Final = 16
"""Bytes of a key of suites 0 and 1; suite 2 has 32."""
TAG_AND_CIPHER: Final = 0x30
TITLE: Final = b"MLT"
"""Begins the system title of a hub: letters of no maker of meters."""


@click.group()
def readers() -> None:
    """Programs of others that read what you allow, with a login."""


@readers.command()
@hub_option
@click.argument("name", help="What it is called, and logs in as.")
@click.option("--purpose", required=True, help="What for.")
@click.option(
    "--register",
    "registers",
    metavar="OBIS",
    multiple=True,
    help="Which register; can be given several times. By default the main one.",
)
@click.option("--minutes", type=int, default=60, show_default=True, help="How fine at most.")
@period_options(about="Which days. ")
@click.option(
    "--holds-until", "until", type=DAY, help="The last day it may ask; by default the last day."
)
@click.option("--live", "is_live", is_flag=True, help="Also what is used right now.")
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@json_option
def allow(
    folder: Path,
    name: str,
    purpose: str,
    registers: tuple[str, ...],
    minutes: int,
    period: Period,
    until: datetime | None,
    is_live: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Allow the reader NAME to read, and print its token, this once."""
    try:
        codes = [Obis.parse(text).code for text in registers]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    holds_until = period.last if until is None else until.date()
    with _readers(folder) as known:
        main = known.device.description.register
        scope = ReaderScope.of(codes or [main], period, is_live=is_live)
        terms = known.terms(name, purpose, scope, minutes, holds_until)
        click.echo(consent_in_words(terms), err=True)
        if not yes and not click.confirm("Do you consent?", err=True):
            fail("nothing was allowed", Exit.FORBIDDEN)
        reader, token = known.allow(terms)
        facts = _facts(reader, known)
    if as_json:
        print_json("meterlet.inspect.readers.allow/1", {**facts, "token": token})
    else:
        click.echo(token)
        click.echo(f"reader {reader.number}, {name}; the token is not shown again", err=True)


@readers.command("list")
@hub_option
@json_or_text("meterlet.inspect.readers/1")
def list_readers(folder: Path) -> Shown:
    """List the readers whose consents stand, and what each is allowed."""
    with _readers(folder) as known:
        found = [_facts(reader, known) for reader in known.all()]
    lines = [line for facts in found for line in _lines(facts)]
    return {"readers": found}, lines


@readers.command()
@hub_option
@click.argument("name", help="The reader's name; `list` shows it.")
@json_or_text("meterlet.inspect.readers.revoke/1")
def revoke(folder: Path, name: str) -> Shown:
    """Withdraw what the reader NAME is allowed; its next request is refused."""
    with _readers(folder) as known:
        reader = known.revoke(name)
    facts = {"reader": reader.number, "consent": reader.consent.number}
    return facts, f"reader {name} is revoked; what it has read it keeps"


@readers.command()
@hub_option
@click.argument("name", help="The reader's name; `list` shows it.")
@click.option(
    "--password-file",
    type=SecretText(),
    help="Its first line is the password; without it, the command asks.",
)
@json_or_text("meterlet.inspect.readers.password/1")
def password(folder: Path, name: str, password_file: TextIO | None) -> Shown:
    """Give the reader NAME a password, or another one; its sessions end."""
    from hub.inspection.passphrases import Passphrases  # needs the extra `pages`

    if password_file is not None:
        new = password_file.readline().rstrip("\r\n")
    else:
        new = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    with _readers(folder) as known:
        known.find(name)
        reader = known.set_password(name, new, Passphrases.make(known.device.randomness))
    return {"reader": reader.number}, f"reader {name} has a new password"


@readers.command()
@hub_option
@click.argument("name", help="The reader's name; `list` shows it.")
@key_options
@click.option(
    "--client",
    type=click.IntRange(1, 127),
    default=1,
    show_default=True,
    help="The client's address.",
)
@host_option
@port_option(4059)
@json_option
def dlms(
    folder: Path, name: str, keys: MeterKeys, client: int, host: str, port: int, as_json: bool
) -> None:  # fmt: skip
    """Answer the reader NAME over DLMS, as a head end asks, until Ctrl-C.

    The reader proves itself with the keys (HLS 5, GMAC); each message has a tag and is enciphered.
    It reads what you allow, no more, and all of it is on record.
    """
    from dlms_codec.apdus.acse import Mechanism
    from dlms_codec.authentication import Credentials
    from dlms_codec.responder import AccessOfClient
    from dlms_codec.server import logical_device, serve
    from hub.inspection.readers.dlms_counter import StoredCounter

    if keys.encryption is None or keys.authentication is None:
        raise click.UsageError("say --key and --auth-key: files with the reader's two keys")
    ready = announce("meterlet.inspect.readers.dlms/1" if as_json else None)
    with _readers(folder) as known:
        number = known.find(name).number
        # By its number: a reader that gets this name later is another one, with other keys.
        table = ReaderTable(known.device, lambda: known.numbered(number), known.device.now)
        title = TITLE + sha256(known.device.description.meter).digest()[: 8 - len(TITLE)]
        access = AccessOfClient(
            table.make(),
            Credentials(Mechanism.GMAC),
            keys.for_dlms(),
            suite=0 if len(keys.encryption) == SUITE_0 else 2,
            policy=TAG_AND_CIPHER,
            counter=StoredCounter(folder / "keys", keys.encryption, title),
            is_allowed=table.is_allowed,
        )
        device = logical_device(title, {client: access})

        async def run(stop: asyncio.Event) -> None:
            server = await serve({1: device}, host, port)
            async with server:
                ready(host, server.sockets[0].getsockname()[1])
                await stop.wait()

        run_until_stopped(run)


@contextmanager
def _readers(folder: Path) -> Iterator[Readers]:
    with Device.open(folder) as device, open_inspection(device) as database:
        yield Readers(database, device)


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    login = "token or password" if facts["password"] else "token"
    yield f"{facts['reader']:3} {facts['name']}: {login}; consent {facts['consent']}"
    yield f"    {facts['in_words']}"


def _facts(reader: Reader, known: Readers) -> dict[str, Any]:
    scope, terms = reader.scope, reader.terms
    return {
        "reader": reader.number,
        "name": reader.name,
        "purpose": terms.purpose,
        "consent": reader.consent.number,
        "registers": [str(Obis(code)) for code in scope.registers],
        "first_day": scope.period.first.isoformat(),
        "last_day": scope.period.last.isoformat(),
        "resolution_minutes": terms.least_minutes,
        "live": scope.is_live,
        "holds_until": terms.until.isoformat(),
        "password": known.has_password(reader),
        "in_words": printable(consent_in_words(terms)),
    }
