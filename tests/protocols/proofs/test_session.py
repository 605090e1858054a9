# SPDX-License-Identifier: Apache-2.0
"""Statements of many parts, run by both sides, over both schemes of commitments."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.proofs import (
    ORDER,
    FalseStatement,
    Malformed,
    PointVector,
    ProofRefused,
    Transcript,
    commit,
    commit_many,
)
from protocols.proofs.batch import find_refused, verify_all
from protocols.proofs.group import multiply_generator
from protocols.proofs.quantity import LARGEST_LIMIT, Quantity, SlotOpening, Source
from protocols.proofs.session import Prover, Session, Verifier
from protocols.proofs.vector import VectorCommitment, VectorOpening, VectorPart, commit_vector
from tests.support.soak import places

DICE = random.Random(29)
PARTS = (VectorPart.of_day(1, 6), VectorPart.of_day(2, 6))
USES = tuple(DICE.randrange(3000) for _ in range(12))
BLINDINGS = tuple(DICE.randrange(1, ORDER) for _ in range(12))
FORMS = [tuple(DICE.randrange(-50, 400) for _ in range(12)) for _ in range(2)]


def slots(*, known: bool) -> Source:
    opening = SlotOpening(USES, BLINDINGS) if known else None
    return Source(commit_many(USES, BLINDINGS), b"days", opening)


def vector(*, known: bool) -> Source:
    opening = VectorOpening(USES, tuple(BLINDINGS[:2])) if known else None
    halves = (USES[:6], USES[6:])
    points = PointVector(map(commit_vector, PARTS, halves, BLINDINGS[:2]))
    return Source(VectorCommitment(PARTS, points), b"days", opening)


SOURCES = [slots, vector]
Statement = Callable[[Session, Source], int]


def everything(session: Session, source: Source) -> int:
    """Use each operation of a session once."""
    one, other = session.forms("bands", source, FORMS)
    small = session.commit("a", lambda: 5, 4)
    session.require_equal("five", small * 3, Quantity.constant(15))
    session.require_between("between", small, -2, 9)
    session.require_range("wide", one + other * 2 + 10**9, 40)
    chosen = session.choose("of", (one, other, small), lambda: 2)
    session.require_equal("chosen", chosen, small)
    session.open("part", small - 100)
    return session.open("total", one - other + chosen)


def prove(statement: Statement, source: Source, seed: bytes = bytes(32)) -> bytes:
    prover = Prover(Transcript("t", 1), seed)
    statement(prover, source)
    return prover.finish()


def verify(statement: Statement, source: Source, proof: bytes, version: int = 1) -> int:
    verifier = Verifier(Transcript("t", version), proof)
    value = statement(verifier, source)
    verify_all([verifier.finish("the statement")])
    return value


@pytest.mark.parametrize("source", SOURCES)
def test_both_sides_run_the_same_statement_and_agree(source: Callable[..., Source]) -> None:
    proof = prove(everything, source(known=True))
    values = [sum(w * x for w, x in zip(form, USES, strict=True)) for form in FORMS]
    assert verify(everything, source(known=False), proof) == values[0] - values[1] + 5


@pytest.mark.more_in_soak
@pytest.mark.parametrize("source", SOURCES)
def test_every_flipped_byte_of_a_proof_is_refused(source: Callable[..., Source]) -> None:
    def statement(session: Session, source: Source) -> int:
        one, other = session.forms("bands", source, FORMS)
        small = session.commit("a", lambda: 2, 2)
        session.require_equal("two", small * 3, Quantity.constant(6))
        chosen = session.choose("of", (one, small), lambda: 0)
        return session.open("total", one - other + chosen)

    proof, public = prove(statement, source(known=True)), source(known=False)
    for place in places(proof):
        bent = bytearray(proof)
        bent[place] ^= 1 << place % 8
        verifier = Verifier(Transcript("t", 1), bytes(bent))
        try:
            statement(verifier, public)
            refused = find_refused([verifier.finish("the statement")])
        except (ProofRefused, Malformed):
            continue
        assert refused, place


@pytest.mark.parametrize("bend", [lambda p: p[:-1], lambda p: p + b"\0", lambda _: b""])
def test_a_cut_or_extended_proof_is_malformed(bend: Callable[[bytes], bytes]) -> None:
    proof = prove(everything, slots(known=True))
    with pytest.raises(Malformed):
        verify(everything, slots(known=False), bend(proof))


def test_a_proof_does_not_move_to_another_context_or_source() -> None:
    proof = prove(everything, slots(known=True))
    with pytest.raises(ProofRefused):
        verify(everything, slots(known=False), proof, version=2)
    public = slots(known=False)
    with pytest.raises(ProofRefused):
        verify(everything, Source(public.commitment, b"other days"), proof)
    others = commit_many(USES, BLINDINGS[::-1])
    with pytest.raises(ProofRefused):
        verify(everything, Source(others, b"days"), proof)


def test_the_refusal_names_the_part_that_does_not_hold() -> None:
    def wrong(session: Session, source: Source) -> int:
        if isinstance(session, Verifier):
            source = Source(commit_many(USES, BLINDINGS[::-1]), b"days")
        session.commit("flag", lambda: 1, 1)  # or a digest would refuse the whole
        return session.open("fee", session.forms("use", source, FORMS[:1])[0])

    proof = prove(wrong, slots(known=True))
    with pytest.raises(ProofRefused, match="the statement: fee"):
        verify(wrong, slots(known=False), proof)


FALSE: dict[str, Statement] = {
    "equal": lambda s, _: bool(s.require_equal("e", Quantity.constant(1), Quantity.constant(2))),
    "range": lambda s, _: s.require_range("r", Quantity.constant(16), 4).limit,
    "negative": lambda s, _: s.require_range("r", Quantity.constant(-1), 4).limit,
    "between": lambda s, _: s.require_between("b", Quantity.constant(7), 0, 6).limit,
    "commit": lambda s, _: s.commit("c", lambda: 16, 4).limit,
    "open": lambda s, _: s.open("o", Quantity.constant(2**63)),
}


@pytest.mark.parametrize("kind", FALSE)
def test_the_prover_refuses_what_does_not_hold(kind: str) -> None:
    with pytest.raises(FalseStatement):
        prove(FALSE[kind], slots(known=True))


def test_the_prover_refuses_to_prove_without_an_opening() -> None:
    for source in (slots(known=False), vector(known=False)):
        with pytest.raises(FalseStatement, match="lacks the opening"):
            prove(everything, source)
    hidden = Quantity(commit(1, 2), 5)
    with pytest.raises(FalseStatement, match="lacks the opening"):
        assert hidden.value == 1


def test_no_quantity_may_come_near_half_the_order() -> None:
    with pytest.raises(ValueError, match="wrap around"):
        Quantity.constant(LARGEST_LIMIT) + 1
    with pytest.raises(ValueError, match="wrap around"):
        Quantity(commit(1, 2), 3) * LARGEST_LIMIT
    with pytest.raises(ValueError, match="wrap around"):
        prove(lambda s, source: len(s.forms("f", source, [(2**190,) * 12])), slots(known=True))


def test_statements_that_make_no_sense_are_refused_on_both_sides() -> None:
    source = slots(known=True)
    with pytest.raises(ValueError, match="12 slots"):
        prove(lambda s, source: len(s.forms("f", source, [(1,) * 11])), source)
    with pytest.raises(ValueError, match="range of 129"):
        prove(lambda s, _: s.require_range("r", Quantity.constant(1), 129).limit, source)
    with pytest.raises(ValueError, match="nothing lies between"):
        prove(lambda s, _: s.require_between("b", Quantity.constant(1), 3, 3).limit, source)


def test_quantities_do_arithmetic_on_values_blindings_and_points_alike() -> None:
    a, b = (Quantity(commit(x, r), 100, (x, r)) for x, r in ((7, 5), (11, 3)))
    for quantity, value in [(a + b, 18), (a - b, -4), (-a, -7), (3 * a, 21), (a * -2, -14),
                            (a + 5, 12), (b - 1, 10)]:  # fmt: skip
        assert quantity.secret is not None
        assert quantity.value == value
        assert quantity.point == commit(*quantity.secret)
        assert abs(value) <= quantity.limit


def test_a_hundred_customers_are_verified_at_once_and_the_liar_is_found() -> None:
    def fee(session: Session, source: Source) -> int:
        return session.open("fee", session.forms("use", source, FORMS[:1])[0])

    checks = []
    for customer in range(20):
        proof = prove(fee, vector(known=True), bytes([customer]) * 32)
        claimed = bytearray(proof)
        if customer == 13:
            claimed[-1] ^= 1
        verifier = Verifier(Transcript("t", 1), bytes(claimed))
        fee(verifier, vector(known=False))
        checks.append(verifier.finish(f"customer {customer}"))
    assert find_refused(checks) == [13]
    with pytest.raises(ProofRefused, match="customer 13: use"):
        verify_all(checks)


@pytest.mark.parametrize("source", SOURCES)
def test_windows_are_sums_of_neighbouring_slots(source: Callable[..., Source]) -> None:
    windows = [range(1), range(5, 6), range(3, 9), range(12)]

    def statement(session: Session, source: Source) -> int:
        return [session.open("use", use) for use in session.windows("w", source, windows)][-1]

    proof = prove(statement, source(known=True))
    verifier = Verifier(Transcript("t", 1), proof)
    opened = [verifier.open("use", q) for q in verifier.windows("w", source(known=False), windows)]
    verify_all([verifier.finish("windows")])
    assert opened == [sum(USES[window.start : window.stop]) for window in windows]
    moved = Verifier(Transcript("t", 1), proof)
    others = [range(1, 2), *windows[1:]]
    with pytest.raises((ProofRefused, Malformed)):
        for quantity in moved.windows("w", source(known=False), others):
            moved.open("use", quantity)
        verify_all([moved.finish("windows")])


@pytest.mark.parametrize("window", [range(0), range(5, 5), range(-1, 2), range(11, 13),
                                    range(0, 4, 2)])  # fmt: skip
def test_windows_outside_of_the_period_are_refused(window: range) -> None:
    with pytest.raises(ValueError, match="window"):
        prove(lambda s, source: len(s.windows("w", source, [window])), slots(known=True))


def test_a_whole_day_in_one_point_is_shown_to_sum_to_the_register() -> None:
    start, end = (1000, 55), (1000 + sum(USES), 66)

    def statement(session: Session, source: Source) -> int:
        known = isinstance(session, Prover)
        before = session.given("start", commit(*start), 2**63, start if known else None)
        after = session.given("end", commit(*end), 2**63, end if known else None)
        [total] = session.forms("sum", source, [(1,) * 12])
        session.require_equal("sum", total, after - before)
        return 0

    verify(statement, vector(known=False), prove(statement, vector(known=True)))
    end = (end[0] + 1, end[1])
    with pytest.raises(FalseStatement):
        prove(statement, vector(known=True))


@given(st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_malformed_or_refused(data: bytes) -> None:
    public = slots(known=False)
    for proof in (data, multiply_generator(5).encode() + bytes(31) + b"\1" + data):
        with pytest.raises((Malformed, ProofRefused)):
            verify(everything, public, proof)
