# SPDX-License-Identifier: Apache-2.0
"""What the second holder of a split key has to see before it applies its share.

It need not believe what it is given. For a sum (`require_sum`): the signed contributions of enough
households, whose product the ciphertexts are. For parts of a sum, which only a dispute needs
(`require_dispute`): the signature of every contributor under the points of its pairs, which
households make in a dispute alone (`dispute`). What such parts hold is still masked.
"""

from collections.abc import Sequence

from protocols.aggregation.collector import require_contribution, require_member
from protocols.aggregation.errors import ContributionRefused, RoundRefused
from protocols.aggregation.messages import Contribution, Contributors, PairPoints
from protocols.aggregation.round import Round


def require_sum(
    announced: Round,
    ciphertexts: Sequence[int],
    contributions: Sequence[Contribution],
    smallest_group: int,
) -> None:
    """Return if these are the product of so many households' contributions; else `RoundRefused`."""
    rows = _rows(announced, contributions, smallest_group)
    if announced.terms.key.product(rows) != list(ciphertexts):
        raise RoundRefused("the ciphertexts are not the product of these contributions")


def require_dispute(
    announced: Round,
    contributors: Contributors,
    contributions: Sequence[Contribution],
    points: Sequence[PairPoints],
    smallest_group: int,
) -> list[list[int]]:
    """Return each contributor's ciphertexts if all dispute their sum; else raise `RoundRefused`.

    All three sequences are in the order of the roster.
    """
    rows = _rows(announced, contributions, smallest_group)
    known = tuple((contribution.index, contribution.digest) for contribution in contributions)
    if contributors.round != announced.digest or known != tuple(
        zip(contributors.indexes, contributors.contributions, strict=True)
    ):
        raise RoundRefused("not the contributions that the contributors have agreed on")
    signed = tuple(shown.index for shown in points if shown.is_about(announced, contributors))
    if signed != contributors.indexes:
        raise RoundRefused("not every contributor has signed for a dispute")
    return rows


def _rows(
    announced: Round, contributions: Sequence[Contribution], smallest_group: int
) -> list[list[int]]:
    members = {contribution.index for contribution in contributions}
    # Who has no reading in some slot hides nobody in it; below, each load's signature is checked.
    complete = sum(not contribution.load.missing for contribution in contributions)
    if len(members) != len(contributions) or complete < smallest_group:
        raise RoundRefused(
            f"a sum over {len(members)} households, {complete} of them with a reading in every"
            f" slot: fewer than {smallest_group}"
        )
    digest = announced.digest
    try:
        rows = []
        for contribution in contributions:
            require_member(announced, digest, contribution)
            rows.append(require_contribution(announced, digest, contribution))
    except ContributionRefused as error:
        raise RoundRefused(f"not a sum of signed contributions: {error}") from None
    return rows
