# SPDX-License-Identifier: Apache-2.0
"""What is asked of the release guard, and what it has put on record."""

from collections.abc import Sequence
from dataclasses import dataclass

from hub.disclosure.cells import Form
from hub.disclosure.numbers import Number
from hub.disclosure.revised import revised_facts

Wanted = tuple[bytes, bytes, str, str, str]
"""What a consent has to be about: applet, package, recipient, purpose, statement."""


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
    """At least one, each with a form; all of one period."""
    subject: bytes
    """A digest of what the amounts stand for, by the applet's word: the tariff's."""

    @property
    def statement(self) -> str:
        """The kinds of the numbers."""
        return "+".join(self.kinds)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the numbers, in order: each needs a consent."""
        return sorted({kind for number in self.numbers for kind in number.kinds})

    @property
    def form(self) -> Form:
        """A form of the period."""
        return self.numbers[0].forms[0]

    @property
    def recalled_from(self) -> int | None:
        """The begin of the earliest time that the numbers depend on by what was carried."""
        return min((one.begin for one in self.numbers if one.is_recalled), default=None)


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
    is_set: bool = True
    """Whether the applet has ever set it; if not, that is what is told."""

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
    revised: tuple[tuple[int, int], ...] = ()
    """When corrected slots of the period start, and their revisions."""
    reader: int = 0
    """The reader that fetches them itself with its login; 0: the resident hands them over."""
    is_live: bool = False
    """Whether the reader sees them minute by minute as they come."""

    @property
    def wanted(self) -> Wanted:
        """What a consent has to be about."""
        kind = "reader" if self.reader else "export"
        return b"", b"", self.recipient, self.purpose, f"{kind} {self.subject}"

    @property
    def facts(self) -> dict[str, int | str | bytes]:
        """What the log says of it."""
        return {
            "recipient": self.recipient,
            "purpose": self.purpose,
            "resolution_minutes": self.resolution_minutes,
            "begin": self.begin,
            "end": self.end,
            "readings": self.readings,
            "bits": self.bits,
            **({"register": self.register} if self.register else {}),
            **({"revised": revised_facts(self.revised)} if self.revised else {}),
            **({"reader": self.reader} if self.reader else {}),
            **({"live": 1} if self.is_live else {}),
        }


@dataclass(frozen=True, slots=True)
class Publication:
    """Where a document stands on a list that its signer shows to everybody."""

    number: int
    time: int
    """When it was published, by its signer's word."""
    meters: int
    """How many meters may be asked under it, by its signer's word."""


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
    published: Publication | None = None
    """Whether what it was answered under was on a list that this hub had taken by then."""

    @property
    def own(self) -> tuple[Number, ...]:
        """The numbers of its own period: all but those that are recalled."""
        return tuple(number for number in self.numbers if not number.is_recalled)

    @property
    def recalled_from(self) -> int | None:
        """Since when earlier use counts in it by what was carried; None: none does."""
        recalled = [one for one in self.numbers if one.is_recalled]
        return min((one.begin for one in recalled), default=None)

    @property
    def forms(self) -> Sequence[Form]:
        """The forms of the numbers of its own period."""
        return [form for number in self.own for form in number.forms]

    @property
    def form(self) -> Form:
        """A form of the period: of a sum, its only one."""
        return self.numbers[0].forms[0]

    @property
    def registers(self) -> tuple[str, ...]:
        """The registers it is about, each once, in order; the main one has no name."""
        return tuple(sorted({form.register for form in self.forms}))

    @property
    def corrected_slots(self) -> int:
        """How many of the slots that it is about had been corrected."""
        return len({(f.register, start) for f in self.forms for start in f.revisions()})

    @property
    def bits(self) -> int:
        """Bits in all its numbers."""
        return sum(number.bits for number in self.own)
