# SPDX-License-Identifier: Apache-2.0
"""Long runs: bills for all customers, tried again, cancelled, resumed; checks of the records.

The hub is a real one, in this process; so are its refusals.
"""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pypdf
import pytest
from sqlalchemy import select, update
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.machine.machine import AppletMachine
from protocols.enrolment import Enrolment
from protocols.metrology import Period
from tariffs import Tariff
from tariffs.source import load_toml
from tests.support.answered_home import TARIFF, TARIFF_SOURCE
from tests.support.console import PASSWORD, come_in
from tests.support.service import Clock, Served, new_utility, other_meters, served
from tests.support.year_home import NOW, CardHeadEnd, YearHome, make_year_home, opened
from utility_server.database import ledger_table, writing
from utility_server.errors import HeadEndError, HubRefused, StoreError
from utility_server.service.access.roles import Role
from utility_server.service.api.application import Entrance, create_api
from utility_server.service.console.application import create_console
from utility_server.service.jobs import bill_run
from utility_server.service.jobs.runner import Runner
from utility_server.service.jobs.store import LEASE_SECONDS
from utility_server.service.parts import ServiceParts

ADDRESS = "127.0.0.1:7816"
IBAN = "DE02120300000000202051"
SELLER_FILE = f"""
name = "Stadtwerke Beispiel"
street = "Am Werk 1"
postcode = "12345"
city = "Beispiel"
country = "DE"
vat = "DE123456789"
iban = "{IBAN}"
"""
TAXED = load_toml(TARIFF_SOURCE + '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\n')
MONTH = Period.month(2025, 3)
MARCH = {"from": str(MONTH.first), "until": str(MONTH.last)}


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, machine: AppletMachine
) -> tuple[Path, Enrolment]:
    """A home with a certified month, and its supplier; to be copied."""
    folder = tmp_path_factory.mktemp("home")
    return folder, make_year_home(folder, machine, MONTH)


@pytest.fixture
def home(
    tmp_path: Path, made: tuple[Path, Enrolment], machine: AppletMachine
) -> Iterator[YearHome]:
    shutil.copytree(made[0], tmp_path / "home")
    with opened(tmp_path / "home", machine, made[1]) as home:
        yield home


class Hubs(CardHeadEnd):
    """Asks the home's hub, or says what a test wants said."""

    trouble: list[Exception]

    def ask(self, *arguments: Any) -> bytes:
        if self.trouble:
            raise self.trouble.pop(0)
        return super().ask(*arguments)


def dialling(parts: ServiceParts, home: YearHome, trouble: list[Exception]) -> ServiceParts:
    """The service, with the home's hub where it dials."""

    def head_end() -> Hubs:
        found = Hubs(parts.utility.randomness)
        found.card, found.trouble = home.card, trouble
        return found

    work = parts.runner.kinds[bill_run.KIND]
    assert isinstance(work, bill_run.BillRun)
    parts.runner.kinds = {**parts.runner.kinds, bill_run.KIND: replace(work, head_end=head_end)}
    return parts


@pytest.fixture
def trouble() -> list[Exception]:
    return []


@pytest.fixture
def service(home: YearHome, trouble: list[Exception]) -> Iterator[Served]:
    folder = home.utility.folder
    clock = Clock(NOW)
    with served(
        folder, with_console, lambda parts: dialling(parts, home, trouble), may_dial=True,
        now=clock,
    ) as service:  # fmt: skip
        yield service


def with_console(parts: ServiceParts) -> ASGIApp:
    """The interface and the console, whose runs are worked on when a test says so."""
    api = create_api(parts)
    console = create_console(parts, api)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_api = scope["type"] != "http" or scope["path"].startswith("/v1/")
        await (api if is_api else console)(scope, receive, send)

    return Entrance(app, parts)


def begin(service: Served, home: YearHome, tariff: Tariff = TARIFF, **more: Any) -> str:
    digest, _ = service.parts.tariffs.sign(tariff)
    order = {
        "tariff": digest.digest.hex(), "period": MARCH, "addresses": {home.meter.hex(): ADDRESS},
        **more,
    }  # fmt: skip
    run: str = service.post("/v1/bill-runs", 202, json=order)["run"]
    return run


def items(service: Served, run: str) -> dict[str, str]:
    found = service.get(f"/v1/runs/{run}/items")["items"]
    return {one["meter"]: one["state"] for one in found}


def test_a_run_bills_every_customer_and_says_why_not(service: Served, home: YearHome) -> None:
    (other,) = other_meters(1)
    stranger = service.post("/v1/customers", 201, content=other)["meter"]
    service.post(f"/v1/customers/{stranger}/contracts", 201, json={"from": "2025-03-15"})
    run = begin(service, home)
    service.run()
    state = service.get(f"/v1/runs/{run}")
    assert (state["state"], state["done"], state["total"]) == ("done", 2, 2)
    assert state["counts"] == {"billed": 1, "refused": 1}
    by_meter = {one["meter"]: one for one in service.get(f"/v1/runs/{run}/items")["items"]}
    billed, refused = by_meter[home.meter.hex()], by_meter[stranger]
    assert (billed["state"], billed["invoice"], billed["period"]) == ("billed", 1, MARCH)
    assert (refused["state"], refused["reason"]) == ("refused", "no-contract")
    only = service.get(f"/v1/runs/{run}/items?state=refused")["items"]
    assert only == [refused]
    invoice = service.get("/v1/invoices/1")
    assert (invoice["currency"], invoice["period"], invoice["replaces"]) == ("EUR", MARCH, None)
    assert service.get("/v1/invoices")["items"] == [invoice]
    assert service.get("/v1/invoices?corrected=true")["items"] == []
    bill = service.get(f"/v1/bills/{billed['question']}")
    assert (bill["state"], bill["invoice"]) == ("delivered", 1)
    entry = service.get("/v1/ledger/1")
    assert (entry["facts"]["total"], entry["kind"]) == (invoice["total"], "bill")
    assert service.get("/v1/ledger/head") == {"entries": 1, "digest": entry["digest"]}
    assert service.post("/v1/ledger/1/verification")["verified"] is True
    evidence = service.ask("GET", "/v1/ledger/1/evidence")
    assert evidence.content == home.utility.ledger.evidence(home.utility.ledger.entry(1))
    shown = service.get(f"/v1/customers/{home.meter.hex()}")
    assert shown["contracts"][0]["billed"] == [MARCH]
    assert shown["chains"][0]["days"] == 31
    assert service.ask("GET", "/v1/invoices/2").status_code == 404
    again = begin(service, home, meters=[home.meter.hex()])
    service.run()
    (item,) = service.get(f"/v1/runs/{again}/items")["items"]
    assert (item["state"], item["reason"], item["invoice"]) == ("billed", "billed-before", 1)
    assert service.get("/v1/ledger/head")["entries"] == 1, "nobody is billed twice"


def test_a_hub_that_is_not_reached_is_tried_again_and_given_up_in_the_end(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    trouble += [HeadEndError("not there"), HubRefused(0x6A83, "not certified yet")]
    run = begin(service, home, retry_seconds=100)
    service.run()
    assert items(service, run) == {home.meter.hex(): "unreachable"}
    service.clock.now += 99
    service.run()
    assert len(trouble) == 1, "not before its time"
    service.clock.now += 1
    service.run()
    assert items(service, run) == {home.meter.hex(): "not-ready"}
    service.clock.now += 200
    service.run()
    assert items(service, run) == {home.meter.hex(): "billed"}
    trouble += [HeadEndError("not there")] * 2
    run = begin(service, home, retry_seconds=100, tries=2, replaces=True)
    service.run()
    service.clock.now += 100
    service.run()
    (item,) = service.get(f"/v1/runs/{run}/items")["items"]
    assert (item["state"], item["tries"], item["why"]) == ("given-up", 2, "not there")
    assert service.get(f"/v1/runs/{run}")["state"] == "done"
    assert service.post(f"/v1/runs/{run}/retry", 202)["state"] == "waiting"
    assert service.ask("POST", f"/v1/runs/{run}/retry").status_code == 409
    trouble += [HubRefused(0x6A83, "not certified yet")]
    service.run()
    assert items(service, run) == {home.meter.hex(): "not-ready"}


def test_a_resident_who_says_no_is_not_asked_again(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    trouble += [HubRefused(0x6985, "the resident has not consented")]
    run = begin(service, home)
    service.run()
    (item,) = service.get(f"/v1/runs/{run}/items")["items"]
    assert (item["state"], item["reason"], item["invoice"]) == ("declined", "hub-6985", None)
    service.clock.now += 86_400
    service.run()
    assert items(service, run) == {home.meter.hex(): "declined"}


def test_hubs_that_dial_in_are_waited_for(service: Served, home: YearHome) -> None:
    """The question waits; whoever takes the hub's answer enters it, and the run sees it."""
    run = begin(service, home, addresses={})
    service.run()
    assert items(service, run) == {home.meter.hex(): "asked"}
    (item,) = service.get(f"/v1/runs/{run}/items")["items"]
    kept = home.utility.questions.of_nonce(bytes.fromhex(item["question"]))
    home.utility.verify(kept.question, home.ask(kept.question))
    service.clock.now += 60
    service.run()
    assert service.get(f"/v1/runs/{run}")["state"] == "done"
    assert items(service, run) == {home.meter.hex(): "billed"}
    late = begin(service, home, addresses={}, replaces=True, wait_seconds=600)
    service.run()
    service.clock.now += 600
    service.run()
    (item,) = service.get(f"/v1/runs/{late}/items")["items"]
    assert (item["state"], item["reason"]) == ("given-up", "no-answer")
    assert service.get(f"/v1/bills/{item['question']}")["state"] == "asked"


def test_what_a_hub_has_refused_a_gateway_elsewhere_is_seen_by_the_run(
    service: Served, home: YearHome
) -> None:
    """A gateway in a process of its own keeps it with the question."""
    run = begin(service, home, addresses={})
    service.run()
    (item,) = service.get(f"/v1/runs/{run}/items")["items"]
    nonce = bytes.fromhex(item["question"])

    def refused(status_word: int, why: str, waits: int = 60) -> dict[str, Any]:
        home.utility.failures.note(nonce, "asked", HubRefused(status_word, why))
        service.clock.now += waits
        service.run()
        (item,) = service.get(f"/v1/runs/{run}/items")["items"]
        return dict(item)

    early = refused(0x6A83, "days are missing")
    assert (early["state"], early["reason"]) == ("not-ready", "hub-6a83")
    state = service.get(f"/v1/runs/{run}")
    assert (state["state"], state["counts"]) == ("running", {"not-ready": 1}), "it is no waiting"
    no = refused(0x6985, "the resident\nhas not consented")
    assert (no["state"], no["reason"]) == ("declined", "hub-6985")
    assert (
        no["why"]
        == "the hub refused: 6985 (the resident\N{REPLACEMENT CHARACTER}has not consented)"
    )
    bill = service.get(f"/v1/bills/{item['question']}")
    assert (bill["state"], bill["reason"], bill["why"]) == ("asked", "hub-6985", no["why"])
    assert service.get("/v1/bills")["items"] == [bill]
    assert service.get(f"/v1/runs/{run}")["state"] == "done"
    service.parts.operators.add("anna", PASSWORD, frozenset({Role.BILLING}))
    come_in(service)
    page = service.client.get(f"/customers/{home.meter.hex()}").text
    assert f"{no['why']} ({bill['failed']})" in page
    # A run that begins later waits for the hub to be asked again.
    later = begin(service, home, addresses={})
    service.run()
    assert items(service, later) == {home.meter.hex(): "asked"}
    service.parts.utility.failures.note(nonce, "asked", HubRefused(0x6A83, "days are missing"))
    service.clock.now += 60
    service.run()
    assert items(service, later) == {home.meter.hex(): "not-ready"}
    kept = home.utility.questions.of_nonce(nonce)
    home.utility.verify(kept.question, home.ask(kept.question))
    service.clock.now += 60
    service.run()
    assert items(service, later) == {home.meter.hex(): "billed"}
    assert service.get(f"/v1/bills/{item['question']}")["why"] is None


def test_a_cancelled_run_withdraws_what_it_has_asked(service: Served, home: YearHome) -> None:
    run = begin(service, home, addresses={})
    service.run()
    (item,) = service.get(f"/v1/runs/{run}/items")["items"]
    assert service.post(f"/v1/runs/{run}/cancellation", 202)["state"] == "cancelling"
    service.run()
    assert service.get(f"/v1/runs/{run}")["state"] == "cancelled"
    assert items(service, run) == {home.meter.hex(): "cancelled"}
    assert service.get(f"/v1/bills/{item['question']}")["state"] == "withdrawn"
    over = service.ask("POST", f"/v1/runs/{run}/cancellation")
    assert over.status_code == 409


def test_a_run_goes_on_where_it_was_after_its_process_has_died(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    trouble += [HeadEndError("not there")]
    run = begin(service, home)
    dead = service.parts.jobs.take("a process that dies here")
    assert dead is not None
    assert not service.parts.runner.step(), "it is held"
    assert items(service, run) == {}
    service.clock.now += LEASE_SECONDS
    service.run()
    assert items(service, run) == {home.meter.hex(): "unreachable"}


def test_a_database_that_is_away_ends_no_run(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    trouble += [StoreError("away"), HeadEndError("not there")]
    run = begin(service, home)
    service.run()
    assert service.get(f"/v1/runs/{run}")["state"] == "running"
    assert items(service, run) == {home.meter.hex(): "new"}
    service.clock.now += 60
    service.run()
    assert items(service, run) == {home.meter.hex(): "unreachable"}


def test_a_bug_ends_its_run_and_no_other(
    service: Served, home: YearHome, trouble: list[Exception]
) -> None:
    trouble += [ZeroDivisionError("a secret in a message")]
    run, check = begin(service, home), service.post("/v1/record-checks", 202)["run"]
    service.run()
    failed = service.get(f"/v1/runs/{run}")
    assert (failed["state"], failed["facts"]["reason"]) == ("failed", "internal-error")
    assert service.get(f"/v1/runs/{check}")["state"] == "done"
    assert "a secret" not in str(service.log) + str(failed)


def test_a_check_of_the_records_finds_what_is_wrong(service: Served, home: YearHome) -> None:
    begin(service, home)
    service.run()
    fine = service.post("/v1/record-checks", 202)["run"]
    service.run()
    state = service.get(f"/v1/runs/{fine}")
    assert (state["facts"]["verified"], state["done"], state["faults"]) == (True, 1, [])
    with writing(service.parts.utility.engine) as connection:
        digest = connection.execute(select(ledger_table.c.digest)).scalar_one()
        wrong = digest[:-1] + bytes([digest[-1] ^ 1])
        connection.execute(update(ledger_table).values(digest=wrong))
    broken = service.post("/v1/record-checks", 202)["run"]
    service.run()
    state = service.get(f"/v1/runs/{broken}")
    assert state["facts"]["verified"] is False
    assert state["faults"] == ["entry 1: it is not what was written"]


def test_a_replaced_invoice_says_so_wherever_it_is_shown(
    service: Served, home: YearHome, tmp_path: Path
) -> None:
    home.utility.folder.joinpath("seller.toml").write_text(SELLER_FILE)
    contract = {"from": "2025-03-01"}
    customer = f"/v1/customers/{home.meter.hex()}"
    account = service.post(f"{customer}/contracts", 201, json=contract)["account"]
    party = {"name": "Erika", "street": "Weg 1", "postcode": "1", "city": "Ort", "country": "DE"}
    path = f"{customer}/contracts/{account}/party"
    assert service.ask("PUT", path, json={**party, "reference": ""}).status_code in (200, 204)
    begin(service, home, TAXED)
    service.run()
    assert (service.get("/v1/invoices/1")["replaced_by"], service.get("/v1/ledger/1")["void"]) == (
        None, False,
    )  # fmt: skip
    assert "To be paid until" in pdf_of(service, 1)
    begin(service, home, TAXED, replaces=True)
    service.run()
    old, new = service.get("/v1/invoices")["items"]
    assert [old, new] == [service.get("/v1/invoices/1"), service.get("/v1/invoices/2")]
    assert (old["replaces"], old["replaced_by"], old["void"]) == (None, 2, True)
    assert (new["replaces"], new["replaced_by"], new["void"]) == (1, None, False)
    bills = {one["invoice"]: one for one in service.get("/v1/bills")["items"]}
    assert (bills[1]["replaced_by"], bills[1]["void"], bills[2]["replaces"]) == (2, True, 1)
    assert bills[1] == service.get(f"/v1/bills/{bills[1]['question']}")
    for order in ("oldest", "newest"):
        lines = service.get(f"/v1/ledger?order={order}&kind=bill")["items"]
        assert {one["number"]: one["replaced_by"] for one in lines} == {1: 2, 2: None}
    assert service.get("/v1/ledger/1")["replaced_by"] == 2
    shown = pdf_of(service, 1)
    assert "Not to be paid: replaced by invoice 2." in shown
    assert "To be paid until" not in shown
    assert IBAN not in shown
    assert "To be paid until" in pdf_of(service, 2)
    xml = service.ask("GET", "/v1/invoices/1/en16931").text
    assert "Not to be paid: replaced by invoice 2." in xml
    assert IBAN not in xml
    assert "DueDateDateTime" not in xml
    service.parts.operators.add("anna", PASSWORD, frozenset({Role.BILLING}))
    assert come_in(service).status_code == 200
    page = service.client.get("/invoices/1").text
    assert 'replaced by <a href="/invoices/2">invoice 2</a>' in page
    assert "Not to be paid" not in service.client.get("/invoices/2").text
    page = service.client.get(f"/customers/{home.meter.hex()}").text
    assert "delivered; not to be paid: replaced by invoice 2" in page
    assert "delivered; replaces invoice 1" in page
    assert "not to be paid: replaced by entry 2" in page
    runs = {}  # by invoice: both may have begun within one second, and come in either order
    for run in (one["run"] for one in service.get("/v1/runs")["items"]):
        (item,) = service.get(f"/v1/runs/{run}/items")["items"]
        runs[item["invoice"]] = (run, item["replaced_by"], item["void"])
    assert (runs[1][1:], runs[2][1:]) == ((2, True), (None, False))
    older, newer = runs[1][0], runs[2][0]
    mark = 'not to be paid: replaced by <a class="whole" href="/invoices/2">'
    assert mark in service.client.get(f"/runs/{older}").text
    assert "not to be paid" not in service.client.get(f"/runs/{newer}").text


def pdf_of(service: Served, number: int) -> str:
    answer = service.ask("GET", f"/v1/invoices/{number}/pdf")
    assert answer.status_code == 200, answer.text
    return str(pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text())


def test_what_is_due_is_billed_each_month(service: Served, home: YearHome) -> None:
    digest, _ = service.parts.tariffs.sign(TARIFF)
    order = {"tariff": digest.digest.hex(), "wait_seconds": 60}
    new = {"name": "monthly", "day": 7, "hour": 3, "order": order}
    made = service.post("/v1/bill-schedules", 201, json=new)
    assert made["next"] == "2026-02-07T03:00:00Z"
    service.post(f"/v1/customers/{home.meter.hex()}/contracts", 201, json={"from": "2025-03-01"})
    service.run()
    assert service.get("/v1/runs")["items"] == []
    service.clock.now = int(datetime(2026, 2, 7, 3, tzinfo=UTC).timestamp())
    service.run()
    (run,) = service.get("/v1/runs")["items"]
    (item,) = service.get(f"/v1/runs/{run['run']}/items")["items"]
    assert (item["state"], item["period"]) == ("asked", MARCH)
    shown = service.get(f"/v1/bill-schedules/{made['schedule']}")
    assert (shown["last_run"], shown["next"]) == (run["run"], "2026-03-07T03:00:00Z")
    removed = service.ask("DELETE", f"/v1/bill-schedules/{made['schedule']}")
    assert removed.status_code == 204
    assert service.get("/v1/bill-schedules")["items"] == []


def test_two_processes_share_the_runs(tmp_path: Path) -> None:
    """Each slice is one process's; a run that another holds is left alone."""
    with served(new_utility(tmp_path / "utility"), now=Clock(NOW)) as service:
        parts = service.parts
        other = Runner(parts.jobs, parts.runner.kinds, parts.settings.randomness)
        names = {service.post("/v1/record-checks", 202)["run"] for _ in range(4)}
        while other.step() | parts.runner.step():
            pass
        states = {one["run"]: one["state"] for one in service.get("/v1/runs")["items"]}
        assert states == dict.fromkeys(names, "done")
        assert service.ask("POST", "/v1/bill-runs", Role.AUDITOR).status_code == 403
