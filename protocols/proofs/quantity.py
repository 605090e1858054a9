# SPDX-License-Identifier: Apache-2.0
"""What statements are made of: committed numbers, and the certified uses they come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from protocols.proofs.errors import FalseStatement
from protocols.proofs.group import ORDER, Point, PointVector
from protocols.proofs.pedersen import H
from protocols.proofs.vector import VectorCommitment, VectorOpening

LARGEST_USE_WH: Final = 2**32 - 1
"""The largest use of a slot that a certifier signs: 4.3 GWh."""

LARGEST_VALUE: Final = 2**63 - 1
"""The largest value that is opened, of either sign."""

LARGEST_LIMIT: Final = 1 << 200
"""No quantity's magnitude may exceed this; n/2 is 2^255."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A committed number. Made by a session; belongs to it."""

    point: Point
    limit: int
    """A public bound of the number's magnitude."""
    secret: tuple[int, int] | None = field(default=None, repr=False)
    """Value and blinding, on the prover's side."""

    def __post_init__(self) -> None:
        if self.limit > LARGEST_LIMIT:
            raise ValueError("a quantity could wrap around the group's order")

    @property
    def value(self) -> int:
        """The number, on the prover's side; raise `FalseStatement` on the verifier's."""
        return self.opened()[0]

    def opened(self) -> tuple[int, int]:
        """Return value and blinding, on the prover's side."""
        if self.secret is None:
            raise FalseStatement("the prover lacks the opening of a quantity")
        return self.secret

    @classmethod
    def constant(cls, value: int) -> "Quantity":
        """Return a public number."""
        return cls(H * value, abs(value), (value, 0))

    def __add__(self, other: "Quantity | int") -> "Quantity":
        if isinstance(other, int):
            other = Quantity.constant(other)
        secret = None
        if self.secret is not None and other.secret is not None:
            (x, r), (y, s) = self.secret, other.secret
            secret = x + y, (r + s) % ORDER
        return Quantity(self.point + other.point, self.limit + other.limit, secret)

    def __mul__(self, factor: int) -> "Quantity":
        secret = None
        if self.secret is not None:
            secret = self.secret[0] * factor, self.secret[1] * factor % ORDER
        return Quantity(self.point * factor, self.limit * abs(factor), secret)

    __rmul__ = __mul__

    def __neg__(self) -> "Quantity":
        return self * -1

    def __sub__(self, other: "Quantity | int") -> "Quantity":
        return self + -other


@dataclass(frozen=True, slots=True)
class SlotOpening:
    """What the prover knows of commitments slot by slot."""

    uses: tuple[int, ...] = field(repr=False)
    blindings: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """Certified uses, committed to in one of the two schemes, and their openings if known.

    `identity` is what the transcript takes in for them: the digests of the certified days.
    """

    commitment: PointVector | VectorCommitment
    identity: bytes
    opening: SlotOpening | VectorOpening | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """The number of slots."""
        held = self.commitment
        return held.size if isinstance(held, VectorCommitment) else len(held)

    def stretches(self) -> Iterator[tuple[slice, "Source", VectorCommitment]]:
        """Yield which slots can be proved together where there is a commitment a day, and these."""
        held, known, first = self.commitment, self.opening, 0
        assert isinstance(held, VectorCommitment)
        for days in held.stretches:
            part = VectorCommitment(held.parts[days], held.points[days])
            slots = slice(first, first := first + part.size)
            opening = None
            if isinstance(known, VectorOpening):
                opening = VectorOpening(known.uses[slots], known.blindings[days])
            yield slots, Source(part, self.identity, opening), part
