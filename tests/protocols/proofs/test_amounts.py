# SPDX-License-Identifier: Apache-2.0
"""Opened amounts: what is proved is what they come to, and a prover who lies is refused."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.amounts import (
    Above,
    Amount,
    Bucket,
    Count,
    Excess,
    Group,
    Peaks,
    SlotForm,
    Sum,
    Tiered,
)
from protocols.proofs import (
    FalseStatement,
    Malformed,
    PointVector,
    ProofRefused,
    Prover,
    Quantity,
    SlotOpening,
    Source,
    StatementContext,
    amounts_check,
    commit_many,
    compare,
    open_amounts,
    verify_all,
    verify_amounts,
)
from protocols.proofs import amounts as statement
from protocols.proofs.excess import Excesses
from tests.support.soak import places

SLOTS: Final = 24
CONTEXT = StatementContext(
    b"meter", bytes.fromhex("0100010800ff"), 0, 86_400, 60, bytes(32), "supplier", "billing",
    bytes(16),
)  # fmt: skip


def house(uses: tuple[int, ...]) -> tuple[Source, Source]:
    dice = random.Random(5)
    blindings = tuple(dice.getrandbits(250) for _ in uses)
    points = commit_many(uses, blindings)
    return Source(points, b"days", SlotOpening(uses, blindings)), Source(points, b"days")


def slots(*places: int, weight: int = 1) -> SlotForm:
    return SlotForm.of(dict.fromkeys(places, weight))


DICE = random.Random(1)
USES = tuple(DICE.randrange(2_000) for _ in range(SLOTS))
BLOCKS = Tiered(
    (
        Bucket(slots(*range(12)), (3_000, 9_000), (30, 20, 10)),
        Bucket(SlotForm.of({**dict.fromkeys(range(12, 24), 1), 20: 2}), (500,), (-7, 11)),
    )
)
PEAK = Peaks((Group(tuple(slots(n) for n in range(4, 20)), 100),))
PEAKS = Peaks(
    (
        Group(tuple(slots(2 * n, 2 * n + 1) for n in range(6)), 50),
        Group(tuple(slots(2 * n, 2 * n + 1) for n in range(6, 12)), 90_000),
    )
)
FEW = Peaks(tuple(Group((slots(4 * n), slots(4 * n + 1)), 300) for n in range(6)), highest=3)
EXCESS = Excess(
    slots(*range(20), weight=30),
    (Above(400, slots(*range(5, 15), weight=20)), Above(900, SlotForm.of({6: 5, 7: 5, 23: -9}))),
)
RATED = replace(FEW, rate=(4, 3))
COUNT = Count(tuple(slots(3 * n, 3 * n + 1) for n in range(8)), 2_100)
ALL: tuple[Amount, ...] = (
    Sum(SlotForm.of({0: 3, 5: -400})),
    BLOCKS,
    PEAK,
    PEAKS,
    FEW,
    EXCESS,
    RATED,
    COUNT,
)
NAMES = ["sum", "blocks", "peak", "peaks", "few", "excess", "rated", "count"]


def refused(context: StatementContext, source: Source, amounts: object, proof: bytes) -> bool:
    try:
        verify_amounts(context, source, amounts, proof, "it")  # type: ignore[arg-type]
    except (ProofRefused, Malformed):
        return True
    return False


def test_every_kind_of_amount_is_proved_and_opened() -> None:
    ours, theirs = house(USES)
    values, proof = open_amounts(CONTEXT, ours, ALL, bytes(32))
    assert values == tuple(amount.value_of(USES) for amount in ALL)
    assert verify_amounts(CONTEXT, theirs, ALL, proof, "it")[0] == values


@settings(max_examples=6)
@given(st.lists(st.integers(0, 5_000), min_size=SLOTS, max_size=SLOTS).map(tuple))
def test_what_any_house_comes_to_is_what_is_proved(uses: tuple[int, ...]) -> None:
    ours, theirs = house(uses)
    values, proof = open_amounts(CONTEXT, ours, ALL, bytes(32))
    assert values == tuple(amount.value_of(uses) for amount in ALL)
    assert verify_amounts(CONTEXT, theirs, ALL, proof, "it")[0] == values


@pytest.mark.parametrize("amount", ALL, ids=NAMES)
def test_nothing_used_at_all_is_proved_too(amount: Amount) -> None:
    ours, theirs = house((0,) * SLOTS)
    values, proof = open_amounts(CONTEXT, ours, [amount], bytes(32))
    assert verify_amounts(CONTEXT, theirs, [amount], proof, "it")[0] == values
    assert values == (amount.value_of((0,) * SLOTS),)


def test_a_proof_is_good_for_nothing_else() -> None:
    ours, theirs = house(USES)
    amounts = [ALL[0], BLOCKS]
    _, proof = open_amounts(CONTEXT, ours, amounts, bytes(32))
    for context in (
        replace(CONTEXT, meter=b"other"),
        replace(CONTEXT, begin=3600),
        replace(CONTEXT, parameters=b"\1" * 32),
        replace(CONTEXT, nonce=b"\1" * 16),
        replace(CONTEXT, recipient="grid"),
    ):
        assert refused(context, theirs, amounts, proof)
    bucket = BLOCKS.buckets[0]
    for other in (
        replace(bucket, prices=(30, 20, 9)),
        replace(bucket, limits=(3_001, 9_000)),
        replace(bucket, form=slots(*range(11))),
    ):
        assert refused(CONTEXT, theirs, [ALL[0], Tiered((other, BLOCKS.buckets[1]))], proof)
    assert refused(CONTEXT, theirs, [BLOCKS, ALL[0]], proof)
    assert refused(CONTEXT, theirs, [ALL[0]], proof)
    assert refused(CONTEXT, replace(theirs, identity=b"other days"), amounts, proof)
    points = theirs.commitment
    assert isinstance(points, PointVector)
    swapped = PointVector([points[1], points[0], *points[2:]])
    assert refused(CONTEXT, replace(theirs, commitment=swapped), amounts, proof)


def test_a_proof_of_an_excess_is_good_for_no_other_limit_price_or_slot() -> None:
    ours, theirs = house(USES)
    _, proof = open_amounts(CONTEXT, ours, [EXCESS], bytes(32))
    assert not refused(CONTEXT, theirs, [EXCESS], proof)
    first, second = EXCESS.above
    for above in (
        (replace(first, limit=401), second),
        (replace(first, form=slots(*range(5, 15), weight=19)), second),
        (replace(first, form=slots(*range(4, 14), weight=20)), second),
        (first,),
    ):
        assert refused(CONTEXT, theirs, [replace(EXCESS, above=above)], proof)
    assert refused(CONTEXT, theirs, [replace(EXCESS, form=slots(*range(20), weight=31))], proof)
    for context in (replace(CONTEXT, begin=3600), replace(CONTEXT, meter=b"other")):
        assert refused(context, theirs, [EXCESS], proof)


def test_a_proof_of_a_count_is_good_for_no_other_limit_window_or_number() -> None:
    ours, theirs = house(USES)
    (told,), proof = open_amounts(CONTEXT, ours, [COUNT], bytes(32))
    assert 0 < told == COUNT.value_of(USES) < len(COUNT.windows)
    assert not refused(CONTEXT, theirs, [COUNT], proof)
    for other in (
        replace(COUNT, limit=COUNT.limit + 1),
        replace(COUNT, windows=COUNT.windows[1:]),
        replace(COUNT, windows=(*COUNT.windows[:-1], slots(22, 23))),
    ):
        assert refused(CONTEXT, theirs, [other], proof)


@pytest.mark.parametrize("use", [0, 1, 999, 1_000, 1_001, 1_002, 1 << 23])
def test_a_window_counts_from_one_watt_hour_above_the_limit(use: int) -> None:
    ours, theirs = house((use, *(0,) * (SLOTS - 1)))
    count = Count((slots(0, 1), slots(2, 3)), 1_000)
    values, proof = open_amounts(CONTEXT, ours, [count], bytes(32))
    assert values == (int(use > 1_000),)
    assert verify_amounts(CONTEXT, theirs, [count], proof, "it")[0] == values


def test_a_count_that_is_a_lie_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prover claims one more than it is, with the argument made as if it were so."""
    ours, theirs = house(USES)
    true = Excesses.sum_of
    with monkeypatch.context() as patched:
        patched.setattr(Excesses, "sum_of", lambda self, uses: true(self, uses) + 1)
        _, proof = open_amounts(CONTEXT, ours, [COUNT], bytes(32))
    assert refused(CONTEXT, theirs, [COUNT], proof)


@pytest.mark.parametrize("amount", ALL, ids=NAMES)
def test_a_prover_with_other_uses_is_refused(amount: Amount) -> None:
    _, theirs = house(USES)
    lower, _ = house(tuple(use * 9 // 10 for use in USES))  # other points, the same days
    _, proof = open_amounts(CONTEXT, lower, [amount], bytes(32))
    assert refused(CONTEXT, theirs, [amount], proof)
    with pytest.raises((FalseStatement, ProofRefused)):
        # The true points with other uses: the prover finds it out, or the verifier does.
        mixed = replace(theirs, opening=lower.opening)
        _, proof = open_amounts(CONTEXT, mixed, [amount], bytes(32))
        verify_amounts(CONTEXT, theirs, [amount], proof, "it")


def test_a_peak_of_few_that_is_not_the_highest_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lie is a real slot's use, chosen with a sound proof: the ranges are what refuses it."""
    ours, theirs = house(USES)
    few = Peaks((Group(tuple(slots(n) for n in range(4, 11)), 100),))

    class Sly(Prover):
        def choose(self, label, options, pick):  # type: ignore[no-untyped-def]
            order = sorted(range(len(options)), key=lambda place: options[place].value)
            return super().choose(label, options, lambda: order[-2])

    with monkeypatch.context() as patched:
        patched.setattr(statement, "Prover", Sly)
        with pytest.raises(FalseStatement):
            open_amounts(CONTEXT, ours, [few], bytes(32))

        def unchecked(session, label, small, large, width):  # type: ignore[no-untyped-def]
            # Ranges something else, at the same place.
            session.require_range(label, Quantity.constant(0), width)

        patched.setattr(statement, "require_at_most", unchecked)
        _, proof = open_amounts(CONTEXT, ours, [few], bytes(32))
    assert refused(CONTEXT, theirs, [few], proof)


@pytest.mark.parametrize("lie", [lambda uses: uses[-2], lambda uses: uses[-1] + 1])
def test_a_peak_of_many_that_is_not_the_highest_is_refused(
    monkeypatch: pytest.MonkeyPatch, lie: Callable[[list[int]], int]
) -> None:
    """One of the windows that is not the highest, or a height that no window has."""
    ours, theirs = house(USES)

    class Sly(Prover):
        def _commit_largest(self, label, items):  # type: ignore[no-untyped-def]
            told = lie(sorted(item.value for item in items))
            return super()._commit_largest(label, [Quantity.constant(told)])

    class Slyer(Sly):
        """Ranges something else where a difference is negative, and a 0 where there is none."""

        def require_range(self, label, quantity, width):  # type: ignore[no-untyped-def]
            first = not self._ranges
            if first or quantity.value < 0:
                quantity = Quantity.constant(0)
            return super().require_range(label, quantity, width)

    with monkeypatch.context() as patched:
        patched.setattr(statement, "Prover", Sly)
        with pytest.raises(FalseStatement):
            open_amounts(CONTEXT, ours, [PEAK], bytes(32))
        patched.setattr(statement, "Prover", Slyer)
        values, proof = open_amounts(CONTEXT, ours, [PEAK], bytes(32))
    assert values != (PEAK.value_of(USES),)
    assert refused(CONTEXT, theirs, [PEAK], proof)


@pytest.mark.parametrize("chosen", [(0, 1, 2), (5, 4, 3), (1, 3, 5)])
def test_peaks_that_are_not_the_highest_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, chosen: tuple[int, ...]
) -> None:
    """A selection of the right size, its sum opened as it is: the ranges are what refuses it."""
    ours, theirs = house(USES)
    peaks = [max(300, USES[4 * n], USES[4 * n + 1]) for n in range(6)]
    assert sum(peaks[n] for n in chosen) < FEW.value_of(USES)

    class Sly(Prover):
        def require_range(self, label, quantity, width):  # type: ignore[no-untyped-def]
            if not 0 <= quantity.value < 1 << width:
                super().require_range(label, Quantity.constant(0), width)
                return Quantity(quantity.point, (1 << width) - 1, quantity.secret)
            return super().require_range(label, quantity, width)

    with monkeypatch.context() as patched:
        order = [*chosen, *(n for n in range(6) if n not in chosen)]
        patched.setattr(compare, "_order", lambda items: lambda: order)
        with pytest.raises(FalseStatement):
            open_amounts(CONTEXT, ours, [FEW], bytes(32))
        patched.setattr(statement, "Prover", Sly)
        _, proof = open_amounts(CONTEXT, ours, [FEW], bytes(32))
    assert refused(CONTEXT, theirs, [FEW], proof)


@pytest.mark.parametrize("highest", range(1, 6))
def test_the_highest_peaks_are_summed_ties_included(highest: int) -> None:
    ours, theirs = house((500, 0, 0, 0) * 2 + (700, 0, 0, 0) * 3 + (0, 0, 0, 0))
    amount = replace(FEW, highest=highest)
    values, proof = open_amounts(CONTEXT, ours, [amount], bytes(32))
    assert values == (sum([700, 700, 700, 500, 500][:highest]),)
    assert verify_amounts(CONTEXT, theirs, [amount], proof, "it")[0] == values


def test_each_peak_is_rounded_down_to_watts_by_itself() -> None:
    """Three windows of 45 minutes: 4/3 watts a watt-hour, a floor between, one above."""
    ours, theirs = house((100, 101, 0, 0, 200, 0, 0, 0, 400, 402, 0, 0))
    groups = tuple(Group((slots(4 * n), slots(4 * n + 1)), floor) for n, floor in
                   enumerate((0, 267, 0)))  # fmt: skip
    for highest, value in ((0, 134 + 267 + 536), (2, 267 + 536), (1, 536)):
        amount = Peaks(groups, highest, (4, 3))
        values, proof = open_amounts(CONTEXT, ours, [amount], bytes(32))
        assert values == (value,) == (amount.value_of((100, 101, 0, 0, 200, 0, 0, 0, 400, 402)),)
        assert verify_amounts(CONTEXT, theirs, [amount], proof, "it")[0] == values
        for other in ((5, 3), (4, 5), (1, 1)):
            assert refused(CONTEXT, theirs, [replace(amount, rate=other)], proof)


def test_a_peak_that_is_rounded_up_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watts are one more than they should be: what remains is below 0, and has no range."""
    ours, theirs = house(USES)

    class Sly(Prover):
        def commit(self, label, value, width):  # type: ignore[no-untyped-def]
            # Only what is rounded is committed to where all peaks count.
            return super().commit(label, lambda: value() + 1, width)

        def require_range(self, label, quantity, width):  # type: ignore[no-untyped-def]
            if not 0 <= quantity.value < 1 << width:
                super().require_range(label, Quantity.constant(0), width)
                return Quantity(quantity.point, (1 << width) - 1, quantity.secret)
            return super().require_range(label, quantity, width)

    amount = replace(RATED, highest=0)
    with monkeypatch.context() as patched:
        patched.setattr(statement, "Prover", Sly)
        values, proof = open_amounts(CONTEXT, ours, [amount], bytes(32))
    assert values[0] > amount.value_of(USES)
    assert refused(CONTEXT, theirs, [amount], proof)


SMALL = (
    Tiered((Bucket(slots(1, 2), (500,), (3, 4)),)),
    Peaks((Group((slots(1), slots(2), slots(3)), 0),)),
    Peaks((Group((slots(1),), 0), Group((slots(2),), 0)), highest=1),
)


@pytest.mark.more_in_soak
@pytest.mark.parametrize("amount", SMALL, ids=["blocks", "peak", "few"])
def test_every_byte_of_a_proof_counts(amount: Amount) -> None:
    ours, theirs = house((7, 20, 30, 11))
    _, proof = open_amounts(CONTEXT, ours, [amount], bytes(32))
    # Of the longest proof, every scalar and point somewhere; of the others, in several places.
    for place in places(proof, 61 if len(proof) > 1_500 else 11):
        wrong = proof[:place] + bytes([proof[place] ^ 1 << place % 8]) + proof[place + 1 :]
        assert refused(CONTEXT, theirs, [amount], wrong), place
    for cut in (1, 32, 33, len(proof)):
        assert refused(CONTEXT, theirs, [amount], proof[:-cut])
    assert refused(CONTEXT, theirs, [amount], proof + b"\0")


def test_many_bills_are_verified_at_once_and_the_culprit_is_named() -> None:
    ours, theirs = house(USES)
    checks = []
    for number in range(4):
        context = replace(CONTEXT, nonce=bytes([number]) * 16)
        _, proof = open_amounts(context, ours, [BLOCKS], bytes(32))
        if number == 2:
            proof = proof[:-1] + bytes([proof[-1] ^ 1])
        checks.append(amounts_check(context, theirs, [BLOCKS], proof, f"bill {number}")[1])
    with pytest.raises(ProofRefused, match="bill 2"):
        verify_all(checks)
    verify_all(checks[:2] + checks[3:])


def test_what_cannot_be_proved_is_refused_before_it_is() -> None:
    ours, _ = house((*USES[:-1], 1 << 31))
    with pytest.raises(FalseStatement):
        open_amounts(CONTEXT, ours, [Sum(slots(23, weight=1 << 40))], bytes(32))
    with pytest.raises(FalseStatement):
        open_amounts(CONTEXT, ours, [Peaks((Group((slots(23), slots(2)), 0),))], bytes(32))
    with pytest.raises(FalseStatement, match="24 bits"):
        open_amounts(CONTEXT, ours, [Excess(SlotForm(()), (Above(5, slots(23)),))], bytes(32))
    for beyond in (Sum(slots(24)), Excess(slots(1), (Above(1 << 24, slots(2)),))):
        with pytest.raises(ValueError, match="beyond"):
            open_amounts(CONTEXT, ours, [beyond], bytes(32))
