# SPDX-License-Identifier: Apache-2.0
"""The release guard: may this be told, and if so, put it on record first.

What the platform tells an applet counts as released at that moment, whatever the applet does
with it. Every request is either recorded as a release or as a refusal with the rule that it
broke; the rules, in order:

    consent    the resident allowed this package's applet to tell this recipient this kind of
               statement for this purpose, and that still holds
    period     the period is no shorter than the consent says
    published  what the numbers are worked out with is on a list for everybody, for at least as many
               meters as the consent says (`published`)
    size       each number fits the consent's bits
    price      what a watt-hour counts for in a number is bounded, and so is by how much prices
               differ, unless the consent is by bits
    count      no more numbers are about any one moment than the consent says
    how often  no more numbers are about periods that lie within so many days than the consent
               says (`frequency`)
    bits       of a consent by bits: no more bits are about any one slot than it says
    limits     the limits of counts are few, and apart from each other (`limits`)
    fineness   together with what was told to whomever, nothing finer can be worked out by any means
               than one weighted total over as many minutes of slots as the consents say
    window     nor the total of fewer days in a row
    group      a sum over households goes over as many as the consent says

The same number again tells nothing new: it is answered, and counts once.

*Fineness* and *window* hold for every set of recipients (`together`). What was told is held
to the terms that were in force then, which are on record with it.

Energy that belongs to no slot has rules of its own (`unattributed`).

Single slots, as samples, are a kind of their own (`sample`): of all that are ever told, to
whomever, no two start within the consent's minutes of each other. Samples and exports open slots to
their recipient. The rules hold for every set of recipients with what was opened to them, and with
nothing opened: what one of them was opened frees nothing for another.

A consent as fine as a slot promises no mixing at all: what holds of it is its bits about any one
slot. What is drawn and what is fed in are different unknowns; a total of both is one number.

Refusals follow from what was asked and told, never from what was used. docs/guard.md has the
theorem that these rules keep.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from hub.disclosure.consent_record import ConsentRecord
from hub.disclosure.consents import Consent, ConsentTerms, UnknownConsent
from hub.disclosure.counts import check_counts
from hub.disclosure.knowledge import Knowledge, knowledge_of
from hub.disclosure.limits import check_limits
from hub.disclosure.log import DisclosureLog, LogEntry
from hub.disclosure.numbers import PRICED, Number, ReleasedNumber
from hub.disclosure.opened import OpenedSlots
from hub.disclosure.published import check_published, publication_facts
from hub.disclosure.records import number_facts, release_of, request_facts, terms_facts
from hub.disclosure.refusals import RefusalMemo, RefusalSums
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
    check_memory,
    check_prices,
    check_size,
    check_spacing,
    spread_of,
)
from hub.disclosure.strangers import StrangerRecord
from hub.disclosure.sums import check_sum
from hub.disclosure.together import check_together
from hub.disclosure.unattributed import KIND as UNATTRIBUTED
from hub.disclosure.unattributed import UnattributedRequest, check_unattributed
from hub.vault.database import Database
from protocols.amounts import Count, Reading
from protocols.log_head import LogHead


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The resident's consents, the guard over releases, and the log of both."""

    database: Database
    now: Callable[[], int]
    _read: dict[tuple[int, bytes], Release] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Releases on record that were read before, by number and digest of their entry."""
    _consents: ConsentRecord = field(init=False, repr=False, compare=False)
    refusals: RefusalSums = field(init=False, repr=False, compare=False)
    """Puts refusals on record, summed up."""
    refused_before: RefusalMemo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusals", RefusalSums(self.log, self.now))
        object.__setattr__(self, "refused_before", RefusalMemo(self.log, self.now))
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
        """Record the resident's consent to these terms, and return it.

        It takes the place of a standing one to the same; the very same terms are not granted twice.
        """
        with self.database.transaction():
            standing = [
                one for one in self.consents()
                if one.revoked is None and one.terms.subject == terms.subject
            ]  # fmt: skip
            if standing and standing[-1].terms == terms:
                return standing[-1]
            replaces = standing[-1].number if standing else None
            consent = Consent(self._consents.next_number(), terms, replaces)
            facts = {"number": consent.number, **terms_facts(terms)}
            if replaces is not None:
                facts["replaces"] = replaces
            self.log.append(self.now(), "consent", facts)
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

    def next_number(self) -> int:
        """Return the number that the next consent gets."""
        return self._consents.next_number()

    def consents(self) -> list[Consent]:
        """Return every consent there ever was, oldest first."""
        return self._consents.all()

    def permit(self, request: ReleaseRequest) -> LogEntry:
        """Record the release and return its entry, or record the refusal and raise.

        Raises `ReleaseRefused` with the first rule that the request breaks.
        """
        self.require(request)
        return self.record_release(request)

    def require(self, request: ReleaseRequest) -> None:
        """Return if the release would be permitted; else record the refusal and raise.

        For work that takes time: what it comes to is told, and recorded, by `permit` alone.
        """
        try:
            self.check(request)
        except ReleaseRefused as refused:
            self.record_refusal(request, refused)
            raise

    def require_consent(self, request: ReleaseRequest) -> None:
        """Return if consents to all of it stand; else record the refusal and raise.

        Needs no algebra, and no weights in the request's forms. It is all that telling the same
        answer again takes.
        """
        try:
            self._standing_consents(request)
        except ReleaseRefused as refused:
            self.record_refusal(request, refused)
            raise

    def record_release(self, request: ReleaseRequest) -> LogEntry:
        """Record a permitted release again, where the transaction it was recorded in was undone."""
        terms = {kind: self._standing_terms(wanted(request, kind)) for kind in request.kinds}
        numbers = _as_recorded(request, terms)
        public = publication_facts(self.log, request.applet, request.subject)
        facts = {**request_facts(request), **number_facts(numbers), **public}
        return self.log.append(self.now(), "release", facts)

    def record_refusal(
        self,
        request: ReleaseRequest | AggregateRequest | UnattributedRequest,
        refused: ReleaseRefused,
    ) -> None:
        """Record a refusal, or count it where enough of its kind are on record (`RefusalSums`)."""
        self.refusals.note(request_facts(request), refused)

    @staticmethod
    def facts_of(
        request: ReleaseRequest | AggregateRequest | UnattributedRequest,
    ) -> dict[str, int | str | bytes]:
        """Return what the log says of a request, weights apart."""
        return request_facts(request)

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
        if request.weights is None:
            return self.log.append(self.now(), "aggregate", request.facts)
        public = publication_facts(self.log, request.applet, request.weights.digest)
        facts = {**request.facts, **public}
        return self.log.append(self.now(), "aggregate", facts, request.weights.prices)

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
            **({} if request.is_set else {"not_set": 1}),
        }
        try:
            terms = self._standing_terms(request.wanted)
            if request.bits > terms.bits:
                raise ReleaseRefused(
                    "size", f"{request.bits} bits, the consent allows {terms.bits}"
                )
        except ReleaseRefused as refused:
            self.refusals.note(facts, refused)
            raise
        return self.log.append(self.now(), "output", facts)

    def permit_export(self, request: ExportRequest) -> LogEntry:
        """Record the export of readings themselves, or record the refusal and raise.

        Allowed by a consent to just this recipient, purpose and resolution, for a period inside
        the one it names. Raises `ReleaseRefused`.
        """
        try:
            self._check_export(request)
            told, fresh = self._told(), OpenedSlots.of_export(request.facts)
            check_together([], [fresh], told, self._openings(told))
        except ReleaseRefused as refused:
            self.refusals.note(request.facts, refused)
            raise
        return self.log.append(self.now(), "export", request.facts)

    def require_export(self, request: ExportRequest) -> None:
        """Return if a consent to it stands; else record the refusal and raise.

        It is all that handing over again takes, of what is on record as handed over.
        """
        try:
            self._check_export(request)
        except ReleaseRefused as refused:
            self.refusals.note(request.facts, refused)
            raise

    def _check_export(self, request: ExportRequest) -> None:
        terms = self._standing_terms(request.wanted)
        if request.resolution_minutes < terms.least_minutes:
            raise ReleaseRefused(
                "fineness",
                f"readings of {request.resolution_minutes} min, the consent says no finer than"
                f" {terms.least_minutes} min",
            )
        if request.bits > terms.bits:
            raise ReleaseRefused("size", f"{request.bits} bits, the consent allows {terms.bits}")

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

    def record_correction(
        self, register: str, reason: str, days: Sequence[tuple[date, int]]
    ) -> LogEntry:
        """Record which days were corrected, and how many slots of each; nothing was told."""
        facts: dict[str, Any] = {
            "register": register,
            "reason": reason,
            "days": [day.isoformat() for day, _ in days],
            "slots": [slots for _, slots in days],
        }
        return self.log.append(self.now(), "correction", facts)

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
        return [one for one in self._all_releases() if recipient in (None, one.recipient)]

    def knowledge(self, recipients: Collection[str] | None = None) -> Knowledge:
        """Return what some recipients know together; None: all of them."""
        releases = [
            release
            for release in self.releases()
            if recipients is None or release.recipient in recipients
        ]
        return knowledge_of([number for release in releases for number in release.numbers])

    def _all_releases(self) -> list[Release]:
        """Return the releases on record; each entry is read once."""
        found: list[Release] = []
        for key in self.log.names("release"):
            release = self._read.get(key)
            if release is None:
                [release] = [release_of(self.log.entry(key[0]))]
                self._read[key] = release
            found.append(release)
        return found

    def _standing_consents(self, request: ReleaseRequest) -> dict[str, ConsentTerms]:
        terms = {kind: self._standing_terms(wanted(request, kind)) for kind in request.kinds}
        check_period(request, terms)
        demands = [each.published for each in terms.values()]
        check_published(self.log, request.applet, request.subject, demands)
        return terms

    def check(self, request: ReleaseRequest) -> None:
        """Return if a request may be told; raise `ReleaseRefused` with the rule that it breaks.

        Nothing is recorded.
        """
        terms = self._standing_consents(request)
        _check_numbers(request, terms)
        told = self._told()
        asker = request.applet, request.recipient, request.purpose
        own = {one.number.identity: one for one in told if one.asker == asker}
        fresh = [n for n in _as_recorded(request, terms) if n.identity not in own]
        if not fresh:
            return  # the same numbers again: nothing new is told
        check_counts(fresh, terms, [one for one in told if one.asker == asker])
        _check_limits(fresh, terms, told)
        samples = [number for number in fresh if number.kind == Reading.kind]
        opened = self._openings(told)
        if samples:
            sampled = [*samples, *(one.number for one in told)]
            check_spacing((form, n.least_minutes) for n in sampled for form in n.forms)
        fresh_openings = [
            OpenedSlots.of_sample(form, request.recipient, number.least_minutes)
            for number in samples
            for form in number.forms
        ]
        sums = [number for number in fresh if number.kind != Reading.kind]
        check_together(sums, fresh_openings, told, opened)

    def _told(self) -> list[ReleasedNumber]:
        """Return the numbers on record."""
        return [
            ReleasedNumber(number, (one.applet, one.recipient, one.purpose), one.sequence)
            for one in self.releases()
            for number in one.numbers
        ]

    def _openings(self, told: Sequence[ReleasedNumber]) -> list[OpenedSlots]:
        """Return the slots that were opened to recipients: by samples and exports."""
        opened = [
            OpenedSlots.of_sample(form, one.asker[1], one.number.least_minutes)
            for one in told
            for form in one.number.forms
            if form.is_sample
        ]
        exports = self.log.entries("export")
        return opened + [OpenedSlots.of_export(entry.facts) for entry in exports]

    def _check_aggregate(self, request: AggregateRequest) -> None:
        terms = self._standing_terms(request.wanted)
        if request.weights is not None:
            digest = request.weights.digest
            check_published(self.log, request.applet, digest, [terms.published])
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


def check_alone(request: ReleaseRequest, terms: Mapping[str, ConsentTerms]) -> None:
    """Return if a request could be told under such terms where nothing else is on record.

    Raises `ReleaseRefused` with the rule that it breaks.
    """
    check_period(request, terms)
    _check_numbers(request, terms)
    numbers = _as_recorded(request, terms)
    check_counts(numbers, terms, [])
    _check_limits(numbers, terms, [])
    check_together(numbers, [], [], [])


def check_period(request: ReleaseRequest, terms: Mapping[str, ConsentTerms]) -> None:
    """Refuse a period shorter than the consents say."""
    least_days = max(one.least_days for one in terms.values())
    if request.days < least_days:
        raise ReleaseRefused(
            "period",
            f"{request.days} days, the consent says at least {least_days}: ask for them together"
            " with the days before or after",
        )
    if (begin := request.recalled_from) is not None:
        check_memory(begin, request.form.end, min(one.memory_days for one in terms.values()))


def _check_numbers(request: ReleaseRequest, terms: Mapping[str, ConsentTerms]) -> None:
    for number in request.numbers:
        for kind in number.kinds:
            check_size(number, terms[kind].bits)
        if not all(terms[kind].slot_bits for kind in PRICED.intersection(number.kinds)):
            check_prices(number)


def _as_recorded(request: ReleaseRequest, terms: Mapping[str, ConsentTerms]) -> tuple[Number, ...]:
    """Return the numbers of a request with the terms that they are told under."""
    return tuple(
        replace(
            number,
            least_minutes=max(terms[kind].least_minutes for kind in number.kinds),
            least_days=max(terms[kind].least_days for kind in number.kinds),
            corrected_minutes=_corrected_minutes([terms[kind] for kind in number.kinds]),
            spread=spread_of(number),
        )
        for number in request.numbers
    )


def _corrected_minutes(terms: Sequence[ConsentTerms]) -> int:
    """Return what consents say of corrections: all of them have to allow one."""
    minutes = [one.corrected_minutes for one in terms]
    return 0 if 0 in minutes else max(minutes)


def _check_limits(
    fresh: Sequence[Number], terms: Mapping[str, ConsentTerms], told: Sequence[ReleasedNumber]
) -> None:
    if Count.kind in terms:  # counts that anybody was told bound those that are asked for
        check_limits(fresh, [one.number for one in told], terms[Count.kind].answers)
