# SPDX-License-Identifier: Apache-2.0
"""The release guard: may this be told, and if so, put it on record first.

What the platform tells an applet counts as released at that moment, whatever the applet does
with it. Every request is either recorded as a release or as a refusal with the rule that it
broke; the rules, in order:

    consent    the resident allowed this package's applet to tell this recipient this kind of
               statement for this purpose, and that still holds
    period     the period is no shorter than the consent says
    count      the same period has not been answered too often
    size       each number fits the consent's bits
    fineness   together with all earlier releases, to whomever, nothing finer can be worked out by
               any means than the sum over so many minutes of slots as the consent says
    window     nor does linear algebra determine the total of a stretch shorter than its days

A request for several amounts needs a consent to each kind of number among them, and has to keep
to all of these. The last two rules are about what all recipients know together
(`hub.disclosure.knowledge` says how it is computed): nobody needs to be trusted not to compare
notes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from struct import Struct
from typing import Any, Final

from hub.disclosure.consents import Consent, ConsentTable, Terms, UnknownConsent
from hub.disclosure.knowledge import (
    Form,
    Knowledge,
    alike_slots,
    determined_windows,
    knowledge_of,
    windows_agree,
)
from hub.disclosure.log import DisclosureLog, Entry
from hub.disclosure.requests import (
    AmountsRequest,
    ExportRequest,
    Number,
    OutputRequest,
    Release,
    ReleaseRequest,
    wanted,
)
from hub.vault.database import Database
from protocols.amounts import Peaks

__all__ = ["Disclosure", "ReleaseRefused"]

_MINUTE: Final = 60
_DAY: Final = 86_400
_CLOCK_CHANGE: Final = 2 * 3_600
_LARGEST_WEIGHT: Final = (1 << 63) - 1


class ReleaseRefused(Exception):
    """A release would break a rule; nothing was told, and the refusal is on record."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The resident's consents, the guard over releases, and the log of both."""

    database: Database
    now: Callable[[], int]

    @property
    def log(self) -> DisclosureLog:
        """The hash-chained log."""
        return DisclosureLog(self.database)

    @property
    def _consents(self) -> ConsentTable:
        return ConsentTable(self.database)

    def grant(self, terms: Terms) -> Consent:
        """Record the resident's consent to these terms."""
        with self.database.transaction():
            consent = self._consents.add(terms)
            self.log.append(self.now(), "consent", {"number": consent.number, **_facts(terms)})
        return consent

    def narrow(self, number: int, terms: Terms) -> Consent:
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
            new = self._consents.add(terms, replaces=number)
            self._consents.revoke(number, self.now())
            facts = {"number": new.number, "replaces": number, **_facts(terms)}
            self.log.append(self.now(), "narrowing", facts)
        return new

    def revoke(self, number: int) -> Consent:
        """Withdraw a consent; the next request under it is refused."""
        with self.database.transaction():
            consent = self._consents.revoke(number, self.now())
            self.log.append(self.now(), "revocation", {"number": number})
        return consent

    def consent(self, number: int) -> Consent:
        """Return the consent of that number; raise `UnknownConsent` if there is none."""
        return self._consents.find(number)

    def consents(self) -> list[Consent]:
        """Return every consent there ever was, oldest first."""
        return self._consents.all()

    def permit(self, request: ReleaseRequest | AmountsRequest) -> Entry:
        """Record the release and return its entry, or record the refusal and raise.

        Raises `ReleaseRefused` with the first rule that the request breaks.
        """
        try:
            self._check(request)
        except ReleaseRefused as refused:
            self.log.append(self.now(), "refusal", {**_request_facts(request), "why": str(refused)})
            raise
        return self.record_release(request)

    def record_release(self, request: ReleaseRequest | AmountsRequest) -> Entry:
        """Record a permitted release again, where the transaction it was recorded in was undone."""
        facts = {**_request_facts(request), **_number_facts(request)}
        return self.log.append(self.now(), "release", facts)

    def record_refusal(
        self, request: ReleaseRequest | AmountsRequest, refused: ReleaseRefused
    ) -> Entry:
        """Record a refusal again, where the transaction that it was recorded in was undone."""
        facts = {**_request_facts(request), "why": str(refused)}
        return self.log.append(self.now(), "refusal", facts)

    def permit_output(self, request: OutputRequest) -> Entry:
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

    def permit_export(self, request: ExportRequest) -> Entry:
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

    def record_copy(self, form: str, begin: int, end: int, readings: int, content: bytes) -> Entry:
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

    def record_message(self, applet: bytes, recipient: str, purpose: str, content: bytes) -> Entry:
        """Record an answer that leaves the house, to the byte, as it is before protection."""
        facts = {"applet": applet, "recipient": recipient, "purpose": purpose}
        return self.log.append(self.now(), "message", facts, content)

    def record_connection(self, peer: str, received: int, sent: int) -> Entry:
        """Record how many bytes a connection carried in all, protection and framing included."""
        facts = {"peer": peer, "received": received, "sent": sent}
        return self.log.append(self.now(), "connection", facts)

    def releases(self, recipient: str | None = None) -> list[Release]:
        """Return the releases on record, to one recipient or to all."""
        return [
            release
            for release in map(_release, self.log.entries("release"))
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

    def _check(self, request: ReleaseRequest | AmountsRequest) -> None:
        kinds = sorted({number.kind for number in request.numbers})
        terms = {kind: self._standing_terms(wanted(request, kind)) for kind in kinds}
        least_days = max(one.least_days for one in terms.values())
        if request.days < least_days:
            raise ReleaseRefused(
                "period", f"{request.days} days, the consent says at least {least_days}"
            )
        before, form = self.releases(), request.form
        same = sum(
            (r.applet, r.form.begin, r.form.end) == (request.applet, form.begin, form.end)
            for r in before
        )
        if same >= min(one.answers for one in terms.values()):
            raise ReleaseRefused("count", f"this period was answered {same} times already")
        for number in request.numbers:
            _check_size(number, terms[number.kind].bits)
        told = [form for number in request.numbers for form in number.forms]
        earlier = [form for release in before for form in release.forms]
        forms = [*_entangled(form, earlier), *told]
        _check_fineness(forms, max(one.least_minutes for one in terms.values()))
        _check_windows(forms, least_days)

    def _standing_terms(self, wanted: tuple[bytes, bytes, str, str, str]) -> Terms:
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


def _check_size(number: Number, bits: int) -> None:
    weights = (weight for form in number.forms for weight in form.weights)
    if number.bits > bits or any(abs(weight) > _LARGEST_WEIGHT for weight in weights):
        raise ReleaseRefused("size", f"{number.bits} bits, the consent allows {bits}")


def _check_fineness(forms: Sequence[Form], least_minutes: int) -> None:
    if not windows_agree(forms):
        raise ReleaseRefused("fineness", "the windows of two peaks overlap in part")
    smallest = min(alike_slots(forms).values(), default=0) * forms[-1].slot_seconds
    if smallest < least_minutes * _MINUTE:
        raise ReleaseRefused(
            "fineness",
            f"the use of {smallest // _MINUTE} min of slots could be worked out,"
            f" the consent says no finer than {least_minutes} min",
        )


def _check_windows(forms: Sequence[Form], least_days: int) -> None:
    shortest = min((end - begin for begin, end in determined_windows(forms)), default=None)
    if shortest is not None and shortest < least_days * _DAY - _CLOCK_CHANGE:
        raise ReleaseRefused(
            "window",
            f"the total of {shortest / _DAY:.3g} days would be determined,"
            f" the consent says no less than {least_days}",
        )


def _entangled(form: Form, others: Sequence[Form]) -> list[Form]:
    """Return the forms that overlap this one, or one that does, and so on.

    Nothing can be worked out from forms with no slot in common that each does not tell by itself.
    """
    found, waiting, rest = list[Form](), [form], list(others)
    while waiting:
        here = waiting.pop()
        near = [f for f in rest if f.begin < here.end and here.begin < f.end]
        rest = [f for f in rest if f not in near]
        found += near
        waiting += near
    return found


def _pack(weights: Sequence[int]) -> bytes:
    return Struct(f"<{len(weights)}q").pack(*weights)


def _facts(terms: Terms) -> dict[str, int | str | bytes]:
    return {
        "applet": terms.applet,
        "package": terms.package,
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "statement": terms.statement,
        "least_days": terms.least_days,
        "least_minutes": terms.least_minutes,
        "answers": terms.answers,
        "bits": terms.bits,
        "until": terms.until.isoformat(),
    }


def _request_facts(
    request: ReleaseRequest | AmountsRequest,
) -> dict[str, int | str | bytes]:
    return {
        "applet": request.applet,
        "package": request.package,
        "recipient": request.recipient,
        "purpose": request.purpose,
        "statement": request.statement,
        "subject": request.subject,
        "begin": request.form.begin,
        "slot_seconds": request.form.slot_seconds,
    }


def _number_facts(request: ReleaseRequest | AmountsRequest) -> dict[str, Any]:
    if isinstance(request, ReleaseRequest):
        [number] = request.numbers
        return {"weights": _pack(request.form.weights), "bits": number.bits}
    return {
        "numbers": [
            {
                "kind": number.kind,
                "forms": [_pack(form.weights) for form in number.forms],
                "bits": number.bits,
            }
            for number in request.numbers
        ],
        "bits": sum(number.bits for number in request.numbers),
    }


def _release(entry: Entry) -> Release:
    facts = entry.facts
    parts: Sequence[Mapping[str, Any]] = facts.get(
        "numbers",
        [{"kind": facts["statement"], "forms": [facts.get("weights")], "bits": facts["bits"]}],
    )

    def form(weights: bytes, kind: str) -> Form:
        unpacked = Struct(f"<{len(weights) // 8}q").unpack(weights)
        return Form(facts["begin"], facts["slot_seconds"], unpacked, kind == Peaks.kind)

    return Release(
        sequence=entry.sequence,
        time=entry.time,
        applet=facts["applet"],
        recipient=facts["recipient"],
        purpose=facts["purpose"],
        statement=facts["statement"],
        subject=facts["subject"],
        numbers=tuple(
            Number(
                part["kind"],
                tuple(form(weights, part["kind"]) for weights in part["forms"]),
                part["bits"],
            )
            for part in parts
        ),
    )
