# SPDX-License-Identifier: Apache-2.0
"""What the guard holds a release of unattributed energy to.

The energy that no slot holds went on in missing slots, while nobody read the meter. Which slots are
missing is public. So the sum of a period is what these slots used together:

    fineness   it is opened only if the missing slots last as long as the consent's minutes
    limit      a limit is 1 kWh or more: one near 0 would tell what a short gap used
    overlap    about whatever overlaps, to whomever, there is one period and one limit. Two periods
               that differ in a day would tell that day; several limits would close in on the sum
    count      the same period is answered no more often than the consent says
    corrected  after readings were corrected an answer tells, beside the one before, what the
               corrected slots used: these have to last as long as the consent's minutes
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hub.disclosure.consents import ConsentTerms
from hub.disclosure.log import LogEntry
from hub.disclosure.revised import revised_facts, revised_of
from hub.disclosure.rules import ReleaseRefused

KIND: Final = "unattributed"
LEAST_LIMIT_WH: Final = 1_000
OPENED_BITS: Final = 63


@dataclass(frozen=True, slots=True)
class UnattributedRequest:
    """A question whether a period's unattributed energy is within a limit, and if not, what."""

    applet: bytes
    package: bytes
    recipient: str
    purpose: str
    subject: bytes
    """The digest of the signed document that states the limit."""
    register: str
    """The OBIS code; empty for the main register."""
    begin: int
    end: int
    days: int
    limit_wh: int
    missing_minutes: int
    is_opened: bool
    """Whether the energy is above the limit, and is told."""
    slot_minutes: int = 0
    revised: tuple[tuple[int, int], ...] = ()
    """When corrected slots of the period start, and their revisions."""

    @property
    def bits(self) -> int:
        """What the answer tells at most."""
        return OPENED_BITS if self.is_opened else 1

    @property
    def wanted(self) -> tuple[bytes, bytes, str, str, str]:
        """What a consent has to be about."""
        return self.applet, self.package, self.recipient, self.purpose, KIND

    @property
    def facts(self) -> dict[str, int | str | bytes]:
        """What the log says of it, whatever becomes of it."""
        return {
            "applet": self.applet,
            "package": self.package,
            "recipient": self.recipient,
            "purpose": self.purpose,
            "statement": KIND,
            "subject": self.subject,
            "begin": self.begin,
            "end": self.end,
            "limit_wh": self.limit_wh,
            "opened": int(self.is_opened),
            "bits": self.bits,
            **({"register": self.register} if self.register else {}),
            **({"revised": revised_facts(self.revised)} if self.revised else {}),
        }


def check_unattributed(
    request: UnattributedRequest, terms: ConsentTerms, before: Iterable[LogEntry]
) -> None:
    """Return if the consent and what was told before allow the answer; raise `ReleaseRefused`."""
    if request.days < terms.least_days:
        raise ReleaseRefused(
            "period", f"{request.days} days, the consent says at least {terms.least_days}"
        )
    if request.bits > terms.bits:
        raise ReleaseRefused("size", f"{request.bits} bits, the consent allows {terms.bits}")
    if request.limit_wh < LEAST_LIMIT_WH:
        raise ReleaseRefused("limit", f"{request.limit_wh} Wh; a limit is {LEAST_LIMIT_WH} or more")
    told = [
        one.facts
        for one in before
        if one.facts.get("register", "") == request.register
        and one.facts["begin"] < request.end
        and request.begin < one.facts["end"]
    ]
    for facts in told:
        if (facts["begin"], facts["end"]) != (request.begin, request.end):
            raise ReleaseRefused("window", "another period that overlaps was answered already")
        if facts["limit_wh"] != request.limit_wh:
            raise ReleaseRefused("limit", "this period was answered with another limit already")
    own = sum(facts["applet"] == request.applet for facts in told)
    if own >= terms.answers:
        raise ReleaseRefused("count", f"this period was answered {own} times already")
    for facts in told:
        since = dict(request.revised).items() ^ dict(revised_of(facts)).items()
        minutes = request.slot_minutes * len({start for start, _ in since})
        if 0 < minutes < terms.least_minutes:
            raise ReleaseRefused(
                "fineness",
                f"it would tell of {minutes} min of corrected slots by themselves, the consent says"
                f" no finer than {terms.least_minutes} min",
            )
    if request.is_opened and request.missing_minutes < terms.least_minutes:
        raise ReleaseRefused(
            "fineness",
            f"it would tell the use of {request.missing_minutes} min of slots,"
            f" the consent says no finer than {terms.least_minutes} min",
        )
