# SPDX-License-Identifier: Apache-2.0
"""`meterlet inspect consents`: what the resident has allowed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import rich_click as click

from hub.device import Device
from hub.disclosure.older_words import confirm_words
from hub.disclosure.wording import consent_in_words
from hub.inspection.api.json_releases import consents_json
from hub.inspection.export.by_consent import consent_to_export
from hub.inspection.locales.catalogue import catalogue
from hub.inspection.locales.learning import learned_in_words
from hub.inspection.views.consents import same_beside
from hub.inspection.views.learned import told_record
from hub.inspection.views.live import today
from hub.installer import Installer, consent_terms
from hub.text import counted, printable
from meterlet.commands.common import (
    DAY,
    Exit,
    Shown,
    aid_argument,
    fail,
    hub_option,
    json_or_text,
    open_machine,
    period_options,
)
from meterlet.commands.manifest_words import dealings
from protocols.metrology import Period
from sml_codec import Obis


@click.group()
def consents() -> None:
    """What you have allowed."""


@consents.command()
@hub_option
@aid_argument
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@json_or_text("meterlet.inspect.consents.grant/1")
def grant(folder: Path, aid: bytes, yes: bool) -> Shown:
    """Consent to all that the manifest of the installed applet AID asks for."""
    with Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        bundle = installer.bundle(aid)
        for terms in consent_terms(bundle, aid):
            click.echo(consent_in_words(terms), err=True)
        for sentence in dealings(bundle.manifest):
            click.echo(sentence, err=True)
        if not yes and not click.confirm("Do you consent?", err=True):
            fail("nothing was granted", Exit.FORBIDDEN)
        given = installer.consent(bundle, aid)
    numbers = [consent.number for consent in given]
    facts = {"applet": aid.hex().upper(), "consents": numbers}
    return facts, [f"consent {number} is given" for number in numbers]


@consents.command()
@hub_option
@click.argument("number", type=int, help="The consent's number; `list` shows it.")
@click.option(
    "--holds-until", "--until", "until", type=DAY, help="An earlier last day on which it holds."
)
@click.option("--least-days", type=int, help="A longer shortest period, in days.")
@click.option("--least-minutes", type=int, help="More minutes of use that are mixed.")
@click.option("--answers", type=int, help="Fewer numbers about any one moment.")
@click.option("--within-days", type=int, help="More days that hold no more numbers.")
@click.option("--bits", type=int, help="Smaller numbers.")
@click.option("--slot-bits", type=int, help="Fewer bits about any one reading, in all.")
@click.option("--memory-days", type=int, help="Fewer days back that a number may go on from.")
@click.option("--least-group", type=int, help="Sums over more households.")
@click.option("--published", type=int, help="Only under what is published for so many meters.")
@click.option("--corrected-minutes", type=int, help="Corrections of more minutes of slots.")
@json_or_text("meterlet.inspect.consents.narrow/1")
def narrow(folder: Path, number: int, until: datetime | None, **limits: int | None) -> Shown:
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
    facts = {"consent": new.number, "replaces": number}
    return facts, f"consent {new.number} takes the place of {number}"


@consents.command("export")
@hub_option
@click.option("--recipient", required=True, help="Who may have the readings.")
@click.option("--purpose", required=True, help="What for.")
@click.option("--minutes", type=int, default=60, show_default=True, help="How fine at most.")
@period_options(about="Which readings. ")
@click.option(
    "--holds-until", "until", type=DAY, required=True, help="The last day on which it holds."
)
@click.option("--register", metavar="OBIS", help="Which register; by default the main one.")
@json_or_text("meterlet.inspect.consents.export/1")
def consent_export(
    folder: Path,
    recipient: str,
    purpose: str,
    minutes: int,
    period: Period,
    until: datetime,
    register: str | None,
) -> Shown:
    """Consent to hand readings themselves to somebody."""
    with Device.open(folder) as device:
        try:
            code = None if register is None else Obis.parse(register).code
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        consent = consent_to_export(device, recipient, purpose, minutes, period, until.date(), code)
    number = consent.number
    text = f"consent {number} is given; `inspect export consent {number}` uses it"
    return {"consent": number}, text


@consents.command("list")
@hub_option
@click.option("--words", "in_words", is_flag=True, help="Say what each standing one allows.")
@json_or_text("meterlet.inspect.consents/1")
def list_consents(folder: Path, in_words: bool) -> Shown:
    """List all consents, past ones included, and mark those given under older words."""
    with Device.open(folder) as device:
        facts = consents_json(device.disclosure).as_json()
    lines = [line for consent in facts["consents"] for line in _lines(consent, in_words)]
    return facts, lines


def _lines(consent: dict[str, Any], in_words: bool) -> Iterator[str]:
    number, is_older = consent["number"], consent["given_under_older_words"]
    state = f"revoked {consent['revoked']}" if consent["revoked"] else f"until {consent['until']}"
    who = f"{consent['recipient']} for {consent['purpose']}"
    yield f"{number:3} {who}: {consent['statement']}, {state}"
    if limits := _limits(consent):
        yield f"    {limits}"
    if is_older:
        yield (
            "    given under older words; this is what it means now. `inspect consents confirm"
            f" {number}` says that you have read it, `revoke {number}` ends it"
        )
    if is_older or (in_words and not consent["revoked"]):
        yield f"    {consent['in_words']['en']}"


def _limits(consent: dict[str, Any]) -> str:
    """Return the numbers that bound what a consent tells."""
    limits = []
    if consent["least_days"]:
        limits.append(f"{counted(consent['least_days'], 'day')} at least")
    if consent["memory_days"]:
        limits.append(f"goes on from {counted(consent['memory_days'], 'day')} back at most")
    if consent["corrected_minutes"]:
        limits.append(f"corrections of {consent['corrected_minutes']} min at least")
    return ", ".join(limits)


@consents.command()
@hub_option
@click.argument("number", type=int, help="The consent's number; `list` shows it.")
@json_or_text("meterlet.inspect.consents.confirm/1")
def confirm(folder: Path, number: int) -> Shown:
    """Confirm that you have read what consent NUMBER, given under older words, means now."""
    with Device.open(folder) as device:
        entry = confirm_words(device.disclosure, number)
        terms = device.disclosure.consent(number).terms
    words = consent_in_words(terms)
    if entry is None:
        line = f"consent {number} was given under these words; there is nothing to confirm"
    else:
        line = f"consent {number} is confirmed (entry {entry.sequence} of the log)"
    facts = {
        "consent": number,
        "in_words": words,
        "entry": None if entry is None else entry.sequence,
    }
    return facts, [words, line]


@consents.command()
@hub_option
@click.argument("number", type=int, help="The consent's number; `list` shows it.")
@json_or_text("meterlet.inspect.consents.revoke/1")
def revoke(folder: Path, number: int) -> Shown:
    """Withdraw consent NUMBER; the next request under it is refused."""
    with Device.open(folder) as device:
        consent = device.disclosure.revoke(number)
        beside = same_beside(device, consent, today(device))
        learned = told_record(device, consent.terms.recipient).learned_by(
            [consent.terms.recipient], consent.terms.recipient
        )
        words = replace(catalogue("en"), zone=device.zone)
    told = printable(learned_in_words(learned, words))
    facts = {"consent": number, "beside": [other.number for other in beside], "told": told}
    return facts, [
        f"consent {number} is revoked: what needs it is refused from now on",
        *(
            f"consent {other.number} allows the same and stands: `inspect consents revoke"
            f" {other.number}` withdraws it, too"
            for other in beside
        ),
        f"what was told stays told: {told}",
    ]
