# SPDX-License-Identifier: Apache-2.0
"""`meterlet applet offers`, `accept`, `refuse`, `allow-upgrades`: what recipients bring."""

from pathlib import Path
from typing import Any

import rich_click as click

from hub.device import Device
from hub.disclosure.consents import ConsentTerms
from hub.disclosure.wording import changed_sentences, consent_in_words
from hub.installer import Installer
from hub.offers import (
    Offer,
    OfferedApplet,
    accept_offer,
    find_offer,
    let_manage,
    offers_of,
    refuse_offer,
)
from meterlet.commands.common import (
    Exit,
    Shown,
    aid_argument,
    fail,
    hub_option,
    json_or_text,
    open_machine,
)
from meterlet.commands.manifest_words import about_feed_in, dealings

DECISION = "meterlet.applet.offer-decided/1"


@click.command("offers")
@hub_option
@json_or_text("meterlet.applet.offers/1")
def offers(folder: Path) -> Shown:
    """List the new versions that recipients have brought and that wait for your yes.

    Each asks for more than the version in place, which answers on meanwhile.
    """
    with Device.open(folder) as device:
        waiting = offers_of(device)
    lines = [line for offer in waiting for line in (_headline(offer), *_sentences(offer))]
    return {"offers": [_facts(offer) for offer in waiting]}, lines or "nothing waits for you"


@click.command("accept")
@hub_option
@aid_argument
@click.option("--yes", is_flag=True, help="Consent without being asked.")
@json_or_text(DECISION)
def accept(folder: Path, aid: bytes, yes: bool) -> Shown:
    """Consent to the new version that waits of the applet or package AID; it is in place then."""
    with Device.open(folder) as device:
        offer = find_offer(device, aid)
        if not yes:
            for sentence in _sentences(offer):
                click.echo(sentence, err=True)
            if not click.confirm("Do you consent?", err=True):
                fail("nothing was changed: no consent was given", Exit.FORBIDDEN)
        accept_offer(Installer(device, device.card(open_machine())), offer)
    return _decided(offer, "accepted"), f"{offer.name}: version {offer.version} is in place"


@click.command("refuse")
@hub_option
@aid_argument
@json_or_text(DECISION)
def refuse(folder: Path, aid: bytes) -> Shown:
    """Refuse the new version that waits of the applet or package AID; the one in place stays.

    Its recipient learns that you have refused. Just this version is not offered again.
    """
    with Device.open(folder) as device:
        offer = find_offer(device, aid)
        refuse_offer(Installer(device, device.card(open_machine())), offer)
    text = f"{offer.name}: version {offer.version} is refused, {offer.in_place} stays"
    return _decided(offer, "refused"), text


@click.command("allow-upgrades")
@hub_option
@aid_argument
@click.option("--withdraw", is_flag=True, help="Allow them no more.")
@json_or_text("meterlet.applet.allow-upgrades/1")
def allow_upgrades(folder: Path, aid: bytes, withdraw: bool) -> Shown:
    """Let the recipient of the applet AID bring new versions of it.

    One that asks for no more than before, and is signed by the same vendor, comes into its place by
    itself. Any other waits for your yes (`meterlet applet offers`).
    """
    with Device.open(folder) as device:
        installer = Installer(device, device.card(open_machine()))
        let_manage(installer, aid, is_allowed=not withdraw)
    name = aid.hex().upper()
    said = "may bring new versions no more" if withdraw else "may bring new versions"
    return {"aid": name, "allowed": not withdraw}, f"the recipient of {name} {said}"


def _headline(offer: Offer) -> str:
    back = "the version before, " if offer.is_older else ""
    package = offer.package.hex().upper()
    return f"{offer.name}: {back}{offer.version} in the place of {offer.in_place}; {package}"


def _sentences(offer: Offer) -> list[str]:
    """Return all that a version asks for; what is more than before is marked, with what it was."""
    lines = []
    for one in offer.applets:
        more = one.more
        for terms in one.asked:
            if terms not in more:
                lines.append(f"  as before: {consent_in_words(terms)}")
                continue
            lines.append(f"  new: {consent_in_words(terms)}")
            for was, now in _changes(one, terms):
                lines += [
                    f"    was: {was or 'nothing of that'}",
                    f"    now: {now or 'no such limit'}",
                ]
        had = {*about_feed_in(one.before.manifest), *dealings(one.before.manifest)}
        lines += [
            ("  as before: " if sentence in had else "  new: ") + sentence
            for sentence in (*about_feed_in(one.after.manifest), *dealings(one.after.manifest))
        ]
    return lines


def _changes(applet: OfferedApplet, terms: ConsentTerms) -> list[tuple[str, str]]:
    """Return the sentences of new terms that differ from those before; none where all is new."""
    before = applet.before_of(terms)
    return [] if before is None else changed_sentences(before, terms)


def _facts(offer: Offer) -> dict[str, Any]:
    return {
        "package": offer.package.hex().upper(),
        "digest": offer.digest.hex(),
        "name": offer.name,
        "version": offer.version,
        "in_place": offer.in_place,
        "is_older": offer.is_older,
        "applets": [
            {
                "aid": one.aid.hex().upper(),
                "asks_for_more": one.asks_for_more,
                "consents": [consent_in_words(terms) for terms in one.asked],
                "new_consents": [consent_in_words(terms) for terms in one.more],
                "changes": [
                    {"before": was, "after": now}
                    for terms in one.more
                    for was, now in _changes(one, terms)
                ],
                "peers": dealings(one.after.manifest),
            }
            for one in offer.applets
        ],
    }


def _decided(offer: Offer, decision: str) -> dict[str, Any]:
    return {
        "package": offer.package.hex().upper(),
        "digest": offer.digest.hex(),
        "version": offer.version,
        "in_place": offer.version if decision == "accepted" else offer.in_place,
        "decision": decision,
    }
