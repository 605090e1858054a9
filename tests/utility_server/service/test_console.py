# SPDX-License-Identifier: Apache-2.0
"""The console's forms: what is wrong is said in words, and what was filled in stays."""

import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tariffs.source import load_toml
from tests.support.client_certificates import identity
from tests.support.console import OWN, PASSWORD, come_in, refusal, send
from tests.support.service import ENROLMENT, METER, TARIFF, Served, new_utility, served
from utility_server.service.access.roles import Role
from utility_server.service.application import create_service
from utility_server.service.console.words import (
    item_why,
    run_days,
    run_mood,
    run_result,
    run_what,
    says,
)

CUSTOMER: Final = f"/customers/{METER}"


@pytest.fixture(scope="module")
def database_kind() -> str:
    """The database that needs no server: the interface's own tests run on both."""
    return "sqlite"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = new_utility(tmp_path_factory.mktemp("console") / "utility")
    with served(folder, app=create_service) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        service.tariff()
        service.parts.operators.add("anna", PASSWORD, frozenset(Role))
        come_in(service)
        yield service


def test_a_period_outside_of_the_tariff_s_validity_is_refused_before_anybody_is_asked(
    service: Served,
) -> None:
    tariff = service.tariff()
    for first, last in (("2019-12-31", "2020-01-31"), ("2039-12-01", "2040-01-01")):
        order = {"tariff": tariff, "period": {"from": first, "until": last}}
        refused = service.ask("POST", "/v1/bill-runs", json=order)
        assert refused.status_code == 409
        assert "valid from 2020-01-01 to 2039-12-31" in refused.json()["detail"]
    both = {"tariff": tariff, "month": "2025-03",
            "period": {"from": "2025-03-01", "until": "2025-03-31"}}  # fmt: skip
    assert service.ask("POST", "/v1/bill-runs", json=both).status_code == 409
    run = service.post("/v1/bill-runs", 202, json={"tariff": tariff, "month": "2024-02"})
    assert (run["facts"]["from"], run["facts"]["until"]) == ("2024-02-01", "2024-02-29")


def test_a_tariff_that_is_refused_stays_in_its_field(service: Served) -> None:
    source = TARIFF.replace('rule = "half-up"', 'rule = "<odd> & \\"so\\""')
    answer = send(service, "/tariffs", "/tariffs", source=source)
    assert answer.status_code == 422
    shown = re.search(r"<textarea[^>]*>\n?(.*?)</textarea>", answer.text, re.DOTALL)
    assert shown is not None
    assert unescape(shown[1]).strip() == source.strip()
    assert "rule" in refusal(answer)


def test_other_forms_say_what_is_wrong_and_keep_what_was_filled_in(service: Served) -> None:
    account = service.get(f"/v1{CUSTOMER}")["contracts"][0]["account"]
    party = f"{CUSTOMER}/contracts/{account}/party"
    wrong = send(service, party, CUSTOMER, name="Erika", city="Ort", country="de", street="Weg 1")
    assert refusal(wrong) == "Country: it is two capital letters, as DE"
    assert 'value="Weg 1"' in wrong.text
    opened = send(service, f"{CUSTOMER}/contracts", CUSTOMER, **{"from": "31.3.2025"})
    assert refusal(opened) == "From: it is a day, as 2025-03-31"
    assert 'value="31.3.2025"' in opened.text
    noted = send(service, "/record-checks", "/ledger", audit="12")
    assert refusal(noted).startswith("Audit: it is NUMBER:DIGEST")
    assert 'value="12"' in noted.text
    assert "not JSON" in refusal(send(service, "/customers", "/customers"))


@pytest.mark.parametrize("path", ["/customers/zzz", "/customers?meter=zzz"])
def test_a_meter_that_is_none_is_said_in_words(service: Served, path: str) -> None:
    answer = service.client.get(path)
    assert answer.status_code == 422
    assert "Meter: it is 1 to 32 bytes in hex" in answer.text
    assert "pattern" not in re.sub(r"<[^>]*>", "", answer.text)


def test_the_newest_of_the_ledger_and_the_audit_log_come_first(service: Served) -> None:
    newest = service.get("/v1/audit?order=newest&limit=2")
    oldest = service.get("/v1/audit?limit=2")
    assert [one["number"] for one in oldest["items"]] == [1, 2]
    first, second = (one["number"] for one in newest["items"])
    assert first == second + 1 > 3
    following = service.get(f"/v1/audit?order=newest&limit=2&cursor={newest['next']}")
    assert following["items"][0]["number"] == second - 1
    turned = service.ask("GET", f"/v1/audit?limit=2&cursor={newest['next']}")
    assert turned.status_code == 400, "a cursor is of one order"
    shown = re.findall(r'data-label="Entry" class="number"><div>(\d+)<',
                       service.client.get("/audit").text)  # fmt: skip
    assert shown == [str(number) for number in sorted(map(int, shown), reverse=True)]


def test_what_was_asked_under_by_command_is_shown_though_it_is_not_registered(
    service: Served,
) -> None:
    other = load_toml(TARIFF.replace('name = "flat"', 'name = "by-command"'))
    assert "by-command" not in service.client.get("/tariffs").text
    service.parts.utility.publications.publish(other)
    page = service.client.get("/tariffs").text
    assert "by-command, revision 1" in page
    lines = service.get("/v1/published?kind=tariff")["items"]
    assert {"by-command, revision 1": other.digest.hex()}.items() <= {
        one["name"]: one["digest"] for one in lines
    }.items()


def test_each_value_of_a_row_says_what_it_is_of(service: Served) -> None:
    """On a small screen a row stands by itself, without its table's head."""
    service.post("/v1/bill-runs", 202, json={"tariff": service.tariff(), "month": "2025-03"})
    for path in ("/", "/customers", CUSTOMER, "/tariffs", "/audit", "/keys"):
        text = service.client.get(path).text
        rows = re.findall(r"<tbody>.*?</tbody>", text, re.DOTALL)
        assert rows or path == CUSTOMER
        for row in rows:
            cells = re.findall(r"<t[dh]\b[^>]*>", row)
            assert cells
            assert all("data-label=" in cell for cell in cells), path


def test_what_cannot_be_undone_is_asked_about_first(service: Served) -> None:
    source = TARIFF.replace('name = "flat"', 'name = "<once>"')
    tariff, doomed = service.tariff(), service.tariff(source)
    _, key = service.parts.api_keys.create("bank", frozenset({Role.BILLING}))
    key = key.removeprefix("mlk_")[:16]
    order = {"meter": METER, "period": {"from": "2025-05-01", "until": "2025-05-31"}}
    nonce = service.post("/v1/bills", 201, json={**order, "tariff": tariff})["question"]
    account = service.get(f"/v1{CUSTOMER}")["contracts"][0]["account"]
    party = f"{CUSTOMER}/contracts/{account}/party"
    send(service, party, CUSTOMER, name="Erika", city="Ort", country="DE", street="Weg 1")
    run = service.post("/v1/bill-runs", 202, json={"tariff": tariff, "month": "2025-06"})["run"]

    def states() -> list[object]:
        return [
            service.get(f"/v1/tariffs/{doomed}")["withdrawn"],
            service.get(f"/v1/bills/{nonce}")["state"],
            service.ask("GET", f"/v1{party}").status_code,
            next(one for one in service.get("/v1/api-keys") if one["key"] == key)["revoked"],
        ]

    before = states()
    assert before == [None, "asked", 200, None]
    for path, page, title, fields in (
        (f"/tariffs/{doomed}/withdrawal", "/tariffs", "Withdraw the tariff <once>", {}),
        (f"/bills/{nonce}/withdrawal", CUSTOMER, "Withdraw the question", {}),
        (party, CUSTOMER, "Erase name and address", {"erase": "1"}),
        (f"/keys/{key}/revocation", "/keys", f"Revoke the key {key}", {}),
        (f"/runs/{run}/cancellation", f"/runs/{run}", "End the run", {}),
    ):
        asked = send(service, path, page, **fields)
        assert asked.status_code == 200
        assert f"<h1>{escape(title)}" in asked.text
        assert f'action="{path}"' in asked.text
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', asked.text))
        assert hidden.items() >= {"sure": "yes", **fields}.items()
        assert states() == before, "a single press changes nothing"
        sent = service.client.post(path, data=hidden, headers=OWN)
        assert sent.status_code == 303, sent.text
        after = states()
        assert (after != before) or title == "End the run"
        before = after
    assert before[1:3] == ["withdrawn", 404]
    again = send(service, "/tariffs", "/tariffs", source=source)
    assert again.status_code == 409
    assert "register a new revision" in refusal(again)


def test_a_check_of_the_records_has_words_of_its_own(service: Served) -> None:
    check = service.post("/v1/record-checks", 202)["run"]
    page = service.client.get(f"/runs/{check}").text
    assert "Check of the records" in page
    for words_of_a_bill_run in ("resident has said no", "has asked", "Bills that are made"):
        assert words_of_a_bill_run not in page


def run_of(state: str, total: int = 0, **counts: int) -> dict[str, object]:
    facts = {"from": "2025-03-01", "until": "2025-03-31", "tariff": "ab" * 32}
    return {
        "kind": "bill-run", "state": state, "counts": counts, "facts": facts, "total": total,
        "done": total, "run": "00",
    }  # fmt: skip


def test_a_run_says_what_it_is_of_and_what_came_of_it() -> None:
    failed = run_of("done", 60, refused=60)
    assert (run_result(failed), run_mood(failed)) == ("60 not to be billed so", "guessed")
    well = run_of("done", 60, billed=60)
    assert (run_result(well), run_mood(well)) == ("60 billed", "good")
    assert run_what(well, {"ab" * 32: "flat, revision 1"}) == (
        "2025-03-01 to 2025-03-31; flat, revision 1"
    )
    assert "abab" in run_what(well, {})
    due = run_of("running") | {"facts": {"from": None, "cycle": "month", "tariff": "ab"}}
    assert (run_days(due), run_mood(due)) == ("what is due, by month", "guessed")
    check = {"kind": "record-check", "state": "done", "facts": {"verified": False}, "done": 1,
             "total": 1, "counts": {}}  # fmt: skip
    assert (run_result(check), run_mood(check)) == ("something is wrong", "missing")
    assert "already" in item_why({"why": None, "reason": "billed-before"})
    assert item_why({"why": None, "reason": "no-answer"}) == "no answer"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"total": "101.74", "currency": "EUR", "missing": 0}, "101.74 EUR"),
        ({"total": "1.00", "currency": "EUR", "missing": 3, "replaces": 2, "difference": "-0.10",
          "corrected": "2025-03-02"},
         "1.00 EUR; 3 slots without a reading; replaces entry 2; difference -0.10 EUR;"
         " corrected 2025-03-02"),
        ({"value": "12345678901", "currency": "EUR", "supplier": "a"},
         "12.345678901 EUR; of the supplier a"),
        ({"value": "-5000000000", "currency": "EUR"}, "-5.00 EUR"),
        ({"why": "the fee does not match"}, "the fee does not match"),
        ({"best": "H0", "method": "squares"}, "most like profile H0, by squares"),
        ({"value": "what", "something": "new"}, "what"),
    ],
)  # fmt: skip
def test_an_entry_says_amounts_with_their_currency(facts: dict[str, object], said: str) -> None:
    assert says({"facts": facts}) == said


def test_what_was_done_is_said_once_and_no_made_up_link_says_it(service: Served) -> None:
    sent = send(service, f"{CUSTOMER}/contracts", CUSTOMER, **{"from": "2025-02-01"})
    where = sent.headers["location"]
    assert "The contract is opened" in service.client.get(where).text
    assert "The contract is opened" not in service.client.get(CUSTOMER).text
    mark = where.rpartition(".")[2]
    for made_up in (f"key-revoked.{mark}", "key-revoked.", "key-revoked", "x." + "0" * 32, "é.é"):
        page = service.client.get(CUSTOMER, params={"done": made_up})
        assert (page.status_code, 'id="done"' in page.text) == (200, False)


def test_a_system_s_certificate_is_registered_and_withdrawn(
    service: Served, tmp_path: Path
) -> None:
    bank = identity(tmp_path / "bank")
    pem = bank.certificate.public_bytes(Encoding.PEM).decode()
    wrong = send(service, "/certificates", "/certificates", name="bank", certificate=pem)
    assert refusal(wrong).startswith("Roles: ")
    assert escape(pem.strip(), quote=True) in wrong.text, "what was filled in stays"
    said = {"name": "<bank>", "role-billing": "1", "role-grid": "1"}
    none = send(service, "/certificates", "/certificates", **said, certificate="x")
    assert refusal(none) == "not one certificate (PEM)"
    made = send(service, "/certificates", "/certificates", **said, certificate=pem)
    assert made.headers["location"].startswith("/certificates?done=certificate-registered")
    assert "The certificate is registered" in service.client.get(made.headers["location"]).text
    (known,) = service.parts.client_certificates.all()
    assert known.roles == {Role.BILLING, Role.GRID}
    page = service.client.get("/certificates").text
    assert known.fingerprint in page
    assert "&lt;bank&gt;" in page
    assert "ended" not in page
    over = f"/certificates/{known.fingerprint}/withdrawal"
    asked = send(service, over, "/certificates")
    assert (asked.status_code, "Withdraw the certificate of &lt;bank&gt;?" in asked.text) == (
        200,
        True,
    )
    assert not service.parts.client_certificates.all()[0].withdrawn, "it is asked first"
    done = send(service, over, "/certificates", sure="yes")
    assert done.headers["location"].startswith("/certificates?done=certificate-withdrawn")
    assert service.parts.client_certificates.all()[0].withdrawn
    again = send(service, "/certificates", "/certificates", **said, certificate=pem)
    assert refusal(again) == "this certificate is on record already"
    assert (
        send(service, "/certificates/00/withdrawal", "/certificates", sure="yes").status_code == 422
    )


def test_a_private_key_is_refused_and_not_shown_again(service: Served, tmp_path: Path) -> None:
    other = identity(tmp_path / "other")
    secret = other.files[1].read_text()
    both = other.certificate.public_bytes(Encoding.PEM).decode() + secret
    said = {"name": "other", "role-grid": "1", "certificate": both}
    refused = send(service, "/certificates", "/certificates", **said)
    assert refusal(refused) == "a private key is in it: say the certificate alone"
    assert secret.splitlines()[1] not in refused.text
    assert 'value="other"' in refused.text
