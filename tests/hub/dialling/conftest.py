# SPDX-License-Identifier: Apache-2.0
"""A home that dials, made once for all tests of the folder and copied for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.machine.machine import AppletMachine
from tests.support.dialled_home import DialledHome, dialled, make_dialling_home


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("home")
    return folder, make_dialling_home(folder, machine)


@pytest.fixture
def home(
    tmp_path: Path, template: tuple[Path, Any], machine: AppletMachine
) -> Iterator[DialledHome]:
    with dialled(template[0], tmp_path / "home", machine, template[1]) as home:
        yield home
