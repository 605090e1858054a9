# SPDX-License-Identifier: Apache-2.0
"""No name is kept where nobody can erase it, and none is shown that is not on record."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import delete, func, select, update

from tests.support.console import PASSWORD, come_in, send
from tests.support.service import ENROLMENT, METER, Served, new_utility, other_meters, served
from utility_server.database import customer_party_table, name_token_table, reading, writing
from utility_server.service.access.roles import Role
from utility_server.service.application import create_service
from utility_server.service.einvoice.parties import Parties, Party

CONTRACTS: Final = f"/v1/customers/{METER}/contracts"
PERSON: Final = {
    "name": "Erika Musterfrau", "street": "Weg 1", "postcode": "1", "city": "Ort", "country": "DE",
    "reference": "",
}  # fmt: skip


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with served(new_utility(tmp_path / "utility"), app=create_service) as service:
        service.parts.operators.add("anna", PASSWORD, frozenset(Role))
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        yield service


def keep(service: Served, account: str) -> str:
    where = f"{CONTRACTS}/{account}/party"
    assert service.ask("PUT", where, json=PERSON).status_code == 204
    return where


def kept(service: Served) -> int:
    """How many rows there are about anybody's name."""
    counts = [select(func.count()).select_from(one) for one in TABLES]
    with reading(service.parts.utility.engine) as connection:
        return sum(connection.execute(one).scalar_one() for one in counts)


TABLES: Final[Any] = (customer_party_table, name_token_table)


def test_a_dropped_contract_takes_the_name_with_it_whoever_drops_it(service: Served) -> None:
    account = service.post(CONTRACTS, 201, json={"from": "2025-04-01"})["account"]
    keep(service, account)
    assert kept(service) > 1
    # As the command does it, which knows of no names: nor may a service die in between.
    service.parts.utility.contracts.drop(bytes.fromhex(METER), bytes.fromhex(account))
    assert kept(service) == 0


def test_whose_names_were_shown_is_on_record_and_not_what_was_looked_for(service: Served) -> None:
    keep(service, service.get(f"/v1/customers/{METER}")["contracts"][0]["account"])
    for text, roles, shown in (
        ("erika", (Role.BILLING,), f"names={METER}"), ("er", (Role.BILLING,), f"names={METER}"),
        ("erika", (Role.AUDITOR,), ""), ("nobody", (Role.BILLING,), ""),
    ):  # fmt: skip
        assert service.ask("POST", "/v1/search", *roles, json={"text": text}).status_code == 200
        done, begun = service.get("/v1/audit?order=newest&limit=2")["items"]
        assert (done["action"], done["outcome"], done["target"]) == ("search", "200", shown)
        assert begun["target"] == ""
        assert "erika" not in f"{done} {begun}".lower()
    others = [service.post("/v1/customers", 201, content=one)["meter"] for one in other_meters(14)]
    for meter in others:
        account = service.get(f"/v1/customers/{meter}")["contracts"][0]["account"]
        where = f"/v1/customers/{meter}/contracts/{account}/party"
        assert service.ask("PUT", where, json=PERSON).status_code == 204
    service.post("/v1/search", json={"text": "erika"})
    target = service.get("/v1/audit?order=newest&limit=1")["items"][0]["target"]
    assert sorted(target.removeprefix("names=").split(",")) == sorted([METER, *others])


def test_a_contract_that_is_dropped_meanwhile_gets_no_name(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = service.post(CONTRACTS, 201, json={"from": "2025-04-01"})["account"]
    put, contracts = Parties.put, service.parts.utility.contracts

    def late(*given: Any) -> None:
        """Keep the name, once another has dropped the contract."""
        contracts.drop(bytes.fromhex(METER), bytes.fromhex(account))
        put(*given)

    monkeypatch.setattr(Parties, "put", late)
    answer = service.ask("PUT", f"{CONTRACTS}/{account}/party", json=PERSON)
    assert (answer.status_code, kept(service)) == (409, 0)


def test_names_that_dropped_contracts_have_left_are_erased_at_the_start(tmp_path: Path) -> None:
    folder = new_utility(tmp_path / "utility")
    with served(folder) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        where = keep(service, service.get(f"/v1/customers/{METER}")["contracts"][0]["account"])
        parties = service.parts.parties
        parties.put(b"gone".ljust(16), bytes.fromhex(METER), Party(**PERSON))
        with writing(service.parts.utility.engine) as connection:  # from before there was an index
            connection.execute(delete(name_token_table))
    with served(folder) as service:
        assert service.parts.parties.find(b"gone".ljust(16)) is None
        assert service.get(where)["name"] == PERSON["name"]


def test_one_name_that_does_not_open_keeps_no_service_from_starting(tmp_path: Path) -> None:
    folder = new_utility(tmp_path / "utility")
    with served(folder) as service:
        service.post("/v1/customers", 201, content=ENROLMENT.encode())
        where = keep(service, service.get(f"/v1/customers/{METER}")["contracts"][0]["account"])
        with writing(service.parts.utility.engine) as connection:
            connection.execute(update(customer_party_table).values(sealed=bytes(60)))
        (other,) = other_meters(1)
        meter = service.post("/v1/customers", 201, content=other)["meter"]
        account = service.get(f"/v1/customers/{meter}")["contracts"][0]["account"]
        party = {**PERSON, "name": "Erik Other"}
        put = service.ask("PUT", f"/v1/customers/{meter}/contracts/{account}/party", json=party)
        assert put.status_code == 204
        # It hides no other name that begins so.
        (hit,) = service.post("/v1/search", json={"text": "eri"})["items"]
        assert hit["name"] == party["name"]
        with writing(service.parts.utility.engine) as connection:
            connection.execute(delete(name_token_table))
    with served(folder) as service:
        assert service.ask("GET", where).status_code == 500, "it is not passed over in silence"
        assert service.post("/v1/search", json={"text": "erika"})["items"] == []


def test_a_name_of_before_the_first_contract_is_found_and_erased(service: Served) -> None:
    where = keep(service, service.get(f"/v1/customers/{METER}")["contracts"][0]["account"])
    account = service.post(CONTRACTS, 201, json={"from": "2025-04-01"})["account"]
    (hit,) = service.post("/v1/search", json={"text": "erika"})["items"]
    assert (hit["meter"], hit["name"]) == (METER, PERSON["name"])
    assert service.get(where)["name"] == PERSON["name"]
    assert service.ask("PUT", where, json=PERSON).status_code == 409, "nothing new is kept there"
    other = f"{CONTRACTS}/{'00' * 16}/party"
    assert service.ask("DELETE", other).status_code == 409
    come_in(service)
    page = f"/customers/{METER}"
    shown = service.client.get(page).text
    assert "Of before the first contract" in shown
    assert f'action="{where.removeprefix("/v1")}"' in shown
    assert f'action="{CONTRACTS.removeprefix("/v1")}/{account}/party"' in shown
    send(service, where.removeprefix("/v1"), page, erase="1", sure="yes")
    assert "Of before the first contract" not in service.client.get(page).text
    assert kept(service) == 0
