# SPDX-License-Identifier: Apache-2.0
"""What leaves with a bill, a settlement or a score: one rounded number, and nothing to refine it.

Release 0.1 opened exact amounts, one for each charge and register. Here everything a recipient gets
(answer, proof, ledger, invoice) is searched for what the number was made of, the blinding that
would open it among them; and answers that would tell more are refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import gcd

import pytest

from applets.billing.messages import BillAnswer
from applets.billing.version1 import AmountsBillAnswer, Proved
from applets.common.evidence import AnswerRefused
from protocols.amounts import (
    AmountsMalformed,
    Metered,
    QuotientRule,
    SlotForm,
    Sum,
    Total,
    decode_numbers,
    encode_amounts,
)
from protocols.proofs import (
    ORDER,
    Point,
    StatementContext,
    VectorOpening,
    commit,
    open_amounts,
)
from protocols.proofs.group import encode_scalar
from tariffs import Register
from tests.support.two_registers import (
    CREDIT,
    ENERGY,
    NONCE,
    REGISTERS,
    SLOT,
    drawn_home,
    tariff_of,
)

VAT = '[[step]]\nname = "VAT"\nkind = "tax"\npercent = "19"\non = ["energy"]\n'
STANDING = '[[charge]]\nname = "standing"\nkind = "standing"\nper_day = "0.31"\n'
TARIFF = tariff_of(ENERGY, CREDIT, STANDING, VAT)
HOME = drawn_home(4)
ANSWER = HOME.answer(TARIFF)


def secrets() -> Iterator[int]:
    """Yield what the total is made of, as numbers that a proof might contain."""
    bill = HOME.plain(TARIFF)
    yield bill.total_exact
    for item in bill.items:
        yield from (item.amount_exact, item.amount_exact // 10**6)
    for register in (Register.IMPORT, Register.EXPORT):
        yield sum(HOME.energy(register))
        opening = HOME.source(register).opening
        assert isinstance(opening, VectorOpening)
        yield sum(opening.blindings) % ORDER
    plan = HOME.plan(TARIFF)
    uses = [HOME.energy(register) for register in plan.registers]
    values = [one.amount.value_of(uses[one.register]) for one in plan.total.metered]
    yield from values
    for step in plan.total.steps:
        values.append(step.of(values))
        yield values[-1]
    yield values[-1] - plan.total.value_of(uses) * plan.total.divisor  # what was rounded away


def spellings(number: int) -> Iterator[bytes]:
    for size in (8, 16, 32):
        for order in ("big", "little"):
            if abs(number) < 1 << 8 * size - 1:
                yield number.to_bytes(size, order, signed=True)
    yield encode_scalar(number % ORDER)
    yield str(number).encode()


def test_nothing_that_the_total_is_made_of_is_in_the_answer() -> None:
    data = ANSWER.encode()
    proof_and_total = data[: data.index(next(iter(ANSWER.registers.values()))[0])]
    assert ANSWER.proof in proof_and_total
    checked = 0
    for number in secrets():
        if abs(number) < 1 << 24:  # as short as the total itself: by chance anywhere
            continue
        checked += 1
        for spelling in spellings(number):
            assert spelling not in proof_and_total, number
    assert checked > 8


def test_no_scalar_of_the_proof_opens_what_the_number_is_a_quotient_of() -> None:
    """As the blinding of the sums' commitment would, with the exact amount guessed around it."""
    plan = HOME.plan(TARIFF)
    sums = [ANSWER.proof[at : at + 33] for at in range(0, 33 * len(plan.total.metered), 33)]
    point = None
    for one in plan.total.metered:  # one for each register, in order
        assert isinstance(one.amount, Sum)
        unit = gcd(*(weight for _, _, weight in one.amount.form.runs))
        part = Point.decode(sums[one.register]) * unit
        factor = dict(plan.total.steps[-1].terms)[plan.total.metered.index(one)]  # type: ignore[union-attr]
        point = part * factor if point is None else point + part * factor
    uses = [HOME.energy(register) for register in plan.registers]
    values = [one.amount.value_of(uses[one.register]) for one in plan.total.metered]
    terms = plan.total.steps[-1].terms  # type: ignore[union-attr]
    exact = sum(values[place] * factor for place, factor in terms)
    assert point is not None
    for place in range(len(ANSWER.proof) - 31):
        scalar = int.from_bytes(ANSWER.proof[place : place + 32], "big")
        if scalar < ORDER:
            assert commit(exact, scalar) != point


def exact_answer() -> AmountsBillAnswer:
    """The bill as release 0.1 told it: each register's amounts opened."""
    proved = {}
    for register in (Register.IMPORT, Register.EXPORT):
        context = StatementContext(
            HOME.meter, REGISTERS[register], *HOME.bounds, SLOT // 60, TARIFF.digest, "supplier",
            "billing", NONCE,
        )  # fmt: skip
        source = HOME.source(register)
        form = SlotForm(((0, source.size, 200_000),))
        _, proof = open_amounts(context, source, [Sum(form)], bytes(32))
        proved[register] = Proved(proof, HOME.days(register))
    return AmountsBillAnswer(
        HOME.meter, *HOME.bounds, NONCE, ANSWER.total, TARIFF.digest, proved[Register.IMPORT],
        proved[Register.EXPORT],
    )  # fmt: skip


def test_an_answer_of_exact_amounts_is_none_to_a_new_question() -> None:
    with pytest.raises(AnswerRefused) as refused:
        HOME.check(TARIFF, exact_answer().encode())
    assert refused.value.check == "message"


FINER: list[Callable[[Total], Total]] = [
    lambda total: replace(total, divisor=1),
    lambda total: replace(total, divisor=total.divisor // 10),
    lambda total: replace(total, rule=QuotientRule.DOWN),
]


@pytest.mark.parametrize("finer", FINER)
def test_a_proof_of_a_finer_number_is_no_proof_of_the_bill(
    finer: Callable[[Total], Total], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = HOME.plan(TARIFF)
    monkeypatch.setattr(type(HOME), "plan", lambda *_: replace(plan, total=finer(plan.total)))
    told = HOME.prove(TARIFF)
    monkeypatch.undo()
    with pytest.raises(AnswerRefused) as refused:
        HOME.check(TARIFF, replace(told, total=ANSWER.total).encode())
    assert refused.value.check == "proof"


def test_the_total_is_said_in_the_decimals_of_the_tariff() -> None:
    """Or more digits of it would be a place for more numbers."""
    longer = replace(ANSWER, total=ANSWER.total.quantize(ANSWER.total.scaleb(-3)))
    assert longer.total == ANSWER.total
    assert BillAnswer.decode(longer.encode()) == longer
    with pytest.raises(AnswerRefused) as refused:
        HOME.check(TARIFF, longer.encode())
    assert refused.value.check == "total"


def test_sums_by_themselves_are_no_numbers_of_the_call() -> None:
    exact = Sum(SlotForm(((0, 8, 1),)))
    with pytest.raises(AmountsMalformed):
        decode_numbers(encode_amounts([exact]))
    whole = Total((Metered(0, exact),), (), 1, QuotientRule.DOWN)
    assert decode_numbers(encode_amounts([whole])) == (whole,)  # held to the consent's bits
