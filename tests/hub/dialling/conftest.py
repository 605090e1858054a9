# SPDX-License-Identifier: Apache-2.0
"""A home that dials, made once for all tests of the folder and copied for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.machine.machine import AppletMachine
from tests.support.dialled_home import DialledHome, dialled


@pytest.fixture
def home(
    tmp_path: Path, dialling_home: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(dialling_home[0], tmp_path / "home", machine, dialling_home[1]) as home:
        yield home
