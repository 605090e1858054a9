# SPDX-License-Identifier: Apache-2.0
"""Hubs that lie to those who settle: each lie meets the check that is there for it."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from applets.common.evidence import AnswerRefused
from applets.common.questions import About
from applets.settlement.messages import (
    PENNY,
    SettlementAnswer,
    SettlementQuestion,
    settled_total,
)
from applets.settlement.statement import check_settlement
from hub.certifier import Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import QuotientRule, Total
from protocols.metrology import CertifiedDay, DayContent, Period, Series
from protocols.proofs import (
    LARGEST_VALUE,
    ORDER,
    NumbersContext,
    Prover,
    Quantity,
    Source,
    VectorOpening,
    open_numbers,
)
from protocols.proofs.group import decode_scalar
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.statements import stated_numbers

DAYS = Period(date(2025, 3, 1), date(2025, 3, 28))
NEXT = Period(date(2025, 3, 2), date(2025, 3, 29))
ZONE, SLOT = "Europe/Berlin", 900
SERIES = Series(b"meter", bytes.fromhex("0100010800ff"), ZONE, 15)
OTHER = Series(b"other", bytes.fromhex("0100010800ff"), ZONE, 15)
KEYS = CertifierKeys(bytes(range(32)), bytes(range(32, 64)))
FORGER = CertifierKeys(bytes(range(1, 33)), bytes(range(2, 34)))
FIRST, LAST = Period(DAYS.first, NEXT.last).bounds(ZONE)


def index(seed: int = 1) -> PriceIndex:
    dice = random.Random(seed)
    prices = tuple(dice.randrange(-50_000, 300_000) for _ in range((LAST - FIRST) // 3600))
    return PriceIndex("spot", 1, "EUR", "EUR/MWh", ZONE, PriceSeries(FIRST, 3600, prices))


INDEX = index()


def proof_that_tells(
    context: NumbersContext, source: Source, total: Total, more: int, *, is_false: bool
) -> bytes:
    """Return the proof of the total, or one that tells so much more with any remainder's range."""
    honest, checked = QuotientRule.divide, Prover.require_up_to

    def careless(prover: Prover, label: str, quantity: Quantity, largest: int) -> Quantity:
        value, blinding = quantity.opened()
        lie = Quantity(quantity.point, quantity.limit, (value % (largest + 1), blinding))
        return checked(prover, label, lie, largest)

    with pytest.MonkeyPatch.context() as patch:
        if more:
            patch.setattr(QuotientRule, "divide", lambda rule, n, d: honest(rule, n, d) + more)
            patch.setattr(Prover, "require_up_to", careless)
        if is_false:
            patch.setattr(Prover, "_known", staticmethod(lambda _, quantity: quantity.value))
        return open_numbers(context, [source], [total], bytes(32))[1]


def answer(
    *,
    period: Period = DAYS,
    series: Series = SERIES,
    keys: CertifierKeys = KEYS,
    prices: PriceIndex = INDEX,
    nonce: bytes = bytes(16),
    recipient: str = "settlement",
    factor: int = 1,
    tells: int = 0,
    opening: int = 0,
    halves: bool = False,
) -> SettlementAnswer:
    """An answer that is right for these arguments."""
    dice, register, readings = random.Random(5), 0, []
    for time in range(FIRST, LAST + 1, SLOT):
        readings.append(Reading(time, register))
        register += dice.randrange(600)
    certifier, previous, certified = Certifier(series, keys), None, []
    for day in period.days(ZONE):
        previous = certifier.certify(day, readings, previous)
        certified.append(previous)
    starts = [t for one in certified for t in one.use.grid.boundaries()[:-1]]
    begin, end = period.bounds(ZONE)
    context = NumbersContext(
        series.meter, (series.register,), begin, end, 15, prices.digest, recipient, "settlement",
        nonce,
    )  # fmt: skip
    total = settled_total([factor * one for one in prices.weights(starts, SLOT)])
    source, days = stated_numbers(certifier, certified, [total])
    known = source.opening
    assert isinstance(known, VectorOpening)
    if opening:
        blindings = tuple((one + opening) % ORDER for one in known.blindings)
        source = replace(source, opening=replace(known, blindings=blindings))
    if halves:
        less = replace(known, uses=tuple(wh // 2 for wh in known.uses))
        source = replace(source, opening=less)
    proof = proof_that_tells(context, source, total, tells, is_false=bool(opening))
    return SettlementAnswer(
        About(series.meter, begin, end, nonce),
        proof,
        prices.digest,
        days,
    )


QUESTION = SettlementQuestion(About(b"meter", *DAYS.bounds(ZONE), bytes(16)), b"signed")
HONEST = answer()
NUMBER = slice(33, 65)
"""Where in a proof the number is: after the commitment to the sum."""
VALUE = decode_scalar(HONEST.proof[NUMBER]) - LARGEST_VALUE  # pennies, told with an offset


def check(lie: SettlementAnswer) -> int:
    return check_settlement(
        QUESTION, lie.encode(), INDEX, DAYS, SERIES, KEYS.public_key
    ).value  # fmt: skip


def reissued(lie: SettlementAnswer) -> SettlementAnswer:
    """Say of an answer to something else that it is the one to this question."""
    return replace(lie, about=QUESTION.about, digest=INDEX.digest)


def other_commitment() -> SettlementAnswer:
    first, *rest = (CertifiedDay.decode(day) for day in HONEST.days)
    content = first.content
    assert isinstance(content, DayContent)
    forged = CertifiedDay.sign(replace(content, vector=content.start), FORGER.signing_key)
    return replace(HONEST, days=(forged.encode(), *(day.encode() for day in rest)))


LIES: dict[str, tuple[Callable[[], SettlementAnswer], str]] = {
    "another index": (lambda: answer(prices=index(2)), "index"),
    "another index by this one's name": (lambda: reissued(answer(prices=index(2))), "proof"),
    "another period": (lambda: answer(period=NEXT), "message"),
    "another period by this one's name": (lambda: reissued(answer(period=NEXT)), "chain"),
    "another meter": (lambda: answer(series=OTHER), "message"),
    "another meter by this one's name": (lambda: reissued(answer(series=OTHER)), "chain"),
    "an earlier answer": (lambda: answer(nonce=bytes(15) + b"\1"), "message"),
    "an earlier answer, renamed": (lambda: reissued(answer(nonce=bytes(15) + b"\1")), "proof"),
    "an answer to somebody else": (lambda: answer(recipient="supplier"), "proof"),
    "weights doubled": (lambda: answer(factor=2), "proof"),
    "a penny less": (lambda: answer(tells=-1), "proof"),
    "a penny more": (lambda: answer(tells=1), "proof"),
    "a value of the other sign": (lambda: answer(tells=-2 * VALUE), "proof"),
    "blindings off by one": (lambda: answer(opening=1), "proof"),
    "other uses than the certified ones": (lambda: answer(halves=True), "proof"),
    "a number beyond the order": (
        lambda: replace(HONEST, proof=HONEST.proof[:33] + b"\xff" * 32 + HONEST.proof[65:]),
        "proof",
    ),
    "a number without its proof": (lambda: replace(HONEST, proof=HONEST.proof[:65]), "proof"),
    "a day less": (lambda: replace(HONEST, days=HONEST.days[1:]), "chain"),
    "a day twice": (lambda: replace(HONEST, days=HONEST.days[:1] + HONEST.days[:-1]), "chain"),
    "days in another order": (lambda: replace(HONEST, days=HONEST.days[::-1]), "chain"),
    "other commitments": (other_commitment, "signature"),
    "a certifier of one's own": (
        lambda: answer(keys=FORGER),
        "signature",
    ),
}


def test_the_honest_answer_is_what_the_prices_make() -> None:
    assert check(HONEST) == VALUE * PENNY > 0
    assert check(answer()) == VALUE * PENNY


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_by_the_check_that_is_there_for_it(lie: str) -> None:
    make, name = LIES[lie]
    with pytest.raises(AnswerRefused) as refused:
        check(make())
    assert refused.value.check == name


def test_every_byte_of_value_and_proof_counts() -> None:
    data = HONEST.encode()
    until = data.index(HONEST.days[0])
    for place in range(until):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(AnswerRefused):
            check_settlement(QUESTION, changed, INDEX, DAYS, SERIES, KEYS.public_key)
