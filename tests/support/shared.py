# SPDX-License-Identifier: Apache-2.0
"""The folder of real data, `shared` beside the repository or METERLET_SHARED.

It is not part of the project. Tests that need it skip loudly where it is not there.
"""

import os
from pathlib import Path
from typing import Final

import pytest

SHARED: Final = Path(
    os.environ.get("METERLET_SHARED") or Path(__file__).resolve().parents[2].parent / "shared"
)
LONDON: Final = SHARED / "data/households/lcl_london_60households_2013_30min.csv.gz"
"""60 homes, half-hourly, 2013: Low Carbon London (UK Power Networks, CC BY 4.0)."""


def no_real_data(path: Path) -> str:
    """Return why a test that needs `path` is skipped."""
    return f"NO REAL DATA: {path} is not there; set METERLET_SHARED to run this test"


def needs_shared(path: Path) -> pytest.MarkDecorator:
    """Return the mark of tests that need `path`, for tests whose module reads it as a whole."""
    return pytest.mark.skipif(not path.exists(), reason=no_real_data(path))


def require_shared(path: Path) -> Path:
    """Return `path`; skip the test loudly where it is not there."""
    if not path.exists():
        pytest.skip(no_real_data(path))
    return path
