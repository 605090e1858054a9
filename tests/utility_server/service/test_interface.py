# SPDX-License-Identifier: Apache-2.0
"""The interface, as a system uses it: customers, contracts, tariffs, bills, pages, records."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from protocols.metrology import Period
from tests.support.service import (
    ENROLMENT,
    METER,
    TARIFF,
    Served,
    new_utility,
    other_meters,
    served,
)
from utility_server.database import audit_table, writing
from utility_server.errors import LedgerTampered, TariffWithdrawn
from utility_server.service.access.roles import Role


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility")) as service:
        yield service


@pytest.fixture
def customer(service: Served) -> str:
    service.post("/v1/customers", 201, content=ENROLMENT.encode())
    return f"/v1/customers/{METER}"


def is_problem(answer: Any, status: int, kind: str) -> bool:
    content = answer.json()
    return bool(
        answer.status_code == content["status"] == status
        and answer.headers["content-type"] == "application/problem+json"
        and content["type"] == f"urn:meterlet:problem:{kind}"
        and content["request"] == answer.headers["x-request-id"]
    )


def test_a_customer_is_enrolled_once_and_shown(service: Served, customer: str) -> None:
    again = service.ask("POST", "/v1/customers", content=ENROLMENT.encode())
    assert (again.status_code, again.headers["location"]) == (201, customer)
    shown = service.get(customer)
    assert (shown["meter"], shown["zone"]) == (METER, "Europe/Berlin")
    assert "readings" in shown["not_seen"]
    assert all(one.hex() not in str(shown) for one in (b"e" * 16, b"m" * 16, b"d" * 16))
    other = replace(ENROLMENT, certifier=bytes(32)).encode()
    refused = service.ask("POST", "/v1/customers", content=other)
    assert is_problem(refused, 422, "enrolment-refused")
    assert is_problem(service.ask("GET", "/v1/customers/00"), 404, "unknown-customer")


def test_moving_in_and_out_are_contracts(service: Served, customer: str) -> None:
    first = service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"})
    assert service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"}) == first
    account = first["account"]
    wrong = service.ask(
        "POST", f"{customer}/contracts/{'0' * 32}/end", json={"until": "2025-03-31"}
    )
    assert is_problem(wrong, 409, "contract-refused")
    ended = service.post(f"{customer}/contracts/{account}/end", json={"until": "2025-03-31"})
    assert (ended["from"], ended["until"]) == ("2025-01-15", "2025-03-31")
    overlapping = service.ask("POST", f"{customer}/contracts", json={"from": "2025-03-31"})
    assert is_problem(overlapping, 409, "contract-refused")
    second = service.post(f"{customer}/contracts", 201, json={"from": "2025-04-01"})
    (_, shown) = service.get(customer)["contracts"]
    assert (shown["account"], shown["due"]["from"]) == (second["account"], "2025-04-01")
    dropped = service.ask("DELETE", f"{customer}/contracts/{second['account']}")
    assert dropped.status_code == 200
    assert len(service.get(customer)["contracts"]) == 1
    assert service.get(f"{customer}/exchanges") == []


def test_a_bill_is_asked_for_once_and_withdrawn(service: Served, customer: str) -> None:
    order = {
        "meter": METER,
        "period": {"from": "2025-03-01", "until": "2025-03-31"},
        "tariff": service.tariff(),
    }
    first = service.ask("POST", "/v1/bills", json=order)
    bill = first.json()
    assert (first.status_code, bill["state"], bill["invoice"]) == (201, "asked", None)
    assert service.post("/v1/bills", 201, json=order) == bill
    assert service.get(first.headers["location"]) == bill
    assert service.get(f"/v1/bills?state=asked&meter={METER}")["items"] == [bill]
    assert service.get("/v1/bills?state=delivered")["items"] == []
    over = f"{first.headers['location']}/withdrawal"
    assert service.post(over)["state"] == "withdrawn"
    assert is_problem(service.ask("POST", over), 409, "question-closed")
    none = {**order, "period": {"from": "2025-03-31", "until": "2025-03-01"}}
    assert is_problem(service.ask("POST", "/v1/bills", json=none), 422, "invalid-period")
    none = {**order, "tariff": "00" * 32}
    assert is_problem(service.ask("POST", "/v1/bills", json=none), 409, "service-refused")


def test_a_tariff_is_registered_and_withdrawn(service: Served, customer: str) -> None:
    digest = service.tariff()
    assert service.tariff() == digest, "again changes nothing"
    shown = service.get(f"/v1/tariffs/{digest}")
    assert (shown["first"], shown["last"]) == ("2020-01-01", "2039-12-31")
    document = service.ask("GET", f"/v1/tariffs/{digest}/document")
    assert document.headers["content-type"] == "application/cose"
    signed = {"Content-Type": "application/cose"}
    taken = service.ask("POST", "/v1/tariffs", content=document.content, headers=signed)
    assert taken.json() == shown
    strange = service.ask("POST", "/v1/tariffs", content=document.content[:-1], headers=signed)
    assert strange.status_code == 422
    assert service.ask("POST", "/v1/tariffs", content=b"x").status_code == 415
    order = {
        "meter": METER,
        "period": {"from": "2025-03-01", "until": "2025-03-31"},
        "tariff": digest,
    }
    asked = service.post("/v1/bills", 201, json=order)["question"]
    assert service.post(f"/v1/tariffs/{digest}/withdrawal")["withdrawn"] is not None
    toml = {"Content-Type": "application/toml"}
    for content, headers in ((document.content, signed), (TARIFF.encode(), toml)):
        again = service.ask("POST", "/v1/tariffs", content=content, headers=headers)
        assert is_problem(again, 409, "tariff-withdrawn")
        assert "register a new revision (`revision = 2`)" in again.json()["detail"]
    assert is_problem(service.ask("POST", "/v1/bills", json=order), 409, "tariff-withdrawn")
    # A command brings its tariff along: what was asked stays, and nothing else is asked.
    utility, meter = service.parts.utility, bytes.fromhex(METER)
    open_one = utility.question(meter, Period.month(2025, 3), document.content)
    assert open_one.about.nonce.hex() == asked
    with pytest.raises(TariffWithdrawn, match="was withdrawn on"):
        utility.question(meter, Period.month(2025, 4), document.content)
    assert service.tariff(TARIFF.replace("revision = 1", "revision = 2")) != digest


def test_pages_go_through_all_customers_and_cursors_hold_for_their_collection(
    service: Served,
) -> None:
    for content in [ENROLMENT.encode(), *other_meters(4)]:
        service.post("/v1/customers", 201, content=content)
    met, query, last = list[str](), "limit=2", ""
    while query:
        page = service.get(f"/v1/customers?{query}")
        met += [one["meter"] for one in page["items"]]
        query = f"limit=2&cursor={page['next']}" if page["next"] else ""
        last = page["next"] or last
    assert (met, len(met)) == (sorted(set(met)), 5)
    for wrong in (f"{last}A", last[1:], f"{last[:-1]}{'A' if last[-1] != 'A' else 'Q'}", "é", ""):
        answer = service.ask("GET", "/v1/customers", params={"cursor": wrong})
        assert is_problem(answer, 400, "invalid-cursor"), wrong
    other = service.ask("GET", "/v1/tariffs", params={"cursor": last})
    assert is_problem(other, 400, "invalid-cursor")


def test_every_error_is_a_problem(service: Served, customer: str) -> None:
    assert is_problem(service.ask("GET", "/v1/nothing"), 404, "not-found")
    assert is_problem(service.ask("GET", "/"), 404, "not-found")
    wrong = service.ask("PUT", "/v1/me")
    assert is_problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["allow"] == "GET"
    invalid = service.ask(
        "POST", f"{customer}/contracts", json={"from": "tomorrow", "x": "<secret>"}
    )
    assert is_problem(invalid, 422, "invalid-request")
    assert {one["at"] for one in invalid.json()["faults"]} == {"body.from", "body.x"}
    assert "secret" not in invalid.text, "what was sent is not repeated"
    assert is_problem(service.ask("GET", "/v1/customers?limit=0"), 422, "invalid-request")


def test_what_is_as_it_was_is_not_sent_again(service: Served, customer: str) -> None:
    first = service.ask("GET", customer)
    again = service.ask("GET", customer, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"})
    other = service.ask("GET", customer, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


def test_the_same_request_again_gets_the_same_answer(service: Served) -> None:
    digest, headers = service.tariff(), {"Idempotency-Key": "one"}
    order: dict[str, Any] = {
        "tariff": digest,
        "period": {"from": "2025-03-01", "until": "2025-03-31"},
    }
    first = service.ask("POST", "/v1/bill-runs", json=order, headers=headers)
    again = service.ask("POST", "/v1/bill-runs", json=order, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len(service.get("/v1/runs")["items"]) == 1
    other = service.ask("POST", "/v1/bill-runs", json={**order, "tries": 2}, headers=headers)
    assert is_problem(other, 422, "idempotency-key-reused")
    elsewhere = service.ask("POST", "/v1/record-checks", headers=headers)
    assert is_problem(elsewhere, 422, "idempotency-key-reused")
    bad = service.ask("POST", "/v1/record-checks", headers={"Idempotency-Key": "a b"})
    assert is_problem(bad, 400, "invalid-idempotency-key")
    service.clock.now += 8 * 86_400
    later = service.ask("POST", "/v1/record-checks", headers=headers)
    assert later.status_code == 202, "after a week a key is free again"


def test_who_asked_for_what_is_on_record_and_chained(service: Served, customer: str) -> None:
    key = service.key(Role.BILLING)
    service.ask("GET", customer, key=key, headers={"X-Request-Id": "mine-1"})
    service.ask("POST", f"{customer}/contracts", key=key, json={"from": "2025-01-15"})
    service.ask("GET", "/v1/audit", key=key)
    who = f"key:{key[4:20]}"
    lines = [one for one in service.get("/v1/audit?limit=200")["items"] if one["who"] == who]
    assert [(one["action"], one["target"], one["outcome"]) for one in lines] == [
        ("show_customer", f"meter={METER}", "200"),
        ("move_in", f"meter={METER}", "begun"),
        ("move_in", f"meter={METER}", "201"),
        ("list_audit", "", "403"),
    ]
    assert lines[0]["request"] == "mine-1"
    assert [one.sequence for one in service.parts.audit.entries()][-1] >= 4
    with writing(service.parts.utility.engine) as connection:
        second = audit_table.c.sequence == 2
        body = connection.execute(select(audit_table.c.body).where(second)).scalar_one()
        connection.execute(update(audit_table).where(second).values(body=body + bytes(1)))
    with pytest.raises(LedgerTampered, match="entry 2"):
        list(service.parts.audit.entries())


def test_health_and_figures_and_the_log_say_nothing_of_a_customer(
    service: Served, customer: str
) -> None:
    for path in ("/healthz", "/readyz"):
        assert service.client.get(path).status_code == 200
    service.get(customer)
    assert service.client.get("/metrics").status_code == 401
    figures = service.ask("GET", "/metrics").text
    assert 'route="/customers/{meter}"' in figures
    assert METER not in figures
    assert METER not in str(service.log)
    assert service.key() not in str(service.log)
    routes = [facts["route"] for event, facts in service.log if event == "request"]
    assert routes.count("/customers/{meter}") == 1


def test_a_name_with_a_nul_signs_nobody_in_on_any_database(service: Served) -> None:
    """PostgreSQL has no text with a NUL: what is no name is not asked for."""
    operators = service.parts.operators
    operators.add("anna", "correct horse battery", frozenset({Role.BILLING}))
    for name in ("an\0na", "anna\0", "\ud800"):
        assert operators.sign_in(name, "correct horse battery", "10.0.0.1\0") is None
    assert operators.sign_in("anna", "correct\0 horse battery", "10.0.0.1") is None
    assert operators.sign_in("anna", "correct horse battery", "10.0.0.1") is not None
