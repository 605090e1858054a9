# SPDX-License-Identifier: Apache-2.0
"""`meterlet utility api-key`, `operator` and `audit`: who may ask the service, and who has."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final, TextIO

import rich_click as click

from meterlet.commands.chain_end import noted_option
from meterlet.commands.common import Shown, json_or_text, one_line_errors, utility_option
from meterlet.secret_files import SecretText
from protocols.canonical.hash_chain import GENESIS
from utility_server.chain_head import ChainHead
from utility_server.errors import AccessProblem, StoreError
from utility_server.retail.utility import Utility
from utility_server.service.access.api_keys import ApiKey, ApiKeys
from utility_server.service.access.audit import BEGUN, CUT_OFF, AuditLog
from utility_server.service.access.operators import Operators
from utility_server.service.access.roles import Role, parse_roles
from utility_server.service.access.second_factor import SecondFactors
from utility_server.service.words import utc_text

DAY_SECONDS: Final = 86_400
COMMAND: Final = "operator:command"
ROLES: Final = [str(role) for role in Role]

role_option = click.option(
    "--role", "roles", type=click.Choice(ROLES), multiple=True, required=True,
    help="What it may: billing, settlement, grid, auditor or admin; several times for several.",
)  # fmt: skip


def now_of() -> int:
    """Return the time, in epoch seconds."""
    return int(time.time())


@contextmanager
def opened_on_record(folder: Path, action: str = "", target: str = "") -> Iterator[Utility]:
    """Open the utility; what changes something is on record before it is done."""
    with one_line_errors(), Utility.open(folder) as utility:
        if action:
            AuditLog(utility.engine, now_of).append(COMMAND, action, target, BEGUN, "command")
        outcome = CUT_OFF  # whatever ends it, it has an outcome
        try:
            yield utility
            outcome = "done"
        except AccessProblem:
            outcome = "refused"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            if action:
                # A database that is gone is said to be gone, not that this is not on record.
                with nullcontext() if outcome == "done" else suppress(StoreError):
                    log = AuditLog(utility.engine, now_of)
                    log.append(COMMAND, action, target, outcome, "command")


def _keys(utility: Utility) -> ApiKeys:
    return ApiKeys(utility.engine, now_of, os.urandom)


def _operators(utility: Utility) -> Operators:
    factors = SecondFactors(utility.engine, utility.keys.storage, now_of, os.urandom)
    return Operators(utility.engine, now_of, os.urandom, factors)


@click.group("api-key")
def api_key() -> None:
    """Keys with which systems ask the service."""


@api_key.command("create")
@utility_option
@click.argument("name", help="What the key is for, as people call it.")
@role_option
@click.option(
    "--days", type=click.IntRange(0, 3650), default=365, show_default=True,
    help="How long it counts; 0: until it is revoked.",
)  # fmt: skip
@json_or_text("meterlet.utility.api-key/1")
def create_key(folder: Path, name: str, roles: tuple[str, ...], days: int) -> Shown:
    """Make a key called NAME. It is shown this once; only its hash is kept."""
    with opened_on_record(folder, "create_api_key") as utility:
        key, text = _keys(utility).create(name, parse_roles(roles), days * DAY_SECONDS)
    return {**_facts(key), "secret": text}, text


@api_key.command("list")
@utility_option
@json_or_text("meterlet.utility.api-keys/1")
def list_keys(folder: Path) -> Shown:
    """List the keys, without their secrets."""
    with opened_on_record(folder) as utility:
        now = now_of()
        found = [(key, key.holds(now)) for key in _keys(utility).all()]
    lines = [
        f"{key.identification}  {' '.join(sorted(key.roles)):24} {key.name}"
        + ("" if holds else "; counts no more")
        for key, holds in found
    ]
    facts = [{**_facts(key), "counts": holds} for key, holds in found]
    return {"keys": facts}, lines or "there is no key"


@api_key.command("revoke")
@utility_option
@click.argument("key", help="The key's identification; `meterlet utility api-key list` shows it.")
@json_or_text("meterlet.utility.api-key/1")
def revoke_key(folder: Path, key: str) -> Shown:
    """Let KEY count no more, from the next request on."""
    with opened_on_record(folder, "revoke_api_key", f"key={key[:40]}") as utility:
        revoked = _keys(utility).revoke(key)
    return _facts(revoked), f"revoked {revoked.identification}"


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "key": key.identification,
        "name": key.name,
        "roles": sorted(key.roles),
        "created": utc_text(key.created),
        "expires": utc_text(key.expires) if key.expires else None,
        "revoked": utc_text(key.revoked) if key.revoked else None,
    }


@click.group()
def operator() -> None:
    """Who may sign in at the console with a password."""


@operator.command("add")
@utility_option
@click.argument("name", help="The operator's name.")
@role_option
@click.option(
    "--password-file", type=SecretText("r", encoding="utf-8"),
    help="Where the password is (its first line; - is standard input); asked for otherwise.",
)  # fmt: skip
@json_or_text("meterlet.utility.operator/1")
def add_operator(
    folder: Path, name: str, roles: tuple[str, ...], password_file: TextIO | None
) -> Shown:
    """Add the operator NAME; a name that somebody has is refused."""
    password = _password(password_file)
    with opened_on_record(folder, "add_operator", f"operator={name[:40]}") as utility:
        operators = _operators(utility)
        added = operators.add(name, password, parse_roles(roles))
    return {"name": added.name, "roles": sorted(added.roles)}, f"added {added.name}"


def _password(file: TextIO | None) -> str:
    if file is not None:
        return file.readline().rstrip("\r\n")
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


@operator.command("change")
@utility_option
@click.argument("name", help="The operator's name.")
@click.option(
    "--role", "roles", type=click.Choice(ROLES), multiple=True,
    help="What it may from now on, instead of before; several times for several.",
)  # fmt: skip
@click.option("--password", "asks", is_flag=True, help="Ask for another password.")
@click.option(
    "--password-file", type=SecretText("r", encoding="utf-8"),
    help="Where another password is (its first line; - is standard input).",
)  # fmt: skip
@json_or_text("meterlet.utility.operator/1")
def change_operator(
    folder: Path, name: str, roles: tuple[str, ...], asks: bool, password_file: TextIO | None
) -> Shown:
    """Give the operator NAME other roles, another password, or both.

    Whoever is signed in as NAME is signed out. Whoever has guessed at the password until now makes
    NAME wait no longer.
    """
    if not roles and not asks and password_file is None:
        raise click.UsageError("say what changes: --role, --password or --password-file")
    password = _password(password_file) if asks or password_file is not None else None
    with opened_on_record(folder, "change_operator", f"operator={name[:40]}") as utility:
        operators = _operators(utility)
        changed = operators.change(name, password, parse_roles(roles) if roles else None)
    return {"name": changed.name, "roles": sorted(changed.roles)}, f"changed {changed.name}"


@operator.command("list")
@utility_option
@json_or_text("meterlet.utility.operators/1")
def list_operators(folder: Path) -> Shown:
    """List the operators."""
    with opened_on_record(folder) as utility:
        operators = _operators(utility)
        found, left = operators.all(), operators.factors.left()
    facts = [
        {
            "name": one.name,
            "roles": sorted(one.roles),
            "second_factor": one.name in left,
            "recovery_codes": left.get(one.name, 0),
        }
        for one in found
    ]
    lines = [
        f"{one.name:20} {' '.join(sorted(one.roles)):24}"
        + (f" second factor, {left[one.name]} recovery codes" if one.name in left else "")
        for one in found
    ]
    return {"operators": facts}, lines or "there is no operator"


@operator.command("remove")
@utility_option
@click.argument("name", help="The operator's name.")
@json_or_text("meterlet.utility.operator/1")
def remove_operator(folder: Path, name: str) -> Shown:
    """Remove the operator NAME, who is signed out everywhere."""
    with opened_on_record(folder, "remove_operator", f"operator={name[:40]}") as utility:
        _operators(utility).remove(name)
    return {"name": name, "removed": True}, f"removed {name}"


@operator.command("add-factor")
@utility_option
@click.argument("name", help="The operator's name.")
@json_or_text("meterlet.utility.operator-factor/1")
def add_factor(folder: Path, name: str) -> Shown:
    """Give the operator NAME a second factor: codes of an authenticator app (TOTP).

    The secret and ten recovery codes are shown this once. They take the place of any before.
    Whoever is signed in as NAME is signed out.
    """
    with opened_on_record(folder, "add_operator_factor", f"operator={name[:40]}") as utility:
        made = _operators(utility).add_factor(name)
    facts = {
        "name": name,
        "secret": made.secret,
        "uri": made.uri,
        "recovery_codes": list(made.recovery),
    }
    lines = [
        f"secret for the app  {made.secret}",
        f"the same as address {made.uri}",
        "recovery codes, each good once in the place of a code:",
        *(f"  {code}" for code in made.recovery),
    ]
    return facts, lines


@operator.command("remove-factor")
@utility_option
@click.argument("name", help="The operator's name.")
@json_or_text("meterlet.utility.operator/1")
def remove_factor(folder: Path, name: str) -> Shown:
    """Take the second factor of the operator NAME away, who is signed out everywhere."""
    with opened_on_record(folder, "remove_operator_factor", f"operator={name[:40]}") as utility:
        _operators(utility).remove_factor(name)
    return {"name": name, "second_factor": False}, f"{name} has no second factor any more"


@click.command()
@utility_option
@noted_option
@click.option("--head", "only_head", is_flag=True, help="Show the chain's end alone, to be noted.")
@json_or_text("meterlet.utility.audit/1")
def audit(folder: Path, noted: ChainHead | None, only_head: bool) -> Shown:
    """Check the chain of the operators' audit log, and list who asked for what.

    The chain has no key: whoever can write the database can cut off its end or write it anew, and
    it holds. Note its end now and then where he cannot write, and check with --noted.
    """
    with opened_on_record(folder) as utility:
        entries = list(AuditLog(utility.engine, now_of).entries(noted))
    head = ChainHead(entries[-1].sequence, entries[-1].digest) if entries else ChainHead(0, GENESIS)
    if only_head:
        return {"verified": True, "head": str(head)}, str(head)
    facts = [
        {
            "number": one.sequence,
            "time": utc_text(one.time),
            "who": one.who,
            "action": one.action,
            "target": one.target,
            "outcome": one.outcome,
            "digest": one.digest.hex(),
        }
        for one in entries
    ]
    lines = [
        f"{one.sequence:5} {utc_text(one.time)} {one.who} {one.action} {one.target}: {one.outcome}"
        for one in entries
    ]
    ending = [f"{len(lines)} entries; the chain holds", f"its end: {head}"]
    return {"verified": True, "head": str(head), "entries": facts}, [*lines, *ending]
