# SPDX-License-Identifier: Apache-2.0
"""Numbers that go on from earlier ones: a chain of two bills, and whoever tampers with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Carried,
    Combine,
    Kept,
    Least,
    Metered,
    Most,
    QuotientRule,
    SlotForm,
    Sum,
    Total,
)
from protocols.carried import CarriedState, StateMalformed
from protocols.proofs import (
    FalseStatement,
    Malformed,
    NumbersContext,
    ProofRefused,
    Source,
    numbers_check_on,
    open_numbers_on,
    verify_numbers,
)
from protocols.proofs.batch import verify_all
from protocols.proofs.carrying import carried_quantities, openings_of, state_after
from protocols.proofs.quantity import Quantity
from tests.protocols.proofs.sources import days, hidden
from tests.support.soak import places

METER, ACCOUNT = b"meter 1", bytes(range(16))
BEGIN, DAY = 1_740_783_600, 86_400
USES = tuple(100 + 37 * place for place in range(8))
SUM = Sum(SlotForm(((0, 8, 1),)))
LIMIT = 3_000
ENERGY = Carried("energy/0/2025", 0, 44)


def bill(*, is_first: bool) -> Total:
    """Return what is due under a price of 3 up to a limit over all bills, and 5 above it."""
    if is_first:
        steps: tuple[Combine | Least, ...] = (
            Combine((), LIMIT),
            Least((0, 1)),
            Combine(((0, 5), (2, -2))),
        )
        return Total(
            (Metered(0, SUM),), steps, 1, QuotientRule.DOWN,
            kept=(Kept(ENERGY.name, 0, 0, 44),),
        )  # fmt: skip
    steps = (
        Combine(((0, 1), (1, 1))),  # 2: so far
        Combine((), LIMIT),  # 3
        Least((1, 3)),  # 4: cheap before
        Least((2, 3)),  # 5: cheap so far
        Combine(((0, 5), (4, 2), (5, -2))),
    )
    return Total(
        (Metered(0, SUM),), steps, 1, QuotientRule.DOWN,
        (ENERGY,), (Kept(ENERGY.name, 2, 0, 44),),
    )  # fmt: skip


def about(state: CarriedState) -> NumbersContext:
    return NumbersContext(
        meter=METER, registers=(bytes.fromhex("0100010800ff"),), begin=state.end,
        end=state.end + DAY, slot_minutes=15, parameters=bytes(32), recipient="supplier",
        purpose="billing", nonce=bytes(16), state=state.digest,
    )  # fmt: skip


def prove(
    state: CarriedState, total: Total, uses: tuple[int, ...], kept: Mapping[str, tuple[int, int]]
) -> tuple[int, bytes, CarriedState, dict[str, tuple[int, int]]]:
    carried = carried_quantities(state, [total], kept)
    stated, proof = open_numbers_on(about(state), [days(uses)], [total], bytes(32), carried)
    after = state_after(state, state.end + DAY, [total], stated.kept)
    return stated.values[0], proof, after, openings_of(stated.kept)


def verify(
    state: CarriedState, total: Total, source: Source, proof: bytes
) -> tuple[int, CarriedState]:
    carried = carried_quantities(state, [total])
    stated, check = numbers_check_on(about(state), [hidden(source)], [total], proof, "it", carried)
    verify_all([check])
    return stated.values[0], state_after(state, state.end + DAY, [total], stated.kept)


OPENING = CarriedState.opening(METER, ACCOUNT, BEGIN)


def test_two_bills_in_a_row_come_to_what_one_for_both_would() -> None:
    total, state, kept = bill(is_first=True), OPENING, dict[str, tuple[int, int]]()
    due = 0
    for _ in range(3):
        value, proof, after, kept = prove(state, total, USES, kept)
        assert verify(state, total, days(USES), proof) == (value, after)
        due, state, total = due + value, after, bill(is_first=False)
    energy = 3 * sum(USES)
    assert kept[ENERGY.name][0] == energy
    assert due == 5 * energy - 2 * min(energy, LIMIT)
    assert state.number == 3
    assert CarriedState.decode(state.encode()) == state


@pytest.mark.parametrize("by", [-1, 1])
def test_a_forged_state_is_refused(by: int) -> None:
    _, _, state, kept = prove(OPENING, bill(is_first=True), USES, {})
    value, blinding = kept[ENERGY.name]
    with pytest.raises(FalseStatement, match="not the one that was kept"):
        prove(state, bill(is_first=False), USES, {ENERGY.name: (value + by, blinding)})


def test_a_proof_holds_for_the_state_that_it_goes_on_from_alone() -> None:
    _, _, state, kept = prove(OPENING, bill(is_first=True), USES, {})
    _, proof, _, _ = prove(state, bill(is_first=False), USES, kept)
    others = [
        replace(state, account=bytes(16)),
        replace(state, previous=bytes(32)),
        replace(state, number=2),
        prove(OPENING, bill(is_first=True), USES[::-1], {})[2],
    ]
    for other in others:
        with pytest.raises(ProofRefused):
            verify(other, bill(is_first=False), days(USES), proof)


def test_a_state_without_what_is_carried_is_refused() -> None:
    with pytest.raises(ProofRefused, match="no energy"):
        carried_quantities(OPENING, [bill(is_first=False)])


def test_a_total_with_memory_needs_a_state() -> None:
    total = bill(is_first=True)
    stateless = replace(about(OPENING), state=b"")
    with pytest.raises(ValueError, match="names none"):
        open_numbers_on(stateless, [days(USES)], [total], bytes(32), {})
    with pytest.raises(ValueError, match="names none"):
        verify_numbers(stateless, [hidden(days(USES))], [total], b"", "it")


def test_what_is_beyond_its_bounds_is_not_kept() -> None:
    total = replace(bill(is_first=True), kept=(Kept(ENERGY.name, 0, 0, 8),))
    with pytest.raises(FalseStatement, match="range of 8 bits"):
        prove(OPENING, total, USES, {})


@pytest.mark.more_in_soak
def test_every_flipped_byte_of_a_second_proof_is_refused() -> None:
    _, _, state, kept = prove(OPENING, bill(is_first=True), USES, {})
    _, proof, _, _ = prove(state, bill(is_first=False), USES, kept)
    for place in places(proof, 61):
        changed = bytearray(proof)
        changed[place] ^= 1
        with pytest.raises((ProofRefused, Malformed)):
            verify(state, bill(is_first=False), days(USES), bytes(changed))


def test_a_constant_and_a_value_handed_on_are_carried() -> None:
    first = Total(
        (Metered(0, SUM),), (Combine((), 0), Most((0, 1))), 1, QuotientRule.DOWN,
        kept=(Kept("a/zero", 1, 0, 8), Kept("b/peak", 2, 0, 36)),
    )  # fmt: skip
    _, proof, state, kept = prove(OPENING, first, USES, {})
    assert kept["a/zero"][0] == 0
    assert verify(OPENING, first, days(USES), proof)[1] == state
    again = Total(
        (Metered(0, SUM),), (Combine(((0, 1), (1, 1))),), 1, QuotientRule.DOWN,
        (Carried("a/zero", 0, 8), Carried("b/peak", 0, 36)), (Kept("b/peak", 2, 0, 36),),
    )  # fmt: skip
    value, proof, after, _ = prove(state, again, USES, kept)
    assert value == sum(USES)
    assert verify(state, again, days(USES), proof)[1] == after
    assert after.find("b/peak") == state.find("b/peak")


def test_names_bounds_and_numbers_of_a_state_are_held_to() -> None:
    state = prove(OPENING, bill(is_first=True), USES, {})[2]
    for changed in (
        {"account": b"short"}, {"number": 0}, {"previous": b""}, {"end": 1 << 32}, {"meter": b""},
        {"values": (*state.values, *state.values)},
    ):  # fmt: skip
        with pytest.raises(StateMalformed):
            replace(state, **changed)
    data = state.encode()
    for damaged in (data[:-1], data + b"\0", data.replace(b"state 1", b"state 2"), b"", b"\x80"):
        with pytest.raises(StateMalformed):
            CarriedState.decode(damaged)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 900), min_size=4, max_size=4), min_size=2, max_size=4))
def test_any_chain_is_what_it_is_in_the_open(months: Sequence[Sequence[int]]) -> None:
    form = Sum(SlotForm(((0, 4, 1),)))
    state, kept, plain = OPENING, dict[str, tuple[int, int]](), dict[str, int]()
    for number, uses in enumerate(months):
        total = replace(bill(is_first=not number), metered=(Metered(0, form),))
        value, proof, after, kept = prove(state, total, tuple(uses), kept)
        assert value == total.value_of([uses], plain)
        plain = total.kept_of([uses], plain)
        assert {name: opened for name, (opened, _) in kept.items()} == plain
        assert verify(state, total, days(tuple(uses)), proof) == (value, after)
        state = after


def test_the_quantities_of_two_sides_are_the_same_points() -> None:
    _, _, state, kept = prove(OPENING, bill(is_first=True), USES, {})
    known = carried_quantities(state, [bill(is_first=False)], kept)
    seen = carried_quantities(state, [bill(is_first=False)])
    for (name, one), (other_name, other) in zip(known.items(), seen.items(), strict=True):
        assert (name, one.point, one.limit) == (other_name, other.point, other.limit)
        assert isinstance(one, Quantity)
        assert one.secret is not None
        assert other.secret is None
    assert all(low.number < high.number for low, high in pairwise([OPENING, state]))
