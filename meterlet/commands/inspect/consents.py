# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect consents`: what the resident has allowed."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import rich_click as click

from hub.device import Device
from hub.disclosure.wording import consent_in_words
from hub.inspection.export.by_consent import consent_to_export
from hub.installer import Installer, consent_terms
from hub.text import utc_text
from meterlet.commands.applet import dealings
from meterlet.commands.common import (
    DAY,
    Exit,
    Shown,
    aid_argument,
    fail,
    hub_option,
    json_or_text,
    open_machine,
)
from protocols.metrology import Period
from sml_codec import Obis

LIMITS: Final = (
    "least_days", "least_minutes", "answers", "within_days", "bits", "least_group", "published",
)  # fmt: skip
TERMS: Final = ("recipient", "purpose", "statement", *LIMITS)


@click.group()
def consents() -> None:
    """What you have allowed."""


@consents.command()
@hub_option
@aid_argument
@click.option("--yes", is_flag=True, help="Consent without being asked.")
def grant(folder: Path, aid: bytes, yes: bool) -> None:
    """Consent to all that the manifest of the installed applet AID asks for."""
    with Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        bundle = installer.bundle(aid)
        for terms in consent_terms(bundle):
            click.echo(consent_in_words(terms), err=True)
        for sentence in dealings(bundle.manifest):
            click.echo(sentence, err=True)
        if not yes and not click.confirm("Do you consent?", err=True):
            fail("nothing was granted", Exit.FORBIDDEN)
        given = installer.consent(bundle)
    for consent in given:
        click.echo(f"consent {consent.number} is given")


@consents.command()
@hub_option
@click.argument("number", type=int)
@click.option("--until", type=DAY, help="An earlier last day.")
@click.option("--least-days", type=int, help="A longer shortest period, in days.")
@click.option("--least-minutes", type=int, help="More minutes of slots that look alike.")
@click.option("--answers", type=int, help="Fewer answers about the same period.")
@click.option("--within-days", type=int, help="More days in which no more answers are given.")
@click.option("--bits", type=int, help="Smaller answers.")
@click.option("--least-group", type=int, help="Sums over more households.")
@click.option("--published", type=int, help="Only under what is published for so many meters.")
def narrow(folder: Path, number: int, until: datetime | None, **limits: int | None) -> None:
    """Replace consent NUMBER with a narrower one."""
    changes: dict[str, Any] = {name: limit for name, limit in limits.items() if limit}
    if until is not None:
        changes["until"] = until.date()
    if not changes:
        raise click.UsageError("say what to narrow")
    with Device.open(folder) as device:
        old = device.disclosure.consent(number)
        try:
            new = device.disclosure.narrow(number, replace(old.terms, **changes))
        except ValueError as error:
            fail(str(error))
    click.echo(f"consent {new.number} takes the place of {number}")


@consents.command("export")
@hub_option
@click.option("--recipient", required=True, help="Who may have the readings.")
@click.option("--purpose", required=True, help="What for.")
@click.option("--minutes", type=int, default=60, show_default=True, help="How fine at most.")
@click.option("--from", "first", type=DAY, required=True, help="The first local day.")
@click.option("--to", "last", type=DAY, required=True, help="The last local day.")
@click.option("--until", type=DAY, required=True, help="The last day on which it holds.")
@click.option("--register", metavar="OBIS", help="Which register; by default the main one.")
def consent_export(
    folder: Path,
    recipient: str,
    purpose: str,
    minutes: int,
    first: datetime,
    last: datetime,
    until: datetime,
    register: str | None,
) -> None:
    """Consent to hand readings themselves to somebody."""
    with Device.open(folder) as device:
        period = Period(first.date(), last.date())
        try:
            code = None if register is None else Obis.parse(register).code
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        consent = consent_to_export(device, recipient, purpose, minutes, period, until.date(), code)
    click.echo(
        f"consent {consent.number} is given; `inspect export consent {consent.number}` uses it"
    )


@consents.command("list")
@hub_option
@json_or_text("meterlet.inspect.consents/1")
def list_consents(folder: Path) -> Shown:
    """List all consents, past ones included."""
    with Device.open(folder) as device:
        given = device.disclosure.consents()
    facts = [
        {
            "number": consent.number,
            **{name: getattr(consent.terms, name) for name in TERMS},
            "until": consent.terms.until.isoformat(),
            "replaces": consent.replaces,
            "revoked": None if consent.revoked is None else utc_text(consent.revoked),
        }
        for consent in given
    ]
    return {"consents": facts}, list(map(_line, facts))


def _line(consent: dict[str, Any]) -> str:
    state = f"revoked {consent['revoked']}" if consent["revoked"] else f"until {consent['until']}"
    who = f"{consent['recipient']} for {consent['purpose']}"
    return f"{consent['number']:3} {who}: {consent['statement']}, {state}"


@consents.command()
@hub_option
@click.argument("number", type=int)
def revoke(folder: Path, number: int) -> None:
    """Withdraw consent NUMBER; the next request under it is refused."""
    with Device.open(folder) as device:
        device.disclosure.revoke(number)
    click.echo(f"consent {number} is revoked")
