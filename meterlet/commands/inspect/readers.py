# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect readers`: which programs of others may read, and how they log in."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import rich_click as click

from hub.device import Device
from hub.disclosure.wording import consent_in_words
from hub.inspection.passphrases import Passphrases
from hub.inspection.readers.readers import Reader, Readers
from hub.inspection.readers.terms import ReaderScope
from hub.inspection.store import open_inspection
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
from protocols.metrology import Period
from sml_codec import Obis


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
    type=click.File(),
    help="Its first line is the password; without it, the command asks.",
)
@json_or_text("meterlet.inspect.readers.password/1")
def password(folder: Path, name: str, password_file: TextIO | None) -> Shown:
    """Give the reader NAME a password, or another one; its sessions end."""
    if password_file is not None:
        new = password_file.readline().rstrip("\r\n")
    else:
        new = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    with _readers(folder) as known:
        known.find(name)
        reader = known.set_password(name, new, Passphrases.make(known.device.randomness))
    return {"reader": reader.number}, f"reader {name} has a new password"


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
