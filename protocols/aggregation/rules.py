# SPDX-License-Identifier: Apache-2.0
"""What a household insists on before it opens a sum: a group, and no two sums to subtract.

Of two sums over sets of households that differ in one, the difference is that one's use. Asking
for a least difference is not enough: with S and two subsets of it, each of which leaves out many,
the sum over S less both leaves what is in neither, and no household has seen all three. So for
any instant, of any two sets that one household helps to open,

    they are the same, or the smaller is a subset of the larger, lacks at least g of its members
    (g: the least size of a group) and has more than half of them: 2·|smaller| >= |larger| + g.

A member without a reading adds 0 and hides nobody. So groups, and the members that a smaller set
lacks, are counted over those who have a reading in every slot of the period, as their certifiers
have signed. Others may take part; they do not count.

Two subsets of one set then have g members in common, of whom one is honest if fewer than g
collude; that one refuses unless they are nested too. So all sets of an instant that share honest
members form a chain, and all that can be computed from their sums are sums over the chain's steps,
of at least g members each. What a step tells of one honest member is what a group tells of which
all others collude: g has to be larger than the number of colluders by more than one.

The rule lets a region go on, at a price, when a member has agreed to a sum and then vanished for
good: the next round leaves it out together with g - 1 others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocols.aggregation.errors import RoundRefused
from protocols.aggregation.messages import Contributors
from protocols.aggregation.revocations import RevocationList, require_standing
from protocols.aggregation.round import Round

SMALLEST_GROUP: Final = 5
LEAST_KEY_BITS: Final = 2048
LONGEST_ROUND: Final = 31 * 86_400
"""Seconds that a round may stay open, so that what hubs keep of rounds is bounded."""


@dataclass(frozen=True, slots=True)
class ReleasedSum:
    """A sum that a household has helped to open: over whom, in [begin, end)."""

    begin: int
    end: int
    members: frozenset[bytes]
    """Their `Member.name`."""
    complete: frozenset[bytes]
    """Those of them who had a reading in every slot."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A household's conditions."""

    authorities: tuple[bytes, ...]
    """Ed25519 keys of those who say which meters there are."""
    smallest_group: int = SMALLEST_GROUP
    least_key_bits: int = LEAST_KEY_BITS
    revocations: tuple[RevocationList, ...] = ()
    """The authorities' lists of certifiers that count no more."""

    def __post_init__(self) -> None:
        if self.smallest_group < 3:
            raise ValueError("in a group of 2 each knows the other's use from the sum")

    def require_round(self, announced: Round, now: int) -> None:
        """Return if the roster is large enough and real, and it is time; else `RoundRefused`."""
        if not now < announced.valid_until <= now + LONGEST_ROUND:
            raise RoundRefused("the round is over, or ends too late")
        if announced.terms.key.bits < self.least_key_bits:
            raise RoundRefused(f"a key of {announced.terms.key.bits} bits is too short")
        if len(announced.members) < self.smallest_group:
            raise RoundRefused(
                f"a group of {len(announced.members)}, fewer than {self.smallest_group}"
            )
        for member in announced.members:
            member.verify(self.authorities)
            require_standing(member.certificate, *announced.terms.bounds, self.revocations)

    def require_set(
        self, announced: Round, contributors: Contributors, earlier: Iterable[ReleasedSum]
    ) -> ReleasedSum:
        """Return what opening the sum over these would release; raise `RoundRefused` if it may not.

        `earlier` are all releases so far; those of other times do not matter.
        """
        members, begin_end = announced.members, announced.terms.bounds
        if contributors.indexes[-1] >= len(members):
            raise RoundRefused("a contributor is not in the roster")
        complete = _complete(announced, contributors)
        if len(complete) < self.smallest_group:
            raise RoundRefused(
                f"a group of {len(contributors.indexes)}, {len(complete)} of them with a reading in"
                f" every slot: fewer than {self.smallest_group}"
            )
        names = frozenset(members[index].name for index in contributors.indexes)
        released = ReleasedSum(*begin_end, names, complete)
        for release in earlier:
            if release.begin < released.end and released.begin < release.end:
                self._require_apart(released, release)
        return released

    def _require_apart(self, new: ReleasedSum, old: ReleasedSum) -> None:
        if new.members == old.members:
            return
        small, large = sorted((new, old), key=lambda released: len(released.members))
        # Whoever lacked a reading in the larger sum may have added 0, and hides nobody in the
        # difference.
        lacking = len(large.complete - small.members)
        if (
            not small.members < large.members
            or lacking < self.smallest_group
            or 2 * len(small.members) < len(large.members) + self.smallest_group
        ):
            others = len(new.members ^ old.members)
            raise RoundRefused(
                f"another sum of this time is over {len(old.members)} households, {others} of them"
                " others: the difference could tell of few"
            )


def _complete(announced: Round, contributors: Contributors) -> frozenset[bytes]:
    """Return the names of those with a reading in every slot.

    Raises `RoundRefused` if the list says of a contributor what its certifier has not signed.
    """
    complete = set()
    for place, index in enumerate(contributors.indexes):
        member = announced.members[index]
        covered = contributors.slot_coverage(place, member.meter)
        if not covered.is_by(member.certificate.certifier):
            raise RoundRefused(
                f"meter {member.meter.hex()}: its certifier has not signed that"
                f" {covered.missing} of its slots are missing"
            )
        if not covered.missing:
            complete.add(member.name)
    return frozenset(complete)
