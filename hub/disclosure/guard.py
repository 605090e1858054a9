# SPDX-License-Identifier: Apache-2.0
"""The release guard: may this be told, and if so, put it on record first.

What the platform tells an applet counts as released at that moment, whatever the applet does
with it. Every request is either recorded as a release or as a refusal with the rule that it
broke; the rules, in order:

    consent    the resident allowed this package's applet to tell this recipient this kind of
               statement for this purpose, and that still holds
    period     the period is no shorter than the consent says
    count      the same period has not been answered too often; of a consent finer than
               `LEAST_MINUTES`, each number counts, about whatever overlaps; of what lies above
               limits, no more different ones than that are told about whatever overlaps
    how often  no more answers of its kind are about periods that lie within so many days than the
               consent says (`frequency`)
    size       each number fits the consent's bits
    fineness   together with all earlier releases, to whomever, nothing finer can be worked out by
               any means than the sum over so many minutes of slots as the consent says
    window     nor does linear algebra determine the total of a stretch shorter than its days
    group      a sum over households goes over as many as the consent says

Energy that belongs to no slot has rules of its own (`unattributed`).

Single slots, as samples, are a kind of their own (`sample`): of all that are ever told, to
whomever, no two start within the consent's minutes of each other, so that of N slots one is known
at most.

Where the weights of every slot differ, as prices on a spot market do, nothing finer than a slot can
be promised, and against clever weights the count and the size of the answers are the only bound:
so a fine consent counts numbers, about whatever overlaps. What was told under a finer consent does
not stand in the way of a coarser one, which is held to its own minutes with all that was told as
coarsely.

What is drawn and what is fed in are different unknowns: each rule looks at the register that a
request is about, and at what was told of it.

A request for several amounts needs a consent to each kind of number among them, and has to keep
to all of these. The last two rules are about what all recipients know together
(`hub.disclosure.knowledge` says how it is computed): nobody needs to be trusted not to compare
notes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from hub.disclosure.consent_record import ConsentRecord
from hub.disclosure.consents import (
    LEAST_MINUTES,
    Consent,
    ConsentTerms,
    UnknownConsent,
)
from hub.disclosure.frequency import check_often
from hub.disclosure.knowledge import (
    Knowledge,
    knowledge_of,
)
from hub.disclosure.log import DisclosureLog, LogEntry
from hub.disclosure.records import number_facts, release_of, request_facts, terms_facts
from hub.disclosure.requests import (
    AggregateRequest,
    ExportRequest,
    OutputRequest,
    Release,
    ReleaseRequest,
    wanted,
)
from hub.disclosure.rules import (
    ReleaseRefused,
    check_fineness,
    check_limits,
    check_size,
    check_spacing,
    check_windows,
    entangled,
    is_same_period,
    overlaps,
)
from hub.disclosure.strangers import StrangerRecord
from hub.disclosure.sums import check_sum
from hub.disclosure.unattributed import KIND as UNATTRIBUTED
from hub.disclosure.unattributed import UnattributedRequest, check_unattributed
from hub.vault.database import Database
from protocols.amounts import Excess, Reading
from protocols.log_head import LogHead


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The resident's consents, the guard over releases, and the log of both."""

    database: Database
    now: Callable[[], int]
    _consents: ConsentRecord = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_consents", ConsentRecord(self.log))

    @property
    def log(self) -> DisclosureLog:
        """The sealed, hash-chained log."""
        return DisclosureLog(self.database)

    @property
    def strangers(self) -> StrangerRecord:
        """What is counted of those who connect without a key."""
        return StrangerRecord(self.database, self.now)

    def check_log(self) -> LogHead:
        """Return the log's head; raise `LogTampered` where log or consents are not as written."""
        head = self.log.check()
        self._consents.check()
        return head

    def grant(self, terms: ConsentTerms) -> Consent:
        """Record the resident's consent to these terms."""
        with self.database.transaction():
            consent = Consent(self._consents.next_number(), terms)
            self.log.append(self.now(), "consent", {"number": consent.number, **terms_facts(terms)})
        return consent

    def narrow(self, number: int, terms: ConsentTerms) -> Consent:
        """Put a narrower consent in the place of one that stands.

        Raises `UnknownConsent` where none of that number stands, `ValueError` if the terms allow
        anything more than it did.
        """
        with self.database.transaction():
            old = self._consents.find(number)
            if old.revoked is not None:
                raise UnknownConsent(f"consent {number} was revoked")
            if not old.terms.covers(terms):
                raise ValueError(f"that would allow more than consent {number} does")
            new = Consent(self._consents.next_number(), terms, replaces=number)
            facts = {"number": new.number, "replaces": number, **terms_facts(terms)}
            self.log.append(self.now(), "narrowing", facts)
        return new

    def revoke(self, number: int) -> Consent:
        """Withdraw a consent; the next request under it is refused."""
        with self.database.transaction():
            self._consents.find(number)
            self.log.append(self.now(), "revocation", {"number": number})
            return self._consents.find(number)

    def consent(self, number: int) -> Consent:
        """Return the consent of that number; raise `UnknownConsent` if there is none."""
        return self._consents.find(number)

    def consents(self) -> list[Consent]:
        """Return every consent there ever was, oldest first."""
        return self._consents.all()

    def permit(self, request: ReleaseRequest) -> LogEntry:
        """Record the release and return its entry, or record the refusal and raise.

        Raises `ReleaseRefused` with the first rule that the request breaks.
        """
        try:
            self._check(request)
        except ReleaseRefused as refused:
            self.log.append(self.now(), "refusal", {**request_facts(request), "why": str(refused)})
            raise
        return self.record_release(request)

    def record_release(self, request: ReleaseRequest) -> LogEntry:
        """Record a permitted release again, where the transaction it was recorded in was undone."""
        facts = {**request_facts(request), **number_facts(request, self._minutes(request))}
        return self.log.append(self.now(), "release", facts)

    def record_refusal(
        self,
        request: ReleaseRequest | AggregateRequest | UnattributedRequest,
        refused: ReleaseRefused,
    ) -> LogEntry:
        """Record a refusal again, where the transaction that it was recorded in was undone."""
        facts = {**request_facts(request), "why": str(refused)}
        return self.log.append(self.now(), "refusal", facts)

    def require_aggregate(self, request: AggregateRequest) -> None:
        """Return if a consent allows this part in a sum; else record the refusal and raise.

        Nothing is told until the sum is opened. Raises `ReleaseRefused`.
        """
        try:
            self._check_aggregate(request)
        except ReleaseRefused as refused:
            self.record_refusal(request, refused)
            raise

    def record_aggregate(self, request: AggregateRequest) -> LogEntry:
        """Record that a sum is opened; `require_aggregate` has allowed it."""
        prices = None if request.weights is None else request.weights.prices
        return self.log.append(self.now(), "aggregate", request.facts, prices)

    def permit_unattributed(self, request: UnattributedRequest) -> LogEntry:
        """Record what is told of unattributed energy, or record the refusal and raise.

        Raises `ReleaseRefused` with the first rule that the request breaks.
        """
        try:
            terms = self._standing_terms(request.wanted)
            check_unattributed(request, terms, self.log.entries(UNATTRIBUTED))
        except ReleaseRefused as refused:
            self.record_refusal(request, refused)
            raise
        return self.record_unattributed(request)

    def record_unattributed(self, request: UnattributedRequest) -> LogEntry:
        """Record it again, where the transaction it was recorded in was undone."""
        return self.log.append(self.now(), UNATTRIBUTED, request.facts)

    def permit_output(self, request: OutputRequest) -> LogEntry:
        """Record the release of a raw applet's output, or record the refusal and raise.

        What it says is the applet's secret: all its bits count. Raises `ReleaseRefused`.
        """
        facts: dict[str, int | str | bytes] = {
            "applet": request.applet,
            "package": request.package,
            "recipient": request.recipient,
            "purpose": request.purpose,
            "output": request.output,
            "boundary": request.boundary,
            "bits": request.bits,
        }
        try:
            terms = self._standing_terms(request.wanted)
            if request.bits > terms.bits:
                raise ReleaseRefused(
                    "size", f"{request.bits} bits, the consent allows {terms.bits}"
                )
        except ReleaseRefused as refused:
            self.log.append(self.now(), "refusal", {**facts, "why": str(refused)})
            raise
        return self.log.append(self.now(), "output", facts)

    def permit_export(self, request: ExportRequest) -> LogEntry:
        """Record the export of readings themselves, or record the refusal and raise.

        Allowed by a consent to just this recipient, purpose and resolution, for a period inside
        the one it names. Raises `ReleaseRefused`.
        """
        facts: dict[str, int | str | bytes] = {
            "recipient": request.recipient,
            "purpose": request.purpose,
            "resolution_minutes": request.resolution_minutes,
            "begin": request.begin,
            "end": request.end,
            "readings": request.readings,
            "bits": request.bits,
            **({"register": request.register} if request.register else {}),
        }
        try:
            terms = self._standing_terms(request.wanted)
            if request.resolution_minutes < terms.least_minutes:
                raise ReleaseRefused(
                    "fineness",
                    f"readings of {request.resolution_minutes} min, the consent says no finer than"
                    f" {terms.least_minutes} min",
                )
            if request.bits > terms.bits:
                raise ReleaseRefused(
                    "size", f"{request.bits} bits, the consent allows {terms.bits}"
                )
        except ReleaseRefused as refused:
            self.log.append(self.now(), "refusal", {**facts, "why": str(refused)})
            raise
        return self.log.append(self.now(), "export", facts)

    def record_copy(
        self, form: str, begin: int, end: int, readings: int, content: bytes
    ) -> LogEntry:
        """Record a copy that the resident takes out for himself: its period, size and SHA-256.

        What the resident does with it is beyond the hub; so it counts for no recipient.
        """
        facts = {
            "form": form,
            "begin": begin,
            "end": end,
            "readings": readings,
            "size": len(content),
            "copy": sha256(content).digest(),
        }
        return self.log.append(self.now(), "copy", facts)

    def exported_readings(self, recipients: Collection[str] | None = None) -> int:
        """Return how many readings have left the house as such, to some recipients or to all."""
        return sum(
            entry.facts["readings"]
            for entry in self.log.entries("export")
            if recipients is None or entry.facts["recipient"] in recipients
        )

    def record_message(
        self, applet: bytes, recipient: str, purpose: str, content: bytes, since: int | None = None
    ) -> LogEntry:
        """Record an answer that leaves the house, to the byte, as it is before protection.

        `since` is the log's length when the command began: releases from then on left with it.
        """
        facts: dict[str, Any] = {"applet": applet, "recipient": recipient, "purpose": purpose}
        if since is not None:
            facts["releases"] = [entry.sequence for entry in self.log.since(since, "release")]
        return self.log.append(self.now(), "message", facts, content)

    def record_connection(self, peer: str, received: int, sent: int) -> LogEntry:
        """Record how many bytes a recipient's connection carried, protection and framing included.

        Connections of strangers are counted (`strangers`).
        """
        facts = {"peer": peer, "received": received, "sent": sent}
        return self.log.append(self.now(), "connection", facts)

    def releases(self, recipient: str | None = None) -> list[Release]:
        """Return the releases on record, to one recipient or to all."""
        return [
            release
            for release in map(release_of, self.log.entries("release"))
            if recipient in (None, release.recipient)
        ]

    def knowledge(self, recipients: Collection[str] | None = None) -> Knowledge:
        """Return what some recipients know together; None: all of them."""
        releases = [
            release
            for release in self.releases()
            if recipients is None or release.recipient in recipients
        ]
        return knowledge_of(
            [form for release in releases for form in release.forms],
            sum(release.bits for release in releases),
        )

    def _minutes(self, request: ReleaseRequest) -> dict[str, int]:
        """Return how fine the newest consent to each kind of number in a request is."""
        consents = self.consents()
        return {
            kind: [
                one.terms.least_minutes
                for one in consents
                if one.terms.subject == wanted(request, kind)
            ][-1]
            for kind in {number.kind for number in request.numbers}
        }

    def _check(self, request: ReleaseRequest) -> None:
        kinds = sorted({number.kind for number in request.numbers})
        terms = {kind: self._standing_terms(wanted(request, kind)) for kind in kinds}
        least_days = max(one.least_days for one in terms.values())
        if request.days < least_days:
            raise ReleaseRefused(
                "period", f"{request.days} days, the consent says at least {least_days}"
            )
        minutes = {kind: one.least_minutes for kind, one in terms.items()}
        before, form = self.releases(), request.form
        _check_count(request, terms, before)
        _check_often(request, terms, before)
        for number in request.numbers:
            check_size(number, terms[number.kind].bits)
        asked = [replace(number, least_minutes=minutes[number.kind]) for number in request.numbers]
        told = [
            (one, number.least_minutes)
            for release in before
            for number in release.numbers
            for one in number.forms
        ]
        if Excess.kind in terms:
            new = [one for number in asked for one in number.forms]
            check_limits([one for one, _ in told], new, terms[Excess.kind].answers)
        near = entangled((form, 0), told)
        near += [(one, number.least_minutes) for number in asked for one in number.forms]
        mixed = [(one, finest) for one, finest in near if not one.is_sample]
        for least in sorted({m for kind, m in minutes.items() if kind != Reading.kind}):
            check_fineness([one for one, finest in mixed if finest >= least], least)
        if Reading.kind in minutes:
            samples = [one for one, _ in (*told, *near) if one.is_sample]
            check_spacing(samples, minutes[Reading.kind])
        check_windows([one for one, _ in near], least_days)

    def _check_aggregate(self, request: AggregateRequest) -> None:
        terms = self._standing_terms(request.wanted)
        check_sum(request, terms, self.log.entries("aggregate"))

    def _standing_terms(self, wanted: tuple[bytes, bytes, str, str, str]) -> ConsentTerms:
        """Return the terms of the newest consent to this; raise `ReleaseRefused` if none stands."""
        today = datetime.fromtimestamp(self.now(), UTC).date()
        given = [consent for consent in self.consents() if consent.terms.subject == wanted]
        if not given:
            raise ReleaseRefused("consent", f"none to tell {wanted[2]} this")
        standing = [consent for consent in given if consent.revoked is None]
        if not standing:
            raise ReleaseRefused("consent", f"number {given[-1].number} was revoked")
        if standing[-1].terms.until < today:
            raise ReleaseRefused("consent", f"number {standing[-1].number} has expired")
        return standing[-1].terms


def _check_often(
    request: ReleaseRequest,
    terms: Mapping[str, ConsentTerms],
    before: Sequence[Release],
) -> None:
    for kind, one in terms.items():
        told = [
            (release.form.begin, release.form.end)
            for release in before
            if release.applet == request.applet
            and release.form.register == request.form.register
            and any(number.kind == kind for number in release.numbers)
        ]
        check_often((request.form.begin, request.form.end), told, one)


def _check_count(
    request: ReleaseRequest,
    terms: Mapping[str, ConsentTerms],
    before: Sequence[Release],
) -> None:
    own = [release for release in before if release.applet == request.applet]
    near = [release for release in own if overlaps(release.form, request.form)]
    for kind, one in terms.items():
        if one.least_minutes < LEAST_MINUTES and kind != Reading.kind:
            told = sum(number.kind == kind for release in near for number in release.numbers)
            asked = sum(number.kind == kind for number in request.numbers)
            if told + asked > one.answers:
                raise ReleaseRefused(
                    "count",
                    f"{told} numbers about what overlaps were told already, {asked} more are asked"
                    f" for, the consent says {one.answers}",
                )
            continue
        # Samples are bounded by how far they are apart.
        same = near if kind == Reading.kind else own
        times = sum(
            kind == Reading.kind or is_same_period(release.form, request.form) for release in same
        )
        if times >= one.answers:
            raise ReleaseRefused("count", f"this period was answered {times} times already")
