# SPDX-License-Identifier: Apache-2.0
"""What a change of a consent would do, shown by the questions that were answered under it.

The next question is most likely one like the last. So each release on record under a consent is
held against the new terms by the guard's rules that depend on the terms alone: the period's
length, the answer's size, the fineness. What has been told stays told.
"""

import enum
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from hub.device import Device
from hub.disclosure import ConsentTerms, Release
from hub.disclosure.cells import refine
from hub.inspection.views.slots import local_date

MINUTE: Final = 60
SAMPLE: Final = "sample"
FAR_APART: Final = 1 << 62
"""One sample alone is next to none."""


class EffectOutcome(enum.StrEnum):
    """What would become of a question like one that was answered."""

    ANSWERED = "answered"
    REVOKED = "revoked"
    EXPIRED = "expired"
    PERIOD = "period"
    """It is about too short a period."""
    SIZE = "size"
    FINENESS = "fineness"


@dataclass(frozen=True, slots=True)
class Effect:
    """A release on record, and what would become of the same question from now on."""

    release: Release
    outcome: EffectOutcome


def effects_of(
    device: Device, old: ConsentTerms, new: ConsentTerms | None, today: date
) -> list[Effect]:
    """Return the effect on each release under `old`; `new` is None where it is revoked."""
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
    if any(n.bits > terms.bits for n in release.numbers if terms.statement in n.kinds):
        return EffectOutcome.SIZE
    if _finest(release, terms.statement) < terms.least_minutes * MINUTE:
        return EffectOutcome.FINENESS
    return EffectOutcome.ANSWERED


def _finest(release: Release, kind: str) -> int:
    """Return over how many seconds of use a release mixes, or how far apart its samples are."""
    if kind == SAMPLE:
        starts = sorted(form.sampled for form in release.forms if form.sampled is not None)
        return min((after - before for before, after in pairwise(starts)), default=FAR_APART)
    refinement = refine([number.forms for number in release.numbers])
    sizes = [bundle.slots for bundle in refinement.bundles]
    return min(sizes, default=0) * release.form.slot_seconds


def narrowed(old: ConsentTerms, new: ConsentTerms) -> list[tuple[str, object, object]]:
    """Return the members in which two terms differ, with both values."""
    names = (
        "until", "least_days", "least_minutes", "answers", "within_days", "bits", "least_group",
    )  # fmt: skip
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]
