# SPDX-License-Identifier: Apache-2.0
"""Provers that lie about ranges that are looked up, and about maxima, each in its own way.

The liar (`lookup_forger`) commits to whatever it is told to, before and after it hears the
challenges, and is honest in all that follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from protocols.proofs import ORDER, Malformed, ProofRefused, Transcript, commit
from protocols.proofs.batch import find_refused
from protocols.proofs.channel import Incoming, Outgoing
from protocols.proofs.folding import inner_product
from protocols.proofs.group import Point, multiply_generator
from protocols.proofs.lookup import Drawn, LookupSums, cut
from protocols.proofs.many_ranges import _Cuts, receive_many_ranges
from tests.attacks.lookup_forger import Later, Vectors, forge_lookups, no_more
from tests.support.programmed import Programmed

# The differences of 170, 40, 170 and 8, 200, 3 to their maxima.
VALUES = (0, 130, 0, 192, 0, 197)
WIDTHS = (8, 8, 8, 8, 8, 8)
GROUPS = ((0, 1, 2), (3, 4, 5))
CUTS = _Cuts.of(WIDTHS, GROUPS)
BITS, COUNT = CUTS.digit_bits, CUTS.counts[0]
TABLE = 1 << BITS
BLINDINGS = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Told:
    """What the liar commits to: values and, by default, what belongs to them."""

    values: tuple[int, ...] = VALUES
    chosen: tuple[int, ...] = (1, 0, 0, 0, 1, 0)
    paired: tuple[int, ...] | None = None
    digits: tuple[int, ...] | None = None
    counts: tuple[int, ...] | None = None

    @property
    def all_digits(self) -> tuple[int, ...]:
        if self.digits is not None:
            return self.digits
        return tuple(digit for one in self.values for digit in cut(one, BITS, COUNT))


def forge(
    told: Told, later: Later = no_more, on: Transcript | None = None
) -> tuple[list[Point], bytes]:
    """Return commitments to the values and the proof."""
    channel = Outgoing(on or Transcript("t", 1))
    CUTS.append_to(channel.transcript)

    def weigh(drawn: Drawn) -> tuple[LookupSums, int]:
        return CUTS.sums(drawn), inner_product(CUTS.value_weights(drawn.z), BLINDINGS)

    numbers = told.all_digits, told.chosen, told.paired or told.values
    forge_lookups(channel, BITS, numbers, weigh, told.counts, later)
    points = [commit(v % ORDER, r) for v, r in zip(told.values, BLINDINGS, strict=True)]
    return points, channel.data()


def believed(
    points: Sequence[Point],
    proof: bytes,
    on: Transcript | None = None,
    widths: Sequence[int] = WIDTHS,
    groups: Sequence[Sequence[int]] = GROUPS,
) -> bool:
    channel = Incoming(on or Transcript("t", 1), proof)
    check = receive_many_ranges(channel, "it", points, widths, groups)
    channel.finish()
    return not find_refused([check])


def test_the_forger_is_believed_where_it_tells_the_truth() -> None:
    assert believed(*forge(Told()))
    assert believed(*forge(Told(chosen=(0, 0, 1, 0, 1, 0))))  # the other one of two that are 0
    assert believed(*forge(Told((255, 0, 0, 0, 0, 255), (0, 1, 0, 1, 0, 0))))


ABOVE = (0, 256, *VALUES[2:])
BELOW = (0, -1, *VALUES[2:])
NONE = (1, 130, 40, 192, 0, 197)
"""The first group has a maximum that is none of its own."""
REST = Told().all_digits[2 * COUNT :]
HALF = pow(2, -1, ORDER)
LIES = {
    "above the range": Told(ABOVE),
    "above, in its lowest digit": Told(
        ABOVE, digits=(*[0] * COUNT, 256, *[0] * (COUNT - 1), *REST)
    ),
    "above, in its highest digit": Told(
        ABOVE, digits=(*[0] * (2 * COUNT - 1), 256 >> BITS * (COUNT - 1), *REST)
    ),
    "a negative one": Told(BELOW),
    "a wrap around the order": Told((0, ORDER - 130, *VALUES[2:])),
    "digits of another number": Told(digits=Told((0, 131, *VALUES[2:])).all_digits),
    "digits that are swapped": Told(digits=Told().all_digits[::-1]),
    "no 0 in a group, none chosen": Told(NONE, (0, 0, 0, 0, 1, 0)),
    "no 0 in a group, one chosen": Told(NONE, (1, 0, 0, 0, 1, 0)),
    "no 0 in a group, one paired": Told(NONE, paired=(0, *NONE[1:])),
    "a 0 of the other group": Told(NONE, (0, 0, 0, 0, 2, 0)),
    "products that cancel": Told(
        (1, 130, 1, 192, 0, 197), (HALF, 0, HALF, 0, 1, 0), paired=(1, 130, -1, 192, 0, 197)
    ),
    "choices that cancel": Told((1, 130, 1, 192, 0, 197), (2, 0, -1, 0, 1, 0)),
    "chosen twice": Told(chosen=(1, 0, 1, 0, 1, 0)),
}


@pytest.mark.parametrize("told", LIES.values(), ids=LIES)
def test_a_lie_is_refused(told: Told) -> None:
    assert not believed(*forge(told))


# M is one less than the second item: -1 is the lowest digit, which is not in the table.
HONEST_DIGITS = Told().all_digits
NEGATIVE = Told(
    BELOW, digits=(*HONEST_DIGITS[:COUNT], -1, *[0] * (COUNT - 1), *HONEST_DIGITS[2 * COUNT :])
)


def test_digits_out_of_the_table_are_refused_whatever_is_counted() -> None:
    counted = [NEGATIVE.all_digits.count(k) for k in range(TABLE)]
    assert not believed(*forge(NEGATIVE))
    for place in (0, 1, TABLE - 1):
        counts = tuple(n + (k == place) for k, n in enumerate(counted))
        assert not believed(*forge(replace(NEGATIVE, counts=counts)))
        assert not believed(*forge(replace(Told(), counts=counts)))


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


@pytest.mark.parametrize("place", [COUNT, 6 * COUNT, 6 * COUNT + 3])
def test_numbers_that_are_moved_after_the_challenge_are_refused(place: int) -> None:
    """A_1 has digits of the table and what is chosen, A_2 makes something else of it."""

    def moved(by: int) -> Later:
        def later(first: Vectors, _lookup: int) -> Vectors:
            left, right = ([0] * len(side) for side in first)
            left[place] = by
            return left, right

        return later

    for by in (1, -1, HALF):
        assert not believed(*forge(Told(), moved(by)))
        assert not believed(*forge(replace(NEGATIVE, digits=HONEST_DIGITS), moved(by)))
    assert believed(*forge(Told(), moved(0)))


@pytest.mark.parametrize(
    ("widths", "groups"),
    [
        ((8, 8, 8, 8, 8, 16), GROUPS),
        ((4, 8, 8, 8, 8, 8), GROUPS),
        (WIDTHS, ()),
        (WIDTHS, ((0, 1, 2, 3, 4, 5),)),
        (WIDTHS, ((2, 1, 0), (3, 4, 5))),
        (WIDTHS, ((0, 1, 3), (2, 4, 5))),
    ],
    ids=["wider", "narrower", "no maxima", "one maximum", "another order", "others' items"],
)
def test_a_proof_of_other_ranges_or_groups_is_refused(
    widths: tuple[int, ...], groups: tuple[tuple[int, ...], ...]
) -> None:
    points, proof = forge(Told())
    try:
        assert not believed(points, proof, widths=widths, groups=groups)
    except Malformed:
        assert sum(widths) != sum(WIDTHS) or not groups  # vectors of another length


def test_a_proof_on_another_transcript_or_of_other_commitments_is_refused() -> None:
    points, proof = forge(Told())
    assert not believed(points, proof, on=Transcript("t", 2))
    assert not believed(points[::-1], proof)
    assert not believed([points[0] + multiply_generator(1), *points[1:]], proof)


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
    points, proof = forge(Told())
    with pytest.raises((Malformed, ProofRefused)):
        believed(points, proof[:at] + bad + proof[at + len(bad) :])
