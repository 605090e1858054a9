# SPDX-License-Identifier: Apache-2.0
"""Whoever tampers with what bills carry is refused, by name: hub, utility or a third party.

A forged state, one that is skipped, used twice, left out, of another meter or account, with wider
bounds, or an answer for another state. What the hub itself refuses is in
`tests/hub/test_carried_numbers.py`, the whole way through a utility in
`tests/utility_server/retail/test_memory.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from applets.billing.messages import BillQuestion
from applets.common.evidence import AnswerRefused
from applets.common.questions import MessageRefused
from protocols.amounts import Carried
from protocols.carried import CarriedState, CarriedValue
from protocols.proofs import FalseStatement, commit, open_numbers_on
from protocols.proofs.carrying import carried_quantities, state_after
from protocols.proofs.quantity import Quantity
from tariffs.errors import MemoryRefused
from tariffs.source import load_toml
from tests.support.memory_accounts import Account, ProvedBill, check, fortnights
from tests.support.private_bills import FLAT
from tests.support.two_registers import Home, drawn_home
from utility_server.errors import VerificationFailed
from utility_server.retail.carried_states import Chain, StatedBill, Succession, require_succession

DUTY = """
[[charge]]
name = "duty"
kind = "blocks"
interval = "year"
cumulative = true
block = [{ up_to = "400", price = "0.72" }, { price = "0.08" }]
"""
NAME = "duty/0/2013-01-01"
TARIFF = load_toml(FLAT + DUTY)
HOMES = fortnights(3)


class Told:
    """An account's first two bills, honest, and the state before each."""

    def __init__(self) -> None:
        self.account = Account.of(TARIFF, HOMES[0])
        self.first = self.account.prove(HOMES[0])
        self.account.go_on(self.first)
        self.second = self.account.prove(HOMES[1])


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


def refused_by(question: BillQuestion, data: bytes, home: Home = HOMES[1]) -> str:
    with pytest.raises(AnswerRefused) as refused:
        check(TARIFF, home, question, data)
    return refused.value.check


def asked_from(bill: ProvedBill, **changed: Any) -> BillQuestion:
    """Return the question with another state in the place of its own."""
    state = bill.question.carried
    assert state is not None
    return replace(bill.question, state=replace(state, **changed).encode())


def test_the_honest_bills_are_right(told: Told) -> None:
    for bill in (told.first, told.second):
        assert told.account.check(bill).state == bill.after


def other_value(told: Told, **changed: Any) -> tuple[CarriedValue, ...]:
    [value] = told.first.after.values
    return (replace(value, **changed),)


FORGERIES: dict[str, tuple[str, Callable[[Told], dict[str, Any]]]] = {
    "a point": ("proof", lambda told: {"values": other_value(told, point=_point(5))}),
    "no point of the group": (
        "memory", lambda told: {"values": other_value(told, point=bytes(33))},
    ),
    "a number": ("proof", lambda _: {"number": 2}),
    "the state before": ("proof", lambda _: {"previous": bytes(32)}),
    "another account": ("proof", lambda _: {"account": bytes(16)}),
    "another meter": ("memory", lambda _: {"meter": b"MOON"}),
    "a later time": ("memory", lambda told: {"end": told.first.after.end + 86_400}),
    "bounds widened": (
        "memory", lambda told: {"values": other_value(told, carried=Carried(NAME, 0, 46))},
    ),
    "bounds moved": (
        "memory", lambda told: {"values": other_value(told, carried=Carried(NAME, -1, 45))},
    ),
    "a value left out": ("proof", lambda _: {"values": ()}),
    "a value of no component": (
        "memory", lambda told: {"values": (*told.first.after.values, _value("toll/0/2013-01-01"))},
    ),
    "a value of another year": (
        "memory", lambda told: {"values": other_value(told, carried=Carried(
            "duty/0/2012-01-01", 0, 45))},
    ),
    "a value that names nothing": (
        "memory", lambda told: {"values": other_value(told, carried=Carried("duty", 0, 45))},
    ),
}  # fmt: skip


def _point(value: int) -> bytes:
    return commit(value, 7).encode()


def _value(name: str) -> CarriedValue:
    return CarriedValue(Carried(name, 0, 45), _point(5))


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_answer_shown_for_a_forged_state_is_refused(told: Told, forgery: str) -> None:
    name, changed = FORGERIES[forgery]
    question = asked_from(told.second, **changed(told))
    assert refused_by(question, told.second.answer.encode()) == name


@pytest.mark.parametrize("by", [-300, 1])
def test_a_hub_that_goes_on_from_another_value_proves_nothing(told: Told, by: int) -> None:
    state = told.first.after
    value, blinding = told.first.openings[NAME]
    lied = replace(told.account, openings={NAME: (value + by, blinding)})
    with pytest.raises(FalseStatement, match="not the one that was kept"):
        lied.prove(HOMES[1])
    # so it takes a commitment of its own for the state's
    plan, home = told.account.plan(HOMES[1]), HOMES[1]
    forged = Quantity(commit(value + by, blinding), 1 << 44, (value + by, blinding))
    context = replace(home.context(TARIFF, plan.registers), state=state.digest)
    source = home.source(plan.registers[0])
    stated, proof = open_numbers_on(context, [source], [plan.total], bytes(32), {NAME: forged})
    after = state_after(state, home.bounds[1], [plan.total], stated.kept)
    answer = replace(
        told.second.answer, proof=proof, total=plan.amount_of(stated.values[0]), state=after.digest
    )
    assert refused_by(told.second.question, answer.encode()) == "proof"


def test_a_hub_that_keeps_more_than_it_proves_is_found_with_the_next_bill(told: Told) -> None:
    """What is handed on has the points of the proof: another digest is refused at once."""
    for state in (bytes(32), told.first.after.digest):
        answer = replace(told.second.answer, state=state)
        assert refused_by(told.second.question, answer.encode()) == "memory"


def test_a_bill_whose_kept_value_has_wider_bounds_is_refused(told: Told) -> None:
    plan = told.account.plan(HOMES[1])
    wider = tuple(replace(one, bits=one.bits + 8) for one in plan.total.kept)
    wide = replace(plan, total=replace(plan.total, kept=wider))
    lied = told.account.prove(HOMES[1], plan=wide)
    assert refused_by(lied.question, lied.answer.encode()) == "proof"


def test_a_state_that_is_left_out_or_is_one_too_many_is_refused(told: Told) -> None:
    without = replace(told.second.question, state=b"")
    assert refused_by(without, told.second.answer.encode()) == "memory"
    stateless = replace(told.second.answer, state=b"")
    assert refused_by(told.second.question, stateless.encode()) == "memory"
    with pytest.raises(AnswerRefused) as refused:
        check(load_toml(FLAT), HOMES[1], told.second.question, told.second.answer.encode())
    assert refused.value.check in {"tariff", "memory"}


def test_a_bill_that_skips_one_is_refused(told: Told) -> None:
    skipped = BillQuestion(
        replace(told.second.question.about, begin=HOMES[2].bounds[0], end=HOMES[2].bounds[1]),
        b"signed",
        told.first.after.encode(),
    )
    with pytest.raises(MemoryRefused, match="bill in order, with none left out"):
        told.account.plan(HOMES[2])
    answer = replace(told.second.answer, begin=skipped.about.begin, end=skipped.about.end)
    assert refused_by(skipped, answer.encode(), HOMES[2]) == "memory"


def test_a_state_of_another_meter_serves_no_bill(told: Told) -> None:
    moon = drawn_home(1, period=HOMES[1].period, meter=b"MOON")
    about = replace(told.second.question.about, meter=b"MOON")
    answer = replace(told.second.answer, meter=b"MOON")
    question = replace(told.second.question, about=about)
    assert refused_by(question, answer.encode(), moon) == "memory"


def test_a_state_of_another_account_serves_no_bill(told: Told) -> None:
    other = Account.of(TARIFF, HOMES[0], account=bytes(16))
    bill = other.prove(HOMES[0])
    other.go_on(bill)
    question = replace(told.second.question, state=other.state.encode())
    assert refused_by(question, told.second.answer.encode()) == "proof"
    with pytest.raises(VerificationFailed, match="memory: not the state that bill 1"):
        require_succession(chain(told, 1), Succession(
            HOMES[1].bounds[0], replace(bill.after, account=told.first.after.account),
            told.second.after,
        ))  # fmt: skip


def chain(told: Told, bills: int) -> Chain:
    """Return what the utility knows after so many bills."""
    stated = [
        StatedBill(home.bounds[0], bill.after, entry)
        for entry, (home, bill) in enumerate(
            zip(HOMES, (told.first, told.second), strict=False), start=1
        )
    ]
    return Chain(b"SUN", told.first.after.account, stated[:bills])


def test_a_state_is_gone_on_from_once_and_in_order(told: Told) -> None:
    state = told.first.after
    other_period = state.following(HOMES[2].bounds[1], state.values)
    begin = HOMES[1].bounds[0]
    require_succession(chain(told, 1), Succession(begin, state, told.second.after))
    require_succession(chain(told, 2), Succession(begin, state, told.second.after))  # corrected
    with pytest.raises(VerificationFailed, match="memory: used twice: bill 2 has gone on from"):
        require_succession(chain(told, 2), Succession(begin, state, other_period))
    with pytest.raises(VerificationFailed, match="memory: out of order: bill 1 .* is left out"):
        require_succession(chain(told, 0), Succession(begin, state, told.second.after))
    opening = CarriedState.opening(b"SUN", state.account, HOMES[0].bounds[0] - 86_400)
    with pytest.raises(VerificationFailed, match="memory: not the state that bill 0"):
        require_succession(chain(told, 1), Succession(opening.end, opening, state))


def test_a_paid_amount_of_another_question_is_refused() -> None:
    tariff = load_toml(FLAT + '[[step]]\nname = "account"\nkind = "credit"\n')
    account = Account.of(tariff, HOMES[0])
    bill = account.prove(HOMES[0], 5_000_000)
    assert account.check(bill).paid == 5_000_000
    for paid in (0, 4_999_999, 90_000_000):
        question = replace(bill.question, paid=paid)
        with pytest.raises(AnswerRefused) as refused:
            check(tariff, HOMES[0], question, bill.answer.encode())
        assert refused.value.check == "proof"


def test_every_flipped_byte_of_a_state_is_refused(told: Told) -> None:
    data = told.second.question.state
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            question = replace(told.second.question, state=bytes(changed))
        except MessageRefused:
            continue
        assert refused_by(question, told.second.answer.encode()) in {"memory", "proof"}


def test_a_state_is_not_taken_for_one_with_the_same_names(told: Told) -> None:
    """The quantities are those of the state, whatever the openings say."""
    with pytest.raises(FalseStatement):
        carried_quantities(
            replace(told.first.after, values=(_value(NAME),)),
            [told.account.plan(HOMES[1]).total],
            told.first.openings,
        )
