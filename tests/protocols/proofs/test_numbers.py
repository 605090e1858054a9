# SPDX-License-Identifier: Apache-2.0
"""Numbers of several registers: rounded as said, bound to all they are about; no lie holds."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Above,
    Best,
    Bucket,
    Combine,
    Count,
    Excess,
    Group,
    Least,
    Metered,
    Most,
    NumberAmount,
    Peaks,
    QuotientRule,
    Reading,
    Rounding,
    SlotForm,
    Sum,
    Tiered,
    Total,
    TotalStep,
)
from protocols.proofs import (
    FalseStatement,
    Malformed,
    NumbersContext,
    ProofRefused,
    Prover,
    Quantity,
    SlotOpening,
    Source,
    Transcript,
    Verifier,
    commit,
    numbers_check,
    open_numbers,
    verify_all,
    verify_numbers,
)
from protocols.proofs.quotients import Dividend, hidden_quotient
from protocols.proofs.session import remainders
from tests.protocols.proofs.sources import days, hidden, slots
from tests.support.soak import places

COUNT: Final = 8
DRAWN = (300, 0, 90, 1200, 41, 7, 800, 650)
FED_IN = (0, 500, 900, 0, 0, 33, 1, 0)
CONTEXT = NumbersContext(
    meter=b"meter 1",
    registers=(bytes.fromhex("0100010800ff"), bytes.fromhex("0100020800ff")),
    begin=1_740_783_600,
    end=1_743_458_400,
    slot_minutes=15,
    parameters=bytes(32),
    recipient="supplier",
    purpose="billing",
    nonce=bytes(16),
)
ONE = replace(CONTEXT, registers=CONTEXT.registers[:1])
SCHEMES = (slots, days)
Scheme = Callable[[tuple[int, ...]], Source]


def each(weight: int, *places: int) -> SlotForm:
    return SlotForm.of(dict.fromkeys(places or range(COUNT), weight))


SUM = Sum(each(300))
BLOCKS = Tiered((Bucket(each(1), (1000, 2500), (210, -50, 360)),))
PEAK = Peaks((Group((each(1, 0, 1), each(1, 2, 3), each(1, 4, 5)), 100),))
RATED = Peaks((Group((each(1, 0), each(1, 1)), 0), Group((each(1, 2),), 7)), 1, (60, 7))
EXCESS = Excess(each(40), (Above(100, each(25)), Above(700, each(5, 3, 6))))
COUNTED = Count((each(1, 0, 1), each(1, 2, 3), each(1, 4, 5)), 900)


def plain(amount: Any, divisor: int = 10_000, rule: QuotientRule = QuotientRule.HALF_UP) -> Total:
    return Total((Metered(0, amount),), (), divisor, rule)


BILL = Total(
    (
        Metered(0, SUM),
        Metered(1, Sum(each(-80))),
        Metered(0, BLOCKS),
        Metered(0, PEAK),
        Metered(0, EXCESS),
    ),
    (
        Combine(((3, 333),)),
        Rounding(5, 31, QuotientRule.HALF_EVEN),
        Combine(((0, 1), (1, 1), (2, 1), (4, 1), (6, 3)), 12_345),
        Combine((), 900_000),
        Least((7, 8)),
        Combine(((9, 19),)),
        Rounding(10, 100, QuotientRule.HALF_UP),
        Combine(((9, 1), (11, 1)), -77_000),
    ),
    10_000,
    QuotientRule.HALF_EVEN,
)
KINDS: dict[str, tuple[NumberAmount, ...]] = {
    "a plain sum": (plain(SUM, 1),),
    "a rounded sum": (plain(SUM),),
    "blocks": (plain(BLOCKS),),
    "a peak": (plain(PEAK, 10),),
    "rated peaks": (plain(RATED, 3),),
    "an excess": (plain(EXCESS),),
    "a count": (plain(COUNTED, 1),),
    "a premium for each window that is not above": (
        Total(
            (Metered(0, SUM), Metered(0, COUNTED)),
            (Combine(((0, 1), (1, -50_000))),),
            10_000,
            QuotientRule.HALF_UP,
        ),
    ),
    "a best": (Best((each(1, 0), each(1, 3), each(1, 6))),),
    "a reading": (Reading(3),),
    "readings": (Reading(0), Reading(7)),
    "some of all": (plain(SUM), Reading(2), plain(BLOCKS), Best((each(1, 0), each(1, 3)))),
}


def sources(scheme: Scheme, *uses: tuple[int, ...]) -> list[Source]:
    made = [scheme(one) for one in uses]
    return [replace(one, identity=b"days %d" % n) for n, one in enumerate(made)]


def expected(numbers: tuple[NumberAmount, ...], *uses: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        one.value_of(uses) if isinstance(one, Total) else one.value_of(uses[0]) for one in numbers
    )


def verify(
    context: NumbersContext, known: list[Source], numbers: Any, proof: bytes
) -> tuple[int, ...]:
    return verify_numbers(context, [hidden(one) for one in known], numbers, proof, "it")[0]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_opened_is_what_it_comes_to(scheme: Scheme, kind: str) -> None:
    known, numbers = sources(scheme, DRAWN), KINDS[kind]
    values, proof = open_numbers(ONE, known, numbers, bytes(32))
    assert values == expected(numbers, DRAWN)
    assert verify(ONE, known, numbers, proof) == values


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bill_of_two_registers_is_one_number(scheme: Scheme) -> None:
    known = sources(scheme, DRAWN, FED_IN)
    values, proof = open_numbers(CONTEXT, known, (BILL,), bytes(32))
    assert values == expected((BILL,), DRAWN, FED_IN)
    assert verify(CONTEXT, known, (BILL,), proof) == values


def test_registers_may_be_committed_to_in_different_schemes() -> None:
    known = [slots(DRAWN), replace(days(FED_IN), identity=b"others")]
    values, proof = open_numbers(CONTEXT, known, (BILL,), bytes(32))
    assert verify(CONTEXT, known, (BILL,), proof) == values


STEPS = st.sampled_from(
    [
        Rounding(0, 7, QuotientRule.DOWN),
        Rounding(0, 8, QuotientRule.HALF_UP),
        Rounding(0, 900, QuotientRule.HALF_EVEN),
        Rounding(0, 901, QuotientRule.HALF_EVEN),
    ]
)
RULES = st.sampled_from(QuotientRule)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2000), min_size=8, max_size=8).map(tuple),
    st.integers(-(10**7), 10**7),
    STEPS,
    st.integers(1, 5000),
    RULES,
    st.sampled_from(SCHEMES),
)
def test_any_total_of_either_sign_is_proved_as_it_is_worked_out(
    uses: tuple[int, ...], constant: int, step: Rounding, divisor: int, rule: QuotientRule,
    scheme: Scheme,
) -> None:  # fmt: skip
    signed = Combine(((0, 3),), constant)
    total = Total(
        (Metered(0, SUM),),
        (
            signed,
            replace(step, place=1),
            Combine(((1, 1), (2, -5)), 3),
            Combine((), 250),
            Most((3, 4)),
        ),
        divisor,
        rule,
    )  # fmt: skip
    known = sources(scheme, uses)
    values, proof = open_numbers(ONE, known, (total,), bytes(32))
    assert values == expected((total,), uses)
    assert verify(ONE, known, (total,), proof) == values


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(1, 3000), RULES)
def test_an_opened_quotient_is_the_number_by_its_rule(
    number: int, divisor: int, rule: QuotientRule
) -> None:
    prover = Prover(Transcript("t", 1), bytes(32))
    secret = Quantity(commit(number, 5), 10**7, (number, 5))
    assert prover.open_quotient("it", secret, divisor, rule) == rule.divide(number, divisor)
    verifier = Verifier(Transcript("t", 1), prover.finish())
    open_number = Quantity(secret.point, 10**7)
    assert verifier.open_quotient("it", open_number, divisor, rule) == rule.divide(number, divisor)
    verify_all([verifier.finish("it")])


@pytest.mark.parametrize("rule", QuotientRule)
@pytest.mark.parametrize("divisor", range(1, 13))
def test_remainders_are_just_those_that_round_to_the_number(
    rule: QuotientRule, divisor: int
) -> None:
    for quotient in range(-4, 5):
        low, high = remainders(quotient, divisor, rule)
        for number in range(-5 * divisor - 5, 5 * divisor + 6):
            rounds = rule.divide(number, divisor) == quotient
            assert rounds == (low <= number - quotient * divisor <= high)


@pytest.mark.parametrize("rule", QuotientRule)
@pytest.mark.parametrize("divisor", [2, 3, 10, 13])
@pytest.mark.parametrize("sign", [None, 1, -1])
def test_hidden_quotients_are_right_for_each_sign_and_tie(
    rule: QuotientRule, divisor: int, sign: int | None
) -> None:
    numbers = [n for n in range(-3 * divisor, 3 * divisor + 1) if sign is None or n * sign >= 0]
    bounds = {None: (-100, 100), 1: (0, 100), -1: (-100, 0)}[sign]
    secrets = [Quantity(commit(n, 9), 1000, (n, 9)) for n in numbers]

    def state(session: Prover | Verifier, quantities: list[Quantity]) -> list[Quantity]:
        return [
            hidden_quotient(session, "it", Dividend(one, bounds, sign), divisor, rule)
            for one in quantities
        ]

    prover = Prover(Transcript("t", 1), bytes(32))
    results = state(prover, secrets)
    assert [one.value for one in results] == [rule.divide(n, divisor) for n in numbers]
    verifier = Verifier(Transcript("t", 1), prover.finish())
    state(verifier, [Quantity(one.point, 1000) for one in secrets])
    verify_all([verifier.finish("it")])


# What a proof is bound to

OTHERS: dict[str, dict[str, Any]] = {
    "nonce": {"nonce": bytes(15) + b"\1"},
    "longer nonce": {"nonce": bytes(17)},
    "recipient": {"recipient": "grid"},
    "purpose": {"purpose": "profiling"},
    "meter": {"meter": b"meter 2"},
    "register": {"registers": (bytes.fromhex("0100020800ff"),)},
    "tariff": {"parameters": bytes(31) + b"\1"},
    "begin": {"begin": CONTEXT.begin - 86_400},
    "end": {"end": CONTEXT.end + 86_400},
    "slot length": {"slot_minutes": 30},
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_proof_holds_for_no_other_context(scheme: Scheme, kind: str) -> None:
    known, numbers = sources(scheme, DRAWN), KINDS[kind]
    _, proof = open_numbers(ONE, known, numbers, bytes(32))
    for other in OTHERS.values():
        with pytest.raises((ProofRefused, Malformed)):
            verify(replace(ONE, **other), known, numbers, proof)
    with pytest.raises((ProofRefused, Malformed)):  # the days of another month
        verify(ONE, [replace(known[0], identity=b"others")], numbers, proof)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_registers_do_not_change_places(scheme: Scheme) -> None:
    total = Total(
        (Metered(0, SUM), Metered(1, SUM)), (Combine(((0, 1), (1, 1))),), 100, QuotientRule.DOWN
    )
    known = sources(scheme, DRAWN, FED_IN)
    _, proof = open_numbers(CONTEXT, known, (total,), bytes(32))
    swapped = replace(CONTEXT, registers=CONTEXT.registers[::-1])
    for context, given_sources in (
        (swapped, known),
        (CONTEXT, known[::-1]),
        (swapped, known[::-1]),
    ):
        with pytest.raises((ProofRefused, Malformed)):
            verify(context, given_sources, (total,), proof)


OTHER_BILLS: list[Callable[[Total], Total]] = [
    lambda b: replace(b, divisor=b.divisor + 1),
    lambda b: replace(b, rule=QuotientRule.DOWN),
    lambda b: replace(b, metered=(Metered(0, Sum(each(301))), *b.metered[1:])),
    lambda b: replace(b, steps=(*b.steps[:-1], Combine(((9, 1), (11, 1)), -76_999))),
    lambda b: replace(b, steps=(*b.steps[:4], Most((7, 8)), *b.steps[5:])),
]


@pytest.mark.parametrize("other", OTHER_BILLS)
def test_a_proof_of_another_bill_is_refused(other: Callable[[Total], Total]) -> None:
    known = sources(slots, DRAWN, FED_IN)
    _, proof = open_numbers(CONTEXT, known, (BILL,), bytes(32))
    with pytest.raises((ProofRefused, Malformed)):
        verify(CONTEXT, known, (other(BILL),), proof)


# Lies

LIES = [("down", -1), ("down", 1), ("half-up", -1), ("half-up", 1), ("half-even", -1),
        ("half-even", 1)]  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("name", "by"), LIES)
def test_a_number_that_is_off_by_one_cannot_be_proved(scheme: Scheme, name: str, by: int) -> None:
    rule, honest = QuotientRule(name), QuotientRule.divide
    known, total = sources(scheme, DRAWN), plain(SUM, rule=rule)
    with (
        patch.object(QuotientRule, "divide", lambda self, n, d: honest(self, n, d) + by),
        pytest.raises(FalseStatement),
    ):
        open_numbers(ONE, known, (total,), bytes(32))


@pytest.mark.parametrize("by", [-1, 1, 10_000, -(10_000)])
def test_a_liar_without_scruples_is_refused(by: int) -> None:
    """Tells another number, and proves the range of the remainder that it should leave."""
    known, total = sources(slots, DRAWN), plain(SUM, rule=QuotientRule.HALF_EVEN)
    honest = QuotientRule.divide
    checked = Prover.require_up_to

    def careless(prover: Prover, label: str, quantity: Quantity, largest: int) -> Quantity:
        value, blinding = quantity.opened()
        lie = Quantity(quantity.point, quantity.limit, (value % (largest + 1), blinding))
        return checked(prover, label, lie, largest)

    with (
        patch.object(QuotientRule, "divide", lambda self, n, d: honest(self, n, d) + by),
        patch.object(Prover, "require_up_to", careless),
    ):
        _, proof = open_numbers(ONE, known, (total,), bytes(32))
    with pytest.raises(ProofRefused):
        verify(ONE, known, (total,), proof)


@pytest.mark.more_in_soak
def test_every_flipped_byte_is_refused() -> None:
    known, numbers = sources(days, DRAWN), KINDS["a rounded sum"]
    _, proof = open_numbers(ONE, known, numbers, bytes(32))
    for place in places(proof, 21):
        bent = bytearray(proof)
        bent[place] ^= 1 << place % 8
        with pytest.raises((ProofRefused, Malformed)):
            verify(ONE, known, numbers, bytes(bent))
    for cut in (proof[:-1], proof + b"\0", b""):
        with pytest.raises((ProofRefused, Malformed)):
            verify(ONE, known, numbers, cut)


def test_a_prover_that_was_handed_other_uses_refuses() -> None:
    known = sources(slots, DRAWN)
    assert isinstance(known[0].opening, SlotOpening)
    forged = replace(known[0], opening=replace(known[0].opening, uses=(0,) * COUNT))
    for kind in ("a plain sum", "a rounded sum", "blocks", "an excess"):
        with pytest.raises(FalseStatement):
            open_numbers(ONE, [forged], KINDS[kind], bytes(32))


def test_a_call_is_of_just_the_registers_that_its_numbers_are_of() -> None:
    both = sources(slots, DRAWN, FED_IN)
    for context, known, numbers in (
        (CONTEXT, both, KINDS["a rounded sum"]),  # a register too many
        (ONE, both[:1], (BILL,)),  # one too few
        (CONTEXT, both[:1], (BILL,)),
        (ONE, both[:1], (plain(Sum(each(1, COUNT))),)),  # beyond the slots
    ):
        with pytest.raises(ValueError, match="register|slots"):
            open_numbers(context, known, numbers, bytes(32))


@pytest.mark.parametrize("registers", [(), (bytes(6), bytes(6)), (bytes(5),), (bytes(6), bytes(7))])
def test_registers_are_codes_each_of_them_once(registers: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="register|OBIS"):
        replace(CONTEXT, registers=registers)


def test_uses_beyond_what_steps_are_proved_up_to_are_no_statement() -> None:
    steps: tuple[TotalStep, ...] = (Combine((), 10**9), Least((0, 1)))
    total = Total((Metered(0, SUM),), steps, 100, QuotientRule.DOWN)
    large = ((1 << 32) - 1,) * COUNT
    with pytest.raises(FalseStatement):
        open_numbers(ONE, sources(slots, large), (total,), bytes(32))
    known = sources(slots, large)
    values, proof = open_numbers(ONE, known, (plain(SUM),), bytes(32))  # without steps it is one
    assert verify(ONE, known, (plain(SUM),), proof) == values


def test_a_common_factor_makes_the_proof_no_longer() -> None:
    known = sources(slots, DRAWN)
    fine, coarse = plain(Sum(each(300_000)), 10_000_000), plain(Sum(each(3)), 100)
    proofs = [open_numbers(ONE, known, (total,), bytes(32))[1] for total in (fine, coarse)]
    assert len(proofs[0]) == len(proofs[1])
    exact = Total((Metered(0, Sum(each(600))),), (Rounding(0, 3, QuotientRule.DOWN),), 200,
                  QuotientRule.HALF_UP)  # fmt: skip
    _, proof = open_numbers(ONE, known, (exact,), bytes(32))
    assert len(proof) == 3 * 32  # nothing is left to round: an opening


def test_many_bills_are_verified_together_and_the_lie_among_them_is_named() -> None:
    known = sources(days, DRAWN)
    checks = []
    for number in range(3):
        context = replace(ONE, nonce=bytes([number] * 16))
        _, proof = open_numbers(context, known, KINDS["a rounded sum"], bytes(32))
        if number == 1:
            proof = proof[:-40] + bytes([proof[-40] ^ 1]) + proof[-39:]
        numbers = KINDS["a rounded sum"]
        name = f"bill {number}"
        checks.append(numbers_check(context, [hidden(known[0])], numbers, proof, name)[1])
    verify_all([checks[0], checks[2]])
    with pytest.raises(ProofRefused, match="bill 1"):
        verify_all(checks)


def test_proofs_are_the_same_bytes_as_ever() -> None:
    """Evidence that is kept has to verify for years: the wire does not move unnoticed."""
    _, proof = open_numbers(CONTEXT, sources(days, DRAWN, FED_IN), (BILL,), bytes(32))
    assert sha256(proof).hexdigest() == (
        "b9fefbc4e3f3aae4d86ec692127c213b618a7d12816a1695b38095b8af03bdc2"
    )
