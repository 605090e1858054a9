# SPDX-License-Identifier: Apache-2.0
"""What all homes of a region used, and are expected to use, over the interface."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.support.mdms import aggregate, new_mdms
from tests.support.service import Served, new_utility, served
from utility_server.grid.mdms.forecasts import forecast
from utility_server.grid.mdms.load_curves import load_curve
from utility_server.service.access.roles import Role


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with new_mdms(tmp_path / "mdms") as mdms:
        mdms.store.add(aggregate(date(2025, 5, 5), 35))
        mdms.store.add(aggregate(date(2025, 5, 5), 7, region="South"))
    with served(new_utility(tmp_path / "utility"), mdms=tmp_path / "mdms") as service:
        yield service


def test_a_forecast_is_what_the_sums_say(service: Served) -> None:
    for method in ("week before", "profile", "autoregression"):
        path = f"/v1/regions/forecast?region=North&days=2&method={method}"
        found = service.get(path)
        with service.parts.open_mdms() as mdms:  # type: ignore[union-attr]
            expected = forecast(load_curve(mdms.store, "North"), 2, method)
        assert found["uses_wh"] == list(expected.uses_wh)
        assert found["slots"] == [list(slot) for slot in expected.slots]
        assert (found["method"], len(found["slots"])) == (method, 96)
        assert "No home's use is known" in found["not_seen"]


def test_what_no_forecast_can_be_made_of_is_said(service: Served) -> None:
    for query, status, kind in (
        ("region=South", 409, "forecast-impossible"),
        ("region=West", 404, "not-found"),
        ("region=North&days=32", 422, "invalid-request"),
        ("region=North&method=oracle", 422, "invalid-request"),
    ):
        answer = service.ask("GET", f"/v1/regions/forecast?{query}")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, kind)
    for role in set(Role) - {Role.GRID, Role.AUDITOR}:
        answer = service.ask("GET", "/v1/regions/forecast?region=North", role)
        assert answer.status_code == 403, role
