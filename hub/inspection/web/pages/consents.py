# SPDX-License-Identifier: Apache-2.0
"""The page Consents: what is allowed, and changing it, each time with its effect shown first."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.responses import Response

from hub.device import Device
from hub.disclosure import Consent, ConsentTerms
from hub.disclosure.older_words import confirm_words, given_under_older_words
from hub.inspection.export.by_consent import MOST_BITS, RESOLUTIONS, consent_to_export
from hub.inspection.views.consents import same_beside
from hub.inspection.views.learned import told_record
from hub.inspection.views.live import today
from hub.inspection.web.access.residents import ResidentRole
from hub.inspection.web.effects import effects_of, narrowed
from hub.inspection.web.forms import BadInput, date_of, number_of, text_of
from hub.inspection.web.installed import Installed, find_applet, installed_applets
from hub.inspection.web.page_request import Page, PageRequest
from hub.installer import consent_terms
from protocols.metrology import Period


def show_consents(request: PageRequest) -> Response:
    """Show every consent, those that stand first."""
    with request.device() as device:
        standing = standing_consents(device)
        subjects = {consent.terms.subject for consent in standing}
        applets = installed_applets(device)
        names = {applet.aid: applet.name for applet in applets}
        return request.page(
            "consents.html",
            standing=standing,
            older=given_under_older_words(device.disclosure.log, standing),
            over=[consent for consent in device.disclosure.consents() if consent not in standing],
            names=names,
            wanting=[
                applet
                for applet in applets
                if any(terms.subject not in subjects for terms in asked_terms(applet))
            ],
            most_bits=MOST_BITS,
            resolutions=RESOLUTIONS,
            day=today(device),
        )


def show_consent(request: PageRequest) -> Response:
    """Show one consent and, where a change is asked for, what it would do."""
    with request.device() as device:
        consent = _consent(request, device)
        change = request.query("change")
        new = consent.terms
        if change == "narrow":
            sent = request.http.query_params.items()
            fields = {name: text for name, text in sent if name not in request.ignored}
            new = _narrowed(fields, consent.terms)
        revoking = change == "revoke"
        changes = narrowed(consent.terms, new)
        beside = same_beside(device, consent, today(device))
        left = (beside[-1].terms if beside else None) if revoking else new
        recipient = consent.terms.recipient
        return request.page(
            "consent.html",
            consent=consent,
            terms=new,
            change=change if revoking or (changes and not request.problem) else "",
            changes=changes,
            effects=effects_of(device, consent.terms, left, today(device)),
            beside=beside,
            is_older=bool(given_under_older_words(device.disclosure.log, [consent])),
            kind=consent.terms.statement.partition(" ")[0],
            learned=told_record(device, recipient).learned_by([recipient], recipient),
            most_bits=MOST_BITS,
        )


def revoke(request: PageRequest) -> Response:
    """Withdraw a consent."""
    with request.device() as device:
        consent = device.disclosure.revoke(_consent(request, device).number)
    request.record("consent revoked", consent=consent.number)
    return request.see("/consents")


def narrow(request: PageRequest) -> Response:
    """Put a narrower consent in the place of one."""
    with request.device() as device:
        consent = _consent(request, device)
        try:
            new = device.disclosure.narrow(consent.number, _narrowed(request.fields, consent.terms))
        except ValueError as error:
            raise BadInput(str(error)) from None
    request.record("consent narrowed", consent=new.number)
    return request.see(f"/consents/{new.number}")


def confirm(request: PageRequest) -> Response:
    """Record that the resident has read what a consent means now."""
    with request.device() as device:
        number = _consent(request, device).number
        confirm_words(device.disclosure, number)
    request.record("consent confirmed", consent=number)
    return request.see(f"/consents/{number}")


def show_grant(request: PageRequest) -> Response:
    """Show what an applet asks for, before it is granted."""
    with request.device() as device:
        applet = _applet(request, device)
        return request.page("grant.html", applet=applet, asked=asked_terms(applet))


def grant(request: PageRequest) -> Response:
    """Consent to all that an applet asks for and has not."""
    with request.device() as device:
        applet = _applet(request, device)
        subjects = {consent.terms.subject for consent in standing_consents(device)}
        with device.database.transaction():
            for terms in asked_terms(applet):
                if terms.subject not in subjects:
                    device.disclosure.grant(terms)
    request.record("consent granted", consent=0)
    return request.see("/consents")


def grant_export(request: PageRequest) -> Response:
    """Consent to hand readings to somebody."""
    fields = request.fields
    recipient, purpose = text_of(fields, "recipient"), text_of(fields, "purpose")
    first, last = date_of(fields, "first"), date_of(fields, "last")
    until = date_of(fields, "until")
    if last < first:
        raise BadInput(f"{last} is before {first}", "last")
    minutes = number_of(fields, "minutes")
    if minutes not in RESOLUTIONS:
        raise BadInput(f"{minutes} minutes: only {', '.join(map(str, RESOLUTIONS))}", "minutes")
    with request.device() as device:
        consent_to_export(device, recipient, purpose, minutes, Period(first, last), until)
    request.record("consent granted", consent=0)
    return request.see("/consents")


def standing_consents(device: Device) -> list[Consent]:
    """Return the consents that are neither revoked nor past their last day."""
    day = today(device)
    return [
        consent
        for consent in device.disclosure.consents()
        if consent.revoked is None and consent.terms.until >= day
    ]


def asked_terms(applet: Installed) -> list[ConsentTerms]:
    """Return the consents that an installed applet asks for."""
    return [] if applet.bundle is None else consent_terms(applet.bundle, applet.aid)


def _consent(request: PageRequest, device: Device) -> Consent:
    return device.disclosure.consent(int(request.http.path_params["number"]))


def _applet(request: PageRequest, device: Device) -> Installed:
    return find_applet(device, request.http.path_params["aid"])


def _narrowed(fields: Mapping[str, str], old: ConsentTerms) -> ConsentTerms:
    """Return terms with what the form narrows; raise `BadInput` where that is no narrowing."""
    published = number_of(fields, "published", old.published)
    if published and not old.is_under_document:
        raise BadInput(f"{old.statement} is told under no document", "published")
    new = replace(
        old,
        until=date_of(fields, "until", old.until),
        least_days=number_of(fields, "least_days", old.least_days),
        least_minutes=number_of(fields, "least_minutes", old.least_minutes),
        answers=number_of(fields, "answers", old.answers),
        within_days=number_of(fields, "within_days", old.within_days),
        bits=number_of(fields, "bits", old.bits),
        least_group=number_of(fields, "least_group", old.least_group),
        published=published,
        slot_bits=number_of(fields, "slot_bits", old.slot_bits),
        corrected_minutes=number_of(fields, "corrected_minutes", old.corrected_minutes),
        memory_days=number_of(fields, "memory_days", old.memory_days),
    )
    if not old.covers(new):
        wider = (name for name, _, _ in narrowed(old, new) if not _is_narrower(old, new, name))
        raise BadInput("that would allow more than the consent does", next(wider, ""))
    return new


def _is_narrower(old: ConsentTerms, new: ConsentTerms, name: str) -> bool:
    """Tell whether one of the new terms by itself allows no more than the old ones."""
    return old.covers(replace(old, **{name: getattr(new, name)}))


PAGES: Final = (
    Page("/consents", show_consents, ResidentRole.READER),
    Page("/consents/export", grant_export, ResidentRole.OWNER, "POST", show_consents),
    Page("/consents/{number:int}", show_consent, ResidentRole.READER),
    Page("/consents/{number:int}/revoke", revoke, ResidentRole.OWNER, "POST", show_consent),
    Page("/consents/{number:int}/narrow", narrow, ResidentRole.OWNER, "POST", show_consent),
    Page("/consents/{number:int}/confirm", confirm, ResidentRole.OWNER, "POST", show_consent),
    Page("/consents/applet/{aid}", show_grant, ResidentRole.OWNER),
    Page("/consents/applet/{aid}", grant, ResidentRole.OWNER, "POST", show_grant),
)
