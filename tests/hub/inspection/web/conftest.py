# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from hub.inspection.web import ResidentRole
from tests.support.pages import Browser, browser


@pytest.fixture
def anna(demo_home: Path, tmp_path: Path) -> Iterator[Browser]:
    """An owner, signed in to the pages of a copy of the demonstration's hub."""
    folder = tmp_path / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        yield someone


@pytest.fixture(scope="package")
def looking(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The same, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("looking") / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        yield someone


@pytest.fixture
def reader(demo_home: Path, tmp_path: Path) -> Iterator[Browser]:
    """A resident who may only look."""
    folder = tmp_path / "hub"
    copytree(demo_home, folder)
    with browser(folder, role=ResidentRole.READER) as someone:
        yield someone
