# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect tokens`: which of your programs may read along."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.device import Device
from hub.inspection.api.tokens import Scope, Token, Tokens
from hub.inspection.store import open_inspection
from hub.text import utc_text
from meterlet.commands.common import Shown, hub_option, json_option, json_or_text, print_json

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@click.group()
def tokens() -> None:
    """Tokens for programs that read along: one a program, for what it needs."""


@tokens.command()
@hub_option
@click.argument("name", help="What you call the program.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may read; can be given several times.",
)
@json_option
def create(folder: Path, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token for the program NAME and print it, this once."""
    with Device.open(folder) as device, open_inspection(device) as database:
        token, text = Tokens(database, device).create(name, [Scope(scope) for scope in scopes])
    if as_json:
        print_json("meterlet.inspect.tokens.create/1", {**_facts(token), "token": text})
    else:
        click.echo(text)
        click.echo(f"token {token.number} for {name}; it is not shown again", err=True)


@tokens.command("list")
@hub_option
@json_or_text("meterlet.inspect.tokens/1")
def list_tokens(folder: Path) -> Shown:
    """List all tokens, revoked ones included, without their secrets."""
    with Device.open(folder) as device, open_inspection(device) as database:
        found = [_facts(token) for token in Tokens(database, device).all()]
    return {"tokens": found}, list(map(_line, found))


@tokens.command()
@hub_option
@click.argument("number", type=int, help="The token's number; `list` shows it.")
@json_or_text("meterlet.inspect.tokens.revoke/1")
def revoke(folder: Path, number: int) -> Shown:
    """Withdraw token NUMBER; the next request with it is refused."""
    with Device.open(folder) as device, open_inspection(device) as database:
        Tokens(database, device).revoke(number)
    return {"token": number}, f"token {number} is revoked"


def _line(token: dict[str, Any]) -> str:
    state = f"revoked {token['revoked']}" if token["revoked"] else "holds"
    used = f"last used {token['last_day']}" if token["last_day"] else "never used"
    return f"{token['number']:3} {token['name']}: {', '.join(token['scopes'])}; {state}, {used}"


def _facts(token: Token) -> dict[str, Any]:
    last = None
    if token.last_day is not None:
        last = (EPOCH + timedelta(days=token.last_day)).date().isoformat()
    return {
        "number": token.number,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created": utc_text(token.created),
        "revoked": None if token.revoked is None else utc_text(token.revoked),
        "last_day": last,
    }
