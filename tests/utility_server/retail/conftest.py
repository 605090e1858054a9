# SPDX-License-Identifier: Apache-2.0
from datetime import date
from pathlib import Path

import pytest

from hub.machine.machine import AppletMachine
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from tests.support.year_home import make_year_home


@pytest.fixture(scope="package")
def half_year_home(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, Enrolment]:
    """A home of half a year with the applet for bills that remember; to be copied, not used."""
    folder, known = tmp_path_factory.mktemp("home"), Period(date(2025, 1, 1), date(2025, 7, 1))
    return folder, make_year_home(folder, machine, known, "memory.toml")
