# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from tests.support.command import Meterlet, run_meterlet
from tests.support.shared import SHARED, require_shared
from tests.support.town import Town


@pytest.fixture
def meterlet() -> Meterlet:
    return run_meterlet


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data."""
    return require_shared(SHARED)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """A hub and a utility as the commands make them, with a month of readings."""
    town = Town(tmp_path / "town")
    town.build()
    return town
