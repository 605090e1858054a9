# SPDX-License-Identifier: Apache-2.0
"""What a change of a consent would do, shown by the questions that were answered under it.

The next question is most likely one like the last, about another time. So each release on record
under a consent is held against the new terms by the guard's own rules, as if nothing else had been
told. What has been told stays told.
"""

import enum
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction

from hub.device import Device
from hub.disclosure import ConsentTerms, Number, Release, ReleaseRefused, ReleaseRequest
from hub.disclosure.guard import check_alone
from hub.disclosure.numbers import PRICED
from hub.disclosure.published import check_published
from hub.disclosure.rules import HIGHEST_PRICE, check_spacing
from hub.inspection.views.meters import meter_told_of
from hub.inspection.views.slots import local_date


class EffectOutcome(enum.StrEnum):
    """What would become of a question like one that was answered."""

    ANSWERED = "answered"
    REVOKED = "revoked"
    EXPIRED = "expired"
    PERIOD = "period"
    """It is about too short a period."""
    SIZE = "size"
    PRICE = "price"
    """Prices are too high, or too far apart, for a consent that is not by bits."""
    COUNT = "count"
    """It is for too many numbers at once."""
    BITS = "bits"
    """Its numbers have too many bits about any one slot."""
    OFTEN = "how often"
    FINENESS = "fineness"
    PUBLISHED = "published"
    """It is under what is published for too few meters, or not at all."""
    WINDOW = "window"
    """The total of too few days could be worked out."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A release on record, and what would become of a question like it from now on."""

    release: Release
    outcome: EffectOutcome


def effects_of(
    device: Device, old: ConsentTerms, new: ConsentTerms | None, today: date
) -> list[Effect]:
    """Return the effect on each release under `old`; `new` is None where none is left."""
    return [
        Effect(release, _outcome(device, release, new, today))
        for release in device.disclosure.releases(old.recipient)
        if (release.applet, release.purpose) == (old.applet, old.purpose)
        and old.statement in {kind for number in release.numbers for kind in number.kinds}
    ]


def _outcome(
    device: Device, release: Release, terms: ConsentTerms | None, today: date
) -> EffectOutcome:
    if terms is None:
        return EffectOutcome.REVOKED
    if terms.until < today:
        return EffectOutcome.EXPIRED
    try:
        _check(device, release, terms)
    except ReleaseRefused as refused:
        return EffectOutcome(refused.rule)
    return EffectOutcome.ANSWERED


def _check(device: Device, release: Release, terms: ConsentTerms) -> None:
    """Raise `ReleaseRefused` where a request like a release breaks a rule of the terms."""
    numbers = tuple(map(_with_prices, release.numbers))
    meter = meter_told_of(device, release.registers)
    first = local_date(meter, release.form.begin)
    last = local_date(meter, release.form.end - 1)
    request = ReleaseRequest(
        terms.applet,
        terms.package,
        terms.recipient,
        terms.purpose,
        (last - first).days + 1,
        numbers,
        release.subject,
    )
    # Of a number of several kinds the others are held to what is allowed of them now.
    allowed = {kind: replace(terms, statement=kind) for kind in request.kinds}
    standing = (one.terms for one in device.disclosure.consents() if one.revoked is None)
    allowed |= {one.statement: one for one in standing if one.subject[:4] == terms.subject[:4]}
    allowed = {kind: allowed[kind] for kind in request.kinds} | {terms.statement: terms}
    demands = [one.published for one in allowed.values()]
    check_published(device.disclosure.log, release.applet, release.subject, demands)
    samples = [form for number in numbers for form in number.forms if form.is_sample]
    check_spacing((form, terms.least_minutes) for form in samples)
    check_alone(request, allowed)


def _with_prices(number: Number) -> Number:
    """Return a number with prices as far apart as it is on record for."""
    if not PRICED.intersection(number.kinds):
        return number
    if not number.spread:
        return replace(number, prices=(Fraction(1), Fraction(HIGHEST_PRICE + 1)))
    return replace(number, prices=(Fraction(1, number.spread), Fraction(1)))


def narrowed(old: ConsentTerms, new: ConsentTerms) -> list[tuple[str, object, object]]:
    """Return the members in which two terms differ, with both values."""
    names = (
        "until", "least_days", "least_minutes", "answers", "within_days", "bits", "least_group",
        "slot_bits", "memory_days", "published", "corrected_minutes",
    )  # fmt: skip
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]
