# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from hub.device import Device
from hub.disclosure import LogEntry
from hub.inspection.api.application import create_api
from hub.inspection.api.json_readings import readings_json
from hub.inspection.api.operations import OPERATIONS
from hub.inspection.api.rate_limit import RateLimit
from hub.inspection.api.tokens import Scope, Tokens
from hub.inspection.store import open_inspection
from hub.inspection.views.calendar import By
from hub.inspection.views.documents import TariffBook
from hub.inspection.views.readings import readings_view
from hub.meters.odd import Odd, OddTelegram
from sml_codec import Obis
from tariffs import Tariff
from tests.hub.inspection.conftest import DAYS, NOON, household, put_documents
from tests.hub.inspection.schemas import faults

SPAN = "from=2025-03-20&until=2025-03-31"
EXAMPLES = {
    "/v1/device": "/v1/device",
    "/v1/power": "/v1/power",
    "/v1/readings": f"/v1/readings?{SPAN}&by=hour",
    "/v1/readings/fine": "/v1/readings/fine?day=2025-03-25",
    "/v1/readings/set-aside": "/v1/readings/set-aside",
    "/v1/releases": "/v1/releases",
    "/v1/published": "/v1/published",
    "/v1/consents": "/v1/consents",
    "/v1/messages/{entry}": "/v1/messages/{message}",
    "/v1/attack": "/v1/attack?from=2025-03-25&until=2025-03-26",
    "/v1/bills": "/v1/bills",
    "/v1/meters": "/v1/meters",
    "/v1/tariffs": "/v1/tariffs",
    "/v1/forecast": "/v1/forecast",
}
READ = ("/v1/read/registers", "/v1/read/latest", "/v1/read/slots")

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory, tariff: Tariff) -> Iterator[Device]:
    with household(tmp_path_factory.mktemp("api") / "hub") as device:
        put_documents(device, tariff, cents_too_much=5)
        device.disclosure.record_message(b"\xf0\x01\x02\x03\x04", "supplier", "billing", b"\x1b")
        yield device


@pytest.fixture
def clock() -> list[int]:
    return [NOON]


@pytest.fixture
def client(billed: Device, clock: list[int]) -> Iterator[TestClient]:
    def open_device() -> Device:
        return Device.open(billed.folder, now=lambda: clock[0])

    api = create_api(open_device, requests=RateLimit(20, 60), failures=RateLimit(3, 6))
    with TestClient(Starlette(routes=[Mount("/api", app=api)])) as client:
        yield client


def token(device: Device, *scopes: Scope) -> dict[str, str]:
    with open_inspection(device) as database:
        _, text = Tokens(database, device).create("home assistant", scopes or list(Scope))
    return {"Authorization": f"Bearer {text}"}


def entries(device: Device, kind: str) -> list[LogEntry]:
    return list(device.disclosure.log.entries(kind))


def test_what_is_set_aside_is_told_with_its_reason(client: TestClient, billed: Device) -> None:
    meter, code = billed.mounted_meter, billed.description.register
    odd = [
        OddTelegram(Odd.FELL, f"it fell {n}", 0, NOON, meter, NOON - 60 * n or None, {code: n})
        for n in range(1002)
    ]
    billed.quarantine.add(odd)
    headers = token(billed, Scope.READINGS)
    told = client.get("/api/v1/readings/set-aside", headers=headers).json()
    assert (told["total"], told["beyond"], len(told["set_aside"])) == (1002, 0, 1000)
    newest = told["set_aside"][0]
    assert (newest["number"], newest["kind"], newest["reason"]) == (
        1002, "register-fell", "it fell 1001",
    )  # fmt: skip
    assert newest["registers"] == {str(Obis(code)): 1001}
    assert (newest["meter"], newest["arrived"]) == (meter.hex(), "2025-04-01T10:00:00Z")
    billed.quarantine.remove([one.number for one in billed.quarantine.all()])
    refused = client.get("/api/v1/readings/set-aside", headers=token(billed, Scope.BILLS))
    assert refused.status_code == 403


def test_the_document_describes_just_the_routes_there_are(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    app = create_api(lambda: pytest.fail("nothing is asked"))
    served = {
        route.path.replace(":int", "") for route in app.routes if isinstance(route, Route)
    } - {"/openapi.json"}
    assert set(document["paths"]) == served == {*EXAMPLES, *READ, "/v1/login"}
    schemas = document["components"]["schemas"]
    named = set(_references(document))
    assert {name.rpartition("/")[2] for name in named} == set(schemas)
    described = [one for path in document["paths"].values() for one in path.values()]
    identifiers = {one["operationId"] for one in described}
    assert len(identifiers) == len(described) == len(OPERATIONS) + len(READ) + 1


def test_every_object_of_the_document_is_closed_and_names_what_is_always_there(
    client: TestClient,
) -> None:
    schemas = client.get("/api/openapi.json").json()["components"]["schemas"]
    optional = set()
    for name, schema in schemas.items():
        if "enum" in schema:
            assert schema["type"] == "string"
            continue
        assert schema["additionalProperties"] is False
        optional |= {(name, member) for member in set(schema["properties"]) - {*schema["required"]}}
    assert optional == {
        ("Bill", "demands"),
        ("Bill", "memory"),
        ("Bill", "meter_exchanges"),
        ("Bill", "proof"),
        ("Known", "of_meters"),
        ("Memory", "last"),
        ("Readings", "meter_exchanges"),
    }


def _references(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from [value] if key == "$ref" else _references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _references(value)


@pytest.mark.parametrize("path", list(EXAMPLES))
def test_every_answer_is_as_the_document_says(
    client: TestClient, billed: Device, path: str
) -> None:
    document = client.get("/api/openapi.json").json()
    operation = document["paths"][path]["get"]
    [need] = operation["security"]
    [[scope]] = need.values()
    [message] = [entry.sequence for entry in entries(billed, "message")]
    asked = "/api" + EXAMPLES[path].format(message=message)
    answer = client.get(asked, headers=token(billed, Scope(scope)))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert faults(answer.json(), schema, document["components"]["schemas"], path) == []
    for other in set(Scope) - {Scope(scope)}:
        refused = client.get(asked, headers=token(billed, other))
        assert refused.status_code == 403
        assert "insufficient_scope" in refused.headers["www-authenticate"]


def test_the_same_numbers_as_the_view(client: TestClient, billed: Device, tariff: Tariff) -> None:
    answer = client.get(f"/api/v1/readings?{SPAN}", headers=token(billed)).json()
    view = readings_view(billed, DAYS, By.DAY, TariffBook.only(tariff))
    assert answer == json.loads(json.dumps(readings_json(view).as_json()))
    both = client.get(f"/api/v1/readings?{SPAN}&compare=true", headers=token(billed)).json()
    assert both["now"] == answer
    bills = client.get("/api/v1/bills", headers=token(billed)).json()["bills"]
    assert [(bill["invoice"], bill["verdict"]) for bill in bills] == [(7, "differs")]
    assert bills[0]["recomputed"] == answer["total"]["cost"]["rounded"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("until=2025-03-31", "from is needed"),
        (
            "from=2025-03-01&until=2025-03-32",
            "until: '2025-03-32' is not one that is written like 2025-03-31",
        ),
        ("from=20250301&until=2025-03-31", "from: '20250301' is not one"),
        (f"{SPAN}&by=minute", "by: 'minute' is not one of slot, hour, day, week, month, year"),
        (f"{SPAN}&compare=1", "compare: '1' is not one of true, false"),
        (f"{SPAN}&from=2025-03-01", "from is given twice"),
        (f"{SPAN}&applet=x", "there is no parameter 'applet'"),
        ("from=2025-03-31&until=2025-03-01", "the period's first day"),
        ("from=2025-01-01&until=2025-12-31&by=slot", "92 days at most"),
        ("from=0001-01-01&until=9999-12-31", "only the years"),
    ],
)
def test_a_wrong_parameter_is_named(
    client: TestClient, billed: Device, query: str, reason: str
) -> None:
    answer = client.get(f"/api/v1/readings?{query}", headers=token(billed))
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_what_is_not_there_is_not_there(client: TestClient, billed: Device) -> None:
    headers = token(billed)
    assert client.get("/api/v1/messages/99999", headers=headers).status_code == 404
    assert client.get("/api/v1/nothing", headers=headers).json() == {
        "error": "there is no such operation"
    }
    assert client.post("/api/v1/power", headers=headers).status_code == 405
    assert client.get("/api/v1/messages/x", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer mlt_1_" + "A" * 43,
        "Bearer mlt_1_é",
        "Basic bWx0OjE=",
        "Bearer " + "mlt_1_" * 100,
    ],
)
def test_without_a_token_nothing_is_told(client: TestClient, header: str | None) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    answer = client.get("/api/v1/power", headers=headers)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert set(answer.json()) == {"error"}


def test_a_revoked_token_is_refused_at_once(client: TestClient, billed: Device) -> None:
    headers = token(billed)
    assert client.get("/api/v1/power", headers=headers).status_code == 200
    with open_inspection(billed) as database:
        tokens = Tokens(database, billed)
        tokens.revoke(tokens.all()[-1].number)
    assert client.get("/api/v1/power", headers=headers).status_code == 401


def test_who_guesses_tokens_has_to_wait_and_who_has_one_does_not(
    client: TestClient, billed: Device, clock: list[int]
) -> None:
    good = token(billed)
    wrong = {"Authorization": "Bearer mlt_1_" + "A" * 43}
    statuses = [client.get("/api/v1/power", headers=wrong).status_code for _ in range(1000)]
    assert statuses == [401] * 3 + [429] * 997
    waiting = client.get("/api/v1/power", headers=wrong)
    assert (waiting.status_code, waiting.headers["retry-after"]) == (429, "10")
    assert client.get("/api/v1/power", headers=good).status_code == 200
    clock[0] += 10
    assert client.get("/api/v1/power", headers=wrong).status_code == 401


def test_a_client_may_ask_so_often_and_others_as_well(
    client: TestClient, billed: Device, clock: list[int]
) -> None:
    first, second = token(billed), token(billed)
    statuses = [client.get("/api/v1/power", headers=first).status_code for _ in range(22)]
    assert statuses == [200] * 20 + [429] * 2
    assert client.get("/api/v1/power", headers=second).status_code == 200
    clock[0] += 1
    assert client.get("/api/v1/power", headers=first).status_code == 200


def test_tokens_are_kept_as_digests_and_their_use_is_on_record(
    client: TestClient, billed: Device, clock: list[int]
) -> None:
    headers = token(billed, Scope.READINGS)
    secret = headers["Authorization"].split("_", 2)[2]
    assert secret.encode() not in (billed.folder / "inspection.db").read_bytes()
    made = entries(billed, "token")[-1]
    assert made.facts["scopes"] == ["readings"]
    before = len(entries(billed, "token used"))
    for _ in range(3):
        client.get("/api/v1/power", headers=headers)
    assert len(entries(billed, "token used")) == before + 1
    clock[0] += 86_400
    client.get("/api/v1/power", headers=headers)
    assert [one.facts["number"] for one in entries(billed, "token used")][before:] == [
        made.facts["number"]
    ] * 2
