# SPDX-License-Identifier: Apache-2.0
"""What a change of a consent would do, shown by the questions that were answered under it.

The next question is most likely one like the last, about another time. So each release on record
under a consent is held against the new terms by the guard's own rules, as if nothing else had been
told. What has been told stays told.
"""

import enum
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from hub.device import Device
from hub.disclosure import ConsentTerms, Number, Release, ReleaseRefused
from hub.disclosure.cells import refine
from hub.disclosure.rules import (
    check_count,
    check_fineness,
    check_size,
    check_slot_bits,
    check_spacing,
    check_stretches,
)
from hub.inspection.views.slots import local_date

MINUTE: Final = 60
SAMPLE: Final = "sample"


class EffectOutcome(enum.StrEnum):
    """What would become of a question like one that was answered."""

    ANSWERED = "answered"
    REVOKED = "revoked"
    EXPIRED = "expired"
    PERIOD = "period"
    """It is about too short a period."""
    SIZE = "size"
    COUNT = "count"
    """It is for too many numbers at once."""
    BITS = "bits"
    """Its numbers have too many bits about any one slot."""
    FINENESS = "fineness"
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
    first = local_date(device, release.form.begin)
    last = local_date(device, release.form.end - 1)
    if (last - first).days + 1 < terms.least_days:
        return EffectOutcome.PERIOD
    try:
        _check(release, terms)
    except ReleaseRefused as refused:
        return EffectOutcome(refused.rule)
    return EffectOutcome.ANSWERED


def _check(release: Release, terms: ConsentTerms) -> None:
    """Raise `ReleaseRefused` where numbers like those of a release break a rule of the terms."""
    kind, period = terms.statement, (release.form.begin, release.form.end)
    asked = [_under(number, terms) for number in release.numbers if kind in number.kinds]
    for number in asked:
        check_size(number, terms.bits)
    check_count(period, 1 if kind == SAMPLE else len(asked), [], terms.answers)
    if terms.slot_bits:
        check_slot_bits(period, sum(number.bits for number in asked), [], terms.slot_bits)
    if kind == SAMPLE:
        check_spacing([form for number in asked for form in number.forms], terms.least_minutes)
        return
    numbers = [n if kind not in n.kinds else _under(n, terms) for n in release.numbers]
    sums = [number for number in numbers if number.kind != SAMPLE]
    for minutes in sorted({number.least_minutes for number in sums}):
        if minutes * MINUTE <= release.form.slot_seconds:
            continue  # as fine as a slot: nothing is mixed
        some = [number for number in sums if number.least_minutes >= minutes]
        refinement = refine([number.forms for number in some])
        check_fineness(refinement, some, minutes, [""] * len(some))
        for days in sorted({number.least_days for number in some}):
            part = [number.forms for number in some if number.least_days >= days]
            check_stretches(refine(part), days)


def _under(number: Number, terms: ConsentTerms) -> Number:
    """Return a number as it would be told under terms; of several kinds, the coarsest count."""
    if number.kinds == (terms.statement,):
        return replace(number, least_minutes=terms.least_minutes, least_days=terms.least_days)
    return replace(
        number,
        least_minutes=max(number.least_minutes, terms.least_minutes),
        least_days=max(number.least_days, terms.least_days),
    )


def narrowed(old: ConsentTerms, new: ConsentTerms) -> list[tuple[str, object, object]]:
    """Return the members in which two terms differ, with both values."""
    names = (
        "until", "least_days", "least_minutes", "answers", "within_days", "bits", "least_group",
        "slot_bits",
    )  # fmt: skip
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]
