# SPDX-License-Identifier: Apache-2.0
"""Days of a former customer: neither asked for nor billed, whatever is tried at the utility."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from hub.machine.machine import AppletMachine
from protocols.metrology import Period
from tests.support.answered_home import KNOWN, TARIFF
from tests.support.year_home import YearHome, make_year_home, opened
from utility_server.errors import ContractRefused, NoContract, StoreError, VerificationFailed
from utility_server.head_end import Address
from utility_server.retail.claims import BILL, PROFILE, SETTLEMENT, UNATTRIBUTED, bounds_of
from utility_server.retail.limits import BillLimits, ask_unattributed

MOVED = date(2025, 4, 10)
THEIRS = ("2025-03", "2025-04", "2025-04-09..2025-05-31", "2025-03-01..2025-04-09")
"""Periods with days of whoever lived there before."""


@pytest.fixture
def home(tmp_path: Path, machine: AppletMachine) -> Iterator[YearHome]:
    enrolment = make_year_home(tmp_path / "home", machine, KNOWN)
    with opened(tmp_path / "home", machine, enrolment) as home:
        yield home


def log_of(home: YearHome) -> int:
    return len(list(home.device.disclosure.log.entries()))


def test_no_question_of_any_kind_is_about_a_day_before_the_contract(home: YearHome) -> None:
    home.utility.contracts.open(home.meter, MOVED)
    for aid in (SETTLEMENT.aid, PROFILE.aid):
        home.utility.customers.enrol(replace(home.enrolment, applet=aid).encode())
    BillLimits(unattributed_wh_per_day=50).write(home.utility.folder)
    before = log_of(home)
    nowhere = Address("127.0.0.1", 1)  # where no hub listens: it must not come to that
    for text in THEIRS:
        period = Period.parse(text)
        with pytest.raises(NoContract):
            home.bill(TARIFF, period)
        with pytest.raises(NoContract):
            ask_unattributed(home.utility, home.meter, period, home.utility.head_end(), nowhere)
        for claim in (BILL, UNATTRIBUTED, SETTLEMENT, PROFILE):
            with pytest.raises(NoContract):
                bounds_of(home.utility, claim, home.meter, period)
    assert log_of(home) == before
    assert list(home.utility.ledger.entries()) == []
    BillLimits().write(home.utility.folder)
    home.bill(TARIFF, Period.parse("2025-04-10..2025-05-31"))


def test_an_answer_about_days_that_are_no_customers_any_more_makes_no_bill(home: YearHome) -> None:
    contracts = home.utility.contracts
    contracts.open(home.meter, date(2025, 3, 1))
    signed, may = home.utility.sign(TARIFF), Period.month(2025, 5)
    question = home.utility.question(home.meter, may, signed)
    answer = home.ask(question)
    contracts.close(home.meter, date(2025, 5, 20))  # while the hub was at work
    with pytest.raises(NoContract):
        home.utility.verify(question, answer)
    (entry,) = home.utility.ledger.entries()
    assert entry.kind == "refused"
    assert "is not within one contract" in str(entry.content["why"])
    contracts.close(home.meter, date(2025, 5, 31))
    with pytest.raises(VerificationFailed, match="entry 1 has refused this answer"):
        home.utility.verify(question, answer)
    assert home.bill(TARIFF, may).invoice.replaces == 0


def test_a_contract_cannot_be_stretched_over_days_of_another_customer(home: YearHome) -> None:
    contracts = home.utility.contracts
    contracts.open(home.meter, date(2025, 3, 1))
    contracts.close(home.meter, date(2025, 4, 9))
    contracts.open(home.meter, MOVED)
    for first in (date(2025, 2, 1), date(2025, 3, 20), date(2025, 4, 9), date(2025, 4, 11)):
        with pytest.raises(ContractRefused):
            contracts.open(home.meter, first)
    with pytest.raises(ContractRefused):
        contracts.close(home.meter, date(2025, 4, 9))  # the newest one, and it begins later
    with sqlite3.connect(home.utility.folder / "utility.db") as connection:
        connection.execute("UPDATE contract SET first = '2025-03-01' WHERE last = ''")
    connection.close()
    for text in (*THEIRS, "2025-05"):
        with pytest.raises(StoreError, match="its contracts overlap"):
            home.bill(TARIFF, Period.parse(text))
