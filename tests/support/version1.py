# SPDX-License-Identifier: Apache-2.0
"""What version 0.1 made, which nothing of ours makes any more: openings of one sum, days."""

from collections.abc import Sequence
from functools import partial

from hub.certifier import Certification, Certifier, slot_uses
from hub.certifier.version1 import content_of_version_1
from hub.readings import Reading
from protocols.metrology import NO_DAY, CertifiedDay, CommitmentScheme, Period
from protocols.proofs import ORDER, SlotOpening, Source, StatementContext
from protocols.proofs.group import encode_scalar
from protocols.proofs.linear import linear_binding


def forge_linear(
    context: StatementContext, source: Source, weights: Sequence[int], value: int, opening: int
) -> bytes:
    """Return the opening of whatever numbers one likes, rightly bound."""
    binding = linear_binding(context, source, weights, value, opening)
    return value.to_bytes(8, "big", signed=True) + encode_scalar(opening) + binding


def open_linear(context: StatementContext, source: Source, weights: Sequence[int]) -> bytes:
    """Return the opening of the sum that the source's uses make."""
    known = source.opening
    assert isinstance(known, SlotOpening)
    value = sum(w * x for w, x in zip(weights, known.uses, strict=True))
    opening = sum(w * r for w, r in zip(weights, known.blindings, strict=True)) % ORDER
    return forge_linear(context, source, weights, value, opening)


def certify_version_1(
    certifier: Certifier,
    period: Period,
    readings: Sequence[Reading],
    scheme: CommitmentScheme = CommitmentScheme.SLOTS,
) -> list[Certification]:
    """Return the days that the certifier of release 0.1, with these keys, would have signed."""
    done: list[Certification] = []
    series = certifier.series
    for grid in period.grids(series.zone, series.slot_minutes):
        near = [r for r in readings if grid.begin - 86400 <= r.time <= grid.end + 86400]
        use = slot_uses(grid, near, start_wh=done[-1].use.end_wh if done else None)
        previous = done[-1].day.digest if done else NO_DAY
        content = content_of_version_1(
            series, use, len(done) + 1, previous, partial(certifier._derive, grid.day), scheme
        )
        day = CertifiedDay.sign(content, certifier.keys.signing_key)
        done.append(Certification(day, use))
    return done
