# SPDX-License-Identifier: Apache-2.0
"""What remains to be checked of a session: equations, for `batch`."""

from dataclasses import dataclass

from protocols.proofs.batch import Check, Equation
from protocols.proofs.folding import powers
from protocols.proofs.group import ORDER, Point


@dataclass(frozen=True, slots=True)
class SessionCheck:
    """All checks of a session, merged with powers of a challenge: one equation."""

    name: str
    digest: bytes
    checks: tuple[Check, ...]
    merge: int

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add the sum of the checks' equations, times `weight`."""
        for check, power in zip(self.checks, powers(self.merge, len(self.checks)), strict=True):
            check.add_to(equation, weight * power % ORDER)


@dataclass(frozen=True, slots=True)
class OpenCheck:
    """The point is a commitment to the value that was shown."""

    name: str
    digest: bytes
    point: Point
    value: int
    blinding: int

    def add_to(self, equation: Equation, weight: int) -> None:
        """Add the equation, times `weight`."""
        equation.add_point(self.point, -weight)
        equation.add_commitment(weight * self.value, weight * self.blinding)
