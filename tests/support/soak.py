# SPDX-License-Identifier: Apache-2.0
"""What takes long is for `make soak` (METERLET_SOAK=1); a sample of each stays in `make test`."""

import os
from collections.abc import Collection, Iterable, Sized
from typing import Final, TypeVar

import pytest
from hypothesis import settings

CaseT = TypeVar("CaseT")

IS_SOAKING: Final = os.environ.get("METERLET_SOAK") == "1"


def sampled(cases: Iterable[CaseT], sample: Collection[CaseT]) -> list[object]:
    """Return all cases, marked `soak` where they are not of the sample."""
    return [pytest.param(case, marks=() if case in sample else pytest.mark.soak) for case in cases]


def places(data: Sized, step: int = 7) -> Iterable[int]:
    """Return the places of bytes to change: all in `make soak`, else each `step`-th and the last.

    A point or a scalar has 32 bytes: each of a proof's is changed in several places.
    """
    step = 1 if IS_SOAKING else step
    return sorted({*range(0, len(data), step), len(data) - 1})


def examples(number: int, soak: int) -> settings:
    """Return how many examples of a property that takes long are tried: `soak` in `make soak`."""
    return settings(max_examples=soak if IS_SOAKING else number, deadline=None)
