# SPDX-License-Identifier: Apache-2.0
"""What release 0.1 certified of a day, made again from its uses. Frozen: hubs hold such days.

The certifier states a stored day of version 1 again in version 2, for new questions. It does so
only for uses that the stored day commits to: with the blindings that 0.1 derived it makes the
content again, and it has to be the same.
"""

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from hub.certifier.slots import DayUse
from protocols.metrology import CommitmentScheme, DayContentVersion1, Series
from protocols.proofs import PointVector, VectorPart, commit, commit_many, commit_vector
from protocols.proofs.group import COMPRESSED_SIZE, ORDER

Derive: TypeAlias = Callable[[bytes, bytes, int], list[int]]
"""Returns so many blindings for a kind and an item."""


def content_of_version_1(
    series: Series,
    use: DayUse,
    counter: int,
    previous: bytes,
    derive: Derive,
    scheme: CommitmentScheme = CommitmentScheme.SLOTS,
    point_size: int = COMPRESSED_SIZE,
) -> DayContentVersion1:
    """Return what release 0.1 signed of these uses."""
    grid, said = use.grid, hashlib.sha256(use.encode()).digest()
    [start] = derive(b"register", b"%d:%d" % (grid.begin, use.start_wh), 1)
    [end] = derive(b"register", b"%d:%d" % (grid.end, use.end_wh), 1)
    if scheme is CommitmentScheme.VECTOR:
        whole, gap = derive(b"vector", said, 2)
        part = VectorPart.of_day(grid.day.day, len(grid))
        commitments, opening = PointVector([commit_vector(part, use.uses, whole)]), 0
    else:
        *slots, gap = derive(b"slots", said, len(use.uses) + 1)
        commitments = commit_many(use.uses, slots)
        opening = (sum(slots) + gap - (end - start)) % ORDER
    return DayContentVersion1(
        meter=series.meter,
        register=series.register,
        grid=grid,
        counter=counter,
        previous=previous,
        states=use.states,
        commitments=commitments,
        start=commit(use.start_wh, start),
        end=commit(use.end_wh, end),
        unattributed=commit(use.unattributed_wh, gap),
        opening=opening,
        point_size=point_size,
        scheme=scheme,
    )
