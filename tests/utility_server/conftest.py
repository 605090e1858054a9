# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator

import pytest

from tests.support.postgresql import files_in_postgresql
from tests.support.soak import IS_SOAKING


@pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
def database_kind(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Every test of the utility runs on both databases.

    Those marked `one_database` go by what bills and proofs say, whichever keeps them: on PostgreSQL
    they run in `make soak`.
    """
    if request.param == "sqlite":
        yield "sqlite"
        return
    if request.node.get_closest_marker("sqlite_file"):
        pytest.skip("is about the file that SQLite keeps")
    if request.node.get_closest_marker("one_database") and not IS_SOAKING:
        pytest.skip("in make soak")
    with files_in_postgresql(monkeypatch, tmp_path_factory.getbasetemp()):
        yield "postgresql"
