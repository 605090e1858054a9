# SPDX-License-Identifier: Apache-2.0
"""The programming interface and the files of a home with further meters."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from hub.device import Device
from hub.inspection.api.application import create_api
from hub.inspection.api.rate_limit import RateLimit
from hub.inspection.api.tokens import Scope, Tokens
from hub.inspection.export.copies import CopyForm, copy_readings
from hub.inspection.store import open_inspection
from tests.hub.inspection.schemas import faults
from tests.support.green_button import ESPI, number, resources
from tests.support.media_home import GAS, MARCH, NOON, WATER, at, media_home

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with media_home(tmp_path_factory.mktemp("media") / "hub") as device:
        yield device


@pytest.fixture(scope="module")
def client(home: Device) -> Iterator[TestClient]:
    api = create_api(
        lambda: Device.open(home.folder, now=lambda: NOON), requests=RateLimit(500, 500)
    )
    with TestClient(Starlette(routes=[Mount("/api", app=api)])) as client:
        with open_inspection(home) as database:
            _, text = Tokens(database, home).create("home assistant", list(Scope))
        client.headers["Authorization"] = f"Bearer {text}"
        yield client


@pytest.fixture
def ask(client: TestClient) -> Ask:
    def asked(path: str) -> Any:
        answer = client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    return asked


def test_all_meters_are_listed(ask: Ask) -> None:
    meters = ask("meters")["meters"]
    assert [(one["name"], one["medium"], one["unit"]) for one in meters] == [
        ("", "electricity", "Wh"), ("gas", "gas", "l"), ("water", "cold water", "l"),
    ]  # fmt: skip
    gas = meters[1]
    assert (gas["meter"], gas["zone"], gas["slot_minutes"]) == (
        GAS.meter.hex(), "Europe/Berlin@06:00", 60,
    )  # fmt: skip
    assert (gas["first_day"], gas["last_day"]) == ("2025-02-28", "2025-04-01")


def test_readings_say_their_medium_and_unit(ask: Ask) -> None:
    period = "from=2025-03-01&until=2025-03-31"
    gas = ask(f"readings?{period}&meter=gas&by=month")
    assert (gas["medium"], gas["unit"], gas["zone"]) == ("gas", "l", "Europe/Berlin@06:00")
    assert gas["total"]["from"] == "2025-03-01T05:00:00Z"
    assert gas["total"]["local_from"] == "2025-03-01T06:00:00+01:00"
    assert gas["total"]["energy_wh"] == 305_504
    own = ask(f"readings?{period}&by=month")
    assert (own["medium"], own["unit"]) == ("electricity", "Wh")
    assert ask(f"readings?{period}&by=month&meter=electricity") == own
    both = ask(f"readings?{period}&meter=gas&by=month&compare=true")
    assert both["now"]["medium"] == both["before"]["medium"] == "gas"
    fine = ask("readings/fine?day=2025-03-10&meter=water")
    assert (fine["medium"], fine["unit"], len(fine["uses"])) == ("cold water", "l", 24)


def test_a_flow_is_no_power(ask: Ask) -> None:
    assert "watts" in ask("power")
    flow = ask("power?meter=water")
    assert flow["litres_per_hour"] > 0
    assert (flow["medium"], flow["unit"]) == ("cold water", "l")
    assert "watts" not in flow


def test_bills_are_those_of_a_meter(ask: Ask) -> None:
    every = ask("bills")["bills"]
    assert sorted(one["medium"] for one in every) == ["cold water", "gas"]
    [gas] = ask("bills?meter=gas")["bills"]
    assert (gas["meter"], gas["unit"], gas["verdict"]) == (GAS.meter.hex(), "l", "matches")
    assert (gas["first_day"], gas["last_day"]) == ("2025-03-01", "2025-03-31")
    assert ask("bills?meter=electricity")["bills"] == []
    [column] = ask("tariffs?meter=water")["columns"]
    assert column["name"] == "de-water-2025"
    assert ask("forecast?meter=water")["last_day"] == "2025-04-30"


def test_what_is_known_is_told_by_meter(ask: Ask) -> None:
    known = ask("releases")["known"]
    assert list(known["gas supplier"]["of_meters"]) == ["gas"]
    assert known["gas supplier"]["of_meters"]["gas"]["medium"] == "gas"
    assert known["gas supplier"]["numbers"] == 1
    assert "of_meters" not in known["supplier"]
    assert list(known["all of them together"]["of_meters"]) == ["", "gas"]


@pytest.mark.parametrize("path", ["power", "readings/fine?day=2025-03-10", "bills", "tariffs"])
def test_a_meter_that_there_is_not_is_not_found(client: TestClient, path: str) -> None:
    mark = "&" if "?" in path else "?"
    answer = client.get(f"/api/v1/{path}{mark}meter=heat")
    assert answer.status_code == 404
    assert answer.json()["error"] == "the hub has no further meter 'heat'; it has gas, water"


@pytest.mark.parametrize(
    "path",
    ["meters", "power?meter=gas", "readings?from=2025-03-01&until=2025-03-02&meter=gas", "bills"],
)
def test_answers_are_what_the_document_says(client: TestClient, ask: Ask, path: str) -> None:
    document = client.get("/api/openapi.json").json()
    route = document["paths"]["/v1/" + path.partition("?")[0]]["get"]
    schema = route["responses"]["200"]["content"]["application/json"]["schema"]
    assert faults(ask(path), schema, document["components"]["schemas"], path) == []


@pytest.mark.parametrize(
    ("name", "service", "commodity"), [("gas", 1, 7), ("water", 2, 9)], ids=["gas", "water"]
)
def test_a_green_button_file_of_volume(
    home: Device, name: str, service: int, commodity: int
) -> None:
    copy = copy_readings(home.meters[name], MARCH, CopyForm.GREEN_BUTTON)
    assert copy.name == f"readings-{name}-2025-03-01-2025-03-31.xml"
    found = list(resources(copy.content))
    assert number(found[0], "ServiceCategory/kind") == service
    [kind] = [one for one in found if one.tag == f"{ESPI}ReadingType"]
    members = {child.tag.removeprefix(ESPI): child.text for child in kind}
    assert (members["commodity"], members["uom"], members["kind"]) == (str(commodity), "42", "58")
    assert members["powerOfTenMultiplier"] == "-3"
    blocks = [one for one in found if one.tag == f"{ESPI}IntervalBlock"]
    assert len(blocks) == 31
    about = GAS if name == "gas" else WATER
    assert number(blocks[0], "interval/start") == MARCH.bounds(about.zone)[0]
    assert number(blocks[0], "interval/start") == at(1, 6 if name == "gas" else 0)
    local = next(one for one in found if one.tag == f"{ESPI}LocalTimeParameters")
    assert number(local, "tzOffset") == 3600


def test_a_csv_file_of_volume_says_litres(home: Device) -> None:
    copy = copy_readings(home.meters["gas"], MARCH, CopyForm.CSV)
    lines = copy.content.decode().splitlines()
    assert lines[0] == "start_utc,start_local,volume_l,state"
    assert sum(int(line.split(",")[2]) for line in lines[1:]) == 305_504
