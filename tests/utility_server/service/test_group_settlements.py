# SPDX-License-Identifier: Apache-2.0
"""Settlements by one number of each region, over the interface, as far as no hub is needed.

tests/journeys/test_private_settlement.py has the MDMS and the hubs.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.console import OWN, PASSWORD, come_in, form_token, refusal, send, service_at_rest
from tests.support.mdms import new_mdms
from tests.support.service import Served, new_utility, served
from utility_server.service.access.roles import Role

FEBRUARY = Period.month(2025, 2)
BEGIN, END = FEBRUARY.bounds("UTC")
SPOT = PriceIndex(
    "spot", 1, "EUR", "EUR/MWh", "UTC", PriceSeries(BEGIN, 3600, (7,) * ((END - BEGIN) // 3600))
)
AT = "/v1/group-settlement-runs"
ORDER = {
    "index": base64.b64encode(SPOT.encode()).decode(), "month": "2025-02", "zone": "UTC",
    "regions": {"A": ["north", "south"], "B": ["east"]},
}  # fmt: skip


@pytest.fixture(autouse=True)
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    new_mdms(tmp_path / "mdms").close()
    with served(
        new_utility(tmp_path / "utility"), service_at_rest, mdms=tmp_path / "mdms"
    ) as service:
        yield service


def test_without_an_mdms_that_serves_the_run_fails_and_says_so(service: Served) -> None:
    run = service.post(AT, 202, json=ORDER)["run"]
    assert service.parts.rounds.step()
    shown = service.get(f"{AT}/{run}")
    assert (shown["state"], shown["done"], shown["total"]) == ("failed", 0, 3)
    assert "`meterlet mdms serve` must be running" in shown["why"]
    assert (shown["provisional"], shown["total_share"]) == (True, "0.00")
    assert [one["run"] for one in service.get(AT)["items"]] == [run]


def test_a_run_is_ended_and_is_no_other_kind(service: Served) -> None:
    run = service.post(AT, 202, json=ORDER)["run"]
    for kind in ("runs", "settlement-runs", "profile-runs"):
        assert service.ask("GET", f"/v1/{kind}/{run}").status_code == 404
    assert service.post(f"{AT}/{run}/cancellation", 202)["state"] == "cancelling"
    assert service.parts.rounds.step()
    assert service.get(f"{AT}/{run}")["state"] == "cancelled"
    assert not service.parts.rounds.step()


def test_an_order_that_makes_no_sense_begins_nothing(service: Served, tmp_path: Path) -> None:
    for change, status in (
        ({"month": "2025-03"}, 422),  # there are no prices
        ({"zone": "Nowhere/Land"}, 422), ({"zone": "../etc"}, 422),
        ({"regions": {"A": ["north"], "B": ["north"]}}, 409), ({"regions": {"A": []}}, 409),
        ({"regions": {"A": ["../x"]}}, 422), ({"value_bits": 33}, 422),
        ({"resolution_minutes": 7}, 422), ({"month": None}, 409), ({"index": "AAAA"}, 422),
    ):  # fmt: skip
        answer = service.ask("POST", AT, json={**ORDER, **change})
        assert answer.status_code == status, (change, answer.text)
    for role in set(Role) - {Role.SETTLEMENT}:
        assert service.ask("POST", AT, role, json=ORDER).status_code == 403, role
    assert service.get(AT)["items"] == []
    with served(new_utility(tmp_path / "other")) as other:
        assert other.ask("POST", AT, json=ORDER).status_code == 404, "it has no MDMS"


def test_the_console_begins_shows_and_ends_one(service: Served) -> None:
    service.parts.operators.add("sue", PASSWORD, frozenset({Role.SETTLEMENT}))
    come_in(service, "sue")
    page = "/settlement/groups"
    fields = {"what": "month", "month": "2025-02", "zone": "UTC"}
    token = form_token(service.client.get(page))

    def begin(regions: str) -> Response:
        data = {"token": token, **fields, "regions": regions}
        files = {"index": ("spot", SPOT.encode())}
        return service.client.post(page, data=data, files=files, headers=OWN)

    for regions in ("north", ": north", " : "):
        assert refusal(begin(regions)) == "Regions: a line is as Stadtwerke: North, South"
    assert refusal(begin("")) == "Regions: say 1 at least"
    assert refusal(begin("A: , north")).startswith("A: it is 1 to 64 letters")
    assert "A: north, north</textarea>" in begin("A: north, north").text
    at = begin("A:  north, south\r\n\r\nB: x: east\n").headers["Location"]
    api = f"/v1/group-settlement-runs/{at.rpartition('/')[2]}"
    names = [one["supplier"] for one in service.get(api)["suppliers"]]
    assert names == ["A", "B: x"]
    shown = service.client.get(at).text
    assert "0 of 3 asked about" in shown
    assert "Provisional" in shown
    assert "any home's amount" in shown
    assert "ends after the region of the moment" in send(service, f"{at}/cancellation", at).text
    assert service.get(api)["state"] == "waiting", "asked first"
    assert send(service, f"{at}/cancellation", at, sure="yes").status_code == 303
    assert service.parts.rounds.step()
    assert ">cancelled</span>" in service.client.get(at).text
    assert send(service, f"{at}/retry", at, sure="yes").status_code == 404
