# SPDX-License-Identifier: Apache-2.0
"""Attacks on runs over the interface: too many, of a key of long ago, over, or cut off.

The promise: whoever may settle keeps nobody from billing, what is refused leaves nothing behind,
and a hub is asked for a run only while that goes on.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from applets.settlement.messages import AID, SettlementQuestion
from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.answered_crowd import WEEK
from tests.support.enrolment import GOOD
from tests.support.service import Clock, Served, new_utility, served
from tests.support.settled_crowd import NOW, answer, certified_crowd, settled_crowd
from utility_server.database import claim_document_table, reading
from utility_server.service.access.roles import Role
from utility_server.service.api.repeated import KEPT_SECONDS
from utility_server.service.jobs import store
from utility_server.service.jobs.claim_run import ClaimRun
from utility_server.service.jobs.store import Jobs

BEGIN, END = Period.month(2025, 3).bounds(GOOD.zone)
PRICES = PriceSeries(BEGIN, 3600, (50_000,) * ((END - BEGIN) // 3600))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility")) as service:
        service.parts.utility.customers.enrol(replace(GOOD, applet=AID).encode())
        yield service


def order(series: str = "spot") -> dict[str, Any]:
    index = PriceIndex(series, 1, "EUR", "EUR/MWh", "UTC", PRICES).encode()
    return {
        "index": base64.b64encode(index).decode(), "month": "2025-03", "suppliers": {"A": []},
    }  # fmt: skip


def begin(service: Served) -> str:
    run: str = service.post("/v1/settlement-runs", 202, json=order())["run"]
    service.run()
    assert who_is_asked(service) == {GOOD.meter}
    return run


def who_is_asked(service: Served) -> frozenset[bytes]:
    items = service.parts.utility.claim_items
    due = items.due_meters()
    assert bool(items.waiting(GOOD.meter)) == bool(due)
    return due


def test_whoever_settles_keeps_nobody_from_other_runs_and_is_kept_no_documents(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_OPEN", 2)
    for number in range(5):
        answer = service.ask(
            "POST", "/v1/settlement-runs", Role.SETTLEMENT, json=order(f"spot {number}")
        )
        assert answer.status_code == (202 if number < 2 else 409)
    with reading(service.parts.utility.engine) as connection:
        count = select(func.count()).select_from(claim_document_table)
        assert connection.execute(count).scalar_one() == 2
    service.post("/v1/record-checks", 202, json={})


def test_a_run_that_has_failed_asks_no_hub_before_it_begins_again(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(service)

    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(ClaimRun, "_enter", breaks)
        service.clock.now += 60
        service.run()
    assert service.get(f"/v1/settlement-runs/{run}")["state"] == "failed"
    assert who_is_asked(service) == frozenset()
    service.post(f"/v1/settlement-runs/{run}/retry", 202)
    assert who_is_asked(service) == {GOOD.meter}


def test_a_cancelled_run_whose_retry_was_cut_off_asks_no_hub(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(service)
    service.post(f"/v1/settlement-runs/{run}/cancellation", 202)
    assert who_is_asked(service) == frozenset()
    service.run()

    def dies(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(Jobs, "begin_again", dies)
        assert service.ask("POST", f"/v1/settlement-runs/{run}/retry").status_code == 500
    assert service.get(f"/v1/settlement-runs/{run}")["state"] == "cancelled"
    assert who_is_asked(service) == frozenset()
    service.post(f"/v1/settlement-runs/{run}/retry", 202)
    assert who_is_asked(service) == {GOOD.meter}


def test_two_runs_at_once_ask_a_customer_the_same_once(tmp_path: Path) -> None:
    """Each answer counts at the hub, and is worth the same."""
    (home,) = certified_crowd(1)
    utility, _, hubs = settled_crowd(tmp_path / "utility", [home])
    utility.close()
    index = base64.b64encode(hubs.index.encode()).decode()
    week = {"from": str(WEEK.first), "until": str(WEEK.last)}
    with served(tmp_path / "utility", now=Clock(NOW)) as service:
        items = service.parts.utility.claim_items

        def begin_one(supplier: str = "A") -> str:
            body = {"index": index, "period": week, "suppliers": {supplier: []}}
            run: str = service.post("/v1/settlement-runs", 202, json=body)["run"]
            service.run()
            return run

        def later() -> None:
            service.clock.now += 120
            service.run()

        def state(run: str) -> str:
            (found,) = service.get(f"/v1/settlement-runs/{run}/items")["items"]
            return f"{found['state']} {found['reason']}"

        first, second = begin_one(), begin_one()
        (asked,) = items.waiting(home.meter)
        assert (asked.job, state(second)) == (first, "new asked-before")
        # Where that run ends, the other one asks.
        service.post(f"/v1/settlement-runs/{first}/cancellation", 202)
        later()
        (asked,) = items.waiting(home.meter)
        assert asked.job == second
        third = begin_one()
        question = asked.asked
        assert isinstance(question, SettlementQuestion)
        items.answered(asked, answer(home, question, hubs.index))
        later()
        later()
        assert [state(one) for one in (second, third)] == [
            "entered None", "entered settled-before",
        ]  # fmt: skip
        assert service.get("/v1/ledger/head")["entries"] == 1


def test_a_supplier_who_is_named_twice_is_refused(service: Served) -> None:
    """The last one counted, and the customers of the first were in no sum, and nobody was told."""
    twice = f'{{"A": ["{GOOD.meter.hex()}"], "A": []}}'
    body = json.dumps(order()).replace('{"A": []}', twice)
    headers = {"Content-Type": "application/json"}
    answer = service.ask("POST", "/v1/settlement-runs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "a member of an object is there twice",
    )  # fmt: skip
    assert service.get("/v1/settlement-runs")["items"] == []


def test_a_key_of_more_than_a_week_ago_is_nobody_s_run(service: Served) -> None:
    """Whoever settles each month with the same key would be told of the first month's run."""
    again = {"headers": {"Idempotency-Key": "monthly"}, "json": order()}
    runs = []
    for _ in range(3):
        runs.append(service.post("/v1/settlement-runs", 202, **again)["run"])
        assert service.post("/v1/settlement-runs", 202, **again)["run"] == runs[-1]
        service.clock.now += KEPT_SECONDS
    assert len(set(runs)) == 3


def test_the_audit_log_says_which_run_was_begun(service: Served) -> None:
    run = begin(service)
    (line,) = [one for one in service.get("/v1/audit")["items"] if one["outcome"] == "202"]
    assert (line["action"], line["target"]) == ("begin_settlement_run", f"run={run}")
