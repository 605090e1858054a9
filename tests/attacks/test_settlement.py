# SPDX-License-Identifier: Apache-2.0
"""Hubs that lie to those who settle: each lie meets the check that is there for it."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from applets.common.evidence import AnswerRefused
from applets.common.questions import About
from applets.settlement.messages import SettlementAnswer, SettlementQuestion
from applets.settlement.statement import check_settlement
from hub.certifier import Certifier, CertifierKeys
from hub.readings import Reading
from protocols.amounts import SlotForm, Sum
from protocols.metrology import CertifiedDay, DayContent, Period, Series
from protocols.proofs import ORDER, Prover, Quantity, Source, StatementContext, open_amounts
from protocols.proofs.amounts import PROTOCOL, VERSION, state_amounts
from protocols.proofs.group import decode_scalar
from tariffs import PriceIndex
from tariffs.energy import PriceSeries
from tests.support.statements import stated

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


def answer(
    *,
    period: Period = DAYS,
    series: Series = SERIES,
    keys: CertifierKeys = KEYS,
    prices: PriceIndex = INDEX,
    nonce: bytes = bytes(16),
    recipient: str = "settlement",
    factor: int = 1,
    forge: Callable[[StatementContext, Source, Sum], bytes] | None = None,
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
    context = StatementContext(
        series.meter, series.register, begin, end, 15, prices.digest, recipient, "settlement", nonce
    )
    amount = Sum(SlotForm.of_each([factor * one for one in prices.weights(starts, SLOT)]))
    source, days = stated(certifier, certified, [amount])
    proof = forge(context, source, amount) if forge else None
    return SettlementAnswer(
        About(series.meter, begin, end, nonce),
        proof or open_amounts(context, source, [amount], bytes(32))[1],
        prices.digest,
        days,
    )


QUESTION = SettlementQuestion(About(b"meter", *DAYS.bounds(ZONE), bytes(16)), b"signed")
HONEST = answer()
NUMBERS = slice(33, 97)
"""Where in a proof the value and its blinding are: after the commitment to the value."""
VALUE = decode_scalar(HONEST.proof[NUMBERS][:32])


class Liar(Prover):
    """Opens other numbers than it has committed to, and proves the rest of it rightly."""

    value, blinding = 0, 0

    def open(self, label: str, quantity: Quantity) -> int:
        value, blinding = quantity.opened()
        self._say(label, quantity)
        self._channel.send_scalar("value", told := self.value or value)
        self._channel.send_scalar("blinding", (blinding + self.blinding) % ORDER)
        return told


def says(value: int = VALUE, blinding: int = 0) -> SettlementAnswer:
    """An answer with other numbers, rightly bound to its context."""

    def forge(context: StatementContext, source: Source, amount: Sum) -> bytes:
        liar = Liar(context.transcript(PROTOCOL, VERSION), bytes(32))
        liar.value, liar.blinding = value, blinding
        state_amounts(liar, source, [amount])
        return liar.finish()

    return answer(forge=forge)


def other_uses() -> SettlementAnswer:
    """Half the use, says a proof that is right but for the days' commitments."""

    def forge(context: StatementContext, source: Source, amount: Sum) -> bytes:
        known = source.opening
        assert known is not None
        less = replace(known, uses=tuple(wh // 2 for wh in known.uses))
        return open_amounts(context, replace(source, opening=less), [amount], bytes(32))[1]

    return answer(forge=forge)


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
    "a lower value": (lambda: says(VALUE - 1), "proof"),
    "a value of the other sign": (lambda: says(-VALUE % ORDER), "proof"),
    "an opening off by one": (lambda: says(blinding=1), "proof"),
    "other uses than the certified ones": (other_uses, "proof"),
    "an opening beyond the order": (
        lambda: replace(HONEST, proof=HONEST.proof[:65] + b"\xff" * 32 + HONEST.proof[97:]),
        "proof",
    ),
    "a value and no proof": (lambda: replace(HONEST, proof=HONEST.proof[:97]), "proof"),
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
    assert check(HONEST) == VALUE > 0
    assert check(says()) == VALUE


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
