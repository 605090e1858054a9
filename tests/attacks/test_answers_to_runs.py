# SPDX-License-Identifier: Apache-2.0
"""A hub's answer, whatever it is, harms no other customer of a settlement, and no run."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from applets.settlement.messages import AID
from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.enrolment import GOOD
from tests.support.service import Served, new_utility, served
from utility_server.errors import AnswerTooLong
from utility_server.retail import claim_runs
from utility_server.retail.batches import check_answers
from utility_server.retail.claim_runs import ClaimItem, ClaimState
from utility_server.retail.questions import MOST_ANSWER_BYTES
from utility_server.service.jobs.store import Job, Jobs

MARCH = Period.month(2025, 3)
BEGIN, END = MARCH.bounds(GOOD.zone)
PRICES = PriceSeries(BEGIN, 3600, (50_000,) * ((END - BEGIN) // 3600))
SPOT = PriceIndex("spot", 1, "EUR", "EUR/MWh", "UTC", PRICES)
METERS = [GOOD.meter[:-1] + bytes([number]) for number in range(1, 4)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility")) as service:
        for meter in METERS:
            enrolment = replace(GOOD, applet=AID, meter=meter)
            service.parts.utility.customers.enrol(enrolment.encode())
        yield service


def begin(service: Served, **more: Any) -> tuple[str, list[ClaimItem]]:
    order = {
        "index": base64.b64encode(SPOT.encode()).decode(), "month": "2025-03",
        "suppliers": {"A": []}, **more,
    }  # fmt: skip
    run = service.post("/v1/settlement-runs", 202, json=order)["run"]
    service.run()
    return run, service.parts.utility.claim_items.page(run, b"", 10)


def states(service: Served, run: str) -> list[str]:
    return [one["state"] for one in service.get(f"/v1/settlement-runs/{run}/items")["items"]]


def go_on(service: Served) -> None:
    service.clock.now += 60
    service.run()


def test_junk_is_entered_as_refused_and_the_run_goes_on(service: Served) -> None:
    run, asked = begin(service)
    for one, answer in zip(asked, (b"", b"\x76\x00junk", bytes(70_000)), strict=True):
        service.parts.utility.claim_items.answered(one, answer)
    go_on(service)
    assert states(service, run) == ["refused"] * 3
    entries = service.get("/v1/ledger")["items"]
    assert [one["kind"] for one in entries] == ["refused"] * 3
    result = service.get(f"/v1/settlement-runs/{run}/result")
    assert (result["total"], result["unsettled"], result["provisional"]) == ("0.00", 3, True)


def test_an_answer_that_breaks_the_verification_stops_no_other(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = begin(service)

    def check(utility: Any, claim: Any, pairs: Any) -> Any:
        if any(bundle.answer == b"poison" for _, bundle in pairs):
            raise RecursionError("as deep as a hub likes")
        return check_answers(utility, claim, pairs)

    monkeypatch.setattr(claim_runs, "check_answers", check)
    for one, answer in zip(asked, (b"junk", b"poison", b"junk"), strict=True):
        service.parts.utility.claim_items.answered(one, answer)
    go_on(service)
    assert states(service, run) == ["refused"] * 3
    assert service.get(f"/v1/settlement-runs/{run}")["state"] == "done"
    assert service.get("/v1/ledger/head")["entries"] == 2, "the others' answers are on record"
    shown = str(service.get(f"/v1/settlement-runs/{run}/items"))
    assert "as deep as" not in shown


def test_nothing_is_kept_that_is_too_long_late_or_comes_twice(service: Served) -> None:
    run, asked = begin(service)
    items = service.parts.utility.claim_items
    with pytest.raises(AnswerTooLong):
        items.answered(asked[0], bytes(MOST_ANSWER_BYTES + 1))
    items.answered(asked[1], b"first")
    items.answered(asked[1], b"second")
    service.post(f"/v1/settlement-runs/{run}/cancellation", 202)
    go_on(service)
    items.answered(asked[2], b"late")
    kept = items.page(run, b"", 10)
    assert [one.state for one in kept] == [
        ClaimState.CANCELLED, ClaimState.REFUSED, ClaimState.CANCELLED,
    ]  # fmt: skip
    assert [one.answer for one in kept] == [b""] * 3
    evidence = service.ask("GET", "/v1/ledger/1/evidence").content
    assert b"first" in evidence
    assert b"second" not in evidence


def test_what_is_entered_is_entered_once_whoever_enters(service: Served) -> None:
    """Two processes have verified the same answers: the second one finds them entered."""
    run, asked = begin(service)
    utility = service.parts.utility
    utility.claim_items.answered(asked[0], b"junk")
    entering = claim_runs.ClaimEntering(utility, utility.claim_items, lambda kind, result: ("", 0))
    (one,) = utility.claim_items.in_state(run, (ClaimState.ANSWERED,), 10)
    checked = entering._checked([(one, one.asked, entering._bundle(one))])
    entering._enter(checked)
    entering._enter(checked)
    assert service.get("/v1/ledger/head")["entries"] == 1


def test_a_run_that_begins_again_is_not_over_before_it_has(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread takes it up in the very moment in which it may."""
    run, _ = begin(service, wait_seconds=1)
    go_on(service)
    assert states(service, run) == ["given-up"] * 3
    real = Jobs.begin_again

    def at_once(jobs: Jobs, name: str) -> Job:
        again = real(jobs, name)
        service.run()
        return again

    monkeypatch.setattr(Jobs, "begin_again", at_once)
    service.post(f"/v1/settlement-runs/{run}/retry", 202)
    assert states(service, run) == ["asked"] * 3
    assert service.ask("POST", f"/v1/settlement-runs/{run}/retry").status_code == 409


def test_a_service_that_may_not_dial_connects_to_no_address_of_a_run(service: Served) -> None:
    order = {
        "index": base64.b64encode(SPOT.encode()).decode(), "month": "2025-03",
        "suppliers": {"A": []}, "addresses": {METERS[0].hex(): "127.0.0.1:22"},
    }  # fmt: skip
    answer = service.ask("POST", "/v1/settlement-runs", json=order)
    assert (answer.status_code, answer.json()["type"][-15:]) == (409, "service-refused")
    assert service.get("/v1/settlement-runs")["items"] == []
