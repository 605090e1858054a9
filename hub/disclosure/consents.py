# SPDX-License-Identifier: Apache-2.0
"""What the resident has allowed: who may learn what, for which purpose, how finely, until when."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from hub.errors import HubError

LEAST_MINUTES: Final = 8 * 60
"""What a consent lets be worked out at the finest, unless it says so in as many words."""
WITHOUT_DOCUMENT: Final = frozenset({"aggregate", "output", "export", "reader", "unattributed"})
"""Kinds of statements that are worked out with no document, which could be published."""

WITH_MEMORY: Final = frozenset({"linear", "blocks", "demand", "excess"})
"""Kinds of statements whose numbers may go on from earlier ones."""


class UnknownConsent(HubError):
    """There is no consent of that number."""


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What one consent allows."""

    applet: bytes
    """The AID of the applet's instance."""
    package: bytes
    """The digest of the package that was installed: a changed one has to ask again."""
    recipient: str
    purpose: str
    statement: str
    """The kind of statement: `linear`, a weighted sum of slots."""
    least_days: int
    """The shortest period that may become known, asked for or worked out, in days."""
    least_minutes: int
    """How many minutes of slots, at least, are mixed in anything that can be worked out."""
    answers: int
    """How many answers about the same period."""
    bits: int
    """The largest answer, in bits."""
    until: date
    """The last local day on which it holds."""
    least_group: int = 1
    """Over how many households, at least, anything is summed up before it is told."""
    within_days: int = 1
    """In so many days lie the periods of no more than `answers` answers (`frequency`); consents
    given before that was asked for say 1."""
    slot_bits: int = 0
    """How many bits, at most, are told under it about any one slot; 0: it is not by bits, and its
    prices keep within bounds (docs/guard.md)."""
    memory_days: int = 0
    """How many days back a number may depend on, by what earlier ones have handed on; 0: on its own
    period alone."""
    published: int = 0
    """For how many meters, at least, what the numbers are worked out with has to be published
    (`hub.disclosure.published`); 0: nobody has to have published it."""

    corrected_minutes: int = 0
    """Where a number is told again over corrected slots: over how many minutes of these, at least,
    a total may become known by itself, though they are fewer than `least_days`; 0: none may."""

    def __post_init__(self) -> None:
        least = "least_days", "least_minutes", "answers", "bits", "least_group", "within_days"
        for name in least:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("slot_bits", "memory_days", "published", "corrected_minutes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0")
        if self.memory_days and self.statement not in WITH_MEMORY:
            raise ValueError(f"{self.statement} goes on from nothing")
        if self.published and not self.is_under_document:
            raise ValueError(f"{self.statement} is told under no document that could be published")

    @property
    def is_under_document(self) -> bool:
        """Whether what is told is worked out with a document: a tariff, an index, profiles."""
        return self.statement.partition(" ")[0] not in WITHOUT_DOCUMENT

    @property
    def subject(self) -> tuple[bytes, bytes, str, str, str]:
        """Who may tell whom what, and what for: what a request has to match."""
        return self.applet, self.package, self.recipient, self.purpose, self.statement

    def covers(self, other: "ConsentTerms") -> bool:
        """Tell whether `other` asks for no more than this allows."""
        return (
            self.subject == other.subject
            and self.least_days <= other.least_days
            and self.least_minutes <= other.least_minutes
            and self.answers >= other.answers
            and self.bits >= other.bits
            and self.until >= other.until
            and self.least_group <= other.least_group
            and self.within_days <= other.within_days
            and self._bits_cover(other)
            and self.memory_days >= other.memory_days
            and self.published <= other.published
            and self._corrections_cover(other)
        )

    def _corrections_cover(self, other: "ConsentTerms") -> bool:
        own, asked = self.corrected_minutes, other.corrected_minutes
        return not asked or 0 < own <= asked

    def _bits_cover(self, other: "ConsentTerms") -> bool:
        # By bits, prices may be anything; not by bits, only count and size bound what is told.
        return 0 < other.slot_bits <= self.slot_bits or other.slot_bits == self.slot_bits == 0


@dataclass(frozen=True, slots=True)
class Consent:
    """Terms the resident has agreed to."""

    number: int
    terms: ConsentTerms
    replaces: int | None = None
    """The wider consent that this one has taken the place of."""
    revoked: int | None = None
    """When it was revoked or replaced, in epoch seconds; None while it stands."""
