# SPDX-License-Identifier: Apache-2.0
"""Provers that lie about what lies above limits, each in its own way.

The liar (`lookup_forger`) commits to whatever it is told to, before and after it hears the
challenges, and is honest in all that follows.
"""

from dataclasses import dataclass, replace

import pytest

from protocols.proofs import (
    ORDER,
    FalseStatement,
    Malformed,
    ProofRefused,
    SlotOpening,
    Source,
    Transcript,
    commit,
    commit_many,
)
from protocols.proofs import excess as statement
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.excess import Excesses, _send_uses, _Sums, receive_excess
from protocols.proofs.group import Point, multiply_generator
from protocols.proofs.lookup import Drawn, LookupSums
from protocols.proofs.nonces import Nonces
from tests.attacks.lookup_forger import Later, Vectors, forge_lookups, no_more
from tests.support.programmed import Programmed

USES = (7, 2_000, 30, 1_100)
EXCESSES = Excesses((1, 3, 0), (1_000, 1_200, 109), (40, -7, 11))
TRUE = 40 * 1_000
DIGITS, BITS = EXCESSES.digits, EXCESSES.digit_bits
TABLE = 1 << BITS
BLINDINGS = (5, 6, 7, 8)
SOURCE = Source(commit_many(USES, BLINDINGS), b"days", SlotOpening(USES, BLINDINGS))


@dataclass(frozen=True)
class Told:
    """What the liar commits to first: e, f, the digits, how often each of the table occurs."""

    over: tuple[int, ...] = (1_000, 0, 0)
    under: tuple[int, ...] = (0, 100, 102)
    digits: tuple[int, ...] | None = None
    counts: tuple[int, ...] | None = None
    total: int = TRUE

    @property
    def all_digits(self) -> list[int]:
        if self.digits is not None:
            return list(self.digits)
        sums = [(e + f) % ORDER for e, f in zip(self.over, self.under, strict=True)]
        return [one >> BITS * j & TABLE - 1 for one in sums for j in range(DIGITS)]


def forge(
    told: Told,
    later: Later = no_more,
    on: Transcript | None = None,
    excesses: Excesses = EXCESSES,
) -> tuple[Point, bytes]:
    """Return a commitment to the total and the proof; `later` says what A_2 has beside each q."""
    channel, total = Outgoing(on or Transcript("t", 1)), commit(told.total, 99)

    def weigh(drawn: Drawn) -> tuple[LookupSums, int]:
        sums = _Sums(excesses, drawn)
        blinding = _send_uses(channel, SOURCE, sums.by_place(), Nonces(bytes(32)))
        return sums, blinding + sums.of_total * 99

    numbers = told.all_digits, told.over, told.under
    forge_lookups(channel, BITS, numbers, weigh, told.counts, later)
    return total, channel.data()


def believed(
    total: Point, proof: bytes, excesses: Excesses = EXCESSES, on: Transcript | None = None,
    source: Source = SOURCE,
) -> bool:  # fmt: skip
    channel = Incoming(on or Transcript("t", 1), proof)
    checks = receive_excess(channel, "it", source, excesses, total)
    channel.finish()
    return not find_refused(checks)


def test_the_forger_is_believed_where_it_tells_the_truth() -> None:
    assert EXCESSES.sum_of(USES) == TRUE
    assert believed(*forge(Told()))


LIES = {
    "another total": Told(total=TRUE - 1),
    "a negative total": Told(total=TRUE - ORDER // 2),
    "e too small": Told(over=(999, 0, 0), total=TRUE - 40),
    "e too large": Told(over=(1_000, 1, 0), total=TRUE - 7),
    "e and f too large": Told(over=(1_000, 1, 0), under=(0, 101, 102), total=TRUE - 7),
    "e too small, f negative": Told(over=(999, 0, 0), under=(-1, 100, 102), total=TRUE - 40),
    "nothing above, f negative": Told(over=(0, 0, 0), under=(-1_000, 100, 102), total=0),
    "e negative, nothing below": Told(over=(1_000, -100, 0), under=(0, 0, 102), total=TRUE + 700),
    "products that cancel": Told(over=(1_000, 1, -1), under=(0, 101, 101), total=TRUE - 18),
    "a wrap around the order": Told(
        over=(1_000, ORDER - 100, 0), under=(0, 0, 102), total=TRUE + 700
    ),
    "e and f of another slot": Told(over=(0, 1_000, 0), under=(100, 0, 102), total=-7_000),
    "digits of another number": Told(digits=(1,) * 3 * DIGITS),
}


@pytest.mark.parametrize("told", LIES.values(), ids=LIES)
def test_a_lie_is_refused(told: Told) -> None:
    assert not believed(*forge(told))


# Nothing is above: e + f of the first slot is -1,000, in a digit that is not in the table.
HONEST_DIGITS = tuple(Told().all_digits)
NEGATIVE = Told(
    over=(0, 0, 0),
    under=(-1_000, 100, 102),
    digits=(-1_000, *([0] * (DIGITS - 1)), *HONEST_DIGITS[DIGITS:]),
    total=0,
)


def test_digits_out_of_the_table_are_refused_whatever_is_counted() -> None:
    counted = [NEGATIVE.all_digits.count(k) for k in range(TABLE)]
    for place in (0, 1, TABLE - 1):
        counts = [n + (k == place) for k, n in enumerate(counted)]
        assert not believed(*forge(replace(NEGATIVE, counts=tuple(counts))))
    assert not believed(*forge(NEGATIVE))


def test_counts_that_are_made_up_after_the_challenge_are_refused() -> None:
    """What the table lacks is put into A_2, where it may depend on λ; only u keeps it out."""

    def made_up(guess: int) -> Later:
        def later(first: Vectors, lookup: int) -> Vectors:
            left, right = first
            poles = sum(pow(lookup + d, -1, ORDER) for d in NEGATIVE.all_digits)
            table = sum(n * pow(lookup + k, -1, ORDER) for k, n in enumerate(left[-TABLE:]))
            extra = [0] * len(left)
            extra[-TABLE] = (poles - table) * lookup * pow(guess, -1, ORDER) % ORDER
            return extra, [0] * len(right)

        return later

    assert not believed(*forge(NEGATIVE, made_up(1)))
    # Whoever knew u beforehand would be believed: the lie is a good one.
    chosen = [11, 12, 13, 14]
    assert believed(*forge(NEGATIVE, made_up(12), Programmed(chosen)), on=Programmed(chosen))
    assert not believed(*forge(NEGATIVE, made_up(99), Programmed(chosen)), on=Programmed(chosen))


def test_digits_that_are_moved_after_the_challenge_are_refused() -> None:
    """A_1 has digits of the table, A_2 takes one out of it."""
    inside = replace(NEGATIVE, digits=HONEST_DIGITS)

    def moved(by: int) -> Later:
        def later(first: Vectors, _lookup: int) -> Vectors:
            left, right = first
            return [by % ORDER, *([0] * (len(left) - 1))], [0] * len(right)

        return later

    difference = NEGATIVE.all_digits[0] - HONEST_DIGITS[0]
    for by in (1, difference, -1_000):
        assert not believed(*forge(inside, moved(by)))
        assert not believed(*forge(Told(), moved(by)))


@pytest.mark.parametrize(
    "other",
    [
        Excesses((1, 3, 0), (1_000, 1_200, 109), (40, -7, 12)),
        Excesses((1, 3, 0), (1_000, 1_200, 110), (40, -7, 11)),
        Excesses((1, 3, 2), (1_000, 1_200, 109), (40, -7, 11)),
        Excesses((3, 1, 0), (1_200, 1_000, 109), (-7, 40, 11)),
    ],
    ids=["weight", "limit", "place", "order"],
)
def test_a_proof_of_other_comparisons_is_refused(other: Excesses) -> None:
    assert not believed(*forge(Told()), excesses=other)


def test_a_proof_on_another_transcript_or_of_other_commitments_is_refused() -> None:
    total, proof = forge(Told())
    assert not believed(total, proof, on=Transcript("t", 2))
    assert not believed(total + multiply_generator(1), proof)
    swapped = replace(SOURCE, commitment=commit_many(USES[::-1], BLINDINGS[::-1]))
    assert not believed(total, proof, source=swapped)


def test_a_prover_refuses_a_total_that_is_not_the_sum() -> None:
    channel = Outgoing(Transcript("t", 1))
    with pytest.raises(FalseStatement, match="not the sum"):
        statement.send_excess(channel, SOURCE, EXCESSES, (TRUE + 1, 9), Nonces(bytes(32)))


@pytest.mark.parametrize(
    ("at", "bad"),
    [
        (0, b"\2" + b"\xff" * 32),
        (0, b"\4" + bytes(32)),
        (0, bytes(33)),
        (5 * 33, ORDER.to_bytes(32, "big")),
        (5 * 33, b"\xff" * 32),
    ],
    ids=["no abscissa", "hybrid", "infinity", "the order", "beyond it"],
)
def test_points_and_scalars_have_one_encoding(at: int, bad: bytes) -> None:
    total, proof = forge(Told())
    with pytest.raises((Malformed, ProofRefused)):
        believed(total, proof[:at] + bad + proof[at + len(bad) :])
