# SPDX-License-Identifier: Apache-2.0
"""What the service keeps says no more than it must, and cannot be cut off or locked unseen."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from anyio import to_thread
from fastapi.routing import APIRoute
from sqlalchemy import delete, select, update
from starlette.types import ASGIApp, Message

from protocols.canonical.hash_chain import GENESIS, seal
from protocols.canonical.stored import decode_row, encode_row
from tests.support.service import ENROLMENT, METER, ORIGIN, Clock, Served, new_utility, served
from utility_server.chain_head import ChainHead
from utility_server.database import (
    audit_table,
    name_token_table,
    reading,
    repeated_request_table,
    writing,
)
from utility_server.errors import LedgerTampered, TooManySignIns
from utility_server.retail.utility import Utility
from utility_server.service.access.known_browsers import LIFE_SECONDS
from utility_server.service.access.operators import FREE_FAILURES, LONGEST_WAIT_SECONDS
from utility_server.service.access.roles import Role
from utility_server.service.api.application import ROUTERS, Entrance, create_api, create_service_api
from utility_server.service.api.models import PartyModel
from utility_server.service.console.application import create_console

PASSWORD = "correct horse battery"
PARTY = {
    "name": "Erika Mustermann-Geheim", "street": "Heidestr. 17", "postcode": "51147",
    "city": "Koeln", "country": "DE", "reference": "",
}  # fmt: skip


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility"), now=Clock()) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        yield service


def audited(service: Served, action: str) -> list[str]:
    entries = service.parts.audit.entries()
    return [one.outcome for one in entries if one.action == action]


# What is erased


def test_an_erased_customer_is_in_no_kept_answer_and_served_by_none(service: Served) -> None:
    customer, headers = f"/v1/customers/{METER}", {"Idempotency-Key": "erika"}
    account = service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"})["account"]
    where = f"{customer}/contracts/{account}/party"
    put = service.ask("PUT", where, json=PARTY, headers=headers)
    assert (put.status_code, put.content) == (204, b"")
    assert service.ask("DELETE", where).status_code == 204
    again = service.ask("PUT", where, json=PARTY, headers=headers)
    assert (again.status_code, again.content) == (204, b"")
    assert again.headers["idempotency-replayed"] == "true"
    assert service.ask("GET", where).status_code == 404, "a replay does not put back what is erased"
    assert audited(service, "put_party") == ["begun", "204", "repeated 204"]
    folder = service.parts.settings.folder
    kept = b"".join(one.read_bytes() for one in folder.glob("utility.db*"))
    for said in PARTY.values():
        assert not said or said == "DE" or said.encode() not in kept
    with sqlite3.connect(folder / "utility.db") as database:
        ((digest,),) = database.execute(
            "SELECT request FROM repeated_request WHERE key = 'erika'"
        ).fetchall()
    assert digest != request_hash(put.request, where), "a name could be found by trying"


def found(service: Served, text: str, *roles: Role) -> list[dict[str, Any]]:
    answer = service.ask("POST", "/v1/search", *roles, json={"text": text})
    assert answer.status_code == 200
    assert answer.json()["more"] is False
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def party_of(service: Served) -> str:
    account = service.get(f"/v1/customers/{METER}")["contracts"][0]["account"]
    return f"/v1/customers/{METER}/contracts/{account}/party"


def tokens(service: Served) -> set[bytes]:
    with reading(service.parts.utility.engine) as connection:
        return set(connection.execute(select(name_token_table.c.token)).scalars())


def test_nobody_is_found_by_a_name_that_was_erased_or_replaced(service: Served) -> None:
    where, headers = party_of(service), {"Idempotency-Key": "erika"}
    first = {**PARTY, "name": "Vorher Anders"}
    assert service.ask("PUT", where, json=first).status_code == 204
    service.ask("PUT", where, json=PARTY, headers=headers)
    assert found(service, "anders") == []
    (hit,) = found(service, "mustermann geheim")
    assert (hit["name"], hit["meter"]) == (PARTY["name"], METER)
    assert service.ask("DELETE", where).status_code == 204
    assert tokens(service) == set(), "nothing is left by which a name could be tried"
    service.ask("PUT", where, json=PARTY, headers=headers)  # a replay puts nothing back
    for text in ("erika", "mus", PARTY["name"]):
        assert found(service, text) == []
    customer = f"/v1/customers/{METER}"
    account = service.post(f"{customer}/contracts", 201, json={"from": "2025-01-15"})["account"]
    service.ask("PUT", f"{customer}/contracts/{account}/party", json=PARTY)
    assert tokens(service)
    assert service.ask("DELETE", f"{customer}/contracts/{account}").status_code == 200
    assert tokens(service) == set(), "a contract that is dropped takes its name with it"
    assert service.parts.parties.find(bytes.fromhex(account)) is None


def test_whoever_may_see_no_name_learns_none_by_searching(service: Served) -> None:
    service.ask("PUT", party_of(service), json=PARTY)
    for text in ("erika", "Mustermann-Geheim", "nobody at all"):
        assert found(service, text, Role.AUDITOR) == []
    (hit,) = found(service, METER, Role.AUDITOR)
    assert (hit["meter"], hit["name"]) == (METER, None)
    for role in (Role.SETTLEMENT, Role.GRID, Role.ADMIN):
        asked = service.ask("POST", "/v1/search", role, json={"text": METER})
        assert asked.status_code == 403


def test_a_name_that_is_looked_for_is_in_no_log_record_or_table(service: Served) -> None:
    service.ask("PUT", party_of(service), json=PARTY)
    assert found(service, "Mustermann-Geheim")
    assert found(service, "Unbekannterich") == []
    assert audited(service, "search") == ["begun", "200"] * 2, "that somebody looked is on record"
    folder = service.parts.settings.folder
    kept = b"".join(one.read_bytes() for one in folder.glob("utility.db*")).lower()
    told = str(service.log).lower() + str(list(service.parts.audit.entries())).lower()
    for name in ("geheim", "unbekannterich"):
        assert name not in told
        assert name.encode() not in kept


def test_tokens_of_names_are_of_no_use_without_the_utility_s_keys(
    service: Served, tmp_path: Path
) -> None:
    service.ask("PUT", party_of(service), json=PARTY)
    Utility.create(tmp_path / "other").close()
    with served(tmp_path / "other") as other:
        other.parts.utility.customers.enrol(ENROLMENT.encode())
        other.ask("PUT", party_of(other), json=PARTY)
        # By chance two of so many short tokens may be the same; of one key, all would be.
        shared = tokens(service) & tokens(other)
        assert len(shared) <= 2 < len(tokens(other))


def request_hash(request: Any, path: str) -> bytes:
    """The plain hash that was kept once."""
    digest = sha256()
    for part in ("PUT", path, "", "application/json"):
        digest.update(len(part).to_bytes(8, "big") + part.encode())
    body = request.read()
    digest.update(len(body).to_bytes(8, "big") + body)
    return digest.digest()


def test_no_operation_whose_answer_is_kept_shows_a_name_or_an_address() -> None:
    told = set(PartyModel.model_fields) - {"name"}
    walked = 0
    for route in (route for module in ROUTERS for route in module.router.routes):
        if not isinstance(route, APIRoute) or route.methods == {"GET"}:
            continue
        extra = route.openapi_extra or {}
        walked += 1
        if extra.get("x-customer-data"):
            names = [one["name"] for one in extra.get("parameters", [])]
            assert "Idempotency-Key" not in names, "it is done again, and nothing is kept"
            continue
        model = route.response_model
        fields = set(getattr(model, "model_fields", {}))
        assert not fields & told, route.path
    assert walked > 15


def test_what_only_shows_is_on_record_each_time_whatever_key_it_has(service: Served) -> None:
    for _ in range(3):
        answer = service.ask(
            "POST", "/v1/ledger/1/verification", headers={"Idempotency-Key": "again"}
        )
        assert answer.status_code == 404
    assert audited(service, "verify_entry") == ["begun", "404"] * 3


# Strangers' guesses


def guess(service: Served, name: str = "anna", source: str = "10.0.0.66") -> int:
    """Guess wrong; return for how long it was too soon to do so."""
    try:
        assert service.parts.operators.sign_in(name, "wrong wrong", source) is None
    except TooManySignIns as error:
        return error.seconds
    return 0


def comes_in(service: Served, source: str, browser: str = "") -> bool:
    try:
        return (
            service.parts.operators.sign_in("anna", PASSWORD, source, browser=browser) is not None
        )
    except TooManySignIns:
        return False


def test_nobody_keeps_an_operator_out_of_a_browser_in_which_he_has_signed_in(
    service: Served,
) -> None:
    parts, clock = service.parts, service.clock
    operator = parts.operators.add("anna", PASSWORD, frozenset({Role.BILLING}))
    cookie = parts.browsers.make("anna", operator.epoch)
    known = parts.browsers.nonce_of(cookie, "anna", operator.epoch)
    for _ in range(2 * FREE_FAILURES):
        clock.now += guess(service) or 1
    for _ in range(20):  # the stranger is there in the second in which a wait ends, from anywhere
        clock.now += LONGEST_WAIT_SECONDS
        guess(service)
        assert not comes_in(service, "10.0.0.1"), "from a new browser it is too soon"
        assert comes_in(service, "10.0.0.66", known), "not even from the stranger's own address"
    parts.operators.change("anna", PASSWORD)
    assert comes_in(service, "10.0.0.1"), "another password ends the wait by name"


def test_a_known_browser_is_its_name_s_alone_and_guesses_in_it_cost_time(service: Served) -> None:
    parts, clock = service.parts, service.clock
    anna = parts.operators.add("anna", PASSWORD, frozenset({Role.BILLING}))
    bert = parts.operators.add("bert", PASSWORD, frozenset({Role.BILLING}))
    cookie = parts.browsers.make("anna", anna.epoch)
    nonce_of = parts.browsers.nonce_of
    known = nonce_of(cookie, "anna", anna.epoch)
    assert known
    assert not nonce_of(cookie, "bert", bert.epoch)
    assert not nonce_of(cookie, "bert", anna.epoch)
    assert not nonce_of(cookie, "anna", parts.operators.change("anna", PASSWORD).epoch)
    for place in range(len(cookie)):
        for digit in "01":
            other = cookie[:place] + digit + cookie[place + 1 :]
            assert other == cookie or not nonce_of(other, "anna", anna.epoch)
    for odd in ("", "é", "a" * 5_000, cookie + "\n", cookie.upper(), "." * 3):
        assert not nonce_of(odd, "anna", anna.epoch)
    for _ in range(FREE_FAILURES):
        assert parts.operators.sign_in("anna", "wrong wrong", "10.0.0.1", browser=known) is None
    with pytest.raises(TooManySignIns):
        parts.operators.sign_in("anna", PASSWORD, "10.0.0.1", browser=known)
    clock.now += LIFE_SECONDS
    assert not nonce_of(cookie, "anna", anna.epoch)


# Chains that were cut off


def cut_off(service: Served, count: int) -> None:
    with writing(service.parts.utility.engine) as connection:
        last = service.parts.audit.head().entries
        connection.execute(delete(audit_table).where(audit_table.c.sequence > last - count))


def write_anew(service: Served, name: str, other: str) -> None:
    """Make another the one who did it, and the chain anew: it has no key."""
    previous = GENESIS
    with writing(service.parts.utility.engine) as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.sequence)).all()
        for row in rows:
            parts = list(decode_row(bytes(row.body)))
            parts[2] = parts[2].replace(name, other)
            body = encode_row(parts)
            previous = seal(b"meterlet audit 1", previous, body)
            connection.execute(
                update(audit_table)
                .where(audit_table.c.sequence == row.sequence)
                .values(body=body, digest=previous)
            )


@pytest.mark.parametrize("how", ["cut off", "written anew"])
def test_whoever_has_noted_an_end_finds_a_log_that_was_cut_off_or_written_anew(
    service: Served, how: str
) -> None:
    audit = service.parts.audit
    for number in range(10):
        audit.append("operator:anna", "withdraw_bill", "", "200", f"{number}")
    noted = audit.head()
    assert service.get("/v1/audit/head") == {
        "entries": noted.entries, "digest": noted.digest.hex(),
    }  # fmt: skip
    audit.append("operator:ada", "show_customer", "", "200", "later")
    assert len(list(audit.entries(noted))) == noted.entries + 1
    if how == "cut off":
        cut_off(service, 5)
    else:
        write_anew(service, "operator:anna", "operator:ada")
    assert list(audit.entries()), "the chain itself holds: this is what it cannot tell"
    with pytest.raises(LedgerTampered, match="noted"):
        list(audit.entries(noted))
    run = service.post("/v1/record-checks", 202, json={"audit": str(noted)})["run"]
    service.run()
    facts = service.get(f"/v1/runs/{run}")["facts"]
    assert (facts["verified"], "noted" in facts["audit"]) == (False, True)


def test_an_end_of_the_ledger_is_looked_for_too(service: Served) -> None:
    noted = ChainHead(3, bytes(32))
    run = service.post("/v1/record-checks", 202, json={"ledger": str(noted)})["run"]
    service.run()
    found = service.get(f"/v1/runs/{run}")
    assert found["facts"]["verified"] is False
    assert "noted" in found["faults"][0]
    for odd in ("", "1", "1:00", "01:" + "0" * 64, "1:" + "A" * 64, f"-1:{'0' * 64}", "1" * 5_000):
        answer = service.ask("POST", "/v1/record-checks", json={"audit": odd})
        assert answer.status_code == 422


# Whatever happens, it has an outcome


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5_000 + "]" * 5_000, "a = " + "9" * 9_000, "\0", "[oops"]
)
def test_a_text_that_no_parser_bears_is_refused_and_has_an_outcome(
    service: Served, text: str
) -> None:
    headers = {"Content-Type": "application/toml"}
    answer = service.ask("POST", "/v1/tariffs", content=text, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert audited(service, "register_tariff") == ["begun", "422"]


def test_a_bug_has_an_outcome_on_record_and_tells_nothing(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the customer")

    monkeypatch.setattr(type(service.parts.jobs), "create_in", broken)
    headers = {"Idempotency-Key": "once"}
    for _ in range(2):
        answer = service.ask("POST", "/v1/record-checks", headers=headers)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
    assert audited(service, "begin_record_check") == ["begun", "500"] * 2
    (event, *_) = [facts for name, facts in service.log if name == "request-failed"]
    assert "secret" not in str(event)
    assert str(event["at"]).startswith("broken:")


def test_a_request_s_mac_is_not_a_hash_of_it(service: Served) -> None:
    order, headers = {"name": "k", "roles": ["grid"]}, {"Idempotency-Key": "k"}
    service.post("/v1/api-keys", 201, json=order, headers=headers)
    with writing(service.parts.utility.engine) as connection:
        row = connection.execute(select(repeated_request_table)).one()
    assert (len(row.request), len(row.content)) == (32, 0)


@pytest.mark.parametrize("name", ["an\0na", "\ud800", "anna\n", "a" * 65, ""])
def test_a_name_that_is_none_signs_nobody_in_and_is_asked_for_nowhere(
    service: Served, name: str
) -> None:
    assert service.parts.operators.find(name) is None
    assert service.parts.operators.sign_in(name, PASSWORD, "10.\0.0.1") is None


# What ends, ends also for what had begun


def late(app: ASGIApp, scope: dict[str, Any], body: bytes, meanwhile: Callable[[], object]) -> int:
    """Ask with a body whose last byte comes after something has happened; return the status."""
    parts = [body[:-1], body[-1:]]
    sent: list[Message] = []

    async def receive() -> Message:
        if len(parts) == 1:
            await to_thread.run_sync(meanwhile)
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    whole = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": "POST", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": None, "raw_path": scope["path"].encode(), **scope,
    }  # fmt: skip
    whole["headers"] = [
        (b"host", urlsplit(ORIGIN).netloc.encode()), (b"content-length", b"%d" % len(body)),
        *scope["headers"],
    ]  # fmt: skip

    async def ask() -> None:
        await app(whole, receive, send)

    asyncio.run(ask())
    return int(next(one["status"] for one in sent if one["type"] == "http.response.start"))


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_key_that_was_revoked_while_its_request_came_changes_nothing(
    service: Served, is_revoked: bool
) -> None:
    keys = service.parts.api_keys
    leaving, text = keys.create("leaving", frozenset({Role.ADMIN}))
    body = b'{"name": "successor", "roles": ["admin"], "days": 3650}'
    scope = {
        "path": "/v1/api-keys",
        "headers": [
            (b"authorization", f"Bearer {text}".encode()), (b"content-type", b"application/json"),
        ],
    }  # fmt: skip
    app = create_service_api(service.parts)
    meanwhile = (lambda: keys.revoke(leaving.identification)) if is_revoked else keys.all
    status = late(app, scope, body, meanwhile)
    made = [one.name for one in keys.all() if one.name == "successor"]
    assert (status, made) == ((401, []) if is_revoked else (201, ["successor"]))


@pytest.mark.parametrize("is_removed", [False, True])
def test_an_operator_who_was_removed_while_his_form_came_changes_nothing(
    service: Served, is_removed: bool
) -> None:
    parts = service.parts
    anna = parts.operators.add("anna", PASSWORD, frozenset({Role.ADMIN}))
    cookie = parts.sessions.begin(anna.principal, anna.epoch)
    session = parts.sessions.find(cookie)
    assert session is not None
    form = {"name": "successor", "role-admin": "1", "days": "30", "token": session.form_token}
    scope = {
        "path": "/keys",
        "headers": [
            (b"cookie", f"meterlet_console={cookie}".encode()), (b"origin", ORIGIN.encode()),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ],
    }  # fmt: skip
    app = Entrance(create_console(parts, create_api(parts)), parts)
    meanwhile = (lambda: parts.operators.remove("anna")) if is_removed else parts.operators.all
    status = late(app, scope, urlencode(form).encode(), meanwhile)
    made = [one.name for one in parts.api_keys.all() if one.name == "successor"]
    assert (status, made) == ((303, []) if is_removed else (200, ["successor"]))
