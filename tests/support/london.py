# SPDX-License-Identifier: Apache-2.0
"""Sixty London homes over a year, with their real gaps: which half hours are known."""

import csv
import gzip
from functools import cache

from tests.support.shared import LONDON, require_shared

HALF_HOUR = 1_800
MISSING = 3


@cache
def london_states() -> list[list[int]]:
    """Return for each home the state of each half hour of 2013: 0 measured, 3 missing."""
    with gzip.open(require_shared(LONDON), "rt", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        columns = list(zip(*(row[1:] for row in rows), strict=True))
    return [[0 if value else MISSING for value in column] for column in columns]


def states_of(home: int, first: int, starts: list[int]) -> list[int]:
    """Return the states of slots that start at these times, where a year starts at `first`.

    Slots of less than half an hour share its state; a year of another zone takes what comes.
    """
    known = london_states()[home]
    return [known[min((start - first) // HALF_HOUR, len(known) - 1)] for start in starts]
