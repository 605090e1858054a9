# SPDX-License-Identifier: Apache-2.0
"""What makes a certified day a corrected one: which slots changed, and the days it takes over from.

    correction = CBOR [reason, earlier, revisions]
    earlier    = [digest, ...], of the day as it was first certified and of each revision since
    revisions  = CBOR [count, revision, count, revision, ...], runs of slots that last changed in
                 the same revision; 0 stands for what was certified first

Readings may come late, or take the place of wrong ones. The certifier then signs the day again, as
its next revision: of the same meter, register, date, counter and day before. `earlier` names all
that it takes over from, so that nobody can leave one out or put another in. The day keeps its place
in the chain, since the next day names the digest that it had at first (`CertifiedDay.link`).

Which slots changed is public. It is the certifier's word, as the slots' states are: the commitments
do not show that a slot that is not marked has the use that it had.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, Self

from protocols.canonical.cbor import CborValue
from protocols.metrology.errors import MalformedDay

DIGEST_SIZE: Final = 32
MOST_REVISIONS: Final = 64
"""Of one day."""


class CorrectionReason(enum.IntEnum):
    """Why a day is signed again."""

    LATE = 1
    """Readings came late, of time that none were known of."""
    REPLACED = 2
    """Readings took the place of wrong ones."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a corrected day says beyond what a day says."""

    reason: CorrectionReason
    """Of the newest revision."""
    earlier: tuple[bytes, ...]
    """Digests of the day as it was first certified, and of each revision before this one."""
    revisions: tuple[int, ...] = field(repr=False)
    """For each slot, the revision that it last changed in; 0: it is as first certified."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.earlier) <= MOST_REVISIONS:
            raise MalformedDay(f"a day is corrected 1 to {MOST_REVISIONS} times")
        if any(len(one) != DIGEST_SIZE for one in self.earlier):
            raise MalformedDay("a digest has 32 bytes")
        if len(set(self.earlier)) != len(self.earlier):
            raise MalformedDay("a day takes over twice from the same one")
        if self.revisions and not 0 <= min(self.revisions) <= max(self.revisions) <= self.revision:
            raise MalformedDay("a slot changed in a revision that there is not")

    @property
    def revision(self) -> int:
        """The number of the revision: 1 for the first correction."""
        return len(self.earlier)

    @property
    def changed(self) -> tuple[int, ...]:
        """The places of slots that this revision changed."""
        newest = self.revision
        return tuple(place for place, one in enumerate(self.revisions) if one == newest)

    def items(self) -> list[CborValue]:
        """Return the correction as a part of the day's body."""
        runs = [item for one, run in groupby(self.revisions) for item in (len(list(run)), one)]
        return [int(self.reason), list(self.earlier), runs]

    @classmethod
    def of(cls, items: CborValue, slots: int) -> Self:
        """Return the correction that `items` are, of a day of so many slots.

        Raises `MalformedDay`, and `ValueError` for a reason that there is not.
        """
        match items:
            case [int(reason), [*earlier], [*runs]] if all(isinstance(e, bytes) for e in earlier):
                digests = tuple(one for one in earlier if isinstance(one, bytes))
                return cls(CorrectionReason(reason), digests, _revisions(runs, slots))
            case _:
                raise MalformedDay("other fields than a correction has")


def _revisions(runs: Sequence[CborValue], slots: int) -> tuple[int, ...]:
    """Return what runs stand for: each of one slot or more, no two alike, all slots together."""
    revisions: list[int] = []
    for place in range(0, len(runs), 2):
        match runs[place : place + 2]:
            case [int(count), int(revision)] if 0 < count <= slots - len(revisions):
                if revisions and revisions[-1] == revision:
                    raise MalformedDay("two runs of revisions are one")
                revisions += [revision] * count
            case _:
                raise MalformedDay(f"the revisions are not runs of them for {slots} slots")
    if len(revisions) != slots:
        raise MalformedDay(f"the revisions are not of {slots} slots")
    return tuple(revisions)
