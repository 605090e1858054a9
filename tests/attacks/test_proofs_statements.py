# SPDX-License-Identifier: Apache-2.0
"""Provers that lie about a tiered bill or a demand charge, each in its own way.

The bill: three tiers for each of two bands, VAT, rounded to the cent, only the total shown. The
demand charge: the largest slot, and neither when it was nor any other. Each lie is told by a
prover that skips its own checks; the refusal names the part that does not hold.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from protocols.amounts import QuotientRule
from protocols.proofs import (
    ORDER,
    FalseStatement,
    Malformed,
    PointVector,
    ProofRefused,
    Prover,
    Quantity,
    Session,
    SlotOpening,
    Source,
    StatementContext,
    VectorCommitment,
    VectorOpening,
    VectorPart,
    Verifier,
    commit,
    commit_many,
    commit_vector,
    largest,
    rounded,
    tiers,
    verify_all,
)
from protocols.proofs.many_ranges import FEW_ITEMS

DICE = random.Random(31)
PARTS = (VectorPart.of_day(1, 24), VectorPart.of_day(2, 24))
USES = tuple(DICE.randrange(2000) for _ in range(48))
BLINDINGS = tuple(DICE.randrange(1, ORDER) for _ in range(48))
DAY = tuple(int(6 <= slot % 24 < 22) for slot in range(48))
NIGHT = tuple(1 - flag for flag in DAY)
PRICES = (28, 33, 41)
LIMITS = (10_000, 20_000)
CONTEXT = StatementContext(
    b"meter", bytes(6), 0, 172_800, 60, bytes(32), "Supplier", "bill", bytes(16)
)


def slots(known: bool = False, uses: Sequence[int] = USES) -> Source:
    opening = SlotOpening(tuple(uses), BLINDINGS) if known else None
    return Source(commit_many(USES, BLINDINGS), b"digests of the days", opening)


def vector(known: bool = False, uses: Sequence[int] = USES) -> Source:
    halves = (USES[:24], USES[24:])
    points = PointVector(map(commit_vector, PARTS, halves, BLINDINGS[:2]))
    opening = VectorOpening(tuple(uses), tuple(BLINDINGS[:2])) if known else None
    return Source(VectorCommitment(PARTS, points), b"digests of the days", opening)


Statement = Callable[[Session, Source], int]


def bill(
    session: Session,
    source: Source,
    prices: Sequence[int] = PRICES,
    limits: Sequence[int] = LIMITS,
    vat: int = 119,
) -> int:
    """Return the bill in cents: prices in 10^-5 of the currency for a watt-hour."""
    total = Quantity.constant(0)
    for name, band in zip(("day", "night"), session.forms("bands", source, (DAY, NIGHT)),
                          strict=True):  # fmt: skip
        for price, part in zip(prices, tiers(session, name, band, limits, 17), strict=True):
            total += part * price
    cents = rounded(session, "rounding", total * vat, 100 * 1000, QuotientRule.HALF_UP, 17)
    return session.open("total", cents)


def plain_bill() -> int:
    total = 0
    for form in (DAY, NIGHT):
        rest = sum(w * x for w, x in zip(form, USES, strict=True))
        for price, width in zip(PRICES, (10_000, 10_000, 10**9), strict=True):
            total += price * min(rest, width)
            rest -= min(rest, width)
    return (total * 119 + 50_000) // 100_000


def demand(session: Session, source: Source, count: int = 9) -> int:
    """Return the largest of the first nine slots."""
    forms = [tuple(int(slot == own) for slot in range(48)) for own in range(count)]
    return session.open("peak", largest(session, "peak", session.forms("use", source, forms), 12))


def demand_of_few(session: Session, source: Source) -> int:
    """Return the largest of the first eight slots: one is chosen, and none looked up."""
    return demand(session, source, FEW_ITEMS)


def prove(prover: Prover, statement: Statement, source: Source) -> bytes:
    statement(prover, source)
    return prover.finish()


def honest(context: StatementContext = CONTEXT) -> Prover:
    return Prover(context.transcript("attack", 1), bytes(32))


def check(
    proof: bytes, statement: Statement, source: Source, context: StatementContext = CONTEXT
) -> int:
    verifier = Verifier(context.transcript("attack", 1), proof)
    value = statement(verifier, source)
    verify_all([verifier.finish("the bill")])
    return value


class Liar(Prover):
    """A prover that does not mind what does not hold, and can be told to lie.

    `tell` changes what is committed to, `pick` which option is chosen.
    """

    def __init__(
        self,
        tell: Callable[[str, int], int] = lambda _, value: value,
        pick: Callable[[str, int], int] = lambda _, place: place,
    ) -> None:
        super().__init__(CONTEXT.transcript("attack", 1), bytes(32))
        self._tell, self._pick = tell, pick

    def commit(self, label: str, value: Callable[[], int], width: int) -> Quantity:
        return super().commit(label, lambda: self._tell(label, value()), width)

    def choose(self, label: str, options: Sequence[Quantity], pick: Callable[[], int]) -> Quantity:
        return super().choose(label, options, lambda: self._pick(label, pick()))

    def _commit_largest(self, label: str, items: Sequence[Quantity]) -> Quantity:
        highest = max(range(len(items)), key=lambda place: items[place].value)
        return super()._commit_largest(label, [items[self._pick(label, highest)]])

    def require_range(self, label: str, quantity: Quantity, width: int) -> Quantity:
        assert quantity.secret is not None
        value, blinding = quantity.secret
        lie = Quantity(quantity.point, quantity.limit, (value % (1 << width), blinding))
        return Session.require_range(self, label, lie, width)


SOURCES = [slots, vector]


@pytest.mark.parametrize("source", SOURCES)
def test_the_honest_bill_is_the_plain_one_and_verifies(source: Callable[..., Source]) -> None:
    proof = prove(honest(), bill, source(known=True))
    assert check(proof, bill, source()) == plain_bill()
    proof = prove(honest(), demand, source(known=True))
    assert check(proof, demand, source()) == max(USES[:9])
    proof = prove(honest(), demand_of_few, source(known=True))
    assert check(proof, demand_of_few, source()) == max(USES[:8])
    # A liar who happens to tell the truth passes: the lies below are what is refused.
    assert check(prove(Liar(), bill, slots(known=True)), bill, slots()) == plain_bill()


@pytest.mark.parametrize(
    ("statement", "liar"),
    [
        (bill, Liar(pick=lambda label, place: 1 - place if label == "day" else place)),
        (bill, Liar(tell=lambda label, value: value - 1 if label == "rounding" else value)),
        (bill, Liar(tell=lambda label, value: value + 1 if label == "rounding" else value)),
        (demand, Liar(pick=lambda _, place: (place + 1) % 9)),
        (demand, Liar(pick=lambda _, place: min(range(9), key=lambda slot: USES[slot]))),
        (demand_of_few, Liar(pick=lambda _, place: (place + 1) % 8)),
        (demand_of_few, Liar(pick=lambda _, place: min(range(8), key=lambda slot: USES[slot]))),
    ],
)
def test_a_wrong_tier_rounding_or_peak_is_out_of_some_range(
    statement: Statement, liar: Liar
) -> None:
    proof = prove(liar, statement, slots(known=True))
    with pytest.raises(ProofRefused, match="the ranges of"):
        check(proof, statement, slots())


def test_uses_that_were_not_certified_are_neither_proved_nor_accepted() -> None:
    lower = (*USES[:5], 0, *USES[6:])
    with pytest.raises(FalseStatement):  # the options of a tier are the certified ones
        prove(Liar(), bill, slots(known=True, uses=lower))
    proof = prove(Liar(), bill, vector(known=True, uses=lower))
    with pytest.raises(ProofRefused, match="the bill: bands"):
        check(proof, bill, vector())


@pytest.mark.parametrize(
    "other",
    [
        {"meter": b"neighbour"},
        {"register": b"\1" * 6},
        {"begin": 86_400},
        {"end": 259_200},
        {"slot_minutes": 30},
        {"parameters": b"\1" * 32},
        {"recipient": "Grid"},
        {"purpose": "settlement"},
        {"nonce": b"\1" * 16},
    ],
)
@pytest.mark.parametrize("source", SOURCES)
def test_a_proof_for_another_context_is_refused(
    source: Callable[..., Source], other: dict[str, Any]
) -> None:
    proof = prove(honest(replace(CONTEXT, **other)), bill, source(known=True))
    with pytest.raises(ProofRefused):
        check(proof, bill, source())


@pytest.mark.parametrize(
    "other",
    [
        lambda s, source: bill(s, source, prices=(28, 33, 40)),
        lambda s, source: bill(s, source, limits=(10_000, 20_001)),
        lambda s, source: bill(s, source, vat=107),
        lambda s, source: bill(s, Source(source.commitment, b"other days", source.opening)),
    ],
)
@pytest.mark.parametrize("source", SOURCES)
def test_a_proof_for_another_tariff_or_other_days_is_refused(
    source: Callable[..., Source], other: Statement
) -> None:
    proof = prove(honest(), other, source(known=True))
    with pytest.raises(ProofRefused):
        check(proof, bill, source())


def test_the_proof_of_another_household_is_refused() -> None:
    others = tuple(DICE.randrange(1, ORDER) for _ in range(48))
    theirs = Source(commit_many(USES, others), b"digests of the days", SlotOpening(USES, others))
    proof = prove(honest(), bill, theirs)
    with pytest.raises(ProofRefused):
        check(proof, bill, slots())


def test_a_total_that_wraps_around_the_order_is_not_shown_as_a_small_one() -> None:
    negative = Quantity(commit(ORDER - 5, 7), 10**9, (ORDER - 5, 7))

    def credit(session: Session, _: Source) -> int:
        return session.open("total", negative if isinstance(session, Prover)
                            else Quantity(negative.point, 10**9))  # fmt: skip

    with pytest.raises(FalseStatement, match="63 bits"):
        prove(honest(), credit, slots())

    def ranged(session: Session, source: Source) -> int:
        session.require_range("total", negative, 20)
        return 0

    with pytest.raises(ProofRefused, match="the ranges of total"):
        check(prove(Liar(), ranged, slots()), ranged, slots())


@pytest.mark.parametrize("source", SOURCES)
def test_flipped_bytes_anywhere_in_a_bill_are_refused(source: Callable[..., Source]) -> None:
    proof, public = prove(honest(), bill, source(known=True)), source()
    for place in range(0, len(proof), 97):
        bent = bytearray(proof)
        bent[place] ^= 0x80 >> place % 8
        with pytest.raises((ProofRefused, Malformed)):
            check(bytes(bent), bill, public)


def test_two_bills_over_the_same_slots_share_no_commitment() -> None:
    once = prove(honest(), bill, vector(known=True))
    again = prove(honest(replace(CONTEXT, nonce=b"\1" * 16)), bill, vector(known=True))
    assert len(once) == len(again)
    points = {once[start : start + 33] for start in range(0, len(once), 33)}
    assert not points & {again[start : start + 33] for start in range(0, len(again), 33)}
