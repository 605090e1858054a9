# SPDX-License-Identifier: Apache-2.0
"""Invoices are listed by what became of them, and found like meters, contracts and names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from protocols.metrology import Period
from sml_codec import device_id_of, server_ids_of
from tests.support.answered_crowd import AnsweringHome, answered_crowd
from tests.support.answered_home import TARIFF
from tests.support.console import PASSWORD, come_in, refusal, send
from tests.support.service import ENROLMENT, METER, Served, new_utility, other_meters, served
from utility_server.database import (
    implicit_account_table,
    invoice_table,
    name_token_table,
    question_table,
    writing,
)
from utility_server.retail import invoices
from utility_server.retail.accounts import implicit_account, span_of
from utility_server.retail.entering import enter_answers
from utility_server.service.access.roles import Role
from utility_server.service.application import create_service
from utility_server.service.einvoice.name_index import words_of

WEEK = Period.parse("2025-03-03..2025-03-09")
APRIL = Period.parse("2025-03-31..2025-04-06")
PERSON = {"street": "Weg 1", "postcode": "1", "city": "Ort", "country": "DE", "reference": ""}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility"), app=create_service) as service:
        service.parts.operators.add("anna", PASSWORD, frozenset(Role))
        service.parts.operators.add("otto", PASSWORD, frozenset({Role.AUDITOR}))
        yield service


def numbers(service: Served, query: str = "") -> list[int]:
    """The invoices of a list, all of its pages."""
    found, address = [], f"/v1/invoices?{query}"
    while True:
        page = service.get(address)
        found += [one["number"] for one in page["items"]]
        if page["next"] is None:
            return found
        address = f"/v1/invoices?{query}&cursor={page['next']}"


def bill(service: Served, home: AnsweringHome, period: Period) -> None:
    """Ask a home for a bill, and enter its answer; `period` may be billed already."""
    utility = service.parts.utility
    question = utility.question(home.meter, period, utility.sign(TARIFF))
    utility.questions.answered(question, home.answer(question))
    enter_answers(utility, [question.about.nonce])


def test_invoices_are_listed_by_month_state_and_from_either_end(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    utility = service.parts.utility
    crowd = answered_crowd(utility, 4, WEEK)
    enter_answers(utility, crowd.nonces)
    later = answered_crowd(utility, 1, APRIL, first=9)  # begins in March: on its last day
    enter_answers(utility, later.nonces)
    bill(service, crowd.homes[1], WEEK)
    utility.questions.delivered(crowd.asked[0][0])
    old = next(one["number"] for one in service.get("/v1/invoices")["items"] if one["void"])
    meter = f"meter={crowd.homes[1].meter.hex()}"
    everything = [1, 2, 3, 4, 5, 6]
    delivered = numbers(service, "state=delivered")
    assert len(delivered) == 1
    for query, expected in (
        ("", everything),
        ("order=newest", everything[::-1]),
        ("state=void", [old]),
        ("state=standing&order=newest", [one for one in everything[::-1] if one != old]),
        ("state=waiting", [one for one in everything if one not in delivered]),
        ("month=2025-03", everything),
        ("month=2025-04", []),
        (f"{meter}&order=newest", [6, old]),
        (f"{meter}&state=standing&month=2025-03", [6]),
        ("corrected=true", []),
    ):
        assert numbers(service, query) == expected, query
        assert numbers(service, f"{query}&limit=1") == expected, query
        monkeypatch.setattr(invoices, "MOST_LOOKED_AT", 1)
        monkeypatch.setattr(invoices, "_BATCH", 1)
        assert numbers(service, f"{query}&limit=2") == expected, query
        monkeypatch.undo()
    (shown,) = service.get("/v1/invoices?state=delivered")["items"]
    assert shown == service.get(f"/v1/invoices/{delivered[0]}")
    assert shown["state"] == "delivered"
    for wrong in ("month=0000-01", "month=2025-13", "month=9999-12", "state=gone", "order=best"):
        assert service.ask("GET", f"/v1/invoices?{wrong}").status_code in (200, 422), wrong
    page = service.get("/v1/invoices?limit=1&month=2025-03")
    other = service.ask("GET", f"/v1/invoices?limit=1&month=2025-02&cursor={page['next']}")
    assert other.status_code == 400, "a cursor is of one list"
    come_in(service)
    shown_page = service.client.get("/invoices?month=2025-03&state=void").text
    assert f'href="/invoices/{old}"' in shown_page
    assert 'not to be paid: replaced by <a class="whole" href="/invoices/6">' in shown_page
    assert f'href="/invoices/{old}/pdf"' in shown_page
    assert f'href="/customers/{crowd.homes[1].meter.hex()}"' in shown_page
    assert 'href="/invoices/5"' not in shown_page
    wrong_page = service.client.get("/invoices?month=March")
    assert (wrong_page.status_code, 'value="March"' in wrong_page.text) == (422, True)
    assert refusal(wrong_page) == "Month: it is a year and month, as 2025-03"
    assert "aria-invalid" in wrong_page.text
    other_page = service.client.get("/invoices?month=2025-03&cursor=AAAA")
    assert refusal(other_page) == "the cursor is not one of this collection"
    assert "aria-invalid" not in other_page.text, "the month is right"
    come_in(service, "otto")
    assert "/pdf" not in service.client.get("/invoices").text, "names are for clerks"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Pacific/Auckland", "Pacific/Honolulu", "America/Santiago"]
)
def test_a_month_is_that_of_the_meter_s_own_days(service: Served, zone: str) -> None:
    """At New Zealand's midnight it is another day's in Hawaii's zone, or nearly so."""
    utility = service.parts.utility
    utility.customers.enrol(replace(ENROLMENT, zone=zone).encode())
    days = [date(2025, 2, 28), date(2025, 3, 1), date(2025, 3, 31), date(2025, 4, 1)]
    with writing(utility.engine) as connection:
        for number, day in enumerate(days, start=1):
            begin, end = Period(day, day).bounds(zone)
            about = {"nonce": bytes([number]) * 16, "meter": ENROLMENT.meter}
            asked = {
                "state": "entered",
                "changed": 0,
                "address": "",
                "question": b"",
                "answer": b"",
            }
            connection.execute(
                question_table.insert().values(**about, **asked, begin=begin, end=end, entry=number)
            )
            kept = {"nonce": about["nonce"], "document": b"", "void": b""}
            connection.execute(invoice_table.insert().values(number=number, **kept))
    for month, expected in ((2, [1]), (3, [2, 3]), (4, [4]), (5, [])):
        wanted = invoices.InvoiceSearch(month=date(2025, month, 1))
        listed, following = invoices.listed_invoices(utility, wanted, None, 9)
        assert ([one.kept.number for one in listed], following) == (expected, None)


def found(service: Served, text: str, *roles: Role) -> list[tuple[str, Any]]:
    answer = service.ask("POST", "/v1/search", *roles, json={"text": text})
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["name"] or one["account"] or one["invoice"] or one["meter"])
            for one in answer.json()["items"]]  # fmt: skip


def keep(service: Served, meter: str, name: str, reference: str = "") -> str:
    """Keep a customer's name; return where."""
    account = service.get(f"/v1/customers/{meter}")["contracts"][0]["account"]
    where = f"/v1/customers/{meter}/contracts/{account}/party"
    said = {**PERSON, "name": name, "reference": reference}
    assert service.ask("PUT", where, json=said).status_code == 204
    return where


def enrol(service: Served, count: int) -> list[str]:
    contents = [ENROLMENT.encode(), *other_meters(count - 1)]
    return [
        service.post("/v1/customers", 201, content=content)["meter"] for content in contents
    ]  # fmt: skip


def test_meters_contracts_and_names_are_found_whole_or_by_how_they_begin(service: Served) -> None:
    meters = enrol(service, 4)
    names = ("Jürgen Groß", "Anna-Lena Grossmann", "Ada Gros", "Li Wu")
    places = [keep(service, one, name) for one, name in zip(meters, names, strict=True)]
    assert found(service, METER) == [("meter", METER)]
    assert found(service, METER.upper()[:-2]) == [("meter", one) for one in sorted(meters)]
    assert found(service, METER[:5])[0] == ("meter", min(meters))
    account = places[0].split("/")[5]
    assert account == implicit_account(bytes.fromhex(METER)).hex()
    for text in (account, account[:7]):
        assert found(service, text) == [("contract", account)]
    for text, expected in (
        ("groß", [*names[:2]]), ("GROSS J", ["Jürgen Groß"]), ("grossm", ["Anna-Lena Grossmann"]),
        ("jür", ["Jürgen Groß"]), ("Juergen", ["Jürgen Groß"]), ("jurgen", ["Jürgen Groß"]),
        ("lena gro", ["Anna-Lena Grossmann"]), ("jürgen wu", []),
        ("gro", [*names[:3]]), ("ada", ["Ada Gros"]), ("g", []), ("wu", ["Li Wu"]),
        ("gr", [*names[:3]]), ("jue", ["Jürgen Groß"]),
        ("lena wu", []), ("grossmannx", []), ("%", []), ("_____", []),
    ):  # fmt: skip
        hits = [name for kind, name in found(service, text) if kind == "name"]
        assert sorted(hits) == sorted(expected), text
    assert found(service, "gros")[0] == ("name", "Ada Gros"), "what is just so comes first"
    keep(service, meters[3], "Li Mei", reference="Order 4711")
    assert found(service, "wu") == []
    assert found(service, "4711") == [("name", "Li Mei")]
    assert service.ask("DELETE", places[0]).status_code == 204
    assert found(service, "jurgen") == []
    nine = "P Q R S T U V W Ninth"
    keep(service, meters[3], nine)
    for text, expected in (("ninth", [nine]), (nine, [nine]), ("P Q R S T U V W Tenth", [])):
        assert [name for _, name in found(service, text)] == expected, text


def test_invoices_and_printed_numbers_are_found(service: Served) -> None:
    utility = service.parts.utility
    enter_answers(utility, answered_crowd(utility, 2, WEEK).nonces)
    assert found(service, "1") == [("invoice", 1)]
    for none in ("3", "0", "01", "9" * 30):
        assert [one for one in found(service, none) if one[0] == "invoice"] == [], none
    assert found(service, "9" * 120) == []
    with writing(utility.engine) as connection:
        for number in (2, 17, 110):
            fill = {"number": number, "nonce": bytes([number]) * 16, "document": b"", "void": b""}
            if number != 2:
                connection.execute(invoice_table.insert().values(**fill))
    assert invoices.numbers_like(utility.engine, "1", 10) == [1, 17, 110]
    assert invoices.numbers_like(utility.engine, "1", 2) == [1, 17]
    assert invoices.numbers_like(utility.engine, "11", 10) == [110]


def test_a_printed_number_stands_for_a_server_id() -> None:
    newer, older = server_ids_of("1 emh00 1234 5678")
    assert (newer.hex(), older.hex()) == ("0a01454d480000bc614e", "0901454d480000bc614e")
    assert device_id_of(newer) == device_id_of(older) == "1 EMH00 1234 5678"
    for wrong in ("", "1 EMH00 1234 567", "1 EMH0G 1234 5678", "1 EMH00 1234 56789", METER):
        assert server_ids_of(wrong) == ()


@pytest.mark.parametrize(
    ("digits", "low", "high"),
    [("0", "00", "10"), ("f", "f0", None), ("0af", "0af0", "0b00"), ("00ff", "00ff", "0100"),
     ("ffff", "ffff", None)],
)  # fmt: skip
def test_what_begins_so_is_one_range_of_an_index(digits: str, low: str, high: str | None) -> None:
    assert span_of(digits) == (bytes.fromhex(low), None if high is None else bytes.fromhex(high))


def test_letters_are_compared_without_case_accents_and_signs() -> None:
    assert words_of("Éloïse  O'Neill-ŽIŽEK, 3b") == ["eloise", "o", "neill", "zizek", "3b"]
    assert words_of("—") == []
    assert words_of("Łukasz Sørensen Yıldız ÆBELØ") == ["lukasz", "sorensen", "yildiz", "abelo"]
    assert words_of("LUKASZ Soerensen YILDIZ Aebeloe") == words_of("Łukasz Sørensen Yıldız Æbelø")
    assert words_of("\U0001d400nna") == words_of("anna"), "a letter of a special form"


def test_what_was_kept_before_there_were_indexes_is_found_too(tmp_path: Path) -> None:
    folder = new_utility(tmp_path / "utility")
    with served(folder) as service:
        (meter,) = enrol(service, 1)
        account = keep(service, meter, "Erika Musterfrau").split("/")[5]
        with writing(service.parts.utility.engine) as connection:
            for table in (name_token_table, implicit_account_table):
                table.drop(connection)
    with served(folder) as service:
        assert found(service, "erika") == [("name", "Erika Musterfrau")]
        assert found(service, account[:9]) == [("contract", account)]


@pytest.mark.sqlite_file
def test_no_search_goes_through_a_table(service: Served) -> None:
    """As SQLite says it: each table is looked into by an index, whatever is looked for."""
    enrol(service, 2)
    engine, asked = service.parts.utility.engine, list[tuple[str, Any]]()

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    for text in (METER, "0a", "12", "erika muster", "1 EMH00 1234 5678"):
        found(service, text)
    event.remove(engine, "before_cursor_execute", note)
    plans: list[Sequence[Any]] = []
    with engine.connect() as connection:
        for statement, parameters in asked:
            if statement.startswith("SELECT") and "audit_entry" not in statement:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans += plan.all()
    tables = "enrolment|contract|implicit_account|invoice|customer_name_token|customer_party|ledger"
    steps = [str(one[3]) for one in plans if re.search(tables, str(one[3]))]
    assert len(steps) > 10
    assert not [one for one in steps if one.startswith("SCAN")]


def test_the_field_on_each_page_leads_to_what_it_finds(service: Served) -> None:
    meters = enrol(service, 3)
    keep(service, meters[1], "Erika Musterfrau")
    come_in(service)
    sent = send(service, "/search", "/", text=" erika ")
    assert sent.status_code == 303
    where = sent.headers["location"]
    assert "erika" not in where.lower(), "no name stands in an address"
    gone = service.client.get(where)
    assert (gone.status_code, gone.headers["location"]) == (303, f"/customers/{meters[1]}")
    several = service.client.get(send(service, "/search", "/", text=METER[:4]).headers["location"])
    assert all(f'href="/customers/{one}"' in several.text for one in meters)
    assert f'value="{METER[:4]}"' in several.text
    keep(service, meters[2], "Erikas Sohn")
    both = service.client.get(where)
    assert all(f'href="/customers/{one}"' in both.text for one in meters[1:]), "not the first alone"
    number = send(service, "/search", "/", text=meters[2]).headers["location"]
    assert service.client.get(number).headers["location"] == f"/customers/{meters[2]}"
    nothing = service.client.get(send(service, "/search", "/", text="nobody").headers["location"])
    assert "Nothing here begins so" in nothing.text
    assert "Say what to look for" in refusal(send(service, "/search", "/", text=" "))
    for sought in ("", "AAAA", where.partition("=")[2][:-4], "é"):
        shown = service.client.get("/search", params={"sought": sought})
        assert (shown.status_code, "Erika" in shown.text) == (200, False)
        assert ('id="lost"' in shown.text) == bool(sought), "it says why nothing is shown"
    come_in(service)
    assert service.client.get(where).status_code == 200, "sealed for another session"
    come_in(service, "otto")
    for text in ("erika", "Musterfrau"):
        shown = service.client.get(send(service, "/search", "/", text=text).headers["location"])
        assert meters[1] not in shown.text
        assert "Nothing here begins so" in shown.text
