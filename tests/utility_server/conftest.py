# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

import pytest

from tests.support.postgresql import files_in_postgresql


@pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
def database_kind(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Every test of the utility runs on both databases."""
    if request.param == "sqlite":
        yield "sqlite"
        return
    if request.node.get_closest_marker("sqlite_file"):
        pytest.skip("is about the file that SQLite keeps")
    with files_in_postgresql(monkeypatch, tmp_path_factory.getbasetemp()):
        yield "postgresql"
