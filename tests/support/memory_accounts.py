# SPDX-License-Identifier: Apache-2.0
"""An account of a certified home: its bills with memory, proved one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from applets.billing.charges import Plan, plan_bill
from applets.billing.messages import BillAnswer, BillQuestion
from applets.billing.statement import VerifiedBill, check_bill
from applets.common.questions import About
from protocols.carried import CarriedState
from protocols.metrology import Period
from protocols.proofs import open_numbers_on, registers_by_slots
from protocols.proofs.carrying import Openings, carried_quantities, openings_of, state_after
from tariffs import Bill, Register, Tariff, billed_registers, compute_bill
from tariffs.memory import BillMemory
from tests.support.two_registers import (
    KEYS,
    NONCE,
    REGISTERS,
    SLOT,
    Home,
    drawn_home,
    series,
)

ACCOUNT = bytes(range(16))
METER = b"SUN"


def fortnights(count: int, first: date = date(2013, 3, 25), seed: int = 0) -> list[Home]:
    """Return a home's certified fortnights, one after the other."""
    homes = []
    for place in range(count):
        begin = first + timedelta(days=14 * place)
        homes.append(drawn_home(seed + place, period=Period(begin, begin + timedelta(days=13))))
    return homes


@dataclass
class ProvedBill:
    """A bill that was proved: what was asked, what was answered, and what the hub keeps of it."""

    home: Home
    question: BillQuestion
    answer: BillAnswer
    after: CarriedState
    openings: Openings = field(repr=False)


@dataclass
class Account:
    """A contract's bills, at the hub and at the supplier."""

    tariff: Tariff
    state: CarriedState
    openings: Openings = field(default_factory=dict)
    memory: BillMemory | None = None
    """The plain one."""

    @classmethod
    def of(cls, tariff: Tariff, first: Home, account: bytes = ACCOUNT) -> "Account":
        """Return an account that has no bill."""
        return cls(tariff, CarriedState.opening(first.meter, account, first.bounds[0]))

    def question(self, home: Home, paid: int = 0, *, is_last: bool = False) -> BillQuestion:
        """Return the question that goes on from the account's state."""
        return BillQuestion(
            About(home.meter, *home.bounds, NONCE), b"signed", self.state.encode(), paid, is_last
        )

    def plan(self, home: Home, paid: int = 0, *, is_last: bool = False) -> Plan:
        """Return what is proved."""
        states = home.states(billed_registers(self.tariff, *home.bounds))
        return plan_bill(
            self.tariff, home.starts, SLOT, states, *home.bounds, self.state, paid, is_last=is_last
        )

    def prove(
        self, home: Home, paid: int = 0, plan: Plan | None = None, *, is_last: bool = False
    ) -> ProvedBill:
        """Return the honest bill of a home's period; the account does not go on by itself."""
        plan = plan or self.plan(home, paid, is_last=is_last)
        question = self.question(home, paid, is_last=is_last)
        numbers, begin_end = [plan.total], home.bounds
        by_slots = registers_by_slots(numbers, len(plan.registers))
        needed = dict(zip(plan.registers, by_slots, strict=True))
        context = replace(
            home.context(self.tariff, plan.registers), state=self.state.digest,
            nonce=NONCE + question.mark,
        )  # fmt: skip
        sources = [home.source(one, by_slots=slots) for one, slots in needed.items()]
        carried = carried_quantities(self.state, numbers, self.openings)
        stated, proof = open_numbers_on(context, sources, numbers, bytes(32), carried)
        after = state_after(self.state, begin_end[1], numbers, stated.kept)
        answer = BillAnswer(
            home.meter, *begin_end, NONCE, plan.amount_of(stated.values[0]), self.tariff.digest,
            proof, {REGISTERS[one]: home.days(one, by_slots=s) for one, s in needed.items()},
            after.digest,
        )  # fmt: skip
        return ProvedBill(home, question, answer, after, openings_of(stated.kept))

    def go_on(self, bill: ProvedBill) -> None:
        """Go on from the state that a bill has left."""
        self.state, self.openings = bill.after, bill.openings

    def check(self, bill: ProvedBill) -> VerifiedBill:
        """Check a bill as its recipient does."""
        return check(self.tariff, bill.home, bill.question, bill.answer.encode())

    def plain(self, home: Home, paid: int = 0, *, is_last: bool = False) -> Bill:
        """Return the bill as it is reckoned in the open, and go on from its memory."""
        registers = billed_registers(self.tariff, *home.bounds)
        bill = compute_bill(
            self.tariff, home.starts, SLOT, home.energy(Register.IMPORT), home.states(registers),
            export_wh=home.energy(Register.EXPORT) if Register.EXPORT in registers else None,
            begin=home.bounds[0], end=home.bounds[1], memory=self.memory, paid=paid,
            is_last=is_last,
        )  # fmt: skip
        self.memory = bill.memory
        return bill


def check(tariff: Tariff, home: Home, question: BillQuestion, data: bytes) -> VerifiedBill:
    """Check an answer as its recipient does."""
    known = series(home.meter, home.zone, Register.IMPORT)
    export = REGISTERS[Register.EXPORT]
    return check_bill(question, data, tariff, home.period, known, KEYS.public_key, export)


def require_equal_chain(
    account: Account, homes: Sequence[Home], paid: Sequence[int] = (), *, ends: bool = False
) -> None:
    """The private bills, proved and checked one after the other, are the plain ones to the cent.

    `ends` says that the contract ends with the last of them.
    """
    for place, home in enumerate(homes):
        money = paid[place] if place < len(paid) else 0
        is_last = ends and place == len(homes) - 1
        bill = account.prove(home, money, is_last=is_last)
        assert BillAnswer.decode(bill.answer.encode()) == bill.answer
        assert BillQuestion.decode(bill.question.encode()) == bill.question
        verified, plain = account.check(bill), account.plain(home, money, is_last=is_last)
        assert verified.is_last == plain.is_last == is_last
        assert str(verified.total) == plain.total
        assert verified.state == bill.after
        assert plain.memory is not None
        assert {name: value for name, (value, _) in bill.openings.items()} == plain.memory.as_json()
        account.go_on(bill)
