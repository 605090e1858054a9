# SPDX-License-Identifier: Apache-2.0
"""What is asked of the release guard, and what it has put on record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hub.disclosure.consents import LEAST_MINUTES
from hub.disclosure.knowledge import LARGEST_USE_WH, Form, answer_bits
from protocols.amounts import Amount, Best, Excess, Peaks, Reading, SlotForm, Sum, Tiered

Wanted = tuple[bytes, bytes, str, str, str]
"""What a consent has to be about: applet, package, recipient, purpose, statement."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number that is told, and what can be worked out from it at most."""

    kind: str
    """`linear`, `blocks`, `demand`, `excess`, `match` or `sample`: what the consent has to name."""
    forms: tuple[Form, ...]
    bits: int
    least_minutes: int = LEAST_MINUTES
    """What the consent to it says; known once it has been told."""


def number_of(
    amount: Amount, begin: int, slot_seconds: int, slots: int, register: str = ""
) -> Number:
    """Return what telling an amount tells, over a period of so many slots of a register."""

    def form(weights: SlotForm, *, is_peak: bool = False) -> Form:
        spread = weights.spread(slots)
        return Form(begin, slot_seconds, tuple(spread), is_peak, register=register)

    match amount:
        case Sum():
            told = form(amount.form)
            return Number(amount.kind, (told,), answer_bits(told.weights))
        case Tiered():
            most = sum(
                max(map(abs, bucket.prices)) * sum(c * w for _, c, w in bucket.form.runs)
                for bucket in amount.buckets
            )
            buckets = tuple(form(bucket.form) for bucket in amount.buckets)
            # Prices of both signs: the answer has a sign too.
            return Number(amount.kind, buckets, (2 * most * LARGEST_USE_WH).bit_length())
        case Peaks():
            peaks, most = [], 0
            for group in amount.groups:
                members = {
                    place: number
                    for number, window in enumerate(group.windows, start=1)
                    for place in window.places()
                }
                peaks.append(form(SlotForm.of(members), is_peak=True))
                most += max(sum(c * w for _, c, w in one.runs) for one in group.windows)
            times, parts = amount.rate
            highest = most * LARGEST_USE_WH * times // parts
            return Number(amount.kind, tuple(peaks), highest.bit_length())
        case Excess():
            above = tuple(replace(form(one.form), above=one.limit) for one in amount.above)
            forms = (*((form(amount.form),) if amount.form.runs else ()), *above)
            most = sum(abs(w) for one in forms for w in one.weights)
            return Number(amount.kind, forms, (2 * most * LARGEST_USE_WH).bit_length())
        case Best():
            scores = tuple(form(score) for score in amount.forms)
            return Number(amount.kind, scores, (len(scores) - 1).bit_length())
        case Reading():
            one = replace(form(*amount.forms), is_sample=True)
            return Number(amount.kind, (one,), LARGEST_USE_WH.bit_length())


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A number of amounts that an applet asks the platform to tell together."""

    applet: bytes
    package: bytes
    """The digest of the package it was installed from."""
    recipient: str
    purpose: str
    days: int
    """Local days in the period."""
    numbers: tuple[Number, ...]
    """At least one, each with a form; all of one period of one register."""
    subject: bytes
    """A digest of what the amounts stand for: the tariff's."""

    @property
    def statement(self) -> str:
        """The kinds of the numbers."""
        return "+".join(sorted({number.kind for number in self.numbers}))

    @property
    def form(self) -> Form:
        """A form of the period."""
        return self.numbers[0].forms[0]


def wanted(request: ReleaseRequest, kind: str) -> Wanted:
    """Return what a consent to one kind of number in a request has to be about."""
    return request.applet, request.package, request.recipient, request.purpose, kind


@dataclass(frozen=True, slots=True)
class OutputRequest:
    """A raw applet's output that is due."""

    applet: bytes
    package: bytes
    recipient: str
    purpose: str
    output: str
    """Its name in the manifest."""
    boundary: int
    """For which time it is released."""
    bits: int

    @property
    def wanted(self) -> Wanted:
        """What a consent has to be about."""
        statement = f"output {self.output}"
        return self.applet, self.package, self.recipient, self.purpose, statement


@dataclass(frozen=True, slots=True)
class Weights:
    """What the uses in a sum are weighed with: prices of an index, as its announcement says."""

    index: str
    """The series and its revision."""
    digest: bytes
    """Of the index's document."""
    currency: str
    bits: int
    """What one household's number has at most."""
    prices: bytes
    """The prices themselves, which are kept for the resident."""


@dataclass(frozen=True, slots=True)
class AggregateRequest:
    """A part in a sum over households, of which the recipient learns the sum alone."""

    applet: bytes
    package: bytes
    recipient: str
    purpose: str
    round: bytes
    """The round's digest."""
    region: str
    begin: int
    end: int
    days: int
    resolution_minutes: int
    values: int
    """How many numbers the sum has."""
    group: int
    """Over how many households it goes; of a list of contributors, those with all readings."""
    weights: Weights | None = None
    """Of a sum that is one number; None for a curve."""
    members: bytes = b""
    """A digest of the households that an opened sum goes over; empty before they are known."""

    @property
    def statement(self) -> str:
        """`aggregate`, or `weighted` where prices make one number of a period's use."""
        return "aggregate" if self.weights is None else "weighted"

    @property
    def wanted(self) -> Wanted:
        """What a consent has to be about."""
        return self.applet, self.package, self.recipient, self.purpose, self.statement

    @property
    def facts(self) -> dict[str, int | str | bytes]:
        """What the log says of it: of this home's own use, no bit is told."""
        facts = self._facts
        if self.members:
            facts |= {"members": self.members}
        if self.weights is not None:
            facts |= {
                "index": self.weights.index,
                "index_digest": self.weights.digest,
                "currency": self.weights.currency,
                "number_bits": self.weights.bits,
            }
        return facts

    @property
    def _facts(self) -> dict[str, int | str | bytes]:
        return {
            "applet": self.applet,
            "package": self.package,
            "recipient": self.recipient,
            "purpose": self.purpose,
            "statement": self.statement,
            "round": self.round,
            "region": self.region,
            "begin": self.begin,
            "end": self.end,
            "resolution_minutes": self.resolution_minutes,
            "values": self.values,
            "group": self.group,
            "bits": 0,
        }


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Readings that the resident wants to hand to somebody."""

    recipient: str
    purpose: str
    resolution_minutes: int
    begin: int
    end: int
    subject: str
    """What the consent is about: `2025-03-01/2025-03-31`, which [begin, end) lies in, after the
    OBIS code and a space where it is not about the main register."""
    readings: int
    bits: int
    register: str = ""
    """The OBIS code; empty for the main register."""

    @property
    def wanted(self) -> Wanted:
        """What a consent has to be about."""
        return b"", b"", self.recipient, self.purpose, f"export {self.subject}"


@dataclass(frozen=True, slots=True)
class Release:
    """A release on record."""

    sequence: int
    time: int
    applet: bytes
    recipient: str
    purpose: str
    statement: str
    subject: bytes
    numbers: tuple[Number, ...]

    @property
    def forms(self) -> Sequence[Form]:
        """The forms of all its numbers."""
        return [form for number in self.numbers for form in number.forms]

    @property
    def form(self) -> Form:
        """A form of the period: of a sum, its only one."""
        return self.numbers[0].forms[0]

    @property
    def bits(self) -> int:
        """Bits in all its numbers."""
        return sum(number.bits for number in self.numbers)
