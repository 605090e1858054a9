# SPDX-License-Identifier: Apache-2.0
"""Hidden numbers divided and rounded to whole hidden numbers, whatever sign they have.

Public:  V, divisor d ≥ 2, the rule; bounds of v, which decide how wide ranges are, and whether its
         sign is public.
Secret:  v with V = v·H + γ·G, and the result q.
Claim:   q is v / d as a whole number by the rule.
Proof:   a commitment to q, ranged; and

           floor      v − d·q is from 0 to d − 1
           half-even  for odd d, where there are no ties: floor of v + (d−1)/2. For even d, with a
                      hidden bit o and q = 2·h + o: v − d·q is from −d/2 + o to d/2 − o
           down       floor(v) where v ≥ 0, −floor(−v) where v ≤ 0; of hidden sign, with a hidden
                      p = max(v, 0): floor(p) − floor(p − v), one of which is 0
           half-up    as down, of v moved away from 0 by ⌊d/2⌋

A remainder alone tells q modulo the group's order only: it is the range of q that makes it whole.
"""

from dataclasses import dataclass

from protocols.amounts import Bounds, QuotientRule
from protocols.proofs.compare import maximum
from protocols.proofs.quantity import Quantity
from protocols.proofs.session import Session


@dataclass(frozen=True, slots=True)
class Dividend:
    """What is divided, and what is known of it."""

    quantity: Quantity
    bounds: Bounds
    """Between which it is expected: no other can be proved."""
    sign: int | None
    """1 if it is never below 0, -1 if never above; None if that is hidden."""

    def negated(self) -> "Dividend":
        """Return the same below 0."""
        low, high = self.bounds
        return Dividend(-self.quantity, (-high, -low), self.sign and -self.sign)

    def moved(self, by: int) -> "Dividend":
        """Return the same with a public number added."""
        low, high = self.bounds
        return Dividend(self.quantity + by, (low + by, high + by), None)


def hidden_quotient(
    session: Session, label: str, dividend: Dividend, divisor: int, rule: QuotientRule
) -> Quantity:
    """Return the quotient as a whole number, committed; the divisor is 2 or more."""
    if rule is QuotientRule.HALF_EVEN:
        if divisor % 2:
            return _floor(session, label, dividend.moved(divisor // 2), divisor)
        return _half_even(session, label, dividend, divisor)
    away = divisor // 2 if rule is QuotientRule.HALF_UP else 0
    if dividend.sign == 1:
        return _floor(session, label, dividend.moved(away), divisor)
    if dividend.sign == -1:
        return -_floor(session, label, dividend.negated().moved(away), divisor)
    low, high = dividend.bounds
    width = max(abs(low), abs(high), 1).bit_length()
    above = maximum(session, label, dividend.quantity, Quantity.constant(0), width)
    positive = Dividend(above, (0, max(high, 0)), 1)
    negative = Dividend(above - dividend.quantity, (0, max(-low, 0)), 1)
    return _floor(session, label, positive.moved(away), divisor) - _floor(
        session, label, negative.moved(away), divisor
    )


def _floor(session: Session, label: str, dividend: Dividend, divisor: int) -> Quantity:
    low, high = (bound // divisor for bound in dividend.bounds)
    number = dividend.quantity
    over = session.commit(label, lambda: number.value // divisor - low, _width(high - low))
    session.require_up_to(label, number - (over + low) * divisor, divisor - 1)
    return over + low


def _half_even(session: Session, label: str, dividend: Dividend, divisor: int) -> Quantity:
    number, rule = dividend.quantity, QuotientRule.HALF_EVEN
    low, high = (rule.divide(bound, divisor) // 2 for bound in dividend.bounds)
    half = session.commit(
        label, lambda: rule.divide(number.value, divisor) // 2 - low, _width(high - low)
    )
    odd = session.commit(label, lambda: rule.divide(number.value, divisor) % 2, 1)
    result = (half + low) * 2 + odd
    remainder, width = number - result * divisor, divisor.bit_length()
    # Both sides of the remainder: they sum to divisor - 2 * odd.
    session.require_range(label, remainder + divisor // 2 - odd, width)
    session.require_range(label, -remainder + divisor // 2 - odd, width)
    return result


def _width(largest: int) -> int:
    return max(largest.bit_length(), 1)
