# SPDX-License-Identifier: Apache-2.0
from dataclasses import dataclass, field

import pytest

from protocols.proofs import ProofRefused, Transcript
from protocols.proofs.batch import Equation, find_refused, verify_all
from protocols.proofs.generators import generators
from protocols.proofs.group import GENERATOR, INFINITY, ORDER, PointVector
from protocols.proofs.pedersen import commit


@dataclass(frozen=True)
class Claim:
    """A commitment, a value and a blinding that are said to belong together."""

    name: str
    value: int
    off: int = 0

    @property
    def digest(self) -> bytes:
        transcript = Transcript("claim", 1)
        transcript.append_integers("numbers", [self.value, self.off])
        return transcript.digest()

    def add_to(self, equation: Equation, weight: int) -> None:
        equation.add_point(commit(self.value, 9), weight)
        equation.add_commitment(-weight * (self.value + self.off), -weight * 9)


def test_all_that_holds_is_accepted_in_one_equation() -> None:
    assert find_refused([]) == []
    verify_all([Claim(str(n), n) for n in range(20)])


@pytest.mark.parametrize("liars", [{0}, {19}, {7}, {3, 4}, {0, 19}, set(range(20))])
def test_the_liars_and_nobody_else_are_found(liars: set[int]) -> None:
    claims = [Claim(f"claim {n}", n, off=1 if n in liars else 0) for n in range(20)]
    assert find_refused(claims) == sorted(liars)
    with pytest.raises(ProofRefused, match=f"claim {min(liars)}"):
        verify_all(claims)


@dataclass(frozen=True)
class Counted(Claim):
    """Says how often it was added up."""

    times: list[int] = field(default_factory=list, compare=False)

    def add_to(self, equation: Equation, weight: int) -> None:
        self.times.append(1)
        super().add_to(equation, weight)


@pytest.mark.parametrize("liar", range(0, 32, 5))
def test_a_liar_costs_a_sum_of_the_left_half_for_each_halving(liar: int) -> None:
    claims = [Counted(str(n), n, off=1 if n == liar else 0) for n in range(32)]
    assert find_refused(claims) == [liar]
    # All 32 once, then 16, 8, 4, 2 and 1 of the left: what the right halves come to is the rest.
    assert sum(len(claim.times) for claim in claims) == 32 + 31


def test_errors_that_cancel_without_weights_do_not_cancel() -> None:
    claims = [Claim("more", 5, off=1), Claim("less", 5, off=-1)]
    plain = Equation()
    for claim in claims:
        claim.add_to(plain, 1)
    assert plain.holds()
    assert find_refused(claims) == [0, 1]


def test_an_equation_adds_up_generators_of_all_lengths() -> None:
    equation = Equation()
    assert equation.holds()
    equation.add_generators(b"x", [1, 2])
    equation.add_generators(b"x", [5, 5, 5])
    equation.add_generators(b"x", [5, 5])
    assert not equation.holds()
    equation.add_points(generators(b"x", 3), [-11, -12, -5])
    assert equation.holds()
    equation.add_point(INFINITY, 5)
    equation.add_point(GENERATOR, ORDER)
    assert equation.holds()
    with pytest.raises(ValueError):
        equation.add_points(PointVector([GENERATOR]), [1, 2])
