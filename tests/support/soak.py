# SPDX-License-Identifier: Apache-2.0
"""What takes long is for `make soak` (METERLET_SOAK=1); a sample of each stays in `make test`."""

import os
from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import pytest

CaseT = TypeVar("CaseT")

IS_SOAKING: Final = os.environ.get("METERLET_SOAK") == "1"


def sampled(cases: Iterable[CaseT], sample: Collection[CaseT]) -> list[object]:
    """Return all cases, marked `soak` where they are not of the sample."""
    return [pytest.param(case, marks=() if case in sample else pytest.mark.soak) for case in cases]
