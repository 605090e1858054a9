# SPDX-License-Identifier: Apache-2.0
"""A bill over corrected days beside the one that it replaces: which days, and what that makes.

Both bills are of the same period. A day of the later one is the very day of the earlier one, or a
revision of it that names it. The difference of the totals is told with the days that were corrected
in between; where none were, a second bill says nothing of it.

Errors: VerificationFailed, under the name `chain`
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from applets.billing.statement import VerifiedBill
from protocols.metrology import CertifiedDay, DayContent
from tariffs.invoice import CorrectedSlots
from utility_server.errors import VerificationFailed

FACTS: Final = ("replaces", "difference", "corrected")
"""What the ledger says of a corrected bill."""


@dataclass(frozen=True, slots=True)
class BillCorrection:
    """What became of a bill by corrections."""

    replaces: int
    """The number of the invoice for the same period that is void now; 0: it is in no ledger."""
    difference: Decimal
    """The new total less the old one, in the currency."""
    days: tuple[CorrectedSlots, ...]
    """Those of which slots were corrected since, in order; at least one."""

    @property
    def slots(self) -> int:
        """How many slots were corrected."""
        return sum(day.slots for day in self.days)

    @property
    def facts(self) -> dict[str, int | str | bytes]:
        """What the ledger says of it."""
        listed = " ".join(f"{one.day}:{one.slots}" for one in self.days)
        return {
            "replaces": self.replaces,
            "difference": f"{self.difference:f}",
            "corrected": listed,
        }


def correction_between(
    old: VerifiedBill, new: VerifiedBill, replaces: int = 0
) -> BillCorrection | None:
    """Return what corrections made of a bill; None where no slot was corrected in between.

    Raises `VerificationFailed` where a day of the new bill is neither that of the old one nor a
    revision of it.
    """
    if (old.begin, old.end, old.currency) != (new.begin, new.end, new.currency):
        raise VerificationFailed("chain", "the bill is of another period or currency")
    before = {(day.content.register, day.day): day for day in old.certified}
    changed: dict[date, set[int]] = {}
    for day in new.certified:
        known = before.get((day.content.register, day.day))
        places = _revised(day) if known is None else _changed(known, day)
        if places:
            changed.setdefault(day.day, set()).update(places)
    if not changed:
        return None
    days = tuple(CorrectedSlots(day, len(places)) for day, places in sorted(changed.items()))
    return BillCorrection(replaces, new.total - old.total, days)


def corrected_slots(days: Iterable[CertifiedDay]) -> tuple[CorrectedSlots, ...]:
    """Return the days of which slots were ever corrected."""
    changed: dict[date, set[int]] = {}
    for day in days:
        if places := _revised(day):
            changed.setdefault(day.day, set()).update(places)
    return tuple(CorrectedSlots(day, len(places)) for day, places in sorted(changed.items()))


def _revised(day: CertifiedDay, since: int = 0) -> set[int]:
    return {place for place, revision in enumerate(day.revisions) if revision > since}


def _changed(known: CertifiedDay, day: CertifiedDay) -> set[int]:
    """Return the places of the slots that a day's revisions since have changed."""
    require_revision(known.link, known.revision, known.digest if known.version > 1 else b"", day)
    return _revised(day, known.revision)


def require_revision(link: bytes, revision: int, digest: bytes, day: CertifiedDay) -> None:
    """Return if a verified day is the known one or a later revision of it; else raise.

    `link`, `revision` and `digest` are those of the newest revision that is known. No digest stands
    for one that is not known, as of a day of version 1 that had not been stated again.
    """
    if day.link != link:
        raise broken_chain(day, "is not the one that was verified before")
    if day.revision < revision:
        raise broken_chain(day, "is not the newest revision known")
    shown = (*earlier_of(day), day.digest)[revision]
    if digest and shown != digest:
        raise broken_chain(day, "corrects another day than the one that was verified before")


def earlier_of(day: CertifiedDay) -> Sequence[bytes]:
    """Return the digests of the revisions that a day takes over from."""
    content = day.content
    if isinstance(content, DayContent) and content.correction is not None:
        return content.correction.earlier
    return ()


def broken_chain(day: CertifiedDay, what: str) -> VerificationFailed:
    """Return what says that a day does not go on from those before."""
    return VerificationFailed("chain", f"{day.day}: the day {what}")
