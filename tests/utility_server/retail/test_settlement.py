# SPDX-License-Identifier: Apache-2.0
"""The utility's side of a settlement: what is asked, what is refused before a hub is asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from applets.settlement.messages import AID
from protocols.metrology import Period
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tariffs.signing import verify_signed_index
from tests.support.enrolment import GOOD
from tests.support.sockets import free_port
from utility_server.errors import CannotVerify, HeadEndError, NoContract, UnknownCustomer
from utility_server.head_end import Address
from utility_server.retail.settlement import Member, ask_for, settle
from utility_server.retail.utility import Utility

MARCH = Period.month(2025, 3)
ENROLMENT = replace(GOOD, applet=AID, slot_minutes=30)
BEGIN, END = MARCH.bounds(ENROLMENT.zone)
SPOT = PriceIndex(
    "spot", 1, "EUR", "EUR/MWh", "UTC",
    PriceSeries(BEGIN - 7200, 3600, tuple(range((END - BEGIN) // 3600 + 4))),
)  # fmt: skip


@pytest.fixture
def utility(tmp_path: Path) -> Iterator[Utility]:
    with Utility.create(tmp_path / "grid") as utility:
        utility.customers.enrol(ENROLMENT.encode())
        yield utility


def test_a_question_carries_the_part_of_the_index_that_it_needs(utility: Utility) -> None:
    question = ask_for(utility, SPOT, MARCH, ENROLMENT.meter)
    sent = verify_signed_index(question.document, utility.keys.public)
    assert sent == SPOT.between(BEGIN, END)
    assert (question.about.begin, question.about.end) == (BEGIN, END)
    assert question.about.nonce != ask_for(utility, SPOT, MARCH, ENROLMENT.meter).about.nonce


def prices(step: int, *prices: int | None) -> PriceIndex:
    return replace(SPOT, prices=PriceSeries(BEGIN, step, prices))


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (prices(3600, 1, 2, 3), "there is no price at"),
        (prices(900, *([1, 2] * ((END - BEGIN) // 1800))), "has several prices"),
        (prices(3600, *([1] * 700), None, *([1] * 100)), "has no price at"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_before_a_hub_is_asked(
    utility: Utility, index: PriceIndex, why: str
) -> None:
    with pytest.raises(CannotVerify, match=f"the period: index spot: .*{why}"):
        ask_for(utility, index, MARCH, ENROLMENT.meter)


def test_who_cannot_be_asked_is_left_out_by_name(utility: Utility) -> None:
    closed = Address("127.0.0.1", free_port())
    members = [Member(ENROLMENT.meter, "A", closed), Member(b"\1", "B", closed)]
    told: list[int] = []
    done = settle(utility, SPOT, MARCH, members, utility.head_end(), told.append)
    assert (done.settled, done.exact, told) == ((), {}, [1, 2])
    assert [type(one.error) for one in done.unsettled] == [HeadEndError, UnknownCustomer]
    assert list(utility.ledger.entries()) == []
    utility.contracts.open(ENROLMENT.meter, date(2025, 3, 10))  # somebody moved in
    moved = settle(utility, SPOT, MARCH, members, utility.head_end())
    assert [type(one.error) for one in moved.unsettled] == [NoContract, UnknownCustomer]
    for wrong in ([], [members[0], members[0]]):
        with pytest.raises(CannotVerify, match="of each one once"):
            settle(utility, SPOT, MARCH, wrong, utility.head_end())
